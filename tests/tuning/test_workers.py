"""Runs in processes of their own: the same scores as in one, and what dies costs its own run only."""

import dataclasses
import os
import signal

import pytest

from tests.tuning.standins import DIGITS, search
from tuning.isolation import Limits


def deadly(mixer, width, dropout):
    """A model that kills its process when it is trained with attention; it can be built and tried out."""
    model = DIGITS.model(mixer, width, dropout)
    if "multi_head" in str(mixer):
        fit = model.fit

        def die(*args, **kwargs):
            # As the kernel does when memory is short; the process of the tests has no such number.
            if os.environ.get("KILLS"):
                os.kill(os.getpid(), signal.SIGKILL)
            return fit(*args, **kwargs)

        model.fit = die
    return model


def scores(found):
    return {family.name: [(run.key, run.valid, run.test) for run in family.trials] for family in found.families}


@pytest.mark.slow
def test_a_run_that_kills_its_process_is_told_and_the_others_go_on(tmp_path, monkeypatch):
    monkeypatch.setenv("KILLS", "1")
    found = search(dataclasses.replace(DIGITS, model=deadly, seeds=1), workers=1, out=tmp_path / "aside")
    attention, convolution = (found.family(name) for name in ("multi_head", "gated_conv"))
    assert attention.failures == ["killed by signal 9 (perhaps out of memory)"]
    assert convolution.finished and found.models.keys() == {"implicit"}
    # In this process the same is the same.
    here = search(DIGITS, mixers=["gated_conv"], seeds=1, out=tmp_path / "here")
    assert here.family("gated_conv").test == convolution.test
    assert scores(here)["gated_conv"] == scores(found)["gated_conv"]


def test_limits_are_for_workers():
    with pytest.raises(ValueError, match="Limits are for runs in processes of their own"):
        search(DIGITS, limits=Limits(seconds=1.0))


def test_a_task_that_no_other_process_finds_is_refused_before_any_run(tmp_path):
    with pytest.raises(ValueError, match="finds a task's functions by name"):
        search(dataclasses.replace(DIGITS, model=lambda *args: DIGITS.model(*args)), workers=1, out=tmp_path)


@pytest.mark.slow
def test_two_at_once_find_what_one_finds(tmp_path):
    task = dataclasses.replace(DIGITS, epochs=4, trials=1, mixers=("multi_head", "gated_conv", "gru"))
    one, two = (search(task, workers=count, out=tmp_path / str(count)) for count in (1, 2))
    assert scores(one) == scores(two)
    assert [family.test for family in one.families] == [family.test for family in two.families]
