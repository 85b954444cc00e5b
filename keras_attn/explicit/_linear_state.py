"""Reading from a state that grows by one product at a time, all positions at once, in time and memory linear in T.

    S_t = A_t S_{t-1} + k_t v_t'        o_t = q_t' S_t

`A_t` is a number or one number for each channel of the keys (`read`), or for the delta rule a matrix (`read_delta`).
Positions are cut into chunks. Within a chunk everything is products of matrices; from chunk to chunk goes the state,
found for all chunks by doubling. Decays are given as logarithms, and each sum of them is added up over just the
positions it is about: a difference of two long sums has lost what the small terms said, a quotient of two products may
be 0 / 0. All in float32; shapes are `(B, H, T, d)`, or `(B, H, chunks, CHUNK, d)`.
"""

from keras import ops

CHUNK = 32
# The matrices between the delta rule's chunks cost d cubed each: fewer of them.
DELTA_CHUNK = 64
# Chunks that one round of doubling takes.
BLOCK = 16
# Rounds when the length is unknown, one in another: enough for 16 to the 3rd chunks, 131072 positions.
UNKNOWN_LENGTH_ROUNDS = 2


def read(queries, keys, values, log_decay, memory=None):
    """What each query reads of its own and earlier positions, and the state after the last.

    Args:
        queries, keys: `(B, H, T, d)`.
        values: `(B, H, T, e)`; B and H may be 1.
        log_decay: log A_t, at most 0, `(B, H, T, 1)` or `(B, H, T, d)`; B and H may be 1.
        memory: the state before the first position; None for zeros.

    Returns:
        `(B, H, T, e)` and `(B, H, d, e)`.
    """
    if keys.shape[2] == 1 and memory is not None:
        memory = ops.swapaxes(ops.exp(log_decay), -1, -2) * memory + _product(keys, values)
        return ops.matmul(queries, memory), memory
    length, size = ops.shape(keys)[2], _chunk_size(keys.shape[2], CHUNK)
    queries, keys, values, log_decay = (_chunks(x, size) for x in (queries, keys, values, log_decay))
    # From the start of the chunk to t, and from s to its end.
    decay, until_end = ops.exp(ops.cumsum(log_decay, axis=-2)), ops.exp(_sum_after(log_decay))
    fresh = _product(keys * until_end, values)
    # (..., 1, d) -> (..., d, 1): one for each row of the state
    before, memory = _states_before(ops.swapaxes(decay[..., -1:, :], -1, -2), fresh, ops.multiply, memory)
    mix = _within(queries, keys, values, log_decay) + ops.matmul(queries * decay, before)
    return _joined(mix, length), memory


def read_delta(queries, keys, values, beta, log_decay, memory=None):
    """`read` where what a key already reads is taken off before its value is added.

    S_t = α_t S_{t-1} + k_t u_t' with u_t = β_t (v_t - α_t S_{t-1}' k_t). Within a chunk the u of all positions are the
    solution of a triangular system, linear in the values and in the state before the chunk: u = X - Y S.

    Args:
        queries, keys: `(B, H, T, d)`, keys of length at most 1.
        values: `(B, H, T, e)`.
        beta: `(B, H, T, 1)`, in [0, 1].
        log_decay: log α_t, at most 0, `(B, H, T, 1)`.
        memory: the state before the first position; None for zeros.

    Returns:
        `(B, H, T, e)` and the state after the last position `(B, H, d, e)`.
    """
    if keys.shape[2] == 1 and memory is not None:
        memory = ops.exp(log_decay) * memory
        memory = memory + _product(keys, beta * (values - ops.matmul(keys, memory)))
        return ops.matmul(queries, memory), memory
    length, size = ops.shape(keys)[2], _chunk_size(keys.shape[2], DELTA_CHUNK)
    width = values.shape[-1]
    queries, keys, values, beta, log_decay = (_chunks(x, size) for x in (queries, keys, values, beta, log_decay))
    decay, until_end = ops.exp(ops.cumsum(log_decay, axis=-2)), ops.exp(_sum_after(log_decay))
    between = decays(log_decay)
    solved = solve_delta(keys, beta, between, ops.concatenate([beta * values, beta * decay * keys], axis=-1))
    x, y = solved[..., :width], solved[..., width:]
    late_keys = keys * until_end
    carry = decay[..., -1:, :] * ops.eye(keys.shape[-1], dtype="float32") - _product(late_keys, y)
    before, memory = _states_before(carry, _product(late_keys, x), ops.matmul, memory)
    reads = _scores(queries, keys) * between
    mix = ops.matmul(reads, x) + ops.matmul(queries * decay - ops.matmul(reads, y), before)
    return _joined(mix, length), memory


