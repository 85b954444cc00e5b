import math

import numpy as np
import pytest
from keras import ops

from keras_attn import GaussianGridRead, GaussianGridWrite
from keras_attn.explicit.draw import grid_filters

B, H, W, C, N, D = 2, 7, 11, 3, 5, 13


def numpy(x):
    return ops.convert_to_numpy(x)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def filters(numbers, height, width, size):
    """Eq. 19-26 for one example, counting pixels and filters from one as the paper does; F_Y, F_X and γ."""
    g_x, g_y, log_variance, log_stride, log_strength = (float(n) for n in numbers)
    centres = (height + 1) / 2 * (g_y + 1), (width + 1) / 2 * (g_x + 1)
    stride = (max(height, width) - 1) / (size - 1) * math.exp(log_stride) if size > 1 else 0.0
    banks = []
    for centre, length in zip(centres, (height, width)):
        bank = np.zeros((size, length))
        for i in range(1, size + 1):
            mean = centre + (i - size / 2 - 0.5) * stride
            for a in range(1, length + 1):
                bank[i - 1, a - 1] = math.exp(-((a - mean) ** 2) / (2 * math.exp(log_variance)))
        banks.append(bank / np.maximum(bank.sum(-1, keepdims=True), 1e-8))
    return (*banks, math.exp(log_strength))


@pytest.mark.parametrize("size", [1, 2, N])
def test_filters_follow_the_paper_s_equations(size):
    numbers = 0.5 * normal(B, 5)
    rows, columns, strength = (numpy(x) for x in grid_filters(numbers, H, W, size))
    assert rows.shape == (B, size, H) and columns.shape == (B, size, W)
    for b in range(B):
        f_y, f_x, gamma = filters(numbers[b], H, W, size)
        np.testing.assert_allclose(rows[b], f_y, rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(columns[b], f_x, rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(strength[b], gamma, rtol=1e-5)


def test_the_patch_that_is_read_follows_the_paper_s_equation():
    layer = GaussianGridRead(size=N)
    images, state = normal(B, H, W, C), normal(B, D, seed=1)
    patch = numpy(layer(images, state))
    kernel, bias = (numpy(w) for w in layer.weights)
    for b in range(B):
        f_y, f_x, gamma = filters(state[b] @ kernel + bias, H, W, N)
        for c in range(C):
            np.testing.assert_allclose(
                patch[b, :, :, c], gamma * f_y @ images[b, :, :, c] @ f_x.T, rtol=1e-3, atol=1e-5
            )


def test_the_image_that_is_written_follows_the_paper_s_equation():
    layer = GaussianGridWrite(height=H, width=W)
    patch, state = normal(B, N, N, C), normal(B, D, seed=1)
    image = numpy(layer(patch, state))
    kernel, bias = (numpy(w) for w in layer.weights)
    for b in range(B):
        f_y, f_x, gamma = filters(state[b] @ kernel + bias, H, W, N)
        for c in range(C):
            np.testing.assert_allclose(image[b, :, :, c], f_y.T @ patch[b, :, :, c] @ f_x / gamma, rtol=1e-3, atol=1e-5)


def test_zeros_lay_the_grid_over_the_whole_image_and_narrow_filters_read_it_as_it_is():
    images = normal(1, N, N, C)
    layer = GaussianGridRead(size=N)
    layer.build(images.shape, (1, 2))
    layer.parameters_dense.bias.assign([0.0, 0.0, -5.0, 0.0, 0.0])
    patch, (rows, columns) = layer(images, np.zeros((1, 2)), return_filters=True)
    np.testing.assert_allclose(numpy(patch), images, atol=1e-4)
    for bank in (rows, columns):
        np.testing.assert_allclose(numpy(bank)[0], np.eye(N), atol=1e-5)


def test_a_single_filter_reads_where_its_centre_is():
    images = normal(1, H, W, 1)
    layer = GaussianGridRead(size=1)
    layer.build(images.shape, (1, 2))
    # Column 9 of 11 and row 2 of 7, counted from one, at a strength of 3.
    layer.parameters_dense.bias.assign([9 * 2 / (W + 1) - 1, 2 * 2 / (H + 1) - 1, -5.0, 4.0, math.log(3.0)])
    np.testing.assert_allclose(numpy(layer(images, np.zeros((1, 2)))), 3.0 * images[:, 1:2, 8:9], rtol=1e-3)


def test_filters_far_outside_fade_to_nothing_without_numbers_that_are_not():
    numbers = np.array([[9.0, -9.0, -1.0, 0.0, 0.0], [1e30, 300.0, -300.0, 300.0, 300.0]], "float32")
    for part in grid_filters(numbers, H, W, N):
        assert np.isfinite(numpy(part)).all()
    rows, columns, _ = grid_filters(numbers, H, W, 1)
    assert np.all(numpy(rows)[0] == 0.0) and np.all(numpy(columns)[0] == 0.0)


def test_a_patch_that_is_not_square_is_refused():
    with pytest.raises(ValueError, match="must be square"):
        GaussianGridWrite(height=H, width=W)(normal(B, 5, 3, C), normal(B, D))
    with pytest.raises(ValueError, match="size"):
        GaussianGridRead(size=0)
