"""Each implicit mixer's own numbers."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import (
    GatedConvolution,
    Identity,
    LinearRecurrence,
    MinGRU,
    MinLSTM,
    Pooling,
    RealGatedLRU,
    Recurrent,
    TokenMLP,
    mixers,
)

RG_LRU = [
    "recurrence_gate/kernel",
    "recurrence_gate/bias",
    "input_gate/kernel",
    "input_gate/bias",
    "decay_logits",
]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def test_gated_convolution_follows_the_paper_s_equation():
    layer, x = GatedConvolution(kernel_size=3), normal(2, 7, 5)
    y = numpy(layer(x))
    kernel, bias = layer.get_weights()
    padded = np.pad(x, ((0, 0), (1, 1), (0, 0)))
    for t in range(7):
        both = np.einsum("bki,kio->bo", padded[:, t : t + 3], kernel) + bias
        np.testing.assert_allclose(y[:, t], both[:, :5] * sigmoid(both[:, 5:]), rtol=1e-3, atol=1e-5)


def test_an_even_kernel_looks_one_further_behind():
    layer = GatedConvolution(kernel_size=2)
    layer.build((None, 3, 1))
    layer.set_weights([np.array([[[1.0, 0.0]], [[0.0, 0.0]]]), np.array([0.0, 100.0])])
    assert numpy(layer(np.array([[[1.0], [2.0], [3.0]]])))[0, :, 0].tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("causal", [False, True])
def test_a_dilated_kernel_sees_positions_that_far_apart(causal):
    layer = GatedConvolution(kernel_size=3, dilation=4)
    layer.build((None, None, 1))
    layer.set_weights([np.array([[[1.0, 0.0]], [[10.0, 0.0]], [[100.0, 0.0]]]), np.array([0.0, 100.0])])
    seen = numpy(layer(np.eye(13)[6][None, :, None], use_causal_mask=causal))[0, :, 0]
    first = 6 if causal else 2
    assert {place: float(seen[place]) for place in np.flatnonzero(seen)} == dict(
        zip(range(first, 13, 4), [100.0, 10.0, 1.0])
    )


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_recurrent_is_keras_s_layer_both_ways(cell):
    layer, x = Recurrent(cell, bidirectional=True), normal(2, 7, 5)
    y = numpy(layer(x))
    weights = layer.get_weights()
    make = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[cell]
    for units, part, inputs, half in ((3, y[..., :3], x, weights[:3]), (2, y[:, ::-1, 3:], x[:, ::-1], weights[3:])):
        plain = make(units, return_sequences=True)
        plain.build((None, None, 5))
        plain.set_weights(half)
        np.testing.assert_allclose(part, numpy(plain(inputs)), rtol=1e-4, atol=1e-5)


def test_linear_recurrence_follows_its_equations():
    layer, x = LinearRecurrence(), normal(2, 37, 5)
    y = numpy(layer(x))
    wa, ba, wv, bv, wg, bg, wo, bo = layer.get_weights()
    state = np.zeros((2, 5))
    for t in range(37):
        a = sigmoid(x[:, t] @ wa + ba)
        state = a * state + (1.0 - a) * (x[:, t] @ wv + bv)
        np.testing.assert_allclose(y[:, t], state * sigmoid(x[:, t] @ wg + bg) @ wo + bo, rtol=1e-3, atol=1e-4)


def test_linear_recurrence_starts_with_memories_of_2_to_200_positions():
    layer = LinearRecurrence()
    layer.build((None, None, 7))
    bias = numpy(layer.decay_dense.bias)
    np.testing.assert_allclose(1.0 / (1.0 - sigmoid(bias[[0, -1]])), [2.0, 200.0], rtol=1e-3)


def test_min_gru_follows_its_equations():
    layer, x = MinGRU(), normal(2, 37, 5)
    y = numpy(layer(x))
    wz, bz, wh, bh = layer.get_weights()
    state = np.zeros((2, 5))
    for t in range(37):
        z = sigmoid(x[:, t] @ wz + bz)
        state = (1.0 - z) * state + z * (x[:, t] @ wh + bh)
        np.testing.assert_allclose(y[:, t], state, rtol=1e-3, atol=1e-5)


def test_min_lstm_follows_its_equations():
    layer, x = MinLSTM(), normal(2, 37, 5)
    y = numpy(layer(x))
    wf, bf, wi, bi, wh, bh = layer.get_weights()
    state = np.zeros((2, 5))
    for t in range(37):
        f, i = sigmoid(x[:, t] @ wf + bf), sigmoid(x[:, t] @ wi + bi)
        state = (f * state + i * (x[:, t] @ wh + bh)) / (f + i)
        np.testing.assert_allclose(y[:, t], state, rtol=1e-3, atol=1e-5)


def test_min_lstm_s_shares_are_numbers_where_both_gates_are_shut():
    layer = MinLSTM()
    layer.build((None, 3, 1))
    layer.set_weights([np.full(shape, -200.0) for shape in [(1, 1), (1,)] * 2] + [np.eye(1), np.zeros(1)])
    np.testing.assert_allclose(numpy(layer(np.array([[[2.0], [4.0], [4.0]]])))[0, :, 0], [1.0, 2.5, 3.25])


def test_rg_lru_follows_the_paper_s_equations():
    layer, x = RealGatedLRU(), normal(2, 37, 5)
    y = numpy(layer(x))
    wa, ba, wx, bx, decay = (next(w for w in layer.weights if w.path.endswith(name)) for name in RG_LRU)
    wa, ba, wx, bx, decay = (numpy(w).astype("float64") for w in (wa, ba, wx, bx, decay))
    state = np.zeros((2, 5))
    for t in range(37):
        a = sigmoid(decay) ** (8.0 * sigmoid(x[:, t] @ wa + ba))
        state = a * state + np.sqrt(1.0 - a**2) * sigmoid(x[:, t] @ wx + bx) * x[:, t]
        np.testing.assert_allclose(y[:, t], state, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(sigmoid(decay[[0, -1]]) ** 8.0, [0.9, 0.999], rtol=1e-4)


def test_token_mlp_mixes_positions_alike_in_every_channel():
    layer, x = TokenMLP(units=11), normal(2, 7, 5)
    y = numpy(layer(x))
    np.testing.assert_allclose(numpy(layer(x[..., ::-1]))[..., ::-1], y, rtol=1e-5, atol=1e-6)
    assert [w.shape for w in layer.get_weights()] == [(7, 11), (11,), (11, 7), (7,)]


def test_token_mlp_needs_a_known_length():
    with pytest.raises(ValueError, match="a fixed number of positions"):
        TokenMLP().build((None, None, 5))


def test_pooling_is_the_mean_of_real_positions():
    x, mask = normal(2, 3, 5), np.array([[True, True, False], [True, True, True]])
    y = numpy(Pooling()(x, mask=mask))
    np.testing.assert_allclose(y[0, 0], x[0, :2].mean(0), rtol=1e-4, atol=1e-6)
    causal = numpy(Pooling()(x, use_causal_mask=True))
    np.testing.assert_allclose(causal[:, 1], x[:, :2].mean(1), rtol=1e-4, atol=1e-6)


def test_identity_changes_nothing():
    x = normal(2, 3, 5)
    np.testing.assert_array_equal(numpy(Identity()(x)), x)


IMPLICIT = [name for name in mixers.names() if mixers.get(name).kind == "implicit"]
STEPPING = [name for name in IMPLICIT if mixers.get(name).can_step]


@pytest.mark.parametrize("name", STEPPING)
def test_a_step_has_the_precision_of_a_call(name):
    layer, x = mixers.get(name, dtype="float64"), normal(2, 3, 4).astype("float64")
    expected = keras.backend.standardize_dtype(layer(x).dtype)
    output, state = layer.step(x[:, 0], layer.initial_state(2, 3))
    assert keras.backend.standardize_dtype(output.dtype) == expected
    assert keras.backend.standardize_dtype(layer.prefill(x[:, 1:], state)[0].dtype) == expected


@pytest.mark.parametrize("name", IMPLICIT)
def test_what_was_built_for_a_width_and_a_fixed_length_takes_no_others(name):
    layer = mixers.get(name)
    layer.build((None, 6, 4))
    others = [(2, 6, width) for width in (1, 8) if layer.weights] + [(2, 3, 4)] * layer.fixed_length
    for shape in others:
        with pytest.raises(ValueError, match="expected axis"):
            layer(np.ones(shape, "float32"))
        with pytest.raises(ValueError, match="expected axis"):
            layer(keras.Input(shape[1:]))
