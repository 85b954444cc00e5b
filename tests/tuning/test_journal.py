import dataclasses
import json

import numpy as np
import pytest

from tuning import journal
from tuning.journal import Journal, Run, SearchFolderError

SEARCH = {"task": "digits", "seed": 0}
RUN = Run(
    *("gru", "trial", 0, 1, 2, 7),
    {"learning_rate": 0.1 + 0.2},
    mixer={"mixer": "gru"},
    width=31,
    parameters=999,
    valid=0.5,
    curve=(0.25, 0.5),
    epoch_seconds=(3.5, 0.1),
)
OTHER = dataclasses.replace(RUN, number=1)


@pytest.fixture
def noted():
    return []


@pytest.fixture
def opened(tmp_path, noted):
    return Journal(tmp_path / "out", SEARCH, noted.append)


def test_a_run_comes_back_as_it_was(opened):
    opened.add(RUN)
    assert opened.find(RUN) == RUN


def test_a_run_that_is_not_there_is_none(opened):
    assert opened.find(OTHER) is None


def test_a_kill_while_writing_leaves_the_old_file_or_none(opened, monkeypatch):
    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    monkeypatch.setattr(journal.os, "replace", die)
    with pytest.raises(Killed):
        opened.add(RUN)
    assert opened.find(RUN) is None


@pytest.mark.parametrize("kept", [0, 1, 40])
def test_a_truncated_file_is_set_aside_with_a_message(opened, noted, kept):
    opened.add(RUN)
    (path,) = (opened.folder / "runs").glob("*.json")
    path.write_text(path.read_text()[:kept])
    assert opened.find(RUN) is None
    assert "cannot be read" in noted[0] and "done again" in noted[0]
    assert not path.exists() and path.with_suffix(".unreadable").exists()


def test_a_file_with_other_values_is_set_aside(opened, noted):
    opened.add(RUN)
    assert opened.find(dataclasses.replace(RUN, values={"learning_rate": 0.5})) is None
    assert "not of this search" in noted[0]


def test_a_retraining_without_its_weights_is_done_again(opened, noted):
    run = Run("gru", "retraining", 0, 0, 2, 7, {}, valid=0.5, test=0.5)
    opened.add(run)
    assert opened.find(run) is None
    assert "lost its weights" in noted[0]


@pytest.mark.parametrize("kept", [0, 1, 40, 200])
def test_a_retraining_whose_weights_are_damaged_is_done_again(kept, opened, noted):
    run = Run("gru", "retraining", 0, 0, 2, 7, {}, valid=0.5, test=0.5)
    opened.add(run)
    np.savez(opened.weights(run), np.arange(31))
    assert opened.find(run) == run and noted == []
    opened.weights(run).write_bytes(opened.weights(run).read_bytes()[:kept])
    assert opened.find(run) is None
    assert "gru.retraining-0.npz cannot be read" in noted[0] and "done again" in noted[0]


def test_the_same_search_opens_its_folder_again_and_clears_what_a_kill_left(opened):
    opened.add(RUN)
    part = opened.folder / "runs" / ".part.gru.trial-1.0.2.json"
    part.write_text("{")
    again = Journal(opened.folder, SEARCH)
    assert again.find(RUN) == RUN
    assert not part.exists()


def test_another_search_is_refused_with_what_differs(opened):
    with pytest.raises(SearchFolderError, match=r"seed: 0 there, 1 now"):
        Journal(opened.folder, {**SEARCH, "seed": 1})


def test_a_folder_with_other_things_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SearchFolderError, match=r"holds other things \(thesis.txt\)"):
        Journal(tmp_path, SEARCH)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(SearchFolderError, match="must be a folder"):
        Journal(tmp_path / "out", SEARCH)


def test_a_broken_description_is_refused(tmp_path):
    (tmp_path / journal.DESCRIPTION).write_text("{")
    with pytest.raises(SearchFolderError, match=r"search.json cannot be read"):
        Journal(tmp_path, SEARCH)


def test_what_a_paused_run_needs_is_kept_until_its_round_is_over(opened):
    opened.keep_state(RUN, [np.arange(3), np.float32(0.5)])
    opened.keep_state(OTHER, [np.arange(5)])
    elsewhere = dataclasses.replace(RUN, round=2)
    opened.keep_state(elsewhere, [np.arange(7)])
    kept = opened.state(RUN)
    assert kept[0].tolist() == [0, 1, 2] and kept[1].dtype == "float32"
    opened.drop_states("gru", 1)
    assert opened.state(RUN) is None and opened.state(OTHER) is None
    assert opened.state(elsewhere)[0].tolist() == list(range(7))


@pytest.mark.parametrize("kept", [0, 1, 40, 200])
def test_a_damaged_state_is_as_good_as_none(opened, kept):
    opened.keep_state(RUN, [np.arange(31)])
    (path,) = (opened.folder / "runs").glob("*.npz")
    path.write_bytes(path.read_bytes()[:kept])
    assert opened.state(RUN) is None


@pytest.mark.parametrize("name", ["../../etc/passwd", "multi_head(num_heads=2)", "a/b", "", "x" * 300])
def test_any_name_makes_a_plain_file_name(name):
    made = journal.file_name(name)
    assert "/" not in made and not made.startswith(".") and 0 < len(made) < 80


def test_names_that_look_alike_stay_apart():
    assert journal.file_name("a(b=1)") != journal.file_name("a(b-1)")
    assert journal.file_name("gru+multi_head") == "gru+multi_head"


def test_one_process_at_a_time_works_in_a_folder(tmp_path):
    with journal.alone(tmp_path / "out"):
        # Of another process it would be another open file as well.
        with pytest.raises(SearchFolderError, match="Another process is at work"), journal.alone(tmp_path / "out"):
            pass
        assert (tmp_path / "out" / journal.LOCK).exists()
    with journal.alone(tmp_path / "out"):
        pass
    assert not list((tmp_path / "out").iterdir())


def test_a_lock_that_a_kill_has_left_keeps_nobody_out(tmp_path):
    (tmp_path / journal.LOCK).touch()
    journal.check_folder(tmp_path, {})
    with journal.alone(tmp_path):
        pass


def test_what_is_written_is_json(opened):
    opened.add(RUN)
    (path,) = (opened.folder / "runs").glob("*.json")
    assert json.loads(path.read_text())["curve"] == [0.25, 0.5]
