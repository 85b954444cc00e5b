"""Ctrl-C or kill -9 in the middle, then the same again: nothing repeated, nothing lost, the same results."""

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tuning.standins import BLOBS, dense, search
from tuning import training
from tuning.comparison import DEATHS
from tuning.engine import SearchFailed
from tuning.journal import Files, Journal
from tuning.progress import Lines, Silent

ROOT = Path(__file__).parents[2]
TASK = dataclasses.replace(BLOBS, mixers=("identity",))
#: Three configurations to the first rung, the best of them to the end, and the retrainings.
RUNS = 3 + 1 + TASK.seeds


def scores(found):
    """All that a search found but times."""
    runs = [run for family in found.families for run in (*family.trials, *family.retrainings)]
    timeless = {"seconds": 0, "epoch_seconds": (), "wall": 0, "latency": {}}
    return [dataclasses.replace(run, **timeless) for run in runs]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return search(TASK, out=tmp_path_factory.mktemp("whole") / "out")


class Interrupt:
    """Interrupts a search when so many runs were begun."""

    def __init__(self, at):
        self.left = at

    def update(self, event):
        self.left -= event.outcome is None
        if not self.left:
            raise KeyboardInterrupt

    def warn(self, text):
        raise AssertionError(text)


def count_training(monkeypatch):
    trained = []
    train = training.Workbench.train
    monkeypatch.setattr(training.Workbench, "train", lambda *args: trained.append(1) or train(*args))
    return trained


@pytest.mark.parametrize("at", [2, RUNS])
def test_an_interrupted_search_goes_on_and_ends_as_if_it_had_not_been(at, whole, tmp_path, monkeypatch):
    trained = count_training(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        search(TASK, out=tmp_path, progress=Interrupt(at))
    assert len(trained) == at - 1
    found = search(TASK, out=tmp_path)
    assert len(trained) == RUNS
    assert scores(found) == scores(whole)


def test_a_finished_search_only_reports(whole, tmp_path, monkeypatch):
    first = search(TASK, out=tmp_path)
    trained = count_training(monkeypatch)
    (tmp_path / "report.md").unlink()
    assert search(TASK, out=tmp_path) == first
    assert trained == []
    assert (tmp_path / "report.md").exists()


def test_a_truncated_file_costs_that_run_only(whole, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        search(TASK, out=tmp_path, progress=Interrupt(3))
    path = tmp_path / "runs" / "identity.trial-1.0.1.json"
    path.write_text(path.read_text()[:50])
    trained = count_training(monkeypatch)
    with pytest.warns(UserWarning, match="cannot be read"):
        found = search(TASK, out=tmp_path)
    assert len(trained) == RUNS - 2 + 1
    assert scores(found) == scores(whole)


def raising(error):
    def fail(*_):
        raise error

    return fail


@pytest.mark.parametrize(
    ("place", "name", "error", "message"),
    [
        (Files, "keep_state", OSError(errno.ENOSPC, "No space left on device"), "The disk is full: make room"),
        (Journal, "add", OSError(errno.EACCES, "Permission denied"), "Permission denied"),
        (Silent, "update", BrokenPipeError("nobody reads"), "nobody reads"),
    ],
)
def test_what_is_no_model_s_fault_stops_the_search_which_then_goes_on(place, name, error, message, whole, tmp_path):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(place, name, raising(error))
        with pytest.raises(SearchFailed, match=message):
            search(TASK, out=tmp_path)
    assert not (tmp_path / "results.json").exists()
    assert scores(search(TASK, out=tmp_path)) == scores(whole)


class Killed(BaseException):
    """As kill -9 ends a process: nothing catches it."""


def deadly(mixer, width, dropout):
    """A model whose training ends the process for one mixer."""
    model = dense(mixer, width, dropout)

    def die(*arguments, **options):
        raise Killed

    if mixer == {"mixer": "pooling"}:
        model.fit = die
    return model


def test_a_run_in_which_the_process_dies_again_and_again_has_failed_and_the_others_go_on(tmp_path):
    task, said = dataclasses.replace(BLOBS, model=deadly, trials=1), []
    for _ in range(DEATHS):
        with pytest.raises(Killed):
            search(task, out=tmp_path)
    good, bad = search(task, out=tmp_path, progress=Lines(said.append)).families
    assert good.finished and not bad.finished
    assert bad.failures == [f"Tried {DEATHS} times, and its process died each time."]
    assert any(bad.failures[0] in line for line in said)


def written(folder):
    """The finished runs in a folder; a kill may leave one that is half written under another name."""
    return {path.name: path.read_bytes() for path in folder.glob("runs/[!.]*.json")}


def kill_after(files, folder):
    """Starts the search in a process of its own and kills it when it has written so many runs."""
    code = "import sys; from tests.tuning.test_resume import TASK, search; search(TASK, out=sys.argv[1])"
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code, str(folder)], cwd=ROOT)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if len(written(folder)) >= files:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.002)
    process.wait(timeout=120)
    return written(folder)


def test_a_killed_search_goes_on_and_loses_nothing(whole, tmp_path):
    first = kill_after(1, tmp_path)
    second = kill_after(3, tmp_path)
    assert first.items() <= second.items()
    assert len(first) < len(second) < RUNS
    found = search(TASK, out=tmp_path)
    assert second.items() <= written(tmp_path).items()
    assert scores(found) == scores(whole)
