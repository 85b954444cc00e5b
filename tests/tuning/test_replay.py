"""Searches replayed on tables that were made up, so that it is known what they should find. Nothing is trained."""

import argparse
import dataclasses
import importlib
import itertools
from pathlib import Path

import numpy as np
import pytest

from tuning import decide, families, ledger, tasks

FOLDER = Path(__file__).parents[2] / "benchmarks"
TASK = tasks.get("recall_4")
LOW, FIRST, HIGH = TASK.learning_rates
FAMILIES = families.make_all(TASK.mixers)


@pytest.fixture
def replay(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("replay")


def at(step):
    """A curve that rises from the start, or stays where it is until a share of the epochs is over."""
    return [0.0 if epoch < step * TASK.epochs else 1.0 for epoch in range(1, TASK.epochs + 1)]


RISING = [1 - 0.5**epoch for epoch in range(1, TASK.epochs)] + [1.0]


def plant(level, shapes=None, noise=0.004):
    """Lines of a table.

    Args:
        level: the score of a family at a rate.
        shapes: the curves of some families, as shares of the score.
        noise: of scores, from seed to seed.
    """
    lines = []
    for family, rate, seed in itertools.product(FAMILIES, TASK.learning_rates, range(5)):
        numbers = np.random.default_rng([FAMILIES.index(family), int(rate * 1e6), seed])
        valid, test = level(family, rate) + noise * numbers.normal(size=2)
        curve = [float(valid) * share for share in (shapes or {}).get(family.name, RISING)]
        line = {"task": TASK.name, "version": "0", "family": family.name, "kind": family.kind, "size": 1.0}
        line |= {"learning_rate": rate, "seed": seed, "valid": float(valid), "test": float(test), "curve": curve}
        lines.append({**line, "parameters": 7, "cost": 0.001, "wall": 2.0, "cpu": 1.0})
    return lines


def by_kind(**levels):
    """The score of a kind, 0.05 less at a rate that is not the first."""
    return lambda family, rate: levels.get(family.kind, 0.3) - 0.05 * (rate != FIRST)


def outcomes(replay, lines, masters=5):
    grid = replay.grid(TASK, lines, 1e-3)
    return grid, [replay.replay(grid, master) for master in range(masters)]


@pytest.mark.parametrize("better", ["explicit", "implicit"])
def test_the_race_finds_a_planted_answer_with_every_master_seed(replay, better):
    grid, found = outcomes(replay, plant(by_kind(**{better: 0.8})))
    assert grid.truth.answer == better
    assert all(outcome["race"].answer == better and outcome["race"].right for outcome in found)
    assert max(outcome["race"].regret for outcome in found) < 0.01


def test_a_family_that_stays_on_a_plateau_until_late_is_found(replay):
    level = {"multi_head": 0.9, "gru": 0.5}
    lines = plant(lambda family, rate: level.get(family.name, 0.3), {"multi_head": at(0.7)})
    grid, found = outcomes(replay, lines)
    assert grid.truth.answer == "explicit" and all(outcome["race"].right for outcome in found)


def test_where_nothing_matters_the_search_says_so(replay):
    grid, found = outcomes(replay, plant(lambda family, rate: 0.6, noise=0.001))
    assert grid.truth.answer == decide.NO_DIFFERENCE and all(outcome["race"].right for outcome in found)


def test_a_kind_that_was_chosen_where_nothing_matters_is_a_fair_choice_but_not_right(replay, monkeypatch):
    grid = replay.grid(TASK, plant(by_kind(explicit=0.61, implicit=0.6), noise=0.001), 1e-3)
    seeds = replay.Seeds((0, 1), (2, 3, 4))
    chosen = replay.Chosen({"multi_head": FIRST, "gru": FIRST}, spent=8)
    assert replay.finish(grid, seeds, chosen).right
    for answer, fair in (("explicit", True), ("hybrid", False), (decide.NO_VERDICT, False)):
        said = decide.Verdict(answer, "because", "multi_head")
        monkeypatch.setattr(decide, "decide", lambda *_, said=said: said)
        outcome = replay.finish(grid, seeds, chosen)
        assert (outcome.right, outcome.fair) == (False, fair)


def test_no_final_is_on_a_seed_of_a_round(replay):
    for master in range(20):
        seeds = replay.shuffle(TASK, np.random.default_rng(master))
        assert sorted((*seeds.rounds, *seeds.finals)) == list(range(5)) and len(seeds.finals) == TASK.seeds


def test_the_race_asks_for_seeds_of_rounds_only(replay, monkeypatch):
    grid, asked = replay.grid(TASK, plant(by_kind(explicit=0.8)), 1e-3), []
    score = replay.Grid.score
    monkeypatch.setattr(replay.Grid, "score", lambda self, *run: asked.append(run) or score(self, *run))
    seeds = replay.Seeds((4, 1), (0, 2, 3))
    replay.race(grid, seeds, np.random.default_rng(0))
    assert {seed for _, _, seed, _ in asked} == {4, 1}
    # In the first round all rates are tried, the task's first one first.
    opening = [(family, rate) for family, rate, seed, epochs in asked if (seed, epochs) == (4, 3)]
    assert opening[::3] == [(family.name, FIRST) for family in FAMILIES] and len(set(opening)) == 21


def test_epochs_are_those_that_were_run(replay):
    _, (found,) = outcomes(replay, plant(by_kind(explicit=0.8)), masters=1)
    # Seven families open with three eighths of three runs, and the rest of the best; a later round has three eighths of
    # two and the rest of one. Then six finalists on three seeds.
    assert found["race"].spent == pytest.approx((7 * 1.75 + 1.375) / (7 * 3 * 5))
    assert found["race"].finals == pytest.approx(6 * 3 / (7 * 3 * 5))


def test_what_was_solved_early_cost_less_and_what_failed_as_much_as_a_whole_run(replay):
    lines = plant(by_kind())
    early, failed = lines[0], lines[1]
    early |= {"curve": [0.2, 0.9, 1.0], "valid": 1.0}
    for name in ("valid", "test", "curve"):
        del failed[name]
    failed["failure"] = "ArithmeticError: The loss became nan in epoch 2."
    grid = replay.grid(TASK, lines, 1e-3)
    run = early["family"], early["learning_rate"], early["seed"]
    assert [grid.score(*run, epochs) for epochs in (2, 3, 8)] == [0.9, 1.0, 1.0]
    assert (grid.epochs(*run), grid.epochs(*run, 2), grid.epochs(*run, 8, 2), grid.epochs(*run, 8, 4)) == (3, 2, 1, 0)
    run = failed["family"], failed["learning_rate"], failed["seed"]
    assert grid.score(*run, 2) is None and grid.epochs(*run) == 8 and grid.candidate(*run[:2]) is None
    assert grid.whole == 7 * 3 * 5 * 8 - 5
    assert all(0 <= outcome.regret < 1 for outcome in replay.replay(grid, 0).values())


def test_the_others_have_the_epochs_of_the_race_and_one_run_more_at_most(replay):
    _, found = outcomes(replay, plant(by_kind(explicit=0.8)))
    for outcome, name in itertools.product(found, replay.OTHERS):
        assert 0 <= outcome[name].spent - outcome["race"].spent < 1 / (7 * 3 * 5)


@pytest.mark.parametrize("name", ["random", "hyperband", "bayesian"])
def test_who_has_tried_the_whole_grid_begins_anew_on_the_next_seed(replay, monkeypatch, name):
    grid, asked = replay.grid(TASK, plant(by_kind(explicit=0.8)), 1e-3), []
    score = replay.Grid.score
    monkeypatch.setattr(replay.Grid, "score", lambda self, *run: asked.append(run) or score(self, *run))
    oracle_class, options = replay.OTHERS[name](TASK)
    seeds, numbers = replay.Seeds((4, 1), (0, 2, 3)), np.random.default_rng(0)
    chosen = replay.flat(oracle_class, grid, seeds, numbers, 10_000, **options)
    # What a Hyperband promotes it asks for again, up to a higher rung; nobody asks for the same twice.
    assert len(set(asked)) == len(asked)
    tried = {seed: {run[:2] for run in asked if run[2] == seed} for seed in (4, 1)}
    assert all(len(runs) > 15 for runs in tried.values()) and {run[2] for run in asked} == {4, 1}
    assert [run[2] for run in asked] == sorted((run[2] for run in asked), reverse=True)
    assert chosen.finalists["multi_head"] == FIRST and chosen.finalists.keys() >= {"multiplicative", "identity"}
    assert sum(family.kind == "implicit" for family in FAMILIES if family.name in chosen.finalists) == 2


def test_regret_is_how_much_better_the_best_is_in_the_test(replay):
    grid = replay.grid(TASK, plant(by_kind(explicit=0.8), noise=0.0), 1e-3)
    choices = {("multi_head", FIRST): 0.0, ("multi_head", LOW): 0.05, ("gru", HIGH): 0.55, (None, None): 0.55}
    assert {choice: pytest.approx(grid.regret(choice)) for choice in choices} == choices


def test_a_table_with_a_hole_is_refused_and_its_task_left_out_and_named(replay, monkeypatch, tmp_path, capsys):
    lines = plant(by_kind(explicit=0.8))
    del lines[3], lines[50]
    with pytest.raises(ValueError, match=r"needs all 105 runs .* Received: 103; missing is multi_head .* and 1 more"):
        replay.grid(TASK, lines, 1e-3)
    for line in lines:
        ledger.append(tmp_path / "table", line)
    monkeypatch.setattr(replay.known_answers, "fingerprint", lambda task, data: "0")
    arguments = argparse.Namespace(table=tmp_path / "table", tasks=["recall_4", "copy"], seeds=1)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", lambda self: arguments)
    replay.main()
    said = capsys.readouterr().out
    assert "Left out. A replay needs all 105 runs of recall_4" in said and "runs of copy" in said and "|" not in said


def test_the_report_has_all_tasks_together_and_each_and_does_not_judge_open_ones(replay, capsys):
    closed = replay.grid(TASK, plant(by_kind(explicit=0.8)), 1e-3)
    # Half of the seeds learn and half do not, so that nothing is shown.
    wild = plant(by_kind(explicit=0.6))
    for line in wild:
        if line["kind"] == "explicit" and line["seed"] % 2:
            line |= {"valid": 0.2, "test": 0.2, "curve": [0.2] * 8}
    open_ = replay.grid(dataclasses.replace(TASK, name="wild"), wild, 1e-3)
    replay.report([closed, open_], 2)
    said = capsys.readouterr().out
    assert "Master seeds: 2. Tasks: 2, open: 1." in said
    together, truths, each = said.split("\n\n")[1:4]
    assert [row.split(" | ")[0] for row in together.splitlines()[2:]] == [f"| {name}" for name in replay.SEARCHES]
    assert "| race | 100.0 % | 100.0 % | 0.0 % | 0.0 % |" in together
    assert "| recall_4 | explicit | " in truths and "| wild | open | " in truths
    assert "| wild | race | open | open | open | open | " in each
