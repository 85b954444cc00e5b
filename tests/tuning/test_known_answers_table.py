"""The table of known answers: who is chosen, and what a kill leaves behind."""

import argparse
import dataclasses
import importlib
from pathlib import Path

import pytest

from tuning import families, ledger, tasks

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def table(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("known_answers")


def line(family="gru", kind="implicit", size=1.0, learning_rate=0.003, seed=0, valid=0.5, test=0.5, **more):
    where = {"task": "recall", "version": "0", "family": family, "kind": kind, "size": size, "seed": seed}
    scores = {"valid": valid, "test": test, "parameters": 7, "cost": 0.001, "wall": 2.0, "cpu": 1.0}
    return {**where, "learning_rate": learning_rate, **scores, **more}


def test_the_learning_rate_is_chosen_by_validation_and_judged_by_the_test(table):
    rates = ((0.001, 0.6, 0.9), (0.003, 0.8, 0.7), (0.01, 0.7, 0.8))
    lines = [
        line(learning_rate=rate, seed=seed, valid=valid + seed / 100, test=test + seed / 100)
        for seed in (2, 0, 1)
        for rate, valid, test in rates
    ]
    (found,) = table.candidates(lines, 1.0)
    assert found.test == pytest.approx((0.7, 0.71, 0.72))
    assert table.candidates(lines, 0.25) == []


def test_a_rate_at_which_a_run_failed_is_no_choice_and_a_family_without_another_takes_no_part(table):
    failed = {"failure": "ArithmeticError: The loss became nan in epoch 2."}
    lines = [line(seed=seed, learning_rate=0.003, valid=0.6) for seed in (0, 1)]
    lines += [line(seed=0, learning_rate=0.01, valid=0.9), {**line(seed=1, learning_rate=0.01), **failed}]
    lines += [{**line(family="multi_head", kind="explicit"), **failed}]
    (found,) = table.candidates(lines, 1.0)
    assert (found.name, found.valid) == ("gru", (0.6, 0.6))


def test_who_is_not_through_with_all_seeds_takes_no_part_yet(table):
    lines = [line(seed=seed) for seed in (0, 1, 2)] + [line(family="multi_head", kind="explicit", seed=0)]
    assert [found.name for found in table.candidates(lines, 1.0)] == ["gru"]


def test_a_rate_that_is_not_through_with_all_seeds_is_no_choice_yet(table):
    lines = [line(seed=seed, valid=0.5) for seed in (0, 1)] + [line(seed=0, learning_rate=0.01, valid=0.9)]
    assert [found.valid for found in table.candidates(lines, 1.0)] == [(0.5, 0.5)]


def test_a_run_that_was_done_twice_counts_once(table, tmp_path):
    for test in (0.3, 0.4):
        ledger.append(tmp_path / "runs.jsonl", line(test=test))
    assert [found["test"] for found in table.read(tmp_path / "runs.jsonl")] == [0.4]


def test_half_a_line_that_a_kill_left_is_no_line_and_harms_none(table, tmp_path):
    path = tmp_path / "runs.jsonl"
    ledger.append(path, line(seed=0))
    with open(path, "a") as file:
        file.write('{"task": "rec')
    ledger.append(path, line(seed=1))
    ledger.append(path, line(seed=2))
    assert [found["seed"] for found in table.read(path)] == [0, 1, 2]
    assert table.read(tmp_path / "none.jsonl") == []


def do(table, size, valid, done=()):
    """The runs of a family at a size that are left, done one after another; `valid` is a function of the rate."""
    done, order = {table._key(one): one for one in done}, []
    for one in table._units(tasks.get("recall_4"), "0", families.make("gru"), size, done):
        score = valid(one["learning_rate"])
        done[table._key(one)] = {**one, **({"failure": "ArithmeticError: nan"} if score is None else {"valid": score})}
        order.append((one["learning_rate"], one["seed"]))
    return order, list(done.values())


def test_at_the_tasks_size_all_rates_run_on_all_seeds(table):
    order, _ = do(table, 1.0, lambda rate: 0.5)
    assert len(order) == 15 and set(order) == {(rate, seed) for rate in (0.001, 0.003, 0.01) for seed in range(5)}


def test_at_a_quarter_the_rate_is_chosen_on_the_first_seed_and_runs_on_the_others(table):
    valid = {0.001: 0.6, 0.003: 0.5, 0.01: None}.get
    order, done = do(table, 0.25, valid)
    assert order == [(0.003, 0), (0.001, 0), (0.01, 0), (0.001, 1), (0.001, 2)]
    # Killed after any of them it goes on with the others.
    for cut in range(6):
        assert do(table, 0.25, valid, done[:cut])[0] == order[cut:]


def test_where_no_rate_came_to_the_end_none_goes_on(table):
    assert len(do(table, 0.25, lambda rate: None)[0]) == 3


def test_parts_share_the_work_and_leave_nothing_out(table, monkeypatch, tmp_path):
    units = []
    monkeypatch.setattr(
        table, "_run_unit", lambda task, data, version, family, size, *_: units.append((task.name, family.name, size))
    )
    for part in range(3):
        before = len(units)
        table.run(argparse.Namespace(tasks=["recall_4", "adding_16"], part=(part, 3), out=tmp_path / "x"))
        mine = units[before:]
        assert {(name, size) for name, _, size in mine} == {
            (name, size) for name in ("recall_4", "adding_16") for size in table.PLAN
        }
        # One task after another, and all of them at the task's size before a quarter of it.
        order = [(-size, ("recall_4", "adding_16").index(name)) for name, _, size in mine]
        assert order == sorted(order)
    assert len(units) == len(set(units)) == 2 * 7 * 2


def test_tasks_whose_answer_is_published_come_first(table):
    published = [tasks.get(name).answer is not None for name in table.NAMES]
    assert published == sorted(published, reverse=True) and set(table.NAMES) == set(tasks.SYNTHETIC)


def test_there_are_as_many_runs_as_the_docstring_says(table):
    at = {size: [table.count(tasks.get(name), size) for name in table.NAMES] for size in table.PLAN}
    published = sum(tasks.get(name).answer is not None for name in table.NAMES)
    counts = sum(map(sum, at.values())), sum(at[1.0]), sum(at[1.0][:published]), sum(at[0.25])
    assert counts == (2500, 1875, 825, 625)
    assert all(f"{count:,}" in table.__doc__ for count in counts)


def test_other_data_and_other_epochs_make_another_task(table):
    task = tasks.get("recall_4")
    data = task.data(0)
    found = [table.fingerprint(task, data), table.fingerprint(task, task.data(1))]
    found.append(table.fingerprint(dataclasses.replace(task, epochs=7), data))
    assert len(set(found)) == 3 and all(len(each) == 8 for each in found)


def test_a_row_says_who_wins_by_how_much_and_what_is_published(table, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(table, "fingerprint", lambda task, data: "0")
    for seed in range(3):
        ledger.append(tmp_path / "x", line(seed=seed, test=0.25 + seed / 1000))
        ledger.append(tmp_path / "x", line("multi_head", "explicit", seed=seed, test=0.75))
    table.report(argparse.Namespace(tasks=["recall", "copy"], out=tmp_path / "x"))
    said = capsys.readouterr().out
    row = "| recall | 40,000 | gru 0.251 | multi_head 0.750 |  | +0.499 (+0.497 to +0.501) | explicit | explicit |"
    assert row in said
    assert "| task | parameters | gru | multi_head |" in said and "| recall | 40,000 | 0.251 | 0.750 |" in said
    assert "6 of 280 runs, 0 failed, 0.00 hours of a core." in said
    assert "At 1 of the parameters, begun: recall (6 of 105 runs).\nAt 1 of the parameters, not begun: copy.\n" in said
    assert "At 0.25 of the parameters, not begun: recall, copy.\n" in said
