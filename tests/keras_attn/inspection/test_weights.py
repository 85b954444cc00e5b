import keras
import numpy as np
import pytest
from keras import layers

import keras_attn
from keras_attn import inspection, mixers
from tests.families import first_of_families

B, T, D = 3, 5, 8


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return keras.ops.convert_to_numpy(x)


@pytest.mark.parametrize("name", first_of_families(mixers.names("explicit")))
def test_every_explicit_mixer_s_weights_are_those_it_returns(name):
    layer, inputs = mixers.get(name), keras.Input((T, D))
    model = keras.Model(inputs, layers.Dense(2)(layers.add([inputs, layer(inputs)])))
    x = normal(B, T, D)
    (found,) = inspection.weights(model, x).values()
    np.testing.assert_array_equal(found, numpy(layer(x, return_attention_scores=True, training=False)[1]))


@pytest.mark.parametrize("make", [layers.Attention, layers.AdditiveAttention])
def test_keras_s_own_layers_are_heard_too(make):
    layer, inputs = make(name="look"), keras.Input((T, D))
    model = keras.Model(inputs, layer([inputs, inputs]))
    x = normal(B, T, D)
    found = inspection.weights(model, x)
    np.testing.assert_array_equal(found["look"], numpy(layer([x, x], return_attention_scores=True)[1]))


def test_a_model_is_left_as_it_was():
    inputs = keras.Input((T, D))
    model = keras.Model(inputs, mixers.get("multi_head")(inputs))
    x, parts = normal(B, T, D), len(model._flatten_layers())
    before = numpy(model(x))
    inspection.weights(model, x)
    np.testing.assert_array_equal(numpy(model(x)), before)
    assert len(model._flatten_layers()) == parts
    assert not any("call" in vars(layer) for layer in model._flatten_layers())
    with pytest.raises(Exception, match="shape"):
        inspection.weights(model, normal(B, T, D + 1))
    assert not any("call" in vars(layer) for layer in model._flatten_layers())


@pytest.mark.parametrize(
    "look",
    [
        inspection.weights,
        lambda model, x: inspection.sensitivity(model, x, output=lambda y: keras.ops.sum(y, axis=(1, 2))),
    ],
    ids=["weights", "sensitivity"],
)
def test_a_stored_memory_does_not_move_on(look):
    layer, inputs = keras_attn.NeuralTuringMachine(7, 4, stateful=True), keras.Input(batch_shape=(B, T, D))
    model, x = keras.Model(inputs, layer(inputs)), normal(B, T, D)
    model(x)
    before = [numpy(state).copy() for state in layer.stored_state()]
    look(model, x)
    for after, kept in zip(layer.stored_state(), before):
        np.testing.assert_array_equal(numpy(after), kept)


def test_frozen_weights_are_in_nobody_s_way_and_losses_stay():
    inputs = keras.Input((T, D))
    hidden = layers.BatchNormalization()(layers.LSTM(6, return_sequences=True, activity_regularizer="l2")(inputs))
    hidden = layers.MultiHeadAttention(2, 4, name="look")(hidden, hidden)
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(hidden)))
    x, looks = normal(B, T, D), (inspection.sensitivity, inspection.attention_x_gradient, inspection.attribution)
    learned = [look(model, x, output=1) for look in looks]
    model.trainable = False
    model(x)
    losses, before = [float(numpy(loss)) for loss in model.losses], [numpy(each).copy() for each in model.variables]
    for look, expected in zip(looks, learned):
        found = look(model, x, output=1)
        for one, other in zip(keras.tree.flatten(found), keras.tree.flatten(expected)):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert [float(numpy(loss)) for loss in model.losses] == losses and losses[0] > 0
    for each, kept in zip(model.variables, before):
        np.testing.assert_array_equal(numpy(each), kept)
        assert "assign" not in vars(each)


@keras.saving.register_keras_serializable(package="tests")
class Twice(layers.Layer):
    """A layer that looks twice with the same weights, once asking for weights itself, within a model of one's own."""

    def __init__(self):
        super().__init__()
        self.look = keras_attn.MultiplicativeAttention(name="look")

    def call(self, x):
        mix, scores = self.look(x, return_attention_scores=True)
        return self.look(mix) + keras.ops.sum(scores) * 0.0


def test_layers_in_layers_are_found_and_each_call_counts():
    model = keras.Sequential([Twice(), Twice(), keras_attn.AdditiveAttention(name="last")])
    x = normal(B, T, D)
    model(x)
    found = inspection.weights(model, x)
    assert list(found)[-1] == "last" and len(found) == 5
    assert [name.split("/")[-1] for name in found][:4] == ["look:0", "look:1"] * 2
    assert len(set(found)) == 5


def test_padding_and_options_of_the_call_reach_the_layers():
    ids, inputs = np.array([[4, 2, 0, 0, 0]]), keras.Input((T,))
    embedded = layers.Embedding(7, D, mask_zero=True)(inputs)
    model = keras.Model(inputs, keras_attn.MultiHeadAttention(num_heads=2, name="look")(embedded, use_causal_mask=True))
    found = inspection.weights(model, ids)["look"]
    assert found.shape == (1, 2, T, T)
    assert found[0, :, 0, 0].tolist() == [1.0, 1.0]
    assert np.all(found[0, :, :2, 2:] == 0.0)


def test_a_model_without_weights_says_so():
    model = keras.Sequential([layers.GRU(3, name="memory")])
    with pytest.raises(ValueError, match=r"takes `return_attention_scores` was reached.*memory"):
        inspection.weights(model, normal(B, T, D))


def test_layers_of_one_path_in_models_within_the_model_are_told_apart():
    def part():
        x = keras.Input((5, 4))
        return keras.Model(x, keras_attn.MultiHeadAttention(2, name="look")(x))

    x = keras.Input((5, 4))
    one, other = part(), part()
    model = keras.Model(x, other(one(one(x))))
    inputs = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
    assert list(inspection.weights(model, inputs)) == ["look#0:0", "look#0:1", "look#1"]


def test_the_outer_layer_names_the_weights_of_both_kinds_of_maps():
    x = keras.Input((5, 4))
    model = keras.Model(x, keras_attn.HopfieldPooling(name="pool")(x))
    inputs = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
    assert list(inspection.weights(model, inputs)) == ["pool"]
    assert list(inspection.attention_x_gradient(model, inputs, output=0)) == ["pool"]
