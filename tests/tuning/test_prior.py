"""An advice before a search: it says where to begin, is drawn once, and decides nothing else."""

import dataclasses
import json
import types

import pytest
from typer.testing import CliRunner

from tests.tuning.pasts import PLAIN, TASK, finished, like, past
from tests.tuning.standins import BLOBS, search, train_nothing
from tests.tuning.test_resume import Interrupt, scores
from tuning import advice, cli, prior, record, result, tasks
from tuning.engine import SearchFailed
from tuning.journal import SearchFolderError
from tuning.progress import Silent

#: On six tasks explicit is better by about as much.
SURE = [past(f"task {number}", 0.6 + number / 100, like(0.5, distance=5.0 + number)) for number in range(6)]
EXPLICIT_FIRST = ("multi_head", "gru+multi_head", "gru", "identity")
SMALL = dataclasses.replace(TASK, trials=3, seeds=2)


@pytest.fixture
def looks(monkeypatch):
    """Counts how often a task is looked at, and what is seen there is made up."""
    seen = []
    monkeypatch.setattr(advice, "describe", lambda *_: seen.append(1) or like(0.5))
    return seen


@pytest.fixture
def idle(monkeypatch):
    train_nothing(monkeypatch)


def form(folder, past=SURE, progress=None):
    return prior.form(TASK, TASK.data(0), past, 0, folder, progress or Silent())


def test_what_fails_while_an_advice_is_drawn_is_no_model_s_fault(looks, idle, monkeypatch, tmp_path):
    def fail(*_):
        raise BrokenPipeError("nobody reads")

    with monkeypatch.context() as patched:
        patched.setattr(Silent, "update", fail)
        with pytest.raises(SearchFailed, match="nobody reads"):
            search(SMALL, out=tmp_path, record=SURE)
    assert search(SMALL, out=tmp_path, record=SURE).advice["answer"] == "explicit"


def begun(folder):
    """The families of a search in the order in which they began."""
    trials = json.loads((folder / "race" / "oracle.json").read_text())["state"]["trials"]
    return tuple(dict.fromkeys(trial["hyperparameters"]["values"]["mixer"] for trial in trials))


def test_the_expected_to_win_begin(looks, tmp_path):
    found = form(tmp_path)
    assert found.order == EXPLICIT_FIRST
    assert found.said.startswith("A first guess at blobs: explicit attention.")
    assert "Drawn from 6 past tasks" in found.said


@pytest.mark.parametrize("count", [0, 3])
def test_with_too_few_past_tasks_it_is_off_in_words_and_nothing_is_looked_at(count, looks, tmp_path):
    found = form(tmp_path, SURE[:count])
    assert found.order == ("gru", "multi_head", "gru+multi_head", "identity")
    assert found.said.startswith("No advice: the record holds " + ("no past task" if not count else "3 past tasks"))
    assert (found.advice, found.seconds, looks) == (None, 0.0, [])


def test_it_is_drawn_once_and_read_back_as_it_was(looks, tmp_path):
    first = form(tmp_path)
    assert form(tmp_path, []) == first
    assert looks == [1]
    # JSON proper: nothing in it is called Infinity.
    json.loads((tmp_path / prior.REMEMBERED).read_text(), parse_constant=pytest.fail)


def test_an_advice_of_no_width_is_read_back_too(tmp_path, monkeypatch):
    monkeypatch.setattr(advice, "describe", lambda *_: PLAIN)
    alike = [past(f"{advantage}", advantage, PLAIN) for advantage in (0.0, 0.3, 0.6, 0.9)]
    first = form(tmp_path, alike)
    assert "plain mean" in first.said and form(tmp_path) == first


def test_a_task_that_cannot_be_looked_at_is_searched_without(tmp_path, monkeypatch):
    def fail(*_):
        raise ValueError("no layer makes vectors of positions")

    monkeypatch.setattr(advice, "describe", fail)
    found = form(tmp_path)
    assert found.said == "No advice: ValueError: no layer makes vectors of positions" and found.order[0] == "gru"


