import keras_tuner
import pytest

from tests.tuning.standins import BLOBS, search, train_nothing
from tuning import families, tasks
from tuning.proposals import check, propose

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


class Best(keras_tuner.Oracle):
    """Proposes the rate of the best so far, made larger by so many hundredths as were tried."""

    def populate_space(self, trial_id):
        done = [trial for trial in self.trials.values() if trial.status == "COMPLETED"]
        best = max(done, key=lambda trial: trial.score, default=None)
        values = dict(best.hyperparameters.values) if best else dict(self.get_space().values)
        rate = values["learning_rate"] * (1 + len(self.trials) / 100)
        return {"status": "RUNNING", "values": {**values, "learning_rate": rate}}


class Tired(keras_tuner.Oracle):
    """Has nothing to propose."""

    def populate_space(self, trial_id):
        return {"status": "STOPPED"}


class Greedy(keras_tuner.Oracle):
    """Needs what nobody gives."""

    def __init__(self, objective, hyperparameters, seed, model):
        super().__init__(objective, None, hyperparameters, seed=seed)


def in_turn(proposer, count, score=lambda values: values["learning_rate"], family="gru"):
    """Proposals one after another, each scored before the next; every third one has failed."""
    past = []
    for number in range(count):
        values = propose(proposer, families.make(family), DIGITS, 3, number, past)
        past.append((values, None if number % 3 == 2 else score(values)))
    return [values for values, _ in past]


ORACLES = ["hyperband", *(getattr(keras_tuner.oracles, name) for name in dir(keras_tuner.oracles) if name[0].isupper())]


@pytest.mark.parametrize("proposer", ORACLES)
def test_every_oracle_of_keras_tuner_proposes_what_was_not_tried_and_nothing_else_than_values(proposer):
    found = in_turn(proposer, 7)
    assert {frozenset(values) for values in found} == {
        frozenset({"mixer", "learning_rate", "dropout", "0/gru/bidirectional"})
    }
    assert len({tuple(sorted(values.items())) for values in found}) == 7
    assert in_turn(proposer, 7) == found


def test_a_hyperband_s_promotions_are_left_to_the_race():
    # So few epochs that its first bracket has three configurations, of which it would run the best again.
    small = type("Small", (keras_tuner.oracles.HyperbandOracle,), {"__init__": make_small})
    rates = [values["learning_rate"] for values in in_turn(small, 9)]
    assert len(set(rates)) == 9


def make_small(self, **kwargs):
    keras_tuner.oracles.HyperbandOracle.__init__(self, max_epochs=3, hyperband_iterations=5, **kwargs)


def test_an_oracle_of_one_s_own_learns_what_was_really_tried():
    rates = [values["learning_rate"] for values in in_turn(Best, 4)]
    # The third is not scored, so that the fourth begins from the second.
    second = DIGITS.learning_rates[1] * 1.01
    assert rates[1:] == pytest.approx([second, second * 1.02, second * 1.03])


def test_where_an_oracle_has_nothing_something_is_drawn_at_random():
    assert in_turn(Tired, 4) == in_turn("random", 4)


@pytest.mark.parametrize(
    ("proposer", "message"),
    [
        (dict, "or a class of keras-tuner's oracles. Received: the class builtins.dict"),
        (Greedy, "is made of `objective`"),
    ],
)
def test_a_class_that_cannot_propose_is_refused(proposer, message):
    with pytest.raises(ValueError, match=message):
        check(proposer)


def test_a_search_takes_an_oracle_s_class_and_its_report_says_which(tmp_path, monkeypatch):
    train_nothing(monkeypatch)
    found = search(BLOBS, mixers=["gru"], trials=4, proposer=Best, out=tmp_path)
    assert found.search["proposer"] == "tests.tuning.test_proposals.Best"
    assert "with the oracle tests.tuning.test_proposals.Best" in (tmp_path / "report.md").read_text().replace("\\", "")
    rates = {run.number: run.values["learning_rate"] for run in found.families[0].trials}
    assert any(rates[3] == pytest.approx(rates[number] * 1.03) for number in range(3))
