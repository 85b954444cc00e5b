import json

import pytest

from tuning import journal
from tuning.journal import Journal, Run, SearchFolderError

SEARCH = {"task": "digits", "seed": 0}
RUN = Run("gru", "trial", 0, 7, {"learning_rate": 0.1 + 0.2}, {"mixer": "gru"}, 31, 999, 0.5, curve=(0.25, 0.5))


@pytest.fixture
def noted():
    return []


@pytest.fixture
def opened(tmp_path, noted):
    return Journal(tmp_path / "out", SEARCH, noted.append)


def test_a_run_comes_back_as_it_was(opened):
    opened.add(RUN)
    assert opened.find("gru", "trial", 0, RUN.values) == RUN


def test_a_run_that_is_not_there_is_none(opened):
    assert opened.find("gru", "trial", 1, RUN.values) is None


def test_a_kill_while_writing_leaves_the_old_file_or_none(opened, monkeypatch):
    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    monkeypatch.setattr(journal.os, "replace", die)
    with pytest.raises(Killed):
        opened.add(RUN)
    assert opened.find("gru", "trial", 0, RUN.values) is None


@pytest.mark.parametrize("kept", [0, 1, 40])
def test_a_truncated_file_is_set_aside_with_a_message(opened, noted, kept):
    opened.add(RUN)
    (path,) = (opened.folder / "runs").glob("*.json")
    path.write_text(path.read_text()[:kept])
    assert opened.find("gru", "trial", 0, RUN.values) is None
    assert "cannot be read" in noted[0] and "done again" in noted[0]
    assert not path.exists() and path.with_suffix(".unreadable").exists()


def test_a_file_with_other_values_is_set_aside(opened, noted):
    opened.add(RUN)
    assert opened.find("gru", "trial", 0, {"learning_rate": 0.5}) is None
    assert "not of this search" in noted[0]


def test_a_retraining_without_its_weights_is_done_again(opened, noted):
    run = Run("gru", "retraining", 0, 7, {}, valid=0.5, test=0.5)
    opened.add(run)
    assert opened.find("gru", "retraining", 0, {}) is None
    assert "lost its weights" in noted[0]


def test_the_same_search_opens_its_folder_again_and_clears_what_a_kill_left(opened):
    opened.add(RUN)
    part = opened.folder / "runs" / ".part.gru.trial-1.json"
    part.write_text("{")
    again = Journal(opened.folder, SEARCH)
    assert again.find("gru", "trial", 0, RUN.values) == RUN
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


@pytest.mark.parametrize("name", ["../../etc/passwd", "multi_head(num_heads=2)", "a/b", "", "x" * 300])
def test_any_name_makes_a_plain_file_name(name):
    made = journal.file_name(name)
    assert "/" not in made and not made.startswith(".") and 0 < len(made) < 80


def test_names_that_look_alike_stay_apart():
    assert journal.file_name("a(b=1)") != journal.file_name("a(b-1)")
    assert journal.file_name("gru+multi_head") == "gru+multi_head"


def test_what_is_written_is_json(opened):
    opened.add(RUN)
    (path,) = (opened.folder / "runs").glob("*.json")
    assert json.loads(path.read_text())["curve"] == [0.25, 0.5]