def solve_delta(keys, beta, between, right):
    """U of `U + tril(β K K' ⊙ between, -1) U = right`, along the last but one axis."""
    overlap = _lower(beta * _scores(keys, keys) * between, strict=True)
    return ops.solve_triangular(_unit_diagonal(overlap), right, lower=True)


def decays(log_decay):
    """What is left at t of what came in at s, `Π_{s<r<=t} A_r`, 0 for later s: from `(..., T, 1)` to `(..., T, T)`."""
    shape = ops.shape(log_decay)
    steps = _lower(ops.broadcast_to(log_decay, (*shape[:-1], shape[-2])), strict=True)
    return _lower(ops.exp(ops.cumsum(steps, axis=-2)))


def last(x, count, axis=2):
    """The last `count` positions of `x`, with zeros in front where it has fewer."""
    if isinstance(count, int) and count == x.shape[axis]:
        return x
    length = ops.shape(x)[axis]
    widths = [(0, 0)] * len(x.shape)
    widths[axis] = (count, 0)
    return ops.pad(x, widths)[(slice(None),) * axis + (slice(length, None),)]


def _within(queries, keys, values, log_decay):
    """What the queries of a chunk read of the same chunk."""
    if log_decay.shape[-1] == 1:
        return ops.matmul(_scores(queries, keys) * decays(log_decay), values)
    if queries.shape[-2] == 1:
        return ops.sum(queries * keys, axis=-1, keepdims=True) * values
    # A decay for each channel does not factor out of the score. But from the early half of a chunk to the late half all
    # decay up to the border, then from the border: two factors, both at most 1. What is left is inside the halves.
    # (B, H, chunks, size, d) -> (B, H, 2 chunks, size / 2, d)
    inside = _within(*(_halved(x) for x in (queries, keys, values, log_decay)))
    late_queries = _late(queries) * ops.exp(ops.cumsum(_late(log_decay), axis=-2))
    early_keys = _early(keys) * ops.exp(_sum_after(_early(log_decay)))
    across = ops.matmul(_scores(late_queries, early_keys), _early(values))
    # Back to (B, H, chunks, size, e)
    inside = ops.reshape(inside, (*ops.shape(across)[:2], -1, queries.shape[-2], ops.shape(values)[-1]))
    return ops.concatenate([_early(inside), _late(inside) + across], axis=-2)


