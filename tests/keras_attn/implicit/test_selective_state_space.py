"""Mamba-2's layer against a loop over the positions, and its dual form against its steps."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import SelectiveStateSpace
from keras_attn.implicit import _dual
from tests.autodiff import gradient
from tests.keras_attn.implicit.test_mixes import normal, numpy, sigmoid
from tests.keras_attn.implicit.test_state_spaces import randomised


def silu(x):
    return x * sigmoid(x)


def by_a_loop(layer, w, x, before):
    """The heads' outputs side by side, before the gate, and the gated and projected ones."""
    length, heads, states = x.shape[1], layer.num_heads, layer.states
    projected = x @ w["input/kernel"]
    size = layer.kernel_size
    padded = np.pad(projected, ((0, 0), (before, size - 1 - before), (0, 0)))
    projected = silu(sum(padded[:, i : i + length] * w["kernel"][i] for i in range(size)))
    value, b, c = np.split(projected, [projected.shape[-1] - 2 * states, projected.shape[-1] - states], axis=-1)
    value = value.reshape(*value.shape[:2], heads, -1)
    step = np.log1p(np.exp(x @ w["step/kernel"] + w["step_bias"]))
    decay = np.exp(-step * np.exp(w["log_rate"]))
    mix = np.zeros_like(value)
    for h in range(heads):
        backward = layer.bidirectional and h >= heads - heads // 2
        state = np.zeros((x.shape[0], states, value.shape[-1]))
        for t in reversed(range(length)) if backward else range(length):
            fresh = step[:, t, h, None, None] * b[:, t, :, None] * value[:, t, h, None, :]
            state = decay[:, t, h, None, None] * state + fresh
            mix[:, t, h] = np.einsum("bnp,bn->bp", state, c[:, t]) + w["skip"][h] * value[:, t, h]
    gated = mix.reshape(*x.shape[:2], -1) * silu(x @ w["gate/kernel"])
    return gated / np.sqrt((gated**2).mean(-1, keepdims=True) + 1e-5) @ w["output/kernel"]


@pytest.mark.parametrize("length", [1, 2, 37, 67])
def test_it_is_the_recurrence_of_the_paper(length):
    layer, x = SelectiveStateSpace(num_heads=3, states=4), normal(2, length, 7)
    w = randomised(layer, 7)
    np.testing.assert_allclose(numpy(layer(x)), by_a_loop(layer, w, x, 3), rtol=1e-3, atol=2e-4)


def test_both_ways_half_of_the_heads_run_backward():
    layer, x = SelectiveStateSpace(num_heads=3, states=4, kernel_size=5, bidirectional=True), normal(2, 67, 7)
    w = randomised(layer, 7)
    np.testing.assert_allclose(numpy(layer(x)), by_a_loop(layer, w, x, 2), rtol=1e-3, atol=2e-4)


def test_the_dual_form_equals_the_steps_over_4000_positions():
    layer, x = SelectiveStateSpace(num_heads=2), normal(1, 4001, 3)
    layer.build(x.shape)
    np.testing.assert_allclose(numpy(layer(x)), by_a_loop(layer, weights(layer), x, 3), rtol=1e-3, atol=5e-4)
    state = layer.initial_state(1)
    for t in range(97):
        output, state = layer.step(ops.convert_to_tensor(x[:, t]), state)
    np.testing.assert_allclose(numpy(output), numpy(layer(x))[:, 96], rtol=1e-3, atol=5e-4)


def weights(layer):
    return {w.path.split("/", 1)[1]: numpy(w).astype("float64") for w in layer.weights}


