"""Normalizers against slow, obvious versions of themselves, at their edges, and their gradients against differences."""

import numpy as np
import pytest
from keras import ops

from keras_attn import normalizers
from tests.autodiff import gradient


def by_bisection(scores, alpha):
    """α-entmax by searching its threshold: p = [(α-1) z - τ]_+^{1/(α-1)} in float64."""
    z = (alpha - 1.0) * scores.astype("float64")
    low, high = z.max(-1, keepdims=True) - 1.0, z.max(-1, keepdims=True)
    for _ in range(80):
        middle = (low + high) / 2.0
        total = (np.maximum(z - middle, 0.0) ** (1.0 / (alpha - 1.0))).sum(-1, keepdims=True)
        low, high = np.where(total >= 1.0, middle, low), np.where(total >= 1.0, high, middle)
    return np.maximum(z - low, 0.0) ** (1.0 / (alpha - 1.0))


def slow(name, scores):
    if name == "softmax":
        e = np.exp(scores.astype("float64") - scores.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)
    if name == "hard":
        return np.eye(scores.shape[-1])[scores.argmax(-1)]
    return by_bisection(scores, {"sparsemax": 2.0, "entmax15": 1.5}[name])


def weights(name, scores, mask=None):
    return ops.convert_to_numpy(normalizers.get(name)(ops.convert_to_tensor(scores), mask))


def random_scores(*shape, scale=1.0):
    return (scale * np.random.default_rng(0).normal(size=shape)).astype("float32")


every = pytest.mark.parametrize("name", normalizers.names())


@every
@pytest.mark.parametrize("scale", [1e-6, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("positions", [1, 2, 13, 1000])
def test_weights_equal_the_slow_ones(name, scale, positions):
    scores = random_scores(5, 3, positions, scale=scale)
    np.testing.assert_allclose(weights(name, scores), slow(name, scores), atol=2e-6)


@every
def test_a_shift_of_all_scores_changes_nothing(name):
    scores = random_scores(5, 13)
    np.testing.assert_allclose(weights(name, scores + 1e3), weights(name, scores), atol=1e-3)


@pytest.mark.parametrize("name", ["softmax", "sparsemax", "entmax15"])
def test_equal_scores_share_alike(name):
    np.testing.assert_allclose(weights(name, np.full((2, 7), 3.0, "float32")), 1.0 / 7.0, rtol=1e-6)


def test_hard_takes_the_first_of_equals():
    assert weights("hard", np.array([[1.0, 5.0, 5.0]], "float32")).tolist() == [[0.0, 1.0, 0.0]]


@every
def test_masked_positions_count_for_nothing(name):
    scores = random_scores(5, 13)
    mask = np.random.default_rng(1).random((5, 13)) < 0.5
    mask[:, 0] = True
    got = weights(name, np.where(mask, scores, 1e30).astype("float32"), ops.convert_to_tensor(mask))
    for row in range(5):
        np.testing.assert_allclose(got[row, mask[row]], slow(name, scores[row, mask[row]]), atol=1e-6)
    assert np.all(got[~mask] == 0.0)


@every
def test_a_row_with_nothing_allowed_is_zero_and_so_is_its_gradient(name):
    mask = ops.convert_to_tensor(np.array([[True, True, True], [False, False, False]]))
    scores = random_scores(2, 3)
    assert np.all(weights(name, scores, mask)[1] == 0.0)
    factors = random_scores(2, 3)
    grad = gradient(lambda z: ops.sum(normalizers.get(name)(z, mask) * ops.convert_to_tensor(factors)), scores)
    assert np.isfinite(grad).all() and np.all(grad[1] == 0.0)


@pytest.mark.parametrize("name", ["softmax", "sparsemax", "entmax15"])
def test_the_gradient_equals_finite_differences(name):
    scores = random_scores(2, 7, scale=0.7)
    factors = random_scores(2, 7).astype("float64")[::-1]
    grad = gradient(
        lambda z: ops.sum(normalizers.get(name)(z) * ops.convert_to_tensor(factors.astype("float32"))), scores
    )
    for index in np.ndindex(scores.shape):
        step = np.zeros_like(scores, dtype="float64")
        step[index] = 1e-4
        ahead, behind = (np.sum(slow(name, scores + sign * step) * factors) for sign in (1, -1))
        assert abs(grad[index] - (ahead - behind) / 2e-4) < 2e-4


def test_the_gradient_of_hard_is_that_of_softmax():
    scores, factors = random_scores(2, 7), random_scores(2, 7)[::-1].copy()
    hard, soft = (
        gradient(lambda z, f=f: ops.sum(f(z) * ops.convert_to_tensor(factors)), scores)
        for f in (normalizers.hard, normalizers.softmax)
    )
    np.testing.assert_allclose(hard, soft, rtol=1e-6)


@every
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_comes_back_as_half_precision_and_survives_infinities(name, dtype):
    scores = ops.cast(ops.array([[1.0, 2.0, 3.0], [float("inf"), 0.0, float("-inf")]]), dtype)
    got = normalizers.get(name)(scores)
    assert str(got.dtype).endswith(dtype) or dtype in repr(got.dtype)
    got = ops.convert_to_numpy(ops.cast(got, "float32"))
    np.testing.assert_allclose(got.sum(-1), 1.0, atol=1e-2)
    assert got[1, 0] == 1.0


def test_an_unknown_name_brings_near_ones():
    with pytest.raises(ValueError, match=r"Unknown normalizer 'sparse_max'. Did you mean 'sparsemax'"):
        normalizers.get("sparse_max")
