"""Where a reader that only moves forward stands, given the probability `p[i, j]` that query i stops at position j.

The reader starts at position 0. For query i it goes on from where it stands, and at each position that it comes to it
stops with probability `p[i, j]`. So the probability that it gets to j is `q[i, j] = (1 - p[i, j-1]) q[i, j-1] +
a[i-1, j]`, and that it stops there is `a[i, j] = p[i, j] q[i, j]`. With every p at 0 or 1 this is the walk itself.

Raffel et al., 2017, https://arxiv.org/abs/1704.00784, eq. 13-14.
"""

import keras
from keras import ops

from keras_attn._scan import linear_scan


def probabilities(energies, allowed=None, hard=False):
    """The probabilities of stopping `(B, T, S)` from energies `(B, T, S)` and a boolean mask that broadcasts to them.

    What may not be looked at is passed over: p = 0. What lies behind the last position that may be looked at is not
    there yet, and the reader waits in front of it: p = 1. So under a causal mask a reader that found nothing goes on
    where the sequence goes on, and one that may look at nothing stays where it is. With `hard`, p is rounded.
    """
    p = ops.cast(energies > 0.0, "float32") if hard else ops.sigmoid(energies)
    if allowed is None:
        return p
    place = ops.arange(ops.shape(energies)[-1], dtype="int32")
    end = ops.max(ops.where(allowed, place + 1, 0), axis=-1, keepdims=True)
    return ops.where(allowed, p, ops.cast(place >= end, "float32"))


class Alignment(keras.layers.Layer):
    """The alignment `a` of shape `(B, T, S)` from the probabilities of stopping, `(B, T, S)`, in float32.

    Both neighbours that a cell depends on, (i - 1, j) and (i, j - 1), stand on the diagonal before its own. So this
    goes from diagonal to diagonal, T + S - 1 steps of products and sums: no division, nothing that could vanish.
    """

    def __init__(self, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        # The loop of a recurrent layer is the one that every backend compiles and differentiates at an unknown length.
        self.loop = keras.layers.RNN(_Diagonal(), return_sequences=True, dtype="float32", name="loop")

    def build(self, input_shape):
        self.loop.build(input_shape)

    def call(self, p):
        diagonals = _skew(p)
        return _unskew(self.loop(diagonals, initial_state=_start(diagonals)), ops.shape(p)[-1])


def next_alignment(p, previous):
    """The next row `(B, S)` of an alignment, from the probabilities of stopping and the row before, both `(B, S)`."""
    going_on = ops.pad(1.0 - p[:, :-1], ((0, 0), (1, 0)))
    # The recurrence runs along the middle axis, and everything else stands on the last.
    arriving = linear_scan(ops.transpose(going_on)[None], ops.transpose(previous)[None])[0]
    return p * ops.transpose(arriving)


class _Diagonal:
    """One diagonal, whose element i is the cell of query i. The states are what passes, (1 - p) q, and what stops."""

    state_size = (1, 1)
    compute_dtype = "float32"

    def call(self, p, states):
        passing, stopped = states
        q = passing + ops.concatenate([ops.zeros_like(stopped[:, :1]), stopped[:, :-1]], axis=1)
        return p * q, [(1.0 - p) * q, p * q]

    __call__ = call


def _start(diagonals):
    """The states before the first diagonal: all that there is comes to position 0 of query 0."""
    nothing = ops.zeros_like(diagonals[:, 0])
    first = ops.arange(ops.shape(diagonals)[-1]) == 0
    return [ops.where(first, 1.0, nothing), nothing]


def _skew(x):
    """`(B, T, S)` to its diagonals `(B, T + S - 1, T)`, with zeros outside."""
    queries, keys = ops.shape(x)[1], ops.shape(x)[2]
    # Rows one element longer than they are read as: each begins one later than the row before.
    flat = ops.reshape(ops.pad(x, ((0, 0), (0, 0), (0, queries))), (-1, queries * (keys + queries)))
    skewed = ops.reshape(flat[:, : queries * (keys + queries - 1)], (-1, queries, keys + queries - 1))
    return ops.swapaxes(skewed, 1, 2)


def _unskew(diagonals, keys):
    """`(B, T + S - 1, T)` back to `(B, T, S)`."""
    queries = ops.shape(diagonals)[2]
    flat = ops.reshape(ops.swapaxes(diagonals, 1, 2), (-1, queries * (keys + queries - 1)))
    rows = ops.reshape(ops.pad(flat, ((0, 0), (0, queries))), (-1, queries, keys + queries))
    return rows[:, :, :keys]
