import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_attn
from keras_attn import inspection
from keras_attn.inspection import _entrance
from keras_attn.inspection.attribution import METHODS

B, T, D = 2, 5, 3


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


class Function(layers.Layer):
    """A function of the inputs as a layer."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


@pytest.mark.parametrize("method", METHODS)
def test_of_a_sum_every_position_gets_its_own_part(method):
    weights, baseline = normal(T, D, seed=1), normal(D, seed=2)
    x = normal(B, T, D)
    model = Function(lambda x: ops.sum(ops.multiply(x, weights), axis=(1, 2)))
    found = inspection.attribution(model, x, method=method, baseline=baseline, steps=3)
    np.testing.assert_allclose(found.map, ((x - baseline) * weights).sum(-1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.gap, 0.0, atol=1e-4)


def test_integrated_gradients_of_squares_are_squares():
    x = normal(B, T, D)
    found = inspection.attribution(Function(lambda x: ops.sum(x**2, axis=(1, 2))), x, steps=1)
    np.testing.assert_allclose(found.map, (x**2).sum(-1), rtol=1e-4)
    bare = inspection.attribution(Function(lambda x: ops.sum(x**2, axis=(1, 2))), x, method="gradient_x_input")
    np.testing.assert_allclose(bare.map, 2 * (x**2).sum(-1), rtol=1e-4)
    np.testing.assert_allclose(bare.gap, -(x**2).sum((1, 2)), rtol=1e-4)


def classifier():
    inputs = keras.Input((None,), dtype="int32")
    hidden = layers.Embedding(11, 8, embeddings_initializer="normal", mask_zero=True)(inputs)
    hidden = layers.add(
        [hidden, keras_attn.MultiHeadAttention(num_heads=2)(hidden), keras_attn.Recurrent("gru")(hidden)]
    )
    return keras.Model(inputs, layers.Dense(3)(keras_attn.AttentionPooling()(hidden)))


@pytest.mark.parametrize("method", METHODS)
def test_words_that_are_padding_get_nothing(method):
    model, ids = classifier(), np.array([[4, 2, 9, 0, 0], [3, 3, 5, 1, 7]])
    found = inspection.attribution(model, ids, output=1, method=method, steps=4).map
    assert np.all(found[0, 3:] == 0.0) and np.all(found[0, :3] != 0.0) and np.all(found[1] != 0.0)


def test_more_steps_leave_less_unexplained(monkeypatch):
    model, ids = classifier(), np.array([[4, 2, 9, 8, 1]])
    model.layers[1].set_weights([3.0 * normal(11, 8)])
    found = [inspection.attribution(model, ids, output=1, steps=steps) for steps in (1, 64)]
    assert abs(found[1].gap[0]) < 1e-3 < abs(found[0].gap[0])
    # Not all steps at once, and not a whole number of times: the same.
    monkeypatch.setattr(_entrance, "ROOM", 7 * 5 * 8 * 4)
    few = inspection.attribution(model, ids, output=1, steps=64)
    np.testing.assert_allclose(few.map, found[1].map, rtol=1e-3, atol=1e-5)


def test_a_unit_that_saturates_has_no_slope_and_yet_its_part():
    x = np.zeros((1, T, 1), dtype="float32")
    x[0, 2] = 30.0
    model = Function(lambda x: ops.tanh(ops.sum(x, axis=(1, 2))))
    assert inspection.attribution(model, x, method="gradient_x_input").map[0, 2] < 1e-6
    assert inspection.sensitivity(model, x)[0, 2] < 1e-6
    for method in ("integrated_gradients", "occlusion"):
        np.testing.assert_allclose(inspection.attribution(model, x, method=method, steps=512).map[0, 2], 1.0, rtol=1e-2)


@pytest.mark.parametrize("method", METHODS)
def test_pixels_and_numbers_get_their_parts(method):
    image, weights, baseline = normal(B, 4, 3, 2), normal(4, 3, 2, seed=1), normal(4, 3, 2, seed=2)
    model = Function(lambda x: ops.sum(ops.multiply(x, weights), axis=(1, 2, 3)))
    found = inspection.attribution(model, image, method=method, baseline=baseline, steps=2)
    np.testing.assert_allclose(found.map.reshape(B, 4, 3), ((image - baseline) * weights).sum(-1), rtol=1e-4, atol=1e-5)
    series, weights = normal(B, T), normal(T, seed=1)
    model = Function(lambda x: ops.sum(ops.multiply(x, weights), axis=1))
    found = inspection.attribution(model, series, method=method, steps=2)
    np.testing.assert_allclose(found.map, series * weights, rtol=1e-4, atol=1e-5)


def test_what_one_instrument_finds_the_others_take():
    model, ids = classifier(), np.array([[1, 2, 3, 4, 5]])
    found = inspection.attribution(model, ids, output=0, baseline="mean")
    same = [inspection.faithfulness(model, ids, map, output=0, draws=1) for map in (found, found.map)]
    np.testing.assert_array_equal(same[0].deleting, same[1].deleting)
    truth = np.array([[True, False, False, False, False]])
    assert inspection.pointing(found, truth).hit == inspection.pointing(found.map, truth).hit
    weights = {name: each for name, each in inspection.weights(model, ids).items() if each.shape[-2] == each.shape[-1]}
    assert weights
    for together in (inspection.rollout, inspection.flow):
        np.testing.assert_array_equal(together(weights), together(list(weights.values())))
    slopes = {
        name: each for name, each in inspection.attention_x_gradient(model, ids, output=0).items() if name in weights
    }
    np.testing.assert_array_equal(inspection.relevance(slopes), inspection.relevance(list(slopes.values())))


def normalising(width=8):
    """A model of words that sees only where their vectors point to."""
    inputs = keras.Input((None,), dtype="int32")
    words = layers.Embedding(11, width, embeddings_initializer="normal", name="words")(inputs)
    mean = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(words))
    return keras.Model(inputs, layers.Dense(1)(mean))


def test_from_an_average_word_more_is_explained_where_lengths_of_vectors_say_nothing():
    model, ids = normalising(), np.random.default_rng(0).integers(0, 11, (4, T))
    table = numpy(model.get_layer("words").embeddings)
    model.get_layer("words").embeddings.assign(table + np.linspace(-1.0, 1.0, 8))  # The average word is none.
    from_zeros, found = (inspection.attribution(model, ids, baseline=each) for each in (None, "mean"))
    assert np.abs(found.gap).max() < 0.01 * np.abs(from_zeros.gap).min()
    by_hand = numpy(model.get_layer("words").embeddings).mean(axis=0)
    np.testing.assert_allclose(found.map, inspection.attribution(model, ids, baseline=by_hand).map, rtol=1e-4)


def test_an_average_word_is_there_only_where_words_are():
    with pytest.raises(ValueError, match=r"an embedding's table, where x is its output. Received: .* at the inputs"):
        inspection.attribution(Function(lambda x: ops.sum(x, axis=(1, 2))), normal(B, T, D), baseline="mean")
    with pytest.raises(ValueError, match="mean"):
        inspection.attribution(classifier(), np.ones((B, T), "int32"), output=0, baseline="average")


def test_noise_is_the_same_for_the_same_seed():
    model, x = Function(lambda x: ops.sum(x**3, axis=(1, 2))), normal(B, T, D)
    one, same, other = (inspection.attribution(model, x, method="smooth_grad", seed=seed).map for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)


def test_one_number_must_be_asked_for():
    with pytest.raises(ValueError, match=r"say in `output` which.*\(1, 3\)"):
        inspection.attribution(classifier(), np.array([[4, 2]]))
    with pytest.raises(ValueError, match="method"):
        inspection.attribution(classifier(), np.array([[4, 2]]), output=0, method="saliency")
    with pytest.raises(ValueError, match="steps"):
        inspection.attribution(classifier(), np.array([[4, 2]]), output=0, steps=0)
