"""Heads side by side: projections that make them, and the way there and back."""

import keras
from keras import ops


def projection(layer, name, inputs, units):
    """A linear map of `inputs` columns to `units`, for a layer to keep; no bias: under a softmax the keys' is dead."""
    dense = keras.layers.Dense(units, use_bias=False, name=name, dtype=layer.dtype_policy)
    dense.build((None, None, inputs))
    return dense


def width(columns, heads):
    """d, how wide a head is: the columns divided by the heads, rounded up."""
    return -(-columns // heads)


def split(x, heads):
    """`(..., T, H d)` to `(..., H, T, d)`."""
    x = ops.reshape(x, (*ops.shape(x)[:-1], heads, x.shape[-1] // heads))
    return ops.swapaxes(x, -2, -3)


def join(x):
    """`(..., H, T, d)` to `(..., T, H d)`."""
    x = ops.swapaxes(x, -2, -3)
    return ops.reshape(x, (*ops.shape(x)[:-2], x.shape[-2] * x.shape[-1]))
