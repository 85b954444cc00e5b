"""Parts of arrays, and that nothing is lost where their gradients are joined."""

import numpy as np
import pytest
from keras import ops

from keras_attn import _slices
from keras_attn._scan import running_max
from tests.autodiff import gradient

X = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize("count", [1, 4, 5])
def test_the_first_along_an_axis_and_zeros_behind_them_in_the_gradient(count):
    np.testing.assert_array_equal(numpy(_slices.first(ops.convert_to_tensor(X), count, 1)), X[:, :count])
    slopes = gradient(lambda x: ops.sum(ops.square(_slices.first(x, count, -2))), X)
    np.testing.assert_allclose(slopes, np.where(np.arange(5)[:, None] < count, 2.0 * X, 0.0), rtol=1e-6)


def test_the_last_along_an_axis():
    for axis in range(3):
        np.testing.assert_array_equal(numpy(_slices.last(ops.convert_to_tensor(X), axis)), X.take(-1, axis))
        np.testing.assert_array_equal(numpy(_slices.last(ops.convert_to_tensor(X[:1, :1, :1]), axis)), X[0, :1, :1])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_later_moves_what_there_is_and_fills_what_there_was_not(axis):
    found = np.moveaxis(numpy(_slices.one_later(ops.convert_to_tensor(X), axis, fill=-7.0)), axis, 0)
    assert (found[0] == -7.0).all()
    np.testing.assert_array_equal(found[1:], np.moveaxis(X, axis, 0)[:-1])


@pytest.mark.parametrize("length", [1, 7, 16, 17, 263])
def test_the_running_maximum_is_that_of_each_prefix(length):
    x = np.random.default_rng(length).normal(size=(2, length, 3)).astype("float32") - 5.0
    np.testing.assert_array_equal(numpy(running_max(ops.convert_to_tensor(x))), np.maximum.accumulate(x, axis=1))
