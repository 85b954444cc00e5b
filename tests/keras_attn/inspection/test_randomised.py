import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_attn import inspection

B, S, D = 3, 7, 5


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def parts_of(model):
    return [ops.convert_to_numpy(weight.value).tobytes() for weight in model.weights]


def network():
    inner = keras.Sequential([keras.Input((None, 8)), layers.LSTM(6, name="memory"), layers.Dense(4, name="narrow")])
    inputs = keras.Input((None, D))
    hidden = layers.LayerNormalization(name="level")(layers.Dense(8, name="wide")(inputs))
    # Made last and called before the others.
    model = keras.Model(inputs, layers.Dense(1, name="answer")(inner(hidden)))
    model.layers[2].set_weights([normal(8), normal(8, seed=1)])
    return model


def slopes(model, x):
    return inspection.attribution(model, x, method="gradient_x_input").map


def of_inputs(model, x):
    return x.sum(axis=-1)


def test_from_the_output_to_the_input_one_layer_more_each_time():
    found = inspection.randomised(network(), normal(B, S, D), slopes)
    assert [names[-1] for names in found.layers] == ["answer", "narrow", "memory", "level", "wide"]
    assert found.layers[2] == ["answer", "narrow", "memory"]
    assert found.maps.shape == (5, B, S) and found.correlation.shape == (5, B)


def test_a_map_of_the_inputs_alone_is_found_out():
    x = normal(B, S, D)
    np.testing.assert_allclose(inspection.randomised(network(), x, of_inputs).correlation, 1.0)
    assert np.all(inspection.randomised(network(), x, slopes).correlation.mean(axis=1)[-1] < 0.9)


def test_each_layer_alone_stands_beside_the_others_as_they_were():
    model, x = network(), normal(B, S, D)

    def weights(model, x):
        return np.array([[np.sum(layer.get_weights()[0]) for layer in _own_layers(model)]])

    def firsts(model, x):
        return np.array([[layer.get_weights()[0].reshape(-1)[0] for layer in _own_layers(model)]])

    found = inspection.randomised(model, x, firsts, way="each")
    assert found.layers == [["answer"], ["narrow"], ["memory"], ["level"], ["wide"]]
    changed = (found.maps[:, 0] != found.map).tolist()
    assert changed == np.eye(5, dtype=bool).tolist()
    # What was drawn are the numbers that were there, in another order.
    for way in ("each", "all"):
        np.testing.assert_allclose(
            inspection.randomised(model, x, weights, way=way).maps[-1], weights(model, x), rtol=1e-4
        )


def _own_layers(model):
    inner = model.layers[-2].layers
    return [model.layers[-1], *inner[::-1], model.layers[2], model.layers[1]]


@pytest.mark.parametrize("way", ["cascading", "each", "all"])
def test_the_weights_are_put_back_bit_for_bit(way):
    model, x = network(), normal(B, S, D)
    before = parts_of(model)
    seen = []

    def method(model, x):
        seen.append(parts_of(model))
        return of_inputs(model, x)

    inspection.randomised(model, x, method, way=way)
    assert seen[0] == before and before not in seen[1:] and len(seen) == {"all": 2}.get(way, 6)
    assert parts_of(model) == before


class Own(keras.Model):
    """A model with a weight that no layer of it has."""

    def __init__(self):
        super().__init__(name="own")
        self.wide = layers.Dense(1)

    def build(self, shape):
        self.scales = self.add_weight(shape=(S, D), initializer="random_normal")
        self.wide.build(shape)
        self.built = True

    def call(self, inputs):
        return ops.sum(0 * self.wide(inputs) + inputs * self.scales, axis=(1, 2))[:, None]


@pytest.mark.parametrize("way", ["cascading", "all"])
def test_weights_of_the_model_itself_are_drawn_anew_too(way):
    model, x = Own(), normal(B, S, D)
    model(x)
    before = parts_of(model)
    found = inspection.randomised(model, x, slopes, way=way)
    assert found.correlation[-1].max() < 0.99 and "own" in found.layers[-1]
    assert parts_of(model) == before


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_weights_are_put_back_when_something_fails(error):
    model, x = network(), normal(B, S, D)
    before = parts_of(model)
    calls = []

    def failing(model, x):
        calls.append(parts_of(model) != before)
        if len(calls) == 4:
            raise error
        return of_inputs(model, x)

    with pytest.raises(error):
        inspection.randomised(model, x, failing)
    assert calls == [False, True, True, True]
    assert parts_of(model) == before
    assert not any("call" in vars(layer) for layer in model._flatten_layers())


def test_correlation_is_of_ranks_and_without_padding():
    true = np.array([[1.0, 2.0, 2.0, 9.0, 5.0]])
    model, mask = keras.Sequential([keras.Input((2,)), layers.Dense(3)]), np.array([[True, True, True, True, False]])
    turns = iter([true, np.array([[7.0, 5.0, 3.0, 4.0, -9.0]])])
    found = inspection.randomised(model, normal(1, 2), lambda model, x: next(turns), mask=mask)
    ranks = np.array([0.0, 1.5, 1.5, 3.0]), np.array([3.0, 2.0, 0.0, 1.0])
    np.testing.assert_allclose(found.correlation, [[np.corrcoef(*ranks)[0, 1]]])


def test_a_layer_of_equal_numbers_has_no_turn():
    model = network()
    model.layers[2].set_weights([np.ones(8), np.zeros(8)])
    found = inspection.randomised(model, normal(B, S, D), of_inputs)
    assert found.layers[-1] == ["answer", "narrow", "memory", "wide"]


def test_a_constant_map_has_no_order_to_compare():
    found = inspection.randomised(network(), normal(B, S, D), lambda model, x: np.ones((B, S)))
    assert np.all(np.isnan(found.correlation))


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="has weights"):
        inspection.randomised(layers.Flatten(), normal(B, S, D), of_inputs)
    with pytest.raises(ValueError, match="way"):
        inspection.randomised(network(), normal(B, S, D), of_inputs, way="cascade")
    with pytest.raises(ValueError, match=r"\(B, S\)"):
        inspection.randomised(network(), normal(B, S, D), lambda model, x: x)
