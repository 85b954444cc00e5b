"""Long and depthwise convolutions against loops over the positions."""

import math

import numpy as np
import pytest
from keras import ops

from keras_attn import DepthwiseConvolution, LongConvolution
from keras_attn.implicit.long_conv import GROUP, _circle, _convolve
from tests.keras_attn.implicit.test_mixes import normal, numpy


def weights_of(layer):
    return {w.path.split("/", 1)[1]: numpy(w).astype("float64") for w in layer.weights}


def gelu(x):
    return x * 0.5 * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))


def filter_at(layer, lag):
    w = weights_of(layer)
    turns = 2.0 * np.pi * np.arange(1, 9) * lag / layer.positions
    x = np.concatenate([[lag / layer.positions], np.cos(turns), np.sin(turns)])
    for name in ("features", "filter"):
        x = np.sin(10.0 * (x @ w[f"{name}/kernel"] + w[f"{name}/bias"]))
    alpha = np.exp(w["log_decay"])
    return np.sqrt(1.0 - np.exp(-2.0 * alpha)) * np.exp(-alpha * abs(lag)) * (x @ w["channels/kernel"])


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [1, 2, 7, 41])
def test_a_long_convolution_is_the_sum_over_all_positions(length, causal):
    layer, x = LongConvolution(units=3, positions=13), normal(2, length, 5)
    y = numpy(layer(x, use_causal_mask=causal))
    w = weights_of(layer)
    projected = np.pad(x @ w["input/kernel"], ((0, 0), (2, 0) if causal else (1, 1), (0, 0)))
    short = sum(projected[:, i : i + length] * w["short_kernel"][i] for i in range(3))
    q, k, v = np.split(short, 3, axis=-1)
    for t in range(length):
        seen = range(t + 1) if causal else range(length)
        mix = sum(filter_at(layer, t - s) * np.tanh(k[:, s]) * v[:, s] for s in seen)
        np.testing.assert_allclose(y[:, t], (np.tanh(q[:, t]) * mix) @ w["output/kernel"], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("width", [GROUP - 3, GROUP, GROUP + 1, 2 * GROUP + 5])
def test_channels_that_are_transformed_by_groups_are_each_their_own_sum(width, causal):
    x, length = normal(2, 7, width), 7
    table = np.random.default_rng(5).normal(size=(2 * length - 1, width)).astype("float32")

    def filter_of(lags):
        return ops.take(table, ops.clip(lags + length - 1, 0, 2 * length - 2), axis=0)

    expected = np.zeros_like(x)
    for t in range(length):
        for s in range(t + 1 if causal else length):
            expected[:, t] += table[t - s + length - 1] * x[:, s]
    np.testing.assert_allclose(numpy(_convolve(ops.convert_to_tensor(x), filter_of, causal)), expected, atol=2e-5)


def test_a_long_convolution_s_windows_reach_from_2_positions_to_as_many_as_are_asked_for():
    layer = LongConvolution(positions=313)
    layer.build((None, None, 7))
    np.testing.assert_allclose(np.exp(-numpy(layer.log_decay)[[0, -1]]), [2.0, 313.0], rtol=1e-4)


def test_the_circle_of_a_long_convolution_never_comes_round_and_has_quick_transforms():
    for length in range(1, 300):
        circle = _circle(length)
        assert 2 * length <= circle <= max(2, 2.8 * length) and circle % 2 == 0
        assert circle // math.gcd(circle, 2**20) in (1, 3, 5)


def test_a_long_convolution_refuses_more_steps_than_it_has_room_for():
    layer = LongConvolution()
    layer.build((None, None, 5))
    _, state = layer.prefill(normal(2, 3, 5), layer.initial_state(2, 3))
    with pytest.raises(ValueError, match="was made for 3 positions"):
        layer.step(normal(2, 5), state)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kernel_size, dilation", [(3, 1), (2, 3), (5, 2)])
def test_a_depthwise_convolution_is_a_sum_over_neighbours(kernel_size, dilation, causal):
    layer, x = DepthwiseConvolution(kernel_size, dilation), normal(2, 7, 5)
    y = numpy(layer(x, use_causal_mask=causal))
    w = weights_of(layer)
    hidden = gelu(x @ w["hidden/kernel"])
    first = kernel_size - 1 if causal else kernel_size // 2
    for t in range(7):
        places = [(i, t + (i - first) * dilation) for i in range(kernel_size)]
        mix = sum((hidden[:, s] * w["kernel"][i] for i, s in places if 0 <= s < 7), np.zeros((2, 10)))
        np.testing.assert_allclose(y[:, t], mix @ w["output/kernel"], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kernel_size, dilation", [(3, 1), (2, 2)])
def test_on_a_grid_it_is_a_sum_over_neighbours_in_rows_and_columns(kernel_size, dilation):
    layer, x = DepthwiseConvolution(kernel_size, dilation, grid=[3, 5]), normal(2, 15, 7)
    y = numpy(layer(x)).reshape(2, 3, 5, 7)
    w = weights_of(layer)
    hidden = gelu(x @ w["hidden/kernel"]).reshape(2, 3, 5, 14)
    offsets = [(i - kernel_size // 2) * dilation for i in range(kernel_size)]
    for row in range(3):
        for column in range(5):
            mix = np.zeros((2, 14))
            for i, down in enumerate(offsets):
                for j, right in enumerate(offsets):
                    if 0 <= row + down < 3 and 0 <= column + right < 5:
                        mix += hidden[:, row + down, column + right] * w["kernel"][i, j]
            np.testing.assert_allclose(y[:, row, column], mix @ w["output/kernel"], rtol=1e-3, atol=1e-5)


def test_a_depthwise_convolution_on_a_grid_knows_what_it_cannot():
    layer = DepthwiseConvolution(grid=[2, 3])
    assert layer.fixed_length and not layer.can_be_causal and not layer.can_step
    with pytest.raises(ValueError, match="2 rows and 3 columns has 6 positions"):
        layer.build((None, 7, 5))
    with pytest.raises(ValueError, match=r"\[H, W\]"):
        DepthwiseConvolution(grid=[2, 3, 5])
