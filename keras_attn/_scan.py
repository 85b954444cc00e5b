"""The linear recurrence `h_t = a_t h_{t-1} + b_t`, all steps at once.

Within blocks of `BLOCK` positions by doubling: after the pass with shift s each position has gathered the 2s steps
behind it, so log2(BLOCK) passes of products and sums do. The last states of the blocks form a shorter recurrence of the
same kind. Only products of decays occur, never quotients, so a decay of exactly 0 is as good as any; and only slices,
pads and elementwise steps, which every backend compiles, differentiates and vectorises, at a length known or not.
"""

from keras import ops

BLOCK = 16
# Levels of blocks when the length is unknown, enough for 16 to the 5th positions, about a million.
UNKNOWN_LENGTH_LEVELS = 4


def linear_scan(decay, inputs):
    """States `(B, T, D)` of `h_t = decay_t h_{t-1} + inputs_t` with `h_0 = inputs_0`; both arguments `(B, T, D)`."""
    return _scan(decay, inputs, UNKNOWN_LENGTH_LEVELS)


def _scan(decay, inputs, levels):
    length = inputs.shape[1]
    if length is not None and length <= BLOCK:
        return _doubling(decay, inputs, 1)[1]
    if length is None and levels == 0:
        return _doubling(_one_block(decay), _one_block(inputs), 1)[1][:, : ops.shape(inputs)[1]]
    # (B, T, D) -> (B, blocks, BLOCK, D)
    decay, state = _doubling(_blocks(decay), _blocks(inputs), 2)
    # What stands before a block: the state at the end of the one before it.
    carried = _scan(decay[:, :, -1], state[:, :, -1], levels - 1)
    before = _shift(carried, 1, 1, 0.0)
    state = state + decay * before[:, :, None]
    merged = ops.reshape(state, (ops.shape(state)[0], -1, state.shape[-1]))
    return merged[:, : ops.shape(inputs)[1]]


def _doubling(decay, state, axis):
    """The recurrence along `axis`, of known length, and each position's product of decays from the start."""
    shift = 1
    while shift < state.shape[axis]:
        state = state + decay * _shift(state, shift, axis, 0.0)
        decay = decay * _shift(decay, shift, axis, 1.0)
        shift *= 2
    return decay, state


def _one_block(x):
    """`(B, T, D)` of an unknown T up to BLOCK to `(B, BLOCK, D)`, with zeros behind the end."""
    padded = ops.pad(x, ((0, 0), (0, BLOCK), (0, 0)))
    return ops.reshape(padded[:, :BLOCK], (ops.shape(x)[0], BLOCK, x.shape[-1]))


def _blocks(x):
    """`(B, T, D)` to `(B, blocks, BLOCK, D)`, with zeros behind the end."""
    padded = ops.pad(x, ((0, 0), (0, BLOCK - 1), (0, 0)))
    blocks = (ops.shape(x)[1] + BLOCK - 1) // BLOCK
    return ops.reshape(padded[:, : blocks * BLOCK], (ops.shape(x)[0], blocks, BLOCK, x.shape[-1]))


def _shift(x, by, axis, fill):
    """`x` moved to later positions along `axis`, with `fill` in front."""
    keep = [slice(None)] * len(x.shape)
    keep[axis] = slice(None, -by)
    widths = [(0, 0)] * len(x.shape)
    widths[axis] = (by, 0)
    return ops.pad(x[tuple(keep)], widths, constant_values=fill)
