import math

import numpy as np
import pytest
from keras import ops

from keras_attn import SpatialTransformer
from keras_attn.explicit.spatial_transformer import affine_grid, grid_sample

B, H, W, C = 2, 7, 5, 3


def numpy(x):
    return ops.convert_to_numpy(x)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def place(coordinate, size, align_corners):
    """Where a coordinate from -1 to 1 is along an axis of pixels."""
    return (coordinate + 1) / 2 * (size - 1) if align_corners else ((coordinate + 1) * size - 1) / 2


def interpolate(image, x, y):
    """Eq. 5 of the paper: every pixel of the image has its say, zero if it is a pixel or more away."""
    seen = np.zeros(image.shape[-1])
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            seen += image[row, column] * max(0, 1 - abs(x - column)) * max(0, 1 - abs(y - row))
    return seen


@pytest.mark.parametrize("align_corners", [False, True])
def test_sampling_follows_the_paper_s_equation(align_corners):
    images, grid = normal(B, H, W, C), 0.8 * normal(B, 4, 11, 2, seed=1)
    found = numpy(grid_sample(images, grid, align_corners))
    for b, i, j in np.ndindex(B, 4, 11):
        x, y = (place(grid[b, i, j, axis], size, align_corners) for axis, size in ((0, W), (1, H)))
        np.testing.assert_allclose(found[b, i, j], interpolate(images[b], x, y), rtol=1e-3, atol=1e-5)


def test_far_outside_there_is_nothing_and_numbers_stay_finite():
    grid = np.array([[[1e30, 0.0], [0.0, -1e30], [3.0, 3.0], [-1e9, 1e9]]] * B, "float32")
    assert np.all(numpy(grid_sample(normal(B, H, W, C), grid)) == 0.0)


def test_whole_numbers_are_images_too():
    images = np.arange(B * H * W).reshape(B, H, W, 1).astype("uint8")
    grid = affine_grid(np.array([[[1, 0, 0], [0, 1, 0]]] * B, "float32"), H, W)
    np.testing.assert_allclose(numpy(grid_sample(ops.convert_to_tensor(images), grid)), images, atol=1e-3)


@pytest.mark.parametrize("align_corners", [False, True])
def test_a_turn_and_a_shift_of_the_grid_by_hand(align_corners):
    # A quarter turn, and half the height down.
    theta = np.array([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.5]]], "float32")
    grid = numpy(affine_grid(theta, 3, 2, align_corners))
    across, down = ([-1, 1], [-1, 0, 1]) if align_corners else ([-0.5, 0.5], [-2 / 3, 0, 2 / 3])
    for i, j in np.ndindex(3, 2):
        np.testing.assert_allclose(grid[0, i, j], [-down[i], across[j] + 0.5], atol=1e-6)


@pytest.mark.parametrize("align_corners", [False, True])
def test_at_first_it_changes_nothing(align_corners):
    images = normal(B, H, W, C)
    layer = SpatialTransformer(align_corners=align_corners)
    seen, theta = layer(images, 10.0 * normal(B, 11), return_theta=True)
    np.testing.assert_allclose(numpy(seen), images, atol=1e-5)
    np.testing.assert_allclose(numpy(theta), [np.eye(2, 3)] * B)


def test_a_frame_shifted_by_whole_pixels_sees_them_shifted():
    images = normal(B, H, W, C)
    layer = SpatialTransformer()
    layer.build(images.shape, (B, 2))
    # Two pixels to the right and one up: x is along the width.
    layer.theta_dense.bias.assign([1.0, 0.0, 2 * 2 / W, 0.0, 1.0, -1 * 2 / H])
    seen = numpy(layer(images, np.zeros((B, 2))))
    np.testing.assert_allclose(seen[:, 1:, :-2], images[:, :-1, 2:], atol=1e-5)
    np.testing.assert_allclose(seen[:, :1], 0.0, atol=1e-5)
    np.testing.assert_allclose(seen[:, :, -2:], 0.0, atol=1e-5)


def test_the_output_may_have_another_size():
    image = np.broadcast_to(np.linspace(0.0, 1.0, 9)[:, None, None], (1, 9, 4, 1))
    seen = SpatialTransformer(output_size=(5, 2), align_corners=True)(image, np.zeros((1, 3)))
    np.testing.assert_allclose(numpy(seen)[0, :, 1, 0], np.linspace(0.0, 1.0, 5), atol=1e-6)


@pytest.mark.parametrize("size", [7, (7,), (7, 0), (7, 2.5)], ids=str)
def test_a_wrong_size_is_refused(size):
    with pytest.raises(ValueError, match="output_size"):
        SpatialTransformer(output_size=size)


def test_a_single_pixel_stands_in_the_middle():
    theta = np.array([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]], "float32")
    for align_corners in (False, True):
        assert np.all(numpy(affine_grid(theta, 1, 1, align_corners)) == 0.0)
    assert math.isclose(numpy(affine_grid(theta, 1, 2, True))[0, 0, 1, 0], 1.0)
