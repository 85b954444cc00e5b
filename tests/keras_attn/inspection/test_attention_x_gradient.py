import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_attn
from keras_attn import inspection, mixers
from tests.families import first_of_families

B, T, D, H = 2, 5, 12, 3
#: It takes the largest weight alone.
WITHOUT_SLOPE = {"stochastic_hard"}
POSITIONS = [
    name
    for name in mixers.names("explicit")
    if getattr(mixers.get(name), "weights_over", None) == "positions" and name not in WITHOUT_SLOPE
]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


SCALES = normal(T, D, seed=5)


def weighed(x):
    """A number f of each row that is linear in what a layer says."""
    return ops.sum(ops.multiply(x, SCALES), axis=(1, 2))


def model_of(layer, *inputs):
    inputs = keras.Input((T, D))
    return keras.Model(inputs, weighed(layer(inputs)))


@pytest.mark.parametrize("name", first_of_families(POSITIONS))
def test_if_weights_grow_by_some_share_the_answer_moves_by_as_much_of_the_map(name):
    layer, x = mixers.get(name), normal(B, T, D)
    model = model_of(layer)
    (found,) = inspection.attention_x_gradient(model, x).values()
    weights = numpy(layer(x, return_attention_scores=True, training=False)[1])
    weights = weights[:, None] if weights.ndim == 3 else weights
    assert found.shape == weights.shape
    step = 0.003 * normal(*weights.shape, seed=1)
    after, before = (
        numpy(weighed(layer.compute_mix(ops.convert_to_tensor(weights * share), ops.convert_to_tensor(x), x)))
        for share in (1.0 + step, 1.0 - step)
    )
    np.testing.assert_allclose((found * step).sum((1, 2, 3)), (after - before) / 2, rtol=0.01, atol=2e-5)
    assert np.all(found[weights == 0.0] == 0.0) and np.any(found != 0.0)


@pytest.mark.parametrize("make", [layers.Attention, layers.AdditiveAttention])
def test_keras_s_layers_without_heads_by_hand(make):
    layer, inputs = make(name="look"), keras.Input((T, D))
    model, x = keras.Model(inputs, weighed(layer([inputs, inputs]))), normal(B, T, D)
    weights = numpy(layer([x, x], return_attention_scores=True)[1])
    by_hand = weights * np.einsum("td,bsd->bts", SCALES, x)
    found = inspection.attention_x_gradient(model, x)
    assert list(found) == ["look"]
    np.testing.assert_allclose(found["look"][:, 0], by_hand, rtol=1e-4, atol=1e-6)


def test_keras_s_multi_head_attention_says_what_ours_does():
    theirs, ours, x = layers.MultiHeadAttention(H, 4), keras_attn.MultiHeadAttention(H, 4), normal(B, T, D)
    inputs = keras.Input((T, D))
    their_model = keras.Model(inputs, weighed(theirs(inputs, inputs, use_causal_mask=True)))
    our_model = keras.Model(inputs, weighed(ours(inputs, use_causal_mask=True)))
    ours.set_weights(theirs.get_weights())
    (one,), (other,) = (inspection.attention_x_gradient(model, x).values() for model in (their_model, our_model))
    assert one.shape == (B, H, T, T) and np.all(one[..., 0, 1:] == 0.0)
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_keras_s_grouped_heads_say_what_ours_do():
    theirs, x = layers.GroupQueryAttention(4, 4, 2), normal(B, T, D)
    ours, inputs = keras_attn.MultiHeadAttention(4, 4, num_key_value_heads=2), keras.Input((T, D))
    models = [keras.Model(inputs, weighed(theirs(inputs, inputs))), keras.Model(inputs, weighed(ours(inputs)))]
    ours.set_weights(theirs.get_weights())
    (one,), (other,) = (inspection.attention_x_gradient(model, x).values() for model in models)
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


