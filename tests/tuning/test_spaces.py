import keras_tuner
import pytest

from keras_attn import mixers
from tuning import families, spaces, tasks


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


def test_values_that_belong_to_others_are_left_out():
    values = {"0/multi_head/num_heads": 2, "0/gru/bidirectional": False, "1/gru/bidirectional": True}
    assert spaces.realise(families.make("gru"), values) == {"mixer": "gru", "bidirectional": False}
    asked = families.make({"mixer": "gru", "bidirectional": True})
    assert spaces.realise(asked, values) == {"mixer": "gru", "bidirectional": True}
