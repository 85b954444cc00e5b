import math

import pytest

from tuning import decide
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
    assert verdict.comparisons[0].outcome == "inside the margin"
    assert "does not matter" in verdict.reason


def test_without_a_difference_the_cheaper_is_named():
    rivals = [candidate("e", "explicit", 0.9, 0.9, cost=2e-3), candidate("i", "implicit", 0.9, 0.9, cost=1e-3)]
    verdict = decide.decide(rivals, margin=0.02)
    assert verdict.winner == "i"
    assert "cheaper to run is i" in verdict.reason


def test_a_difference_on_one_seed_is_not_shown():
    verdict = decide.decide([candidate("e", "explicit", 0.9), candidate("i", "implicit", 0.1)], margin=0.02)
    assert verdict.answer == decide.NO_VERDICT
    assert "not shown with this many seeds" in verdict.reason
    assert "on 1 seed;" in verdict.reason


def test_the_same_difference_on_every_seed_is_shown():
    verdict = decide.decide([candidate("e", "explicit", 1.0, 1.0), candidate("i", "implicit", 0.5, 0.5)], margin=0.02)
    assert verdict.answer == "explicit"
    assert (verdict.comparisons[0].low, verdict.comparisons[0].high) == (0.5, 0.5)


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
