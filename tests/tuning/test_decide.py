import dataclasses
import importlib
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tuning import decide, measures
from tuning.decide import Candidate


def candidate(name, kind, *test, valid=None, cost=1.0, parameters=100):
    return Candidate(name, kind, valid or test, test, parameters, cost)


def test_the_interval_is_that_of_a_table_of_t():
    # t(0.975, 2) = 4.3027; the standard deviation of 1, 2, 3 is 1.
    low, high = decide.interval((1.0, 2.0, 3.0))
    assert low == pytest.approx(2 - 4.3027 / math.sqrt(3), abs=1e-4)
    assert high == pytest.approx(2 + 4.3027 / math.sqrt(3), abs=1e-4)


def test_one_value_has_no_interval_and_no_spread():
    assert decide.interval((0.5,)) == (None, None)
    assert decide.spread((0.5,)) == 0.0


def test_the_spread_is_that_of_a_sample():
    assert decide.spread((1.0, 3.0)) == pytest.approx(math.sqrt(2))


def test_differences_are_paired_by_seed():
    # Unpaired, these scores overlap; seed by seed the first is better by 0.1, 0.12, 0.11.
    first = candidate("a", "explicit", 0.5, 0.72, 0.91)
    second = candidate("b", "implicit", 0.4, 0.6, 0.8)
    found = decide.compare(first, second, margin=0.02)
    assert found.differences == pytest.approx((0.1, 0.12, 0.11))
    assert found.mean == pytest.approx(0.11)
    # The standard deviation is 0.01, so that the interval is 0.11 +- 4.3027 x 0.01 / sqrt(3).
    assert (found.low, found.high) == pytest.approx((0.0852, 0.1348), abs=1e-4)
    assert found.outcome == "first"


@pytest.mark.parametrize(
    ("explicit", "implicit", "answer"),
    [
        ((0.9, 0.91, 0.92), (0.5, 0.5, 0.53), "explicit"),
        ((0.5, 0.5, 0.53), (0.9, 0.91, 0.92), "implicit"),
        ((0.9, 0.91, 0.92), (0.895, 0.905, 0.915), decide.NO_DIFFERENCE),
        ((0.9, 0.2, 0.9), (0.5, 0.5, 0.5), decide.NO_VERDICT),
    ],
)
def test_the_verdict_goes_to_the_better_kind_or_to_none(explicit, implicit, answer):
    rivals = [candidate("e", "explicit", *explicit), candidate("i", "implicit", *implicit)]
    assert decide.decide(rivals, margin=0.02).answer == answer


def test_a_sure_difference_inside_the_margin_does_not_matter():
    rivals = [candidate("e", "explicit", 0.91, 0.92), candidate("i", "implicit", 0.90, 0.91)]
    verdict = decide.decide(rivals, margin=0.02)
    assert verdict.answer == decide.NO_DIFFERENCE
    assert verdict.comparisons[0].outcome == "equivalent"
    assert "all of the interval is within the 0.02 that does not matter" in verdict.reason


def test_a_mean_inside_the_margin_is_not_yet_equivalence():
    # The differences are -0.05, 0.05, 0.01: the interval reaches over the margin on both sides.
    rivals = [candidate("e", "explicit", 0.85, 0.95, 0.91), candidate("i", "implicit", 0.90, 0.90, 0.90)]
    verdict = decide.decide(rivals, margin=0.02)
    assert verdict.answer == decide.NO_DIFFERENCE
    (found,) = verdict.comparisons
    assert found.outcome == "inside the margin"
    assert found.high == pytest.approx(0.01 / 3 + 4.3027 * decide.spread((-0.05, 0.05, 0.01)) / math.sqrt(3), abs=1e-4)
    assert f"on average; {found.high:+.3f} is not excluded" in verdict.reason


def test_an_interval_inside_the_margin_is_equivalence():
    first, second = candidate("a", "explicit", 0.9, 0.91, 0.9), candidate("b", "implicit", 0.9, 0.9, 0.9)
    assert decide.compare(first, second, margin=0.03).outcome == "equivalent"
    assert decide.compare(first, second, margin=0.01).outcome == "inside the margin"


def test_chances_are_scipy_s():
    few = (0.1, 0.3, -0.1, 0.25)
    assert decide.chance(few) == pytest.approx(stats.ttest_1samp(few, 0.0).pvalue)
    assert decide.chance((0.3,)) is None