@pytest.mark.parametrize("make", [layers.Attention, lambda: keras_attn.MultiplicativeAttention(score="dot")])
def test_weights_of_the_first_layer_reach_the_answer_through_the_second_s_scores(make):
    first, second, inputs = make(), make(), keras.Input((T, D))
    hidden = first([inputs, inputs])
    model, x = keras.Model(inputs, weighed(second([hidden, hidden]))), 0.7 * normal(B, T, D).astype("float64")

    def answer(weights):
        hidden = weights @ x
        return (softmax(hidden @ hidden.swapaxes(1, 2)) @ hidden * SCALES).sum((1, 2))

    weights, expected = softmax(x @ x.swapaxes(1, 2)), np.empty((B, T, T))
    for t in range(T):
        for s in range(T):
            step = np.zeros((T, T))
            step[t, s] = 1e-5
            expected[:, t, s] = weights[:, t, s] * (answer(weights + step) - answer(weights - step)) / 2e-5
    found = list(inspection.attention_x_gradient(model, x.astype("float32")).values())
    assert len(found) == 2
    np.testing.assert_allclose(found[0][:, 0], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "pool",
    [lambda: keras_attn.AttentionPooling(score="dot", num_heads=H), lambda: keras_attn.HopfieldPooling(num_heads=H)],
)
def test_words_that_are_padding_get_nothing_and_poolings_count(pool):
    ids = keras.Input((T,), dtype="int32")
    hidden = layers.Embedding(11, D, mask_zero=True, embeddings_initializer="normal")(ids)
    hidden = layers.add([hidden, keras_attn.MultiHeadAttention(num_heads=H)(hidden)])
    model = keras.Model(ids, layers.Dense(4)(pool()(hidden)))
    found = inspection.attention_x_gradient(model, np.array([[4, 2, 9, 0, 0], [3, 3, 5, 1, 7]]), output=1)
    mixed, pooled = found.values()
    assert mixed.shape == (B, H, T, T) and pooled.shape == (B, H, 1, T)
    for each in (mixed, pooled):
        assert np.all(each[0, ..., 3:] == 0.0) and np.all(each[0, ..., :1, :3] != 0.0) and np.all(each[1] != 0.0)
    assert np.all(mixed[0, :, 3:] == 0.0)
    assert inspection.relevance(list(found.values())).shape == (B, 1, T)


def test_layers_that_are_called_twice_have_a_map_of_each_call():
    look, inputs = keras_attn.MultiplicativeAttention(name="look"), keras.Input((T, D))
    found = inspection.attention_x_gradient(keras.Model(inputs, weighed(look(look(inputs)))), normal(B, T, D))
    assert list(found) == ["look:0", "look:1"]
    assert not np.allclose(found["look:0"], found["look:1"])


def test_a_model_is_left_as_it_was():
    layer, x = layers.MultiHeadAttention(H, 4), normal(B, T, D)
    inputs = keras.Input((T, D))
    model = keras.Model(inputs, weighed(keras_attn.AdditiveAttention()(layer(inputs, inputs))))
    before = numpy(model(x))
    inspection.attention_x_gradient(model, x)
    with pytest.raises(Exception, match="shape"):
        inspection.attention_x_gradient(model, normal(B, T, D + 1))
    np.testing.assert_array_equal(numpy(model(x)), before)
    changed = {"call", "_attend", "_apply_scores", "_mix"}
    assert not any(changed & set(vars(each)) for each in model._flatten_layers())


def test_layers_that_nothing_can_be_added_to_are_refused():
    with pytest.raises(ValueError, match=r"ProductKeyMemory 'slots' has weights.*cannot be differentiated"):
        inspection.attention_x_gradient(model_of(keras_attn.ProductKeyMemory(name="slots")), normal(B, T, D))
    with pytest.raises(ValueError, match=r"No layer.*was reached.*memory"):
        inspection.attention_x_gradient(keras.Sequential([layers.GRU(1, name="memory")]), normal(B, T, D))
    with pytest.raises(ValueError, match=r"several axes.*\(2, 2, 5, 3, 5, 3\)"):
        images = keras.Sequential([keras_attn.MultiHeadAttention(2), layers.Flatten(), layers.Dense(1)])
        inspection.attention_x_gradient(images, normal(B, 5, 3, D))
