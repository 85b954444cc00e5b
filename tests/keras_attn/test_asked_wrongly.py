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