@pytest.fixture
def pair(monkeypatch):
    """Two candidates whose true difference is 0.1, on 200 rows: of each seed, each row and each of both a number."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module("intervals").pair


@pytest.mark.parametrize("seeds", [3, 10])
def test_intervals_cover_other_seeds_and_other_examples(pair, seeds):
    random = np.random.default_rng(1)
    found = [decide.compare(*pair(random, seeds, example=0.8), margin=0.0) for _ in range(400)]
    assert {each.method for each in found} == {decide.BOTH}
    assert np.mean([each.low <= 0.1 <= each.high for each in found]) > 0.92
    # Of seeds alone they are too short.
    alone = [decide.interval(each.differences) for each in found]
    assert np.mean([low <= 0.1 <= high for low, high in alone]) < 0.8


def test_what_examples_add_is_not_counted_twice(pair):
    # All that examples do they do on each seed in its own way: seeds show it already.
    random = np.random.default_rng(2)
    pairs = [pair(random, 4, seed=0.0, example=0.0) for _ in range(300)]
    added = np.mean([decide.examples_error(*each)[0] for each in pairs])
    # The variance of a mean over seeds and rows is 0.4^2 / 4 / 200.
    assert added < 0.35 * 0.4**2 / 4 / 200
    # What they do on all seeds is added whole: 0.3^2 / 200.
    pairs = [pair(random, 4, both=0.0) for _ in range(300)]
    assert np.mean([decide.examples_error(*each)[0] for each in pairs]) == pytest.approx(0.3**2 / 200, rel=0.05)


def test_of_few_that_stand_for_themselves_little_is_known(pair):
    many = pair(np.random.default_rng(3), 3)
    few = [dataclasses.replace(each, units=4) for each in many]
    many, few = decide.examples_error(*many), decide.examples_error(*few)
    assert (many[2], few[2]) == (measures.DRAWS - 1, 3)
    assert few[0] / many[0] == pytest.approx((4 / 3) / (200 / 199))


def test_seeds_that_happen_to_be_near_each_other_are_no_certainty(pair):
    first, second = pair(np.random.default_rng(6), 3)
    # As if the three had come to the same score: what other examples would do is known all the same.
    near = dataclasses.replace(first, test=(0.1, 0.1001, 0.0999))
    _, least, freedom = decide.examples_error(near, second)
    found = decide.compare(near, second, margin=0.0)
    half = math.sqrt(least) * stats.t.ppf(0.975, freedom)
    assert found.high - found.mean >= half * (1 - 1e-9)
    assert half > 10 * (decide.interval(found.differences)[1] - found.mean)


@pytest.mark.parametrize("unknown", ["redrawn", "draws", "units"])
def test_what_is_not_known_of_examples_is_said(pair, unknown):
    first, second = pair(np.random.default_rng(4), 3)
    others = {
        "redrawn": {"redrawn": ()},
        "draws": {"redrawn": ((None,) * 90 + (0.1,) * 10,) * 3},
        "units": {"units": 1},
    }
    found = decide.compare(dataclasses.replace(first, **others[unknown]), second, margin=0.0)
    assert found.method == decide.SEEDS
    assert (found.low, found.high) == decide.interval(found.differences)


def test_draws_without_a_score_are_left_out(pair):
    whole = pair(np.random.default_rng(5), 3)
    broken = [dataclasses.replace(each, redrawn=tuple((None, *one[1:]) for one in each.redrawn)) for each in whole]
    assert decide.examples_error(*broken)[0] == pytest.approx(decide.examples_error(*whole)[0], rel=0.1)


def test_holm_s_correction_is_the_one_of_a_book():
    def of_p(p):
        return decide.Comparison("a", "b", (), 0.1, 0.05, 0.15, "first", decide.SEEDS, p)

    # 0.01 x 4, 0.02 x 3, 0.03 x 2 raised to the one before, 0.5 x 1.
    found = decide.correct([of_p(0.03), of_p(0.01), of_p(0.5), of_p(0.02)], margin=0.01)
    assert [each.adjusted for each in found] == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert [each.outcome for each in found] == ["not shown", "first", "not shown", "not shown"]
    assert {each.among for each in found} == {4}


def test_one_seed_is_not_counted_among_what_is_corrected():
    one = decide.compare(candidate("a", "explicit", 0.9), candidate("b", "implicit", 0.1), 0.0)
    two = decide.compare(candidate("a", "explicit", 0.9, 0.9), candidate("b", "implicit", 0.1, 0.1), 0.0)
    found = decide.correct([one, two], 0.0)
    assert (found[0].adjusted, found[1].among) == (None, 1)


def test_the_best_of_many_must_be_better_than_the_best_of_one():
    # p of the speakers is 0.02: shown if they are alone, not shown if each kind had three more to choose from.
    e, i = candidate("e", "explicit", 0.9, 0.8, 0.95), candidate("i", "implicit", 0.6, 0.6, 0.6)
    assert decide.decide([e, i], 0.02).answer == "explicit"
    others = [
        candidate(f"{kind}{n}", kind, *scores, valid=(0.1,) * 3)
        for kind, scores in (("explicit", (0.7, 0.5, 0.65)), ("implicit", (0.9, 0.85, 0.8)))
        for n in range(3)
    ]
    verdict = decide.decide([e, i, *others], 0.02)
    assert verdict.answer == decide.NO_VERDICT
    assert verdict.comparisons[0].among == 7
    assert "of 7 comparisons that could be made" in verdict.reason


def test_without_a_difference_the_cheaper_is_named():
    rivals = [candidate("e", "explicit", 0.9, 0.9, cost=2e-3), candidate("i", "implicit", 0.9, 0.9, cost=1e-3)]
    verdict = decide.decide(rivals, margin=0.02)
    assert verdict.winner == "i"
    assert "cheaper to run is i" in verdict.reason


def test_times_that_are_about_alike_make_nobody_cheaper():
    rivals = [candidate("e", "explicit", 0.9, 0.9, cost=1.1e-3), candidate("i", "implicit", 0.9, 0.9, cost=1e-3)]
    rivals[0] = dataclasses.replace(rivals[0], parameters=rivals[1].parameters - 1)
    verdict = decide.decide(rivals, margin=0.02)
    assert verdict.winner == "e" and "about the same to run; e has fewer" in verdict.reason


def test_a_control_that_is_better_than_the_winner_is_named():
    rivals = [candidate("e", "explicit", 0.7, 0.71), candidate("i", "implicit", 0.8, 0.81)]
    better = candidate("c", "control", 0.9, 0.912)
    verdict = decide.decide([*rivals, better], margin=0.02)
    assert (verdict.answer, verdict.better_controls) == ("implicit", ("c",))
    assert any("control c is better, so that" in note and "i less c: -0.101" in note for note in verdict.notes)
    ahead = candidate("c", "control", 0.8, 1.0)
    verdict = decide.decide([*rivals, ahead], margin=0.02)
    assert verdict.better_controls == ()
    assert any("control c is better on average, though not shown" in note for note in verdict.notes)


def test_a_difference_on_one_seed_is_not_shown():
    verdict = decide.decide([candidate("e", "explicit", 0.9), candidate("i", "implicit", 0.1)], margin=0.02)
    assert verdict.answer == decide.NO_VERDICT
    assert "not shown with this many seeds" in verdict.reason
    assert "on 1 seed;" in verdict.reason


def of_step(step, *seeds):
    """A pair that differs by 0.2 on each seed, up to floating point."""
    rivals = (candidate("e", "explicit", *(score + 0.2 for score in seeds)), candidate("i", "implicit", *seeds))
    return [dataclasses.replace(each, step=step) for each in rivals]


def test_the_same_difference_on_every_seed_is_as_sure_as_the_scores_are_fine():
    # The spread is that of two roundings, 1/500 / sqrt(6), and t(0.975, 1) = 12.706.
    verdict = decide.decide(of_step(1 / 500, 0.5, 0.7), margin=0.02)
    (found,) = verdict.comparisons
    half = 12.706 / 500 / math.sqrt(6) / math.sqrt(2)
    assert (found.low, found.high) == pytest.approx((0.2 - half, 0.2 + half), abs=1e-6)
    assert (verdict.answer, found.method) == ("explicit", decide.SEEDS)
    assert found.p == pytest.approx(2 * stats.t.sf(0.2 * math.sqrt(2) * 500 * math.sqrt(6), 1)) and found.p > 0
    assert "seeds differ by less than test scores can show: a spread of 0.00082 is taken" in verdict.reason


def test_the_same_difference_of_coarse_scores_is_not_shown():
    verdict = decide.decide(of_step(1 / 5, 0.4, 0.6), margin=0.02)
    assert verdict.answer == decide.NO_VERDICT
    assert verdict.comparisons[0].low < 0 < verdict.comparisons[0].high


def test_many_differences_that_are_alike_are_as_sure_as_scores_are_fine():
    found = decide.compare(*of_step(1 / 500, *[0.5] * 11), margin=0.02)
    assert found.outcome == "first"
    assert found.low < 0.2 < found.high and 0 < found.p < 1e-9


def test_without_a_floor_values_that_are_alike_say_nothing_of_chance():
    for value in (0.2, 0.0):
        assert (decide.interval((value, value)), decide.chance((value, value))) == ((None, None), None)


def test_differences_that_vary_have_no_floor():
    found = decide.compare(candidate("e", "explicit", 0.9, 0.8), candidate("i", "implicit", 0.5, 0.5), margin=0.02)
    assert found.floor is None
    assert (found.low, found.high) == decide.interval(found.differences)


def test_equal_scores_are_no_difference():
    verdict = decide.decide([candidate("e", "explicit", 0.7, 0.7), candidate("i", "implicit", 0.7, 0.7)], margin=0.0)
    assert verdict.answer == decide.NO_DIFFERENCE


def test_a_kind_is_spoken_for_by_its_best_on_validation_not_on_test():
    lucky = candidate("lucky", "explicit", 0.99, 0.99, valid=(0.5, 0.5))
    honest = candidate("honest", "explicit", 0.6, 0.6, valid=(0.7, 0.7))
    verdict = decide.decide([lucky, honest, candidate("i", "implicit", 0.8, 0.8)], margin=0.02)
    assert verdict.answer == "implicit"
    assert verdict.comparisons[0].first == "honest"


def test_of_equals_on_validation_the_smaller_speaks():
    large = candidate("large", "explicit", 0.7, 0.7, parameters=110)
    small = candidate("small", "explicit", 0.7, 0.7, parameters=90)
    assert decide.best_of([large, small], "explicit").name == "small"


def test_a_hybrid_wins_only_if_it_beats_both():
    explicit, implicit = candidate("e", "explicit", 0.9, 0.9), candidate("i", "implicit", 0.5, 0.5)
    assert decide.decide([explicit, implicit, candidate("h", "hybrid", 0.99, 0.99)], 0.02).answer == "hybrid"
    assert decide.decide([explicit, implicit, candidate("h", "hybrid", 0.9, 0.9)], 0.02).answer == "explicit"


@pytest.mark.parametrize(("kind", "missing"), [("explicit", "implicit"), ("implicit", "explicit")])
def test_with_a_kind_missing_there_is_no_verdict_and_the_best_is_named(kind, missing):
    verdict = decide.decide([candidate("a", kind, 0.4, 0.4), candidate("b", kind, 0.6, 0.6)], margin=0.02)
    assert verdict.answer == decide.NO_VERDICT
    assert verdict.winner == "b"
    assert f"Nothing {missing}" in verdict.reason


def test_with_nothing_there_is_no_winner():
    verdict = decide.decide([], margin=0.02)
    assert (verdict.answer, verdict.winner) == (decide.NO_VERDICT, None)


def test_a_control_as_good_as_the_winner_is_named():
    rivals = [candidate("e", "explicit", 0.9, 0.9), candidate("i", "implicit", 0.5, 0.5)]
    assert decide.decide([*rivals, candidate("c", "control", 0.6, 0.6)], 0.02).notes == ()
    (note,) = decide.decide([*rivals, candidate("c", "control", 0.89, 0.89)], 0.02).notes
    assert note == "The task does not need a mixer at this size: e is no more than 0.02 better than the control c."


def test_a_control_that_is_not_shown_to_be_beaten_is_named():
    rivals = [candidate("e", "explicit", 0.9, 0.9), candidate("i", "implicit", 0.5, 0.5)]
    (note,) = decide.decide([*rivals, candidate("c", "control", 0.2, 0.9)], 0.02).notes
    assert note == "That e beats the control c is not shown with this many seeds."