def test_that_it_takes_a_while_is_told(looks, tmp_path):
    told = []
    form(tmp_path, progress=types.SimpleNamespace(update=told.append))
    assert [event.outcome for event in told] == [None, "explicit, 0 s"]


def test_a_search_with_advice_runs_the_same_trials_in_another_order_and_finds_the_same(looks, idle, tmp_path):
    advised, alone = (search(SMALL, out=tmp_path / name, record=past) for name, past in (("a", SURE), ("b", [])))
    assert begun(tmp_path / "a") == EXPLICIT_FIRST
    assert begun(tmp_path / "b") == ("gru", "multi_head", "gru+multi_head", "identity")
    assert {run.round for family in alone.families for run in family.trials} > {0}
    assert scores(advised) == scores(alone)
    assert advised.verdict == alone.verdict and alone.verdict.comparisons


def test_interrupted_it_goes_on_with_the_advice_it_began_with(looks, idle, tmp_path):
    # The first two told are that it is looked at, and the first run.
    with pytest.raises(KeyboardInterrupt):
        search(SMALL, out=tmp_path, record=SURE, progress=Interrupt(3))
    found = search(SMALL, out=tmp_path, record=SURE)
    assert looks == [1] and found.advice["order"] == list(EXPLICIT_FIRST)
    assert begun(tmp_path) == EXPLICIT_FIRST


def test_another_record_is_another_search(looks, idle, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        search(SMALL, out=tmp_path, record=SURE, progress=Interrupt(2))
    with pytest.raises(SearchFolderError, match=r'record: "[0-9a-f]{16}" there, "empty" now'):
        search(SMALL, out=tmp_path, record=[])


def test_results_say_what_was_advised_and_whether_it_was_right(looks, tmp_path):
    right, wrong = (prior.judge(form(tmp_path), finished(*pair)) for pair in ((0.95, 0.65), (0.6, 0.9)))
    assert right["judgement"]["right"] is True and wrong["judgement"]["right"] is False
    assert right["judgement"]["words"].startswith("The advice was right: explicit")
    assert right["judgement"]["words"].endswith("In its order multi_head, which is to be taken, was number 1 of 4.")
    assert prior.judge(prior.Prior(("gru",), "No advice: none."), finished(0.9, 0.8))["judgement"] is None


def test_reports_say_it_too(looks, idle, tmp_path):
    found = search(SMALL, out=tmp_path, record=SURE)
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text().replace("\\", "")
        for said in ("A first guess at blobs", found.advice["judgement"]["words"][:40], ", ".join(EXPLICIT_FIRST)):
            assert said in text
    assert result.load(tmp_path) == found


def test_a_real_look_takes_no_minute(tmp_path):
    found = form(tmp_path)
    assert 0 < found.seconds < 60 and set(found.order) == set(EXPLICIT_FIRST)


def test_the_command_takes_a_record_or_leaves_advice_away(looks, idle, tmp_path, monkeypatch):
    monkeypatch.setitem(tasks.TASKS, "blobs", dataclasses.replace(BLOBS, mixers=SMALL.mixers))
    for one in SURE:
        record.append(one, tmp_path / "mine.jsonl")
    small = ["tune", "blobs", "--trials", "1", "--seeds", "1", "--epochs", "1"]
    run = lambda *options: CliRunner().invoke(cli.app, [*small, *map(str, options)])  # noqa: E731
    advised = run("--record", tmp_path / "mine.jsonl", "--out", tmp_path / "a")
    assert advised.exit_code == 0, advised.output
    assert "blobs looked at for an advice, about a minute: " in advised.output
    assert "The advice was" in advised.output or "The advice named" in advised.output
    assert "--record FILE" in (tmp_path / "a" / "report.md").read_text()
    alone = run("--no-advice", "--out", tmp_path / "b")
    assert "advice" not in alone.output
    assert "--no-advice" in (tmp_path / "b" / "report.md").read_text()
    both = run("--no-advice", "--record", tmp_path / "mine.jsonl", "--out", tmp_path / "c")
    assert both.exit_code == 2 and "Received: --record with --no-advice" in both.output
