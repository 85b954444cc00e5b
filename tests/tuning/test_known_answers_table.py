"""The table of known answers: who is chosen, and what a kill leaves behind."""

import argparse
import dataclasses
import importlib.util
from pathlib import Path

import pytest

from tuning import ledger, tasks

FILE = Path(__file__).parents[2] / "benchmarks" / "known_answers.py"


@pytest.fixture(scope="module")
def table():
    spec = importlib.util.spec_from_file_location("known_answers", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


def test_parts_share_the_work_and_leave_nothing_out(table, monkeypatch, tmp_path):
    units = []
    monkeypatch.setattr(
        table, "_run_unit", lambda task, data, version, family, size, *_: units.append((task.name, family.name, size))
    )
    for part in range(3):
        table.run(argparse.Namespace(tasks=["recall_4", "adding_16"], part=(part, 3), out=tmp_path / "x", seeds=2))
        assert {name for name, _, _ in units[-9:]} == {"recall_4", "adding_16"}
    assert len(units) == len(set(units)) == 2 * 7 * 2


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
    table.report(argparse.Namespace(tasks=["recall"], out=tmp_path / "x", seeds=3))
    said = capsys.readouterr().out
    row = "| recall | 40,000 | gru 0.251 | multi_head 0.750 |  | +0.499 (+0.497 to +0.501) | explicit | explicit |"
    assert row in said
    assert "| task | parameters | gru | multi_head |" in said and "| recall | 40,000 | 0.251 | 0.750 |" in said
    assert "6 of 126 runs, 0 failed, 0.00 hours of a core." in said
