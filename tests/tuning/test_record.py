import json
from pathlib import Path

import pytest

from tests.tuning.pasts import PLAIN, candidate, finished, past
from tuning import record

ROOT = Path(__file__).parents[2]


def test_a_verdict_is_read_as_it_was_written(tmp_path):
    found = record.add(finished(0.9, 0.7), PLAIN, tmp_path / "mine.jsonl")
    assert record.read(tmp_path / "mine.jsonl") == (found,)
    assert found.difference == pytest.approx(0.2)
    assert (found.task, found.answer, found.best) == (
        "blobs",
        "explicit",
        {"implicit": "gru", "explicit": "multi_head"},
    )
    # No name that the command line knows, so that there is no command.
    assert found.command.startswith("tuning.compare from Python")


def test_a_verdict_is_written_once_and_others_behind_it(tmp_path):
    path = tmp_path / "mine.jsonl"
    for score in (0.7, 0.7, 0.6):
        record.add(finished(0.9, score), PLAIN, path)
    assert [round(one.difference, 3) for one in record.read(path)] == [0.2, 0.3]


def test_a_line_without_an_end_is_ended_first(tmp_path):
    path = tmp_path / "mine.jsonl"
    record.append(past("a", 0.5), path)
    path.write_text(path.read_text().rstrip("\n"))
    record.append(past("b", 0.5), path)
    assert [one.task for one in record.read(path)] == ["a", "b"]


def test_the_package_s_own_record_is_not_written_to():
    path = record.SHIPPED / "mine.jsonl"
    with pytest.raises(record.RecordError, match="name a file of yours"):
        record.append(past("a", 0.5), path)
    assert not path.exists()


def test_files_are_added_to_what_comes_along_each_verdict_once(tmp_path):
    for name in ("one.jsonl", "two.jsonl"):
        record.append(past("a", 0.5), tmp_path / name)
    found = record.load([tmp_path / "one.jsonl", tmp_path / "two.jsonl"])
    assert found == (*record.load(), past("a", 0.5))


def test_what_comes_along_can_be_read_and_says_what_repeats_it():
    for one in record.load():
        command, script = one.command.split()[:2]
        assert command in ("keras-attn", "python") and (command == "keras-attn" or (ROOT / script).is_file())
        assert one.task in one.command and one.search["versions"]


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "mine.jsonl"
    record.append(past("a", 0.5), path)
    path.write_text(path.read_text() + '{"revision": 1, "task": "b')
    with pytest.raises(record.RecordError, match=r"mine\.jsonl, line 2 is no verdict"):
        record.read(path)


@pytest.mark.parametrize("line", ["[]", "3", "{}", '{"revision": 1}', '{"revision": 1, "families": 3}'])
def test_what_is_no_verdict_is_refused(line, tmp_path):
    (tmp_path / "mine.jsonl").write_text(line + "\n")
    with pytest.raises(record.RecordError, match="line 1 is no verdict"):
        record.read(tmp_path / "mine.jsonl")


def test_what_was_measured_another_way_is_refused(tmp_path):
    path = tmp_path / "mine.jsonl"
    record.append(past("a", 0.5), path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "revision": record.REVISION + 1}))
    with pytest.raises(record.RecordError, match="measured another way"):
        record.read(path)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(record.RecordError, match="cannot be read"):
        record.load([tmp_path / "nothing.jsonl"])


def test_without_both_kinds_there_is_nothing_to_learn():
    with pytest.raises(record.RecordError, match="Received: a with explicit"):
        record.past("a", PLAIN, [candidate("multi_head", "explicit", 0.9)], 0.02, {}, "")


def test_gaps_are_shares_of_what_a_constant_answer_leaves():
    one = past("a", 0.5)
    # 0.875 and 0.625, where a constant answer reaches 0.5.
    assert one.advantage == pytest.approx(0.5)
    assert one.gap(["multi_head"]) == 0.0
    assert one.gap(["gru"]) == pytest.approx(-0.5)
    assert one.gap(["gru", "multi_head"]) == 0.0
    assert one.gap(["lstm"]) is None
    assert one.gap(one.of_kind("hybrid")) == pytest.approx(-0.01)
