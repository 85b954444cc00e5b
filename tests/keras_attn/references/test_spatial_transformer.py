"""Sampling and grids against those of torch, which has channels first."""

import numpy as np
import pytest
from keras import ops

from keras_attn.explicit.spatial_transformer import affine_grid, grid_sample
from tests.autodiff import gradient

torch = pytest.importorskip("torch")

B, H, W, C = 2, 7, 5, 3
ALIGN = pytest.mark.parametrize("align_corners", [False, True])


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def of_torch(images, grid, align_corners):
    images = torch.as_tensor(images).permute(0, 3, 1, 2)
    options = {"mode": "bilinear", "padding_mode": "zeros", "align_corners": align_corners}
    return torch.nn.functional.grid_sample(images, torch.as_tensor(grid), **options).permute(0, 2, 3, 1)


@ALIGN
@pytest.mark.filterwarnings("ignore:.*affine_grid behavior has changed.*")
@pytest.mark.parametrize("height, width", [(11, 13), (1, 2), (2, 1)])
def test_grids_equal_those_of_torch(align_corners, height, width):
    theta = normal(B, 2, 3)
    expected = torch.nn.functional.affine_grid(torch.tensor(theta), (B, C, height, width), align_corners)
    found = ops.convert_to_numpy(affine_grid(theta, height, width, align_corners))
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-6)


@ALIGN
def test_samples_equal_those_of_torch(align_corners):
    images, grid = normal(B, H, W, C), normal(B, 11, 13, 2, seed=1)
    found = ops.convert_to_numpy(grid_sample(images, grid, align_corners))
    np.testing.assert_allclose(found, of_torch(images, grid, align_corners).numpy(), rtol=1e-4, atol=1e-5)


@ALIGN
def test_gradients_equal_those_of_torch(align_corners):
    images, grid, weight = normal(B, H, W, C), normal(B, 11, 13, 2, seed=1), normal(B, 11, 13, C, seed=2)
    parts = [torch.tensor(x, requires_grad=True) for x in (images, grid)]
    (of_torch(*parts, align_corners) * torch.tensor(weight)).sum().backward()
    weight = ops.convert_to_tensor(weight)
    of_images = gradient(lambda x: ops.sum(grid_sample(x, grid, align_corners) * weight), images)
    of_grid = gradient(lambda x: ops.sum(grid_sample(images, x, align_corners) * weight), grid)
    np.testing.assert_allclose(of_images, parts[0].grad.numpy(), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(of_grid, parts[1].grad.numpy(), rtol=1e-3, atol=1e-4)
