import numpy as np
import pytest
from keras import ops

from keras_attn._scan import linear_scan
from tests.autodiff import gradient


def by_a_loop(decay, inputs):
    states = np.zeros_like(inputs, dtype="float64")
    state = np.zeros_like(inputs[:, 0], dtype="float64")
    for t in range(inputs.shape[1]):
        state = decay[:, t] * state + inputs[:, t]
        states[:, t] = state
    return states


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 256, 257, 1009])
def test_the_scan_equals_the_loop(length):
    rng = np.random.default_rng(0)
    decay, inputs = rng.random((2, length, 3)).astype("float32"), rng.normal(size=(2, length, 3)).astype("float32")
    np.testing.assert_allclose(
        ops.convert_to_numpy(linear_scan(ops.convert_to_tensor(decay), ops.convert_to_tensor(inputs))),
        by_a_loop(decay, inputs),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("decay", [0.0, 0.999, 1.0])
def test_decays_at_the_edges_are_as_good_as_any_at_length_4000(decay):
    inputs = np.random.default_rng(0).normal(size=(1, 4000, 2)).astype("float32")
    decays = np.full_like(inputs, decay)
    states = linear_scan(ops.convert_to_tensor(decays), ops.convert_to_tensor(inputs))
    np.testing.assert_allclose(ops.convert_to_numpy(states), by_a_loop(decays, inputs), rtol=1e-4, atol=1e-3)


def test_gradients_reach_back_through_blocks():
    inputs = np.random.default_rng(0).normal(size=(1, 37, 2)).astype("float32")
    decay = ops.full((1, 37, 2), 0.9)
    grad = gradient(lambda x: ops.sum(linear_scan(decay, x)[:, -1]), inputs)
    np.testing.assert_allclose(grad[0, :, 0], 0.9 ** np.arange(36, -1, -1), rtol=1e-4)
