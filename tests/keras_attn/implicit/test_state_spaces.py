"""State spaces against loops over the positions, in complex numbers and float64."""

import numpy as np
import pytest
from keras import ops

from keras_attn import S4D, S5
from keras_attn.implicit import _diagonal, s4d
from tests.autodiff import gradient
from tests.keras_attn.implicit.test_convolutions import gelu, weights_of
from tests.keras_attn.implicit.test_mixes import normal, numpy, sigmoid


def randomised(layer, width):
    layer.build((None, None, width))
    rng = np.random.default_rng(1)
    layer.set_weights([(0.4 * rng.normal(size=w.shape)).astype(w.dtype) for w in layer.get_weights()])
    return weights_of(layer)


def sampled(w, step):
    """λ, and the decay and the gain of a step of length Δ."""
    rate = -np.exp(w["log_rate"]) + 1j * w["frequency"]
    decay = np.exp(step * rate)
    return decay, (decay - 1.0) / rate


def by_s4d_s_loop(layer, w, x):
    decay, gain = sampled(w, np.exp(w["log_step"])[:, None])
    readout = w["readout"][0] + 1j * w["readout"][1]
    state, mix = np.zeros((x.shape[0], *decay.shape), dtype="complex128"), []
    for t in range(x.shape[1]):
        state = decay * state + gain * x[:, t, :, None]
        # The other one of each pair is the conjugate.
        mix.append((readout * state + (readout * state).conj()).sum(-1).real)
    return gelu(np.stack(mix, axis=1) + w["skip"] * x) @ w["output/kernel"]


def by_s5_s_loop(layer, w, x):
    decay, gain = sampled(w, np.exp(w["log_step"]))
    drive, readout = (w[name][0] + 1j * w[name][1] for name in ("drive", "readout"))
    state, mix = np.zeros((x.shape[0], len(decay)), dtype="complex128"), []
    for t in range(x.shape[1]):
        state = decay * state + gain * (x[:, t] @ drive.T)
        mix.append(2.0 * (state @ readout).real)
    g = gelu(np.stack(mix, axis=1) + w["skip"] * x)
    return g * sigmoid(g @ w["gate/kernel"])


BY_A_LOOP = [(S4D, by_s4d_s_loop), (S5, by_s5_s_loop)]