def _halved(x):
    shape = ops.shape(x)
    return ops.reshape(x, (*shape[:2], -1, x.shape[-2] // 2, shape[-1]))


def _early(x):
    return x[..., : x.shape[-2] // 2, :]


def _late(x):
    return x[..., x.shape[-2] // 2 :, :]


def _scores(queries, keys):
    return ops.matmul(queries, ops.swapaxes(keys, -1, -2))


def _product(keys, values):
    """`Σ_s k_s v_s'`: from `(..., T, d)` and `(..., T, e)` to `(..., d, e)`."""
    return ops.matmul(ops.swapaxes(keys, -1, -2), values)


def _sum_after(x):
    """Sums over the later positions along the last but one axis."""
    later = ops.pad(x[..., 1:, :], [(0, 0)] * (len(x.shape) - 2) + [(0, 1), (0, 0)])
    return ops.flip(ops.cumsum(ops.flip(later, -2), axis=-2), -2)


def _places(x):
    """The numbers of the rows, as a column, and of the columns, as a row, of square matrices."""
    number = ops.arange(ops.shape(x)[-1])
    return number[:, None], number[None, :]


def _lower(x, strict=False):
    """Square matrices with zeros above the diagonal, if strict in it too."""
    row, column = _places(x)
    return ops.where(row > column if strict else row >= column, x, 0.0)


def _unit_diagonal(x):
    row, column = _places(x)
    return ops.where(row == column, 1.0, x)


def _chunk_size(length, largest):
    """`largest`, or the next power of two if that is enough."""
    return largest if length is None else min(largest, 1 << (length - 1).bit_length())


def _chunks(x, size):
    """`(B, H, T, d)` to `(B, H, chunks, size, d)`, with zeros behind the end: they change nothing before it."""
    padded = ops.pad(x, ((0, 0), (0, 0), (0, size - 1), (0, 0)))
    shape = ops.shape(x)
    chunks = (shape[2] + size - 1) // size
    return ops.reshape(padded[:, :, : chunks * size], (*shape[:2], chunks, size, shape[3]))


def _joined(x, length):
    """`(B, H, chunks, size, e)` to `(B, H, length, e)`."""
    shape = ops.shape(x)
    return ops.reshape(x, (*shape[:2], -1, shape[4]))[:, :, :length]


def _states_before(carry, fresh, apply, memory):
    """The state before each chunk, `S_{c+1} = apply(carry_c, S_c) + fresh_c` from S_0 = memory, and after the last."""
    # (B, H, 1, d, e)
    memory = ops.zeros_like(fresh[:, :, :1]) if memory is None else memory[:, :, None]
    first = fresh[:, :, :1] + apply(carry[:, :, :1], memory)
    states = _states(carry, ops.concatenate([first, fresh[:, :, 1:]], axis=2), apply, UNKNOWN_LENGTH_ROUNDS)
    return ops.concatenate([memory, states[:, :, :-1]], axis=2), states[:, :, -1]


def _states(carry, fresh, apply, rounds):
    """The state after each chunk, from zeros."""
    count = fresh.shape[2]
    if count is not None and count <= BLOCK:
        return _doubling(carry, fresh, apply)[1]
    if count is None and rounds == 0:
        # One block: (B, H, 1, BLOCK, d, e), of which the first chunks are real.
        return _doubling(*(_blocks(x, 1)[:, :, 0] for x in (carry, fresh)), apply)[1][:, :, : ops.shape(fresh)[2]]
    blocks = (ops.shape(fresh)[2] + BLOCK - 1) // BLOCK
    carry, states = _doubling(_blocks(carry, blocks), _blocks(fresh, blocks), apply)
    # The last states of the blocks are such a recurrence again.
    ends = _states(carry[:, :, :, -1], states[:, :, :, -1], apply, rounds - 1)
    states = states + apply(carry, _shift(ends)[:, :, :, None])
    shape = ops.shape(fresh)
    return ops.reshape(states, (*shape[:2], -1, *shape[3:]))[:, :, : shape[2]]


def _doubling(carry, states, apply):
    """States along the last but two axis, of known length, and what carries over from its start to each of them.

    After the pass with shift s each has gathered the 2s chunks up to its own.
    """
    shift = 1
    while shift < states.shape[-3]:
        gathered = states[..., shift:, :, :] + apply(carry[..., shift:, :, :], states[..., :-shift, :, :])
        states = ops.concatenate([states[..., :shift, :, :], gathered], axis=-3)
        merged = apply(carry[..., shift:, :, :], carry[..., :-shift, :, :])
        carry = ops.concatenate([carry[..., :shift, :, :], merged], axis=-3)
        shift *= 2
    return carry, states


def _blocks(x, blocks):
    """`(B, H, chunks, d, e)` to `(B, H, blocks, BLOCK, d, e)`, with zeros behind the end."""
    shape = ops.shape(x)
    padded = ops.pad(x, ((0, 0), (0, 0), (0, BLOCK), (0, 0), (0, 0)))
    return ops.reshape(padded[:, :, : blocks * BLOCK], (*shape[:2], blocks, BLOCK, *shape[3:]))


def _shift(x):
    """One later along the third axis, with zeros in front."""
    return ops.pad(x[:, :, :-1], [(0, 0), (0, 0), (1, 0), *[(0, 0)] * (len(x.shape) - 3)])
