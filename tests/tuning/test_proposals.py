import pytest

from tuning import families, tasks
from tuning.proposals import propose

DIGITS = tasks.get("digits")


def draw(count, proposer="random", family="gru", seed=3, scored=()):
    return [propose(proposer, families.make(family), DIGITS, seed, number, scored) for number in range(count)]


def test_the_first_takes_the_defaults():
    (first,) = draw(1)
    assert first["learning_rate"] == DIGITS.learning_rates[1]
    assert first["0/gru/bidirectional"] is True


def test_the_same_seed_proposes_the_same_and_another_seed_others():
    assert draw(4) == draw(4)
    assert draw(4)[1:] != draw(4, seed=4)[1:]


def test_no_proposal_comes_twice():
    rates = [values["learning_rate"] for values in draw(7)]
    assert len(set(rates)) == 7


def test_families_draw_the_same_learning_rates():
    gru, attention = draw(3), draw(3, family="multi_head")
    assert [values["learning_rate"] for values in gru] == [values["learning_rate"] for values in attention]
    assert "0/multi_head/num_heads" in attention[0]


@pytest.mark.parametrize("proposer", ["random", "bayesian"])
def test_learning_rates_stay_in_their_range(proposer):
    low, _, high = DIGITS.learning_rates
    scored = [(values, values["learning_rate"]) for values in draw(5)]
    assert all(low <= values["learning_rate"] <= high for values in draw(7, proposer, scored=scored))


def test_bayesian_proposals_follow_what_was_scored():
    # The higher the rate the better, as far as it was tried.
    scored = [(values, values["learning_rate"] * 50) for values in draw(6)]
    follow = propose("bayesian", families.make("gru"), DIGITS, 3, 6, scored)
    assert follow["learning_rate"] >= sorted(values["learning_rate"] for values, _ in scored)[-2]
    assert follow == propose("bayesian", families.make("gru"), DIGITS, 3, 6, scored)


def test_a_wrong_name_shows_the_right_ones():
    with pytest.raises(ValueError, match="bayesian"):
        propose("bayes", families.make("gru"), DIGITS, 3, 1, ())