@pytest.mark.parametrize("length", [1, 2, 37, 149, 293])
@pytest.mark.parametrize("mixer_class, loop", BY_A_LOOP)
def test_a_state_space_is_the_recurrence_of_its_sampled_system(mixer_class, loop, length):
    layer, x = mixer_class(states=6), normal(2, length, 5)
    w = randomised(layer, 5)
    np.testing.assert_allclose(numpy(layer(x)), loop(layer, w, x), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("mixer_class, loop", BY_A_LOOP)
def test_as_it_starts_it_equals_its_loop_over_4000_positions(mixer_class, loop):
    layer, x = mixer_class(), normal(1, 4001, 3)
    layer.build(x.shape)
    expected = loop(layer, weights_of(layer), x)
    np.testing.assert_allclose(numpy(layer(x)), expected, atol=2e-4 * np.abs(expected).max())


def test_both_ways_half_of_the_channels_of_s4d_run_backward():
    x = normal(2, 149, 5)
    onward, both = S4D(states=6), S4D(states=6, bidirectional=True)
    randomised(onward, 5)
    both.build(x.shape)
    for layer in (onward, both):
        layer.set_weights(onward.get_weights())
        layer.output_dense.kernel.assign(np.eye(5))
    y = numpy(both(x))
    np.testing.assert_allclose(y[..., :3], numpy(onward(x))[..., :3], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(y[..., 3:], numpy(onward(x[:, ::-1]))[:, ::-1, 3:], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("way", [1, -1])
def test_both_ways_half_of_the_states_of_s5_run_backward(way):
    x = normal(2, 149, 5)
    onward, both = S5(states=10), S5(states=10, bidirectional=True)
    both.build(x.shape)
    w = randomised(onward, 5)
    # Those that run the other way are not read.
    w["readout"][:, slice(3, None) if way == 1 else slice(0, 3)] = 0.0
    onward.readout.assign(w["readout"])
    both.set_weights(onward.get_weights())
    np.testing.assert_allclose(numpy(both(x)), numpy(onward(x[:, ::way]))[:, ::way], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("mixer_class", [S4D, S5])
def test_gradients_reach_back_through_blocks(mixer_class):
    layer, x = mixer_class(states=4), normal(1, 293, 3)
    layer.build(x.shape)
    slopes = gradient(lambda x: ops.sum(layer(x)[:, -1]), x)
    nudged = np.where(np.arange(293)[:, None] == 7, 0.05, 0.0) * normal(1, 293, 3, seed=1)
    ahead, behind = (float(ops.sum(layer((x + way * nudged).astype("float32"))[:, -1])) for way in (1.0, -1.0))
    np.testing.assert_allclose((slopes * nudged).sum(), 0.5 * (ahead - behind), rtol=0.05)
    assert abs(ahead - behind) > 1e-5


@pytest.mark.parametrize("mixer_class", [S4D, S5])
@pytest.mark.parametrize("log_step", [-30.0, 30.0])
def test_steps_without_bounds_leave_numbers_and_gradients_finite(mixer_class, log_step):
    layer, x = mixer_class(states=4), normal(1, 149, 3)
    layer.build(x.shape)
    layer.log_step.assign(np.full(layer.log_step.shape, log_step))
    assert np.isfinite(numpy(layer(x))).all()
    assert np.isfinite(gradient(lambda x: ops.sum(ops.square(layer(x))), x)).all()


@pytest.mark.parametrize("length", [1, 31, 32, 33, 1061])
def test_the_scan_of_complex_numbers_equals_the_loop(length):
    rng = np.random.default_rng(0)
    pole = -np.array([0.0, 1e-3, 0.7, 200.0]) + 1j * np.array([0.0, 2.0, -0.3, 1.0])
    inputs = rng.normal(size=(4, 2, length)) + 1j * rng.normal(size=(4, 2, length))
    state, states = np.zeros((4, 2), dtype="complex128"), []
    for t in range(length):
        state = np.exp(pole)[:, None] * state + inputs[..., t]
        states.append(state)
    pairs = (tuple(ops.convert_to_tensor(part, dtype="float32") for part in (x.real, x.imag)) for x in (pole, inputs))
    real, imaginary = _diagonal.scan(*pairs)
    np.testing.assert_allclose(numpy(real) + 1j * numpy(imaginary), np.stack(states, axis=-1), rtol=1e-3, atol=2e-3)


def test_what_a_step_adds_keeps_its_digits_where_the_step_is_short():
    rate, frequency, step = 0.5, 3.0, 1e-4
    pole = -rate + 1j * frequency
    found = _diagonal.held(
        *(ops.convert_to_tensor(x, dtype="float32") for x in (np.log(rate), frequency, np.log(step)))
    )
    exact = (np.exp(step * pole) - 1.0) / pole
    np.testing.assert_allclose([float(part) for part in found], [exact.real, exact.imag], rtol=1e-4)


def test_at_first_the_frequencies_are_the_papers():
    n = np.arange(3)
    for name, expected in (("linear", np.pi * n), ("inverse", 6.0 / np.pi * (6.0 / (2 * n + 1) - 1.0))):
        layer = S4D(states=6, frequencies=name)
        layer.build((None, None, 2))
        np.testing.assert_allclose(numpy(layer.frequency), np.tile(expected, (2, 1)), rtol=1e-5)
        np.testing.assert_allclose(np.exp(numpy(layer.log_rate)), 0.5, rtol=1e-5)
    # HiPPO-LegS's own matrix, A = normal - p p' with p_n = sqrt(n + 1/2)
    n = np.arange(6)
    hippo = -np.tril(np.sqrt(np.outer(2 * n + 1, 2 * n + 1)), -1) - np.diag(n + 1.0)
    values = np.linalg.eigvals(hippo + np.sqrt(np.outer(n + 0.5, n + 0.5)))
    layer = S5(states=6)
    layer.build((None, None, 2))
    np.testing.assert_allclose(values.real, -0.5, atol=1e-6)
    np.testing.assert_allclose(numpy(layer.frequency), np.sort(values.imag)[3:], rtol=1e-4)


def test_a_toeplitz_matrix_has_the_kernel_in_its_columns():
    matrix = numpy(s4d._toeplitz(ops.convert_to_tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])))
    assert matrix[0].tolist() == [[1.0, 2.0, 3.0], [0.0, 1.0, 2.0], [0.0, 0.0, 1.0]]
    assert matrix[1].tolist() == [[4.0, 5.0, 6.0], [0.0, 4.0, 5.0], [0.0, 0.0, 4.0]]
