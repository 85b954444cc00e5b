import functools

import numpy as np
from keras import ops

from keras_attn._autodiff import pullback
from keras_attn.inspection._entrance import at_once, chosen, entrance, tiled
from keras_attn.lookup import choose

REDUCTIONS = ("norm", "sum")


def sensitivity(model, inputs, output=None, reduce="norm", at=None, **options):
    """How strongly each position of a model's output depends on each of its input: the Jacobian, place by place.

    `J[t, s] = ∂y_t / ∂x_s` is a matrix `(Do, Di)` for each pair of positions, of which its norm or its sum is shown. It
    is exact, and needs no attention in the model. A unit that saturates has a derivative near zero: that a map is dark
    does not prove that a position plays no part.

    The rows of the Jacobian are pulled back a few at a time, as copies of the batch with a row each, so that all that
    the model must be able to do is a backward pass.

    Args:
        model: a built Keras model or layer of whose rows none depends on another.
        inputs: what it is called with. A floating-point array `(B, S, Di)` is x itself; for whole numbers, or several
            inputs, x is what the model's embedding makes of them.
        output: what of the output counts: None for all, a channel's number, or a function of the output.
        reduce: "norm" for `sqrt(Σ J²)` over both widths, "sum" for their signed sum, None for the Jacobian itself.
        at: name or path of the layer whose output is x; None for the model's only `keras.layers.Embedding`, where there
            is need of one.
        **options: further arguments of the call; `training=False` unless given.

    Returns:
        An array `(B, T, S)`, or `(B, S)` for an output without positions, `(B, Do)`. With `reduce=None`
        `(B, T, Do, S, Di)` or `(B, Do, S, Di)`.

    Raises:
        ValueError: if x cannot be told, or has not one vector for each position.

    Example:
    >>> layer = keras.layers.Conv1D(5, kernel_size=3, padding="causal")
    >>> layer.build((None, 4, 2))
    >>> (sensitivity(layer, np.ones((1, 4, 2), "float32")) > 0.0).astype(int)[0].tolist()
    [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1]]

    Reference: Graves et al., 2013, https://arxiv.org/abs/1308.0850, and "Attention and Memory in Deep Learning" (the
    sequential Jacobian).
    """
    if reduce is not None:
        choose("reduce", reduce, REDUCTIONS)
    x, run = entrance(model, inputs, at, {"training": False, **options})
    shape = tuple(chosen(run(x, 1), output).shape)
    found = _rows(x, lambda x, copies: chosen(run(x, copies), output), shape, functools.partial(_reduced, how=reduce))
    if reduce is None:
        return found.reshape(*shape, *x.shape[1:])
    # (B, lead..., Do, S) -> (B, lead..., S)
    found = found.reshape(*shape, x.shape[1])
    return np.sqrt(found.sum(axis=-2)) if reduce == "norm" else found.sum(axis=-2)


def _rows(x, function, shape, reduced):
    """Of each output number the gradient by `x`, reduced: `(B, numbers, ...)`; `function(x, copies)` is of `shape`."""
    batch, count = shape[0], int(np.prod(shape[1:]))
    copies = at_once(count, x, batch * count)
    many = ops.convert_to_tensor(tiled(x, copies))
    pull, found = pullback(lambda x: ops.reshape(function(x, copies), (copies * batch, count))), []
    for first in range(0, count, copies):
        # Copy i asks for number first + i; behind the last one copies ask for nothing.
        asked = np.eye(copies, count, k=first, dtype=x.dtype)
        slopes = pull(many, ops.convert_to_tensor(np.repeat(asked, batch, axis=0)))
        found.append(reduced(ops.convert_to_numpy(slopes).reshape(copies, *x.shape)))
    return np.moveaxis(np.concatenate(found)[:count], 0, 1)


def _reduced(slopes, how):
    if how is None:
        return slopes
    return np.square(slopes).sum(axis=-1) if how == "norm" else slopes.sum(axis=-1)
