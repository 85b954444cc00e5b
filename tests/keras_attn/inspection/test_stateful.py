"""Models that remember from call to call are asked about the state that they are in, and stay in it."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_attn
from keras_attn import inspection
from keras_attn.inspection._calls import called

B, T, D = 2, 5, 3


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


def gru(stateful):
    inputs, cells = keras.Input(batch_shape=(B, T, D)), layers.GRU(4, stateful=stateful, return_sequences=True)
    return keras.Model(inputs, layers.Dense(2)(cells(inputs)[:, -1]))


LOOKS = {
    "sensitivity": lambda model, x: inspection.sensitivity(model, x),
    "gain": lambda model, x: inspection.gain(model, x).values,
    "gradient_x_input": lambda model, x: _attribution(model, x, "gradient_x_input"),
    "integrated_gradients": lambda model, x: _attribution(model, x, "integrated_gradients"),
    "smooth_grad": lambda model, x: _attribution(model, x, "smooth_grad"),
    "occlusion": lambda model, x: _attribution(model, x, "occlusion"),
    "faithfulness": lambda model, x: inspection.faithfulness(model, x, np.abs(x).sum(-1), output=0).map.deletion,
}


def _attribution(model, x, method):
    return inspection.attribution(model, x, output=0, method=method, steps=4).map


@pytest.mark.parametrize("look", LOOKS)
def test_at_its_beginning_it_is_what_it_is_without_a_state(look):
    stateful, other, x = gru(True), gru(False), normal(B, T, D)
    other.set_weights([numpy(variable) for variable in stateful.weights if "state" not in variable.path])
    np.testing.assert_allclose(LOOKS[look](stateful, x), LOOKS[look](other, x), atol=1e-5)


@pytest.mark.parametrize("look", LOOKS)
def test_what_it_remembers_counts_and_does_not_move_on(look):
    model, x = gru(True), normal(B, T, D)
    at_first = LOOKS[look](model, x)
    model(normal(B, T, D, seed=1))
    states = [numpy(state).copy() for state in model.layers[1].states]
    found = LOOKS[look](model, x)
    assert np.abs(found - at_first).max() > 1e-4
    np.testing.assert_array_equal(LOOKS[look](model, x), found)
    for state, before in zip(model.layers[1].states, states, strict=True):
        np.testing.assert_array_equal(numpy(state), before)


def test_a_stored_memory_is_asked_too():
    layer, inputs = keras_attn.NeuralTuringMachine(7, 4, stateful=True), keras.Input(batch_shape=(B, T, D))
    model, x = keras.Model(inputs, ops.mean(layer(inputs), axis=1)), normal(B, T, D)
    model(normal(B, T, D, seed=1))
    before = [numpy(state) for state in layer.stored_state()]
    found, small = inspection.sensitivity(model, x), 1e-2
    # How much each number of the answer moves with each number of each position.
    moved = np.zeros((B, 3, T, D))
    for step in range(T):
        for channel in range(D):
            shift = np.zeros((B, T, D), "float32")
            shift[:, step, channel] = small
            up, down = (_from(model, layer, before, x + sign * shift) for sign in (1, -1))
            moved[:, :, step, channel] = (up - down) / (2 * small)
    np.testing.assert_allclose(found, np.sqrt((moved**2).sum(axis=(1, 3))), atol=2e-3)
    for state, kept in zip(layer.stored_state(), before, strict=True):
        np.testing.assert_array_equal(numpy(state), kept)


def _from(model, layer, state, x):
    """What the model answers from a state."""
    layer.restore_state(state)
    answer = numpy(model(x))
    layer.restore_state(state)
    return answer


def test_a_layer_that_two_passes_share_goes_on_between_them():
    cells, inputs = layers.GRU(4, stateful=True), keras.Input(batch_shape=(B, T, D))
    model, x = keras.Model(inputs, cells(inputs) + 2 * cells(inputs)), normal(B, T, D)
    expected = numpy(cells(x)) + 2 * numpy(cells(x))
    for state in cells.states:
        state.assign(np.zeros(state.shape))
    first, again = (numpy(called(model, x)) for _ in range(2))
    np.testing.assert_allclose(first, expected, atol=1e-6)
    np.testing.assert_array_equal(first, again)
