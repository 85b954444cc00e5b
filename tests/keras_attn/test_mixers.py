import pytest

import keras_attn
from keras_attn import mixers

ABSTRACT = {
    keras_attn.Mixer,
    keras_attn.Explicit,
    keras_attn.Pairwise,
    keras_attn.Implicit,
    keras_attn.ScannedRecurrence,
}


def test_every_name_is_of_one_kind():
    kinds = {name: mixers.kind_of(name) for name in mixers.names()}
    assert set(kinds.values()) == {"explicit", "implicit", "control"}
    assert mixers.names("control") == ("identity", "pooling")
    assert sorted(mixers.names("explicit") + mixers.names("implicit") + mixers.names("control")) == sorted(kinds)


def test_a_spec_keeps_its_options_and_gets_the_defaults():
    assert mixers.resolve({"mixer": "multi_head", "num_heads": 2}) == {
        "mixer": "multi_head",
        "num_heads": 2,
        "use_bias": False,
    }


@pytest.mark.parametrize(
    "spec, message",
    [
        ("multihead", "Unknown mixer 'multihead'. Did you mean 'multi_head'"),
        ({"mixer": "gru", "bidirectionnal": True}, "Unknown option of 'gru' 'bidirectionnal'. Did you mean 'bidirect"),
        ({"num_heads": 2}, "`mixer` is a name or a dictionary"),
        (3, "Unknown mixer 3"),
    ],
)
def test_a_wrong_spec_says_what_would_be_right(spec, message):
    with pytest.raises(ValueError, match=message):
        mixers.get(spec)


@pytest.mark.parametrize(
    "spec, message",
    [
        ({"mixer": "multi_head", "num_heads": 0}, "num_heads"),
        ({"mixer": "multi_head", "num_heads": 4, "num_key_value_heads": 3}, "must divide"),
        ({"mixer": "additive", "units": 0}, "units"),
        ({"mixer": "additive", "dropout": 1.0}, "dropout"),
        ({"mixer": "multiplicative", "score": "generall"}, "Did you mean 'general'"),
        ({"mixer": "key_value_memory", "slots": -1}, "slots"),
        ({"mixer": "key_value_memory", "hops": 0}, "hops"),
        ({"mixer": "neural_turing_machine", "slots": 0}, "slots"),
        ({"mixer": "differentiable_neural_computer", "links": -2}, "links"),
        ({"mixer": "key_value_memory", "normalizer": "sink"}, "learns nothing"),
        ({"mixer": "multi_head", "normalizer": {"normalizer": "top_k", "k": 0}}, "k"),
        ({"mixer": "multi_head", "positions": "rotarry"}, "Did you mean 'rotary'"),
        ({"mixer": "multi_head", "pattern": {"pattern": "window"}}, "width"),
        ({"mixer": "multi_head", "soft_cap": 0}, "soft_cap"),
        ({"mixer": "additive", "units": None, "score": "concat"}, "units"),
        ({"mixer": "additive", "chunk_size": 0}, "chunk_size"),
        ({"mixer": "gated_conv", "kernel_size": 0}, "kernel_size"),
        ({"mixer": "token_mlp", "units": 1.5}, "units"),
        ({"mixer": "long_conv", "positions": 1}, "positions"),
        ({"mixer": "gmlp", "positions": 0}, "positions"),
        ({"mixer": "s4d", "states": 5}, "even"),
        ({"mixer": "s4d", "frequencies": "lin"}, "Did you mean 'linear'"),
        ({"mixer": "s5", "states": 2, "bidirectional": True}, "at least 4"),
        ({"mixer": "selective_state_space", "kernel_size": 0}, "kernel_size"),
        ({"mixer": "depthwise_conv", "grid": 7}, "grid"),
        ({"mixer": "multi_head", "num_heads": True}, "num_heads"),
        ({"mixer": "gru", "bidirectional": "no"}, "True or False"),
        ({"mixer": "additive", "dropout": "x"}, "dropout"),
    ],
)
def test_an_impossible_option_is_refused_at_once(spec, message):
    with pytest.raises(ValueError, match=message):
        mixers.get(spec)


def test_a_mechanism_of_ones_own_joins_the_table(monkeypatch):
    monkeypatch.setattr(mixers, "MIXERS", dict(mixers.MIXERS))

    class Reverse(keras_attn.Implicit):
        def compute_mix(self, inputs, mask, causal, training):
            return inputs[:, ::-1]

    mixers.register("reverse", Reverse)
    assert isinstance(mixers.get("reverse"), Reverse)
    with pytest.raises(ValueError, match="already"):
        mixers.register("gru", Reverse)
    with pytest.raises(ValueError, match="subclass"):
        mixers.register("other", dict)


def test_every_public_mixer_is_in_the_table():
    classes = {mixer_class for mixer_class, _ in mixers.MIXERS.values()}
    public = {getattr(keras_attn, name) for name in keras_attn.__all__}
    found = {item for item in public if isinstance(item, type) and issubclass(item, keras_attn.Mixer)}
    assert classes == found - ABSTRACT
