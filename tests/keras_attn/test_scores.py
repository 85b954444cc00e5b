import numpy as np
import pytest
from keras import ops

from keras_attn import scores
from tests.autodiff import gradient

RNG = np.random.default_rng(0)
QUERY, KEY = RNG.normal(size=(2, 3, 5)).astype("float32"), RNG.normal(size=(2, 7, 5)).astype("float32")


def by_loops(one):
    """Scores of every pair from the score of one pair."""
    return np.array([[[one(q, k) for k in keys] for q in queries] for queries, keys in zip(QUERY, KEY)])


def check(actual, one):
    np.testing.assert_allclose(ops.convert_to_numpy(actual), by_loops(one), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_row_of_zeros_has_no_direction_and_a_gradient_that_half_precision_holds(dtype):
    x = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 4.0], [1e-5, 0.0, 0.0]], "float32")

    def total(x):
        return ops.sum(ops.cast(scores.unit(ops.cast(x, dtype)), "float32") * ops.convert_to_tensor([1.0, 2.0, 3.0]))

    right = [[0, 0, 0], [0.6, 0, 0.8], [1e-5, 0, 0]]
    np.testing.assert_allclose(ops.convert_to_numpy(scores.unit(x)), right, atol=1e-6)
    found = gradient(total, x)
    np.testing.assert_allclose(found[0], [1.0, 2.0, 3.0], rtol=1e-2)
    assert np.isfinite(found).all() and np.abs(found).max() < 10


def test_dot_is_the_product():
    check(scores.dot(QUERY, KEY), lambda q, k: q @ k)


def test_scaled_dot_divides_by_the_root_of_the_width():
    check(scores.scaled_dot(ops.convert_to_tensor(QUERY), KEY), lambda q, k: q @ k / np.sqrt(5))


def test_general_puts_a_matrix_between():
    kernel = RNG.normal(size=(5, 5)).astype("float32")
    check(scores.general(QUERY, KEY, kernel), lambda q, k: q @ kernel @ k)


def test_cosine_ignores_lengths():
    one = lambda q, k: 4.0 * q @ k / np.linalg.norm(q) / np.linalg.norm(k)  # noqa: E731
    query, key = ops.convert_to_tensor(QUERY), ops.convert_to_tensor(KEY)
    check(scores.cosine(query, key, 4.0), one)
    check(scores.cosine(query * 100.0, key * 0.01, 4.0), one)


def test_additive_is_a_small_network():
    scale = RNG.normal(size=5).astype("float32")
    check(scores.additive(QUERY, KEY, scale), lambda q, k: scale @ np.tanh(q + k))
    check(scores.additive(QUERY, KEY), lambda q, k: np.tanh(q + k).sum())