def by_steps(queries, keys, values, decay):
    state, mix = 0.0, np.zeros_like(values)
    for t in range(keys.shape[1]):
        state = decay[:, t, :, None, None] * state + np.einsum("bn,bhp->bhnp", keys[:, t], values[:, t])
        mix[:, t] = np.einsum("bn,bhnp->bhp", queries[:, t], state)
    return mix


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999, 1.0, "random", "mostly one, now and then zero"])
@pytest.mark.parametrize("length", [31, 32, 33, 4001])
def test_any_decays_are_as_good_as_any_other(decay, length):
    rng = np.random.default_rng(0)
    queries, keys, values = rng.normal(size=(1, length, 5)), rng.normal(size=(1, length, 5)), normal(1, length, 3, 2)
    decays = rng.random((1, length, 3)) if isinstance(decay, str) else np.full((1, length, 3), decay)
    if decay == "mostly one, now and then zero":
        decays = np.where(decays < 0.02, 0.0, 1.0 - 1e-3 * decays)
    with np.errstate(divide="ignore"):
        logs = np.log(decays)
    tensors = (ops.convert_to_tensor(x, dtype="float32") for x in (queries, keys, values, logs))
    expected = by_steps(queries, keys, values.astype("float64"), decays)
    np.testing.assert_allclose(numpy(_dual.read(*tensors)), expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("gap", [-1e6, 0.0])
def test_gradients_are_finite_and_reach_back_through_chunks_that_do_not_forget(gap):
    logs = np.full((1, 149, 2), -0.01, dtype="float32")
    logs[:, 70] = gap
    tensors = [ops.convert_to_tensor(normal(1, 149, 3, seed=seed)) for seed in (1, 2)]

    def last(values):
        return ops.sum(_dual.read(*tensors, values, ops.convert_to_tensor(logs))[:, -1])

    slopes = gradient(last, normal(1, 149, 2, 5))
    assert np.isfinite(slopes).all()
    score = float(numpy(ops.sum(tensors[0][0, -1] * tensors[1][0, 3])))
    np.testing.assert_allclose(slopes[0, 3, 0], np.exp(logs[0, 4:, 0].sum(dtype="float64")) * score, rtol=1e-3)
    assert np.isfinite(gradient(lambda x: ops.sum(_dual.read(*tensors, ops.ones((1, 149, 2, 5)), x)), logs)).all()


def test_a_sequence_with_holes_is_the_one_without_them():
    # With a kernel of one position nothing but the state passes on.
    layer, x = SelectiveStateSpace(num_heads=3, states=4, kernel_size=1), normal(1, 101, 7)
    randomised(layer, 7)
    mask = np.random.default_rng(0).random((1, 101)) < 0.7
    np.testing.assert_allclose(numpy(layer(x, mask=mask))[mask], numpy(layer(x[mask][None]))[0], rtol=1e-3, atol=1e-4)


@pytest.mark.compiles
def test_an_unknown_length_with_holes_compiles():
    layer = SelectiveStateSpace(num_heads=3, states=4)
    inputs, mask = keras.Input((None, 7)), keras.Input((None,), dtype="bool")
    model = keras.Model([inputs, mask], layer(inputs, mask=mask))
    model.compile("sgd", "mse", jit_compile=True)
    for length in (5, 67, 1061):
        x, holes = normal(2, length, 7), np.random.default_rng(0).random((2, length)) < 0.7
        assert np.isfinite(model.train_on_batch([x, holes], x))
        np.testing.assert_allclose(
            numpy(model.predict_on_batch([x, holes])), numpy(layer(x, mask=holes)), rtol=1e-3, atol=1e-4
        )


def test_it_starts_with_memories_of_1_to_1000_positions():
    layer = SelectiveStateSpace(num_heads=5)
    layer.build((None, None, 10))
    w = weights(layer)
    memories = 1.0 / (np.log1p(np.exp(w["step_bias"])) * np.exp(w["log_rate"]))
    np.testing.assert_allclose(memories[[0, -1]], [1000.0, 0.625], rtol=1e-3)


def test_both_ways_need_two_heads():
    with pytest.raises(ValueError, match="num_heads"):
        SelectiveStateSpace(num_heads=1, bidirectional=True)
