"""The table of verdicts: what is chosen by what, what the page says, and what a kill leaves behind."""

import argparse
import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from tests.tuning.standins import BLOBS
from tuning import decide, ledger, tasks

ROOT = Path(__file__).parents[2]
FILE = ROOT / "benchmarks" / "verdicts.py"
RATES = (0.003, 0.001, 0.01)


@pytest.fixture(scope="module")
def verdicts():
    spec = importlib.util.spec_from_file_location("verdicts", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def line(family="gru", kind="implicit", rate=0.003, seed=0, valid=0.5, test=0.5, task="etth1", **more):
    where = {"task": task, "version": "0", "length": 1.0, "data": 1.0, "size": 1.0, "family": family, "kind": kind}
    scores = {"valid": valid, "test": test, "parameters": 19_997, "step": 1e-3, "latency": 0.002, "cpu": 7.0}
    return {**where, "learning_rate": rate, "seed": seed, **scores, **more}


def family(name, kind, test, seeds=3, **more):
    """All the lines of a family whose best rate is the first."""
    tried = [line(name, kind, rate, seed, 0.9 - rate, 0.1, **more) for rate in RATES[1:] for seed in (0, 1)]
    return tried + [line(name, kind, 0.003, seed, 0.95, test + seed / 1000, **more) for seed in range(seeds)]


def whole(explicit=0.75, implicit=0.5, control=0.25, **more):
    return [
        *family("multi_head", "explicit", explicit, **more),
        *family("multiplicative", "explicit", explicit - 0.2, **more),
        *family("gru", "implicit", implicit, **more),
        *family("gated_conv", "implicit", implicit - 0.2, **more),
        *family("identity", "control", control, **more),
    ]


def test_the_learning_rate_is_chosen_on_the_first_seeds_by_validation_and_the_first_of_equals(verdicts):
    lines = [line(rate=rate, seed=seed, valid=valid) for rate, valid in zip(RATES, (0.5, 0.6, 0.6)) for seed in (0, 1)]
    assert verdicts.choose_rate(lines) == 0.001
    # What later seeds say comes too late.
    assert verdicts.choose_rate([*lines, line(rate=0.003, seed=2, valid=0.99)]) == 0.001
    failed = [{**line(rate=0.001, seed=1), "failure": "ArithmeticError: The loss became nan."}]
    assert verdicts.choose_rate([*lines[:3], *failed, *lines[4:]]) == 0.01
    assert verdicts.choose_rate(failed) is None


def test_the_runs_that_are_left_follow_from_those_that_are_there(verdicts):
    task = tasks.get("etth1")
    gru = verdicts.families.make("gru")
    done, order = {}, []
    for unit in verdicts._units(task, verdicts.WHOLE, "0", gru, done, seeds=4):
        order.append((unit["learning_rate"], unit["seed"]))
        done[verdicts._key(unit)] = {**unit, "valid": unit["learning_rate"]}
    assert order == [(rate, seed) for rate in RATES for seed in (0, 1)] + [(0.01, 2), (0.01, 3)]
    assert list(verdicts._units(task, verdicts.WHOLE, "0", gru, done, seeds=4)) == []
    more = [unit["seed"] for unit in verdicts._units(task, verdicts.WHOLE, "0", gru, done, seeds=5)]
    assert more == [4]


def test_a_verdict_needs_every_family_of_both_kinds(verdicts):
    found = verdicts.find(whole()[:-1], "etth1", verdicts.WHOLE)
    assert found.missing == ("identity",) and not found.complete
    found = verdicts.find(whole(), "etth1", verdicts.WHOLE)
    assert found.complete and found.seeds == 3 and found.count == 35
    assert found.best["explicit"].test == pytest.approx((0.75, 0.751, 0.752))
    assert (found.comparison.first, found.comparison.second) == ("multi_head", "gru")


def test_results_of_other_data_are_not_mixed_with_the_last_ones(verdicts):
    found = verdicts.find([*whole(explicit=0.3, version="1"), *whole()], "etth1", verdicts.WHOLE)
    assert found.complete and found.count == 35 and found.comparison.mean == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("claim", "test", "said"),
    [
        ("long dependencies", (0.75, 0.76, 0.77), "it held"),
        ("speech", (0.75, 0.76, 0.77), "it did not: explicit was better"),
        ("speech", (0.25, 0.26, 0.27), "it held"),
        ("speech", (0.5, 0.51, 0.52), "it did not: a tie"),
        ("speech", (0.45, 0.51, 0.57), "it did not show: no difference that matters"),
        ("speech", (0.2, 0.51, 0.97), "open after 3 seeds"),
    ],
)
def test_a_claim_held_or_not_is_said_by_what_was_shown(verdicts, claim, test, said):
    implicit = decide.Candidate("gru", "implicit", (0.5,) * 3, (0.5, 0.51, 0.52), 7, 0.1)
    explicit = decide.Candidate("multi_head", "explicit", (0.5,) * 3, test, 7, 0.1)
    assert verdicts.held(claim, decide.compare(explicit, implicit, 0.02)) == said


