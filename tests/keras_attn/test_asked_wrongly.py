"""What is asked of a layer in a way that it cannot answer is said at once, by name; what can be answered is."""

import json

import keras
import numpy as np
import pytest
from keras import ops

import keras_attn
from keras_attn import mixers
from tests.families import first_of_families

B, T, D = 2, 6, 8
OTHERS = sorted({*mixers.names()} - {"multi_head"})
WITH_WEIGHTS = first_of_families(mixers.names("explicit"))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("shape", [(B, D), (B, 3, 4, D)], ids=["no positions", "two axes"])
def test_inputs_are_a_batch_of_positions_of_a_width(name, shape):
    for x in (normal(*shape), keras.Input(shape[1:])):
        with pytest.raises(ValueError, match=r"expected ndim=3|have shapes \(batch, positions, width\)"):
            mixers.get(name)(x)


@pytest.mark.parametrize("name", WITH_WEIGHTS)
@pytest.mark.parametrize("positions", [[], [T], [0, -T - 1]])
def test_weights_are_asked_for_at_positions_that_there_are(name, positions):
    layer = mixers.get(name)
    for x in (normal(B, T, D), keras.Input((T, D))):
        with pytest.raises(ValueError, match=rf"positions of the {T} queries. Received: \["):
            layer(x, return_attention_scores=positions)


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_weights_at_some_positions_are_those_among_all(name):
    layer, x = mixers.get(name), normal(B, T, D)
    _, all_weights = layer(x, return_attention_scores=True)
    _, found = layer(x, return_attention_scores=[1, -1])
    # (B, H, T, S), or (B, T, S) where Keras's layer of that name has no heads.
    np.testing.assert_allclose(numpy(found), numpy(all_weights)[..., [1, T - 1], :], atol=1e-6)
    assert layer(keras.Input((T, D)), return_attention_scores=[1, -1])[1].shape[1:] == found.shape[1:]


@pytest.mark.parametrize("name", [name for name in mixers.names() if not mixers.get(name).can_be_causal])
def test_what_looks_both_ways_says_so_before_there_are_any_numbers(name):
    with pytest.raises(ValueError, match="cannot be causal"):
        mixers.get(name)(keras.Input((T, D)), use_causal_mask=True)


@pytest.mark.parametrize("option", ["use_gate", "use_bias", "talking_heads", "seed"])
def test_options_of_several_heads_are_what_they_look_like(option):
    with pytest.raises(ValueError, match=f"`{option}`"):
        keras_attn.MultiHeadAttention(2, **{option: "no"})


def test_numbers_may_be_numpy_s_and_go_into_a_configuration():
    layer = keras_attn.MultiHeadAttention(np.int64(2), dropout=np.float32(0.5), seed=np.int32(3))
    config = json.loads(json.dumps(layer.get_config()))
    assert (config["num_heads"], config["dropout"], config["seed"]) == (2, 0.5, 3)
    for wrong in (np.bool_(True), np.float64(2.5), True):
        with pytest.raises(ValueError, match="num_heads"):
            keras_attn.MultiHeadAttention(wrong)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="jax has no float64 unless it is told before it starts")
@pytest.mark.parametrize("name", first_of_families(mixers.names()))
def test_double_precision_is_what_comes_out(name):
    layer = mixers.get(name, dtype="float64")
    x = normal(B, T, D).astype("float64")
    assert keras.backend.standardize_dtype(layer(x).dtype) == "float64" == layer(keras.Input((T, D))).dtype


@pytest.mark.parametrize("name", mixers.names())
def test_whole_numbers_are_numbers(name):
    layer, x = mixers.get(name), np.random.default_rng(0).integers(-3, 4, (B, T, D))
    expected = numpy(layer(ops.convert_to_tensor(x, dtype="float32")))
    np.testing.assert_allclose(numpy(layer(ops.convert_to_tensor(x, dtype="int32"))), expected, atol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [keras_attn.AttentionPooling(), keras_attn.HopfieldPooling(), keras_attn.UniversalBlock("gru")],
    ids=lambda layer: layer.name,
)
def test_whole_numbers_are_numbers_to_other_layers_too(layer):
    x = np.random.default_rng(0).integers(-3, 4, (B, T, D))
    expected = numpy(layer(ops.convert_to_tensor(x, dtype="float32")))
    np.testing.assert_allclose(numpy(layer(ops.convert_to_tensor(x, dtype="int32"))), expected, atol=1e-6)


@pytest.mark.parametrize(
    "name", [name for name in mixers.names("explicit") if getattr(mixers.get(name), "takes_attention_mask", False)]
)
def test_what_is_said_of_heads_is_said_of_those_that_there_are(name):
    layer = mixers.get(name)
    with pytest.raises(ValueError, match=r"one for each, or one for all|share one `attention_mask`"):
        layer(normal(B, T, D), attention_mask=np.ones((B, 3, T, T), bool))


def test_masks_may_be_given_by_position_before_there_are_any_numbers():
    x, mask = keras.Input((T, D)), keras.Input((T,), dtype="bool")
    assert keras_attn.MultiHeadAttention(2)(x, x, x, mask).shape == (None, T, D)
    decoder = keras_attn.AttentionDecoder(keras.layers.GRUCell(5), keras_attn.AdditiveAttention(units=3))
    assert decoder(x, x, mask).shape == (None, T, 5)


@pytest.mark.parametrize("method", ["step", "prefill"])
def test_what_needs_weights_says_so_where_there_are_none(method):
    with pytest.raises(ValueError, match="has no weights yet: call it on inputs"):
        getattr(keras_attn.MinGRU(), method)(normal(B, T, D), None)


@pytest.mark.parametrize("name", ["linear_recurrence", "rg_lru"])
def test_one_channel_will_do_but_not_for_two_ways(name):
    assert np.isfinite(numpy(mixers.get(name)(normal(B, T, 1)))).all()
    with pytest.raises(ValueError, match="Both ways share the width"):
        mixers.get({"mixer": name, "bidirectional": True})(normal(B, T, 1))


@pytest.mark.parametrize("shape", [0, True, (3, 0), "8"])
def test_an_output_has_a_width(shape):
    with pytest.raises(ValueError, match="an integer of at least 1 or a tuple of them"):
        keras_attn.MultiHeadAttention(2, output_shape=shape)
