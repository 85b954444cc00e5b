import keras_tuner
import pytest

from keras_attn import mixers
from tuning import families, search, spaces, tasks
from tuning.journal import Run


def names_of(family, task):
    hp = keras_tuner.HyperParameters()
    spaces.declare(hp, families.make(family), task)
    return set(hp.values)


@pytest.mark.parametrize("mixer", spaces.OPTIONS)
def test_every_option_that_varies_exists_and_takes_each_value(mixer):
    for option, choices in spaces.OPTIONS[mixer].items():
        for value in choices:
            mixers.get({"mixer": mixer, option: value})


def test_options_stand_in_the_scope_of_their_mixer():
    hp = keras_tuner.HyperParameters()
    spaces.declare(hp, families.make("gru"), tasks.get("digits"))
    conditions = {space.name: [condition.values for condition in space.conditions] for space in hp.space}
    assert conditions["0/gru/bidirectional"] == [["gru"]]
    assert conditions["learning_rate"] == [["gru"]]


def test_what_must_be_causal_is_never_bidirectional():
    assert "0/gru/bidirectional" in names_of("gru", tasks.get("digits"))
    assert "0/gru/bidirectional" not in names_of("gru", tasks.get("parity"))


def test_an_option_that_was_asked_for_does_not_vary():
    family = families.make({"mixer": "gru", "bidirectional": False})
    assert spaces.free_options(family.specs[0], tasks.get("digits")) == {}


def test_values_become_the_specs_they_mean():
    task = tasks.get("digits")
    values = {"learning_rate": 0.01, "dropout": 0.1, "0/gru/bidirectional": False, "1/multi_head/num_heads": 2}
    hybrid = families.make(["gru", "multi_head"])
    expected = [{"mixer": "gru", "bidirectional": False}, {"mixer": "multi_head", "num_heads": 2}]
    assert spaces.realise(hybrid, values) == expected
    gru = families.make("gru")
    assert spaces.realise(gru, spaces.defaults(gru, task)) == {"mixer": "gru", "bidirectional": True}


def draw(trials, seed, fails=()):
    drawn = []

    def run(number, values):
        drawn.append(values)
        failure = "it broke" if number in fails else None
        return Run("gru", "trial", number, 0, values, valid=None if failure else 0.5, failure=failure)

    search.search(families.make("gru"), tasks.get("digits"), trials, seed, run)
    return drawn


def test_the_first_trial_takes_the_defaults():
    first = draw(1, seed=3)[0]
    assert first["learning_rate"] == tasks.get("digits").learning_rates[1]
    assert first["0/gru/bidirectional"] is True


def test_the_same_seed_draws_the_same_trials_and_another_seed_others():
    assert draw(4, seed=3) == draw(4, seed=3)
    assert draw(4, seed=3) != draw(4, seed=4)


def test_more_trials_go_on_where_fewer_stopped():
    assert draw(5, seed=3)[:3] == draw(3, seed=3)


def test_learning_rates_stay_in_their_range():
    low, _, high = tasks.get("digits").learning_rates
    assert all(low <= values["learning_rate"] <= high for values in draw(12, seed=1))


def test_failures_neither_come_again_nor_end_the_search():
    assert draw(6, seed=3, fails=range(6)) == draw(6, seed=3)


def test_the_best_trial_is_by_score_then_size_then_order():
    runs = [
        Run("gru", "trial", 0, 0, {}, parameters=20, valid=0.7),
        Run("gru", "trial", 1, 0, {}, parameters=10, valid=0.7),
        Run("gru", "trial", 2, 0, {}, parameters=10, valid=0.7),
        Run("gru", "trial", 3, 0, {}, failure="it broke"),
    ]
    assert search.best(runs).number == 1
    assert search.best(runs[3:]) is None
