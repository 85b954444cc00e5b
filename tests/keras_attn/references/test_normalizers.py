"""Sparse normalizers against the package of those who invented them."""

import numpy as np
import pytest
from keras import ops

from keras_attn import normalizers
from tests.autodiff import gradient

entmax = pytest.importorskip("entmax")

THEIRS = {
    "sparsemax": entmax.sparsemax,
    "entmax15": entmax.entmax15,
    1.2: lambda z: entmax.entmax_bisect(z, alpha=1.2),
    1.5: lambda z: entmax.entmax_bisect(z, alpha=1.5),
    1.8: lambda z: entmax.entmax_bisect(z, alpha=1.8),
}


def ours(key):
    return normalizers.get(key if isinstance(key, str) else {"normalizer": "entmax", "alpha": key})


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize("key", THEIRS)
@pytest.mark.parametrize("positions", [13, 1009])
def test_weights_and_gradients_equal_theirs(key, positions):
    import torch

    scale = np.array([1e-3, 1.0, 30.0], "float32")[:, None]
    scores, factors = scale * random(5, 3, positions), random(5, 3, positions, seed=1)
    # In float64: they do not move the largest score to zero, which costs digits.
    z = torch.tensor(scores.astype("float64"), requires_grad=True)
    expected = THEIRS[key](z)
    (expected * torch.tensor(factors)).sum().backward()
    got = ops.convert_to_numpy(ours(key)(ops.convert_to_tensor(scores)))
    np.testing.assert_allclose(got, expected.detach().numpy(), atol=2e-6)
    grad = gradient(lambda x: ops.sum(ours(key)(x) * ops.convert_to_tensor(factors)), scores)
    np.testing.assert_allclose(grad, z.grad.numpy(), atol=2e-4)


@pytest.mark.parametrize("alpha", [1.1, 1.4, 1.9])
def test_the_gradient_with_respect_to_alpha_equals_theirs(alpha):
    import torch

    scores, factors = random(5, 3, 13), random(5, 3, 13, seed=1)
    theirs = torch.tensor(alpha, dtype=torch.float64, requires_grad=True)
    (entmax.entmax_bisect(torch.tensor(scores.astype("float64")), theirs) * torch.tensor(factors)).sum().backward()
    z, f = ops.convert_to_tensor(scores), ops.convert_to_tensor(factors)
    mine = gradient(lambda a: ops.sum(normalizers.entmax(z, alpha=a) * f), np.float32(alpha))
    np.testing.assert_allclose(mine, theirs.grad.numpy(), rtol=1e-3, atol=1e-4)
