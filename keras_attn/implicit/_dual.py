"""The recurrence `S_t = a_t S_{t-1} + k_t v_t'`, read as `y_t = S_t' q_t`, by products of matrices.

Heads have decays and values of their own and share keys and queries. Within chunks the pairs of positions are written
out as attention would; from chunk to chunk go the states, which are such sums again, over blocks of chunks. Decays are
given as logarithms, and each sum of them is added up over just the positions it is about: a difference of two long sums
has lost what the small terms said, a quotient of two products may be 0 / 0. All in float32.
"""

import numpy as np
from keras import ops

from keras_attn._slices import first, last, one_later

#: Positions in a chunk, and chunks in a block.
SIZE = 32
# Levels of blocks when the length is unknown, enough for 32 to the 4th positions, about a million.
UNKNOWN_LENGTH_LEVELS = 2
#: Its exponential is zero; that of infinity is too, but zero times infinity is not a number.
LEAST_LOG = -1e4


def read(queries, keys, values, log_decay):
    """What each position reads of itself and of those before it.

    Args:
        queries, keys: `(B, T, N)`.
        values: `(B, T, H, P)`.
        log_decay: log a, at most 0, `(B, T, H)`.

    Returns:
        `(B, T, H, P)`.
    """
    length = keys.shape[1]
    size = SIZE if length is None else min(SIZE, length)
    count = ops.shape(keys)[1]
    queries, keys, values, log_decay = (_pieces(x, 1, size) for x in (queries, keys, values, log_decay))
    # (B, chunks, N, size), and (B, chunks, H, size)
    keys, logs = ops.swapaxes(keys, 2, 3), ops.maximum(ops.swapaxes(log_decay, 2, 3), LEAST_LOG)
    left = _left(logs)
    scores = ops.matmul(queries, keys) * _lower(size)
    # Heads before positions, and back: (B, chunks, size, H, P)
    mix = ops.swapaxes(ops.matmul(scores[:, :, None] * left, ops.swapaxes(values, 2, 3)), 2, 3)
    if length is None or length > size:
        fresh = ops.matmul(keys, heads_joined(_positions_first(_left_at_end(logs)) * values))
        carried = ops.matmul(queries, _states_before(ops.sum(logs, axis=3), fresh))
        mix = mix + _positions_first(_left_of_all_before(logs)) * ops.reshape(carried, ops.shape(values))
    return _whole(mix, 1, count)


def read_on(queries, keys, values, log_decay, state):
    """The same from a state `(B, H, N, P)` on, and the state after the last position."""
    # (B, T, H): what is left of the state at each position, and at the end of what came in at each
    left = ops.exp(ops.cumsum(log_decay, axis=1))
    to_the_end = ops.flip(ops.pad(ops.cumsum(ops.flip(log_decay[:, 1:], 1), axis=1), ((0, 0), (1, 0), (0, 0))), 1)
    carried = ops.einsum("btn,bhnp->bthp", queries, state) * left[..., None]
    fresh = ops.einsum("btn,bthp->bhnp", keys, ops.exp(to_the_end)[..., None] * values)
    return read(queries, keys, values, log_decay) + carried, left[:, -1, :, None, None] * state + fresh


def _states_before(logs, fresh):
    """The state before each chunk `(B, chunks, N, H P)`, from each one's decay `(B, chunks, H)` and what it adds."""
    heads, (batch, count, states, units) = logs.shape[2], ops.shape(fresh)
    fresh = ops.reshape(fresh, (batch, count, states, heads, units // heads))
    fresh = ops.reshape(ops.transpose(fresh, (0, 3, 1, 2, 4)), (batch, heads, count, states * units // heads))
    after = _states(ops.swapaxes(logs, 1, 2), fresh, UNKNOWN_LENGTH_LEVELS)
    before = ops.reshape(one_later(after, 2), (batch, heads, count, states, units // heads))
    return heads_joined(ops.transpose(before, (0, 2, 3, 1, 4)))


def _states(logs, fresh, levels):
    """States after each step, from zeros: `(B, H, n, S)`, of decays `(B, H, n)` and what is new, `(B, H, n, S)`."""
    length, count = fresh.shape[2], ops.shape(fresh)[2]
    if length is not None and length <= SIZE:
        return ops.matmul(_left(logs) * _lower(length), fresh)
    if length is None and levels == 0:
        logs, fresh = (_pieces(x, 2, SIZE)[:, :, 0] for x in (logs, fresh))
        return ops.matmul(_left(logs) * _lower(SIZE), fresh)[:, :, :count]
    logs, fresh = (_pieces(x, 2, SIZE) for x in (logs, fresh))
    left = _left(logs)
    states = ops.matmul(left * _lower(SIZE), fresh)
    before = one_later(_states(ops.sum(logs, axis=3), last(states, 3), levels - 1), 2)
    return _whole(states + _left_of_all_before(logs)[..., None] * before[:, :, :, None], 2, count)


def _left(logs):
    """What is left at t of what came in at s, `Π_{s<r<=t} a_r`: from `(..., n)` to `(..., n, n)`.

    Above the diagonal, for later s, it is 1.
    """
    size = logs.shape[-1]
    place = np.arange(size)
    # Which steps r are between s, the last axis, and t.
    between = (place[:, None, None] > place) & (place[:, None, None] <= place[:, None])
    return ops.reshape(_product(logs, between.reshape(size, size * size)), (*ops.shape(logs), size))


def _left_at_end(logs):
    """What is left at the end of what came in at each step: `(..., n)`."""
    return ops.reshape(_product(logs, np.tri(logs.shape[-1], k=-1)), ops.shape(logs))


def _left_of_all_before(logs):
    """What is left at each step of the state before the first one: `(..., n)`."""
    return ops.reshape(_product(logs, np.tri(logs.shape[-1]).T), ops.shape(logs))


def _product(logs, steps):
    """Products of the decays at some steps, those that `steps` `(n, m)` are one for: `(-1, m)`, of logs `(..., n)`."""
    # All sums at once are one product of matrices.
    return ops.exp(ops.matmul(ops.reshape(logs, (-1, logs.shape[-1])), steps.astype("float32")))


def _lower(size):
    return ops.convert_to_tensor(np.tri(size, dtype="float32"))


def _positions_first(x):
    """`(B, chunks, H, size)` to `(B, chunks, size, H, 1)`."""
    return ops.swapaxes(x, 2, 3)[..., None]


def heads_joined(x):
    """`(..., H, P)` to `(..., H P)`."""
    return ops.reshape(x, (*ops.shape(x)[:-2], x.shape[-2] * x.shape[-1]))


def _pieces(x, axis, size):
    """`x` cut along `axis` in pieces of `size`, zeros behind the end."""
    shape = ops.shape(x)
    count = (shape[axis] + size - 1) // size
    if not (isinstance(x.shape[axis], int) and x.shape[axis] % size == 0):
        widths = [(0, size - 1 if at == axis else 0) for at in range(len(x.shape))]
        x = ops.pad(x, widths)[(slice(None),) * axis + (slice(None, count * size),)]
    return ops.reshape(x, (*shape[:axis], count, size, *shape[axis + 1 :]))


def _whole(x, axis, count):
    """Pieces, counted by `axis`, in a row again, as many positions as there were."""
    shape = ops.shape(x)
    x = ops.reshape(x, (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :]))
    return first(x, count, axis)