def test_the_page_says_who_is_better_by_how_much_at_what_cost_and_whether_the_claim_held(verdicts):
    page = verdicts.page([*whole(), *whole(0.5, 0.503, 0.5, task="etth2")[:-1]])
    assert (
        "| `etth1` | explained | multi_head 0.751 | gru 0.501 | +0.250 (+0.249 to +0.251*) | 3 | 0.01 | **explicit** |"
    ) in page
    assert "Of 1 task: explicit 1, implicit 0, no difference that matters 0, open 0." in page
    assert "| long dependencies | explicit | `etth1`, as days and weeks repeat, up to 336 hours back: it held |" in page
    assert "| summarization | explicit | not tested: `reuters_headlines` not run to the end |" in page
    assert "| `etth1` | multi_head | explicit | 0.751 ± 0.001 | 19,997 | 7.0 | 2.00 |" in page
    assert "- `etth2`: begun, 34 runs; not through: identity." in page
    assert "Tasks that wait for their runs: `sst2`" in page and "`ud_ewt`" in page.split("## Not run")[1]
    assert page.count("\nNot run.\n") == 3 and "svg" not in page


def test_where_test_examples_were_drawn_anew_the_interval_is_longer_and_without_a_star(verdicts):
    # Other examples move each family in its own way, all of its seeds alike.
    moved = {each["family"]: np.random.default_rng(len(each["family"])).normal(0, 0.01, 100) for each in whole()}
    lines = [{**each, "redrawn": (each["test"] + moved[each["family"]]).tolist(), "units": 50} for each in whole()]
    (found,) = [verdicts.find(lines, "etth1", verdicts.WHOLE)]
    assert found.comparison.method == decide.BOTH
    assert found.comparison.high - found.comparison.low > 0.005
    assert "*)" not in verdicts.page(lines)


def test_a_tie_and_a_control_that_does_as_well_are_said(verdicts):
    page = verdicts.page(whole(0.5, 0.5, 0.499))
    assert "a tie: the whole interval is inside the margin" in page
    assert "Not shown to be better there than a control" in page and "`etth1` (identity 0.500)" in page


def test_moves_are_drawn_once_all_shares_are_there(verdicts, tmp_path):
    lines = [*whole(), *whole(0.7, 0.6, length=0.25)]
    for each in lines:
        ledger.append(tmp_path / "runs.jsonl", each)
    options = argparse.Namespace(out=tmp_path / "runs.jsonl", page=tmp_path / "verdicts.md")
    verdicts.report(options)
    said = options.page.read_text(encoding="utf-8")
    assert "With sequence length, begun: `etth1`." in said and "images/" not in said
    for each in whole(0.72, 0.6, length=0.5):
        ledger.append(options.out, each)
    verdicts.report(options)
    said = options.page.read_text(encoding="utf-8")
    assert "| `etth1` | 0.25 | multi_head 0.701 | gru 0.601 | +0.100 (+0.099 to +0.101*) | 3 |" in said
    assert "](images/verdicts_length.svg)" in said and "images/verdicts_data.svg" not in said
    drawing = (tmp_path / "images" / "verdicts_length.svg").read_text(encoding="utf-8")
    verdicts.report(options)
    assert (tmp_path / "images" / "verdicts_length.svg").read_text(encoding="utf-8") == drawing
    assert drawing.startswith("<?xml") and "etth1" in drawing


