import dataclasses

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.tuning.pasts import PLAIN, TASK, finished, like, past
from tuning import advice, cli, decide, record
from tuning.advice import draw, judge, leave_one_out

#: Where the small models differ the large ones do: so much, on seven tasks.
ADVANTAGES = (-0.9, -0.6, -0.5, 0.0, 0.5, 0.6, 0.9)
RECORD = [past(f"task {advantage:+}", advantage) for advantage in ADVANTAGES]
#: On six tasks explicit is better by about as much.
SURE = [past(f"task {number}", 0.6 + number / 100, like(0.5, distance=5.0 + number)) for number in range(6)]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_with_too_few_past_tasks_there_is_no_advice_and_no_start_is_short(count):
    found = draw(TASK, PLAIN, RECORD[:count])
    assert (found.answer, found.difference, found.kinds, found.gaps) == ("open", None, (), ())
    assert found.uncertainty.startswith("No advice: the record holds " + ("no" if not count else str(count)))
    assert [start.trials for start in found.start] == [TASK.trials] * 4
    assert len(found.neighbours) == count


def test_several_verdicts_on_one_task_are_one_piece_of_evidence():
    again = [past("one task", advantage / 10, seed=seed) for seed, advantage in enumerate(range(5))]
    assert draw(TASK, PLAIN, again).difference is None
    alone, often = (draw(TASK, PLAIN, [*SURE, *again[:count]]) for count in (1, 5))
    assert often.difference.tasks == alone.difference.tasks == 7
    assert sum(one.weight for one in often.neighbours) == pytest.approx(1.0)
    assert [one.task for one in often.neighbours].count("one task") == 1


def test_the_nearest_past_tasks_count_most():
    found = draw(TASK, like(0.55), RECORD)
    assert [one.task for one in found.neighbours[:2]] == ["task +0.5", "task +0.6"]
    weights = [one.weight for one in found.neighbours]
    assert weights == sorted(weights, reverse=True)
    # In scores: half of it is to be gained.
    assert found.difference.mean == pytest.approx(0.275, abs=0.1)
    assert draw(TASK, like(-0.55), RECORD).difference.mean == pytest.approx(-0.275, abs=0.1)


def test_where_likeness_tells_nothing_all_count_alike():
    # What is near is the opposite.
    opposite = [past(f"{number}", (-1) ** number * 0.5, like(number / 10)) for number in range(8)]
    found = draw(TASK, PLAIN, opposite)
    assert "plain mean" in found.uncertainty
    assert {round(one.weight, 6) for one in found.neighbours} == {0.125}


def test_the_interval_is_the_error_that_four_in_five_past_guesses_stayed_below():
    # The plain mean of the others is off by 0.6, 0.2, 0.2, 0.6: of four errors and one to come the largest counts.
    alike = [past(f"{advantage}", advantage, PLAIN) for advantage in (0.0, 0.3, 0.6, 0.9)]
    found = draw(TASK, PLAIN, alike).difference
    assert found.mean == pytest.approx(0.225)
    assert (found.low, found.high) == pytest.approx((0.225 - 0.3, 0.5))


def test_a_kind_is_named_if_the_whole_interval_is_beyond_the_margin():
    assert draw(TASK, like(0.5), SURE).answer == "explicit"
    assert draw(TASK, like(0.5), [past(f"{n}", -0.6 - n / 100, like(0.5)) for n in range(6)]).answer == "implicit"
    assert draw(dataclasses.replace(TASK, margin=0.45), like(0.5), SURE).answer == "open"


def test_of_a_task_unlike_any_no_kind_is_named():
    strange = draw(TASK, like(0.5, length=4001.0, examples=9), SURE)
    assert strange.answer == "open"
    assert "no more than a guess" in strange.uncertainty
    assert {start.trials for start in strange.start} == {TASK.trials}


def test_what_is_expected_to_win_is_tried_first_and_what_is_not_has_a_short_start():
    found = draw(TASK, like(0.5), SURE)
    assert [(start.family, start.trials) for start in found.start] == [
        ("multi_head", 2),
        ("gru+multi_head", 2),
        ("gru", 1),
        ("identity", 1),
    ]
    kinds = {one.name: one.mean for one in found.kinds}
    assert kinds == pytest.approx({"explicit": 0.0, "hybrid": -0.005, "implicit": -0.31}, abs=0.02)