def test_half_a_line_that_a_kill_left_is_no_line_and_harms_none(verdicts, tmp_path):
    path = tmp_path / "runs.jsonl"
    ledger.append(path, line(seed=0))
    with open(path, "a") as file:
        file.write('{"task": "ett')
    ledger.append(path, line(seed=1))
    ledger.append(path, line(seed=1, test=0.75))
    assert [(found["seed"], found["test"]) for found in verdicts.read(path)] == [(0, 0.5), (1, 0.75)]
    assert verdicts.read(tmp_path / "none.jsonl") == []


def test_parts_share_the_families_and_leave_none_out(verdicts, monkeypatch, tmp_path):
    units = []
    monkeypatch.setattr(
        verdicts,
        "_run_point",
        lambda task, point, mine, *_: units.extend((task.name, point["size"], each.name) for each in mine),
    )
    for part in range(3):
        verdicts.run(
            argparse.Namespace(tasks=["etth1", "sst2"], vary="size", part=(part, 3), out=tmp_path / "x", minutes=None)
        )
        assert {name for name, _, _ in units} == {"etth1", "sst2"}
    count = sum(
        each.kind != "hybrid"
        for name in ("etth1", "sst2")
        for each in verdicts.families.make_all(tasks.get(name).mixers)
    )
    assert len(units) == len(set(units)) == 2 * count


def test_a_smaller_part_of_the_data_is_part_of_a_larger_one_and_nobody_is_judged_by_less(verdicts):
    data = BLOBS.data(0)
    quarter, half = (verdicts.part_of(data, share, seed=3) for share in (0.25, 0.5))
    assert (len(quarter.train), len(half.train)) == (16, 32)
    np.testing.assert_array_equal(half.train.x[:16], quarter.train.x)
    assert half.test is data.test and half.valid is data.valid and verdicts.part_of(data, 1.0, 3) is data


def test_size_and_length_make_another_task(verdicts):
    task = tasks.get("etth1")
    small = verdicts.vary(task, {**verdicts.WHOLE, "size": 0.25})
    assert small.parameters == 15_000 and small.model is task.model
    assert verdicts.vary(task, {**verdicts.WHOLE, "length": 0.5}).model.keywords["length"] == 0.5
    with pytest.raises(ValueError, match="Unknown real task 'sst2'"):
        verdicts.vary(tasks.get("sst2"), {**verdicts.WHOLE, "length": 0.5})


def test_a_run_that_is_cut_goes_on_where_it_was(verdicts, monkeypatch, tmp_path):
    blobs = dataclasses.replace(BLOBS, mixers=("identity",), epochs=1, learning_rates=(1e-3, 3e-3, 1e-2))
    monkeypatch.setitem(tasks.TASKS, "blobs", blobs)
    options = argparse.Namespace(tasks=["blobs"], vary=None, part=(0, 1), out=tmp_path / "x", seeds=2, minutes=None)
    verdicts.run(options)
    lines = options.out.read_bytes().splitlines(keepends=True)
    assert len(lines) == 6
    options.out.write_bytes(b"".join(lines[:5]) + lines[5][:31])
    verdicts.run(options)
    again = verdicts.read(options.out)
    scores = [(each["learning_rate"], each["seed"], each["valid"], each["test"]) for each in again]
    assert scores == [
        (each["learning_rate"], each["seed"], each["valid"], each["test"]) for each in map(ledger.parse, lines)
    ]
    assert not any("failure" in each for each in again)


def test_the_time_that_was_given_is_kept(verdicts, monkeypatch, tmp_path):
    monkeypatch.setitem(tasks.TASKS, "blobs", BLOBS)
    options = argparse.Namespace(tasks=["blobs"], vary=None, part=(0, 1), out=tmp_path / "x", seeds=3, minutes=1e-9)
    with pytest.raises(SystemExit, match="the same command goes on"):
        verdicts.run(options)
    assert not options.out.exists()


def test_the_page_is_what_the_results_say(verdicts):
    said = verdicts.PAGE.read_text(encoding="utf-8")
    assert said == verdicts.page(verdicts.read(verdicts.FILE)), "python benchmarks/verdicts.py report"