def test_a_family_that_is_not_known_is_placed_by_its_kind_and_has_a_whole_start():
    task = dataclasses.replace(TASK, mixers=("gru", "lstm", "additive", "multi_head"))
    found = draw(task, like(0.5), SURE)
    assert [start.family for start in found.start] == ["additive", "multi_head", "gru", "lstm"]
    assert {start.family: start.trials for start in found.start} == {
        "additive": 2,
        "multi_head": 2,
        "gru": 1,
        "lstm": 2,
    }


def test_the_same_record_gives_the_same_advice_in_any_order():
    found, turned = (draw(TASK, like(0.3), record) for record in (RECORD, RECORD[::-1]))
    assert found.start == turned.start
    assert found.difference.mean == pytest.approx(turned.difference.mean, abs=1e-12)


def test_a_right_and_a_wrong_advice_are_told():
    said = draw(TASK, like(0.5), SURE)
    right = judge(said, finished(0.95, 0.65))
    assert (right.right, right.inside) == (True, True)
    assert right.words.startswith("The advice was right: explicit, explicit less implicit +0.")
    wrong = judge(said, finished(0.6, 0.9, winner="gru"))
    assert (wrong.right, wrong.inside) == (False, False)
    assert "The advice was wrong" in wrong.words and "outside that" in wrong.words
    assert "gru won, for which it advised a short start, which was wrong." in wrong.words
    assert judge(said, finished(0.9, 0.895)).right is False


def test_an_advice_is_judged_by_what_the_verdict_says_of_the_difference():
    result = finished(0.95, 0.65)
    found = decide.compare(*(family.as_candidate() for family in result.families), 0.02)
    unsure = dataclasses.replace(result.verdict, comparisons=(dataclasses.replace(found, outcome="not shown"),))
    assert found.outcome == "first"
    assert judge(draw(TASK, like(0.5), SURE), dataclasses.replace(result, verdict=unsure)).right is None


def test_an_advice_that_names_no_kind_is_neither_right_nor_wrong():
    said = draw(dataclasses.replace(TASK, margin=0.45), like(0.5), SURE)
    found = judge(said, finished(0.95, 0.65))
    assert (found.right, found.inside) == (None, True)
    assert "named no kind" in found.words
    assert judge(draw(TASK, PLAIN, []), finished(0.9, 0.7)).words == (
        "There was no advice, so that it was neither right nor wrong."
    )


def test_an_advice_is_judged_by_its_own_task_only():
    with pytest.raises(ValueError, match="Received: blobs and digits"):
        judge(draw(TASK, PLAIN, []), finished(0.9, 0.7, task="digits"))


def test_each_past_task_is_guessed_from_the_others():
    tried = leave_one_out(SURE)
    assert [one.task for one in tried] == [one.task for one in SURE]
    assert all(one.expected.tasks == 5 for one in tried)
    assert all(one.right for one in tried if one.answer != "open") and any(one.answer == "explicit" for one in tried)
    assert [one.expected for one in leave_one_out(SURE[:4])] == [None] * 4


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    inside = []
    for seed in range(4):
        numbers = np.random.default_rng(seed)
        made = [
            past(f"{n}", advantage, like(advantage, half=float(numbers.integers(1, 9)), distance=float(n)))
            for n, advantage in enumerate(numbers.uniform(-1, 1, size=13))
        ]
        inside += [one.inside for one in leave_one_out(made)]
    assert 0.7 <= np.mean(inside) <= 0.95


def test_a_seed_below_zero_is_refused_before_anything_is_read():
    with pytest.raises(ValueError, match=r"`seed`: it must be an integer of at least 0"):
        advice.advise("digits", seed=-1)


def test_the_command_shows_what_it_saw_what_it_guesses_and_how_far_to_believe_it(tmp_path, monkeypatch):
    monkeypatch.setattr(advice, "describe", lambda task, data, seed: like(0.5))
    monkeypatch.setattr(record, "SHIPPED", tmp_path / "nothing")
    for one in SURE:
        record.append(one, tmp_path / "mine.jsonl")
    record.append(past("[red]odd", 0.6), tmp_path / "mine.jsonl")
    found = CliRunner().invoke(cli.app, ["advise", "digits", "--record", str(tmp_path / "mine.jsonl")])
    assert found.exit_code == 0, found.output
    assert "A first guess at digits: explicit attention." in found.output
    assert "past tasks, the nearest" in found.output
    assert "[red]odd" in found.output


def test_the_command_says_what_is_wrong_with_a_record_in_a_line(tmp_path):
    (tmp_path / "mine.jsonl").write_text("nothing\n")
    found = CliRunner().invoke(cli.app, ["advise", "digits", "--record", str(tmp_path / "mine.jsonl")])
    assert found.exit_code == 2
    assert found.output.startswith("Error: ") and "line 1 is no verdict" in found.output
