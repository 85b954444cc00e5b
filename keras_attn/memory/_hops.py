"""Asking a memory several times: what every memory that is read in hops has in common."""

from keras import ops


def ask(state, memory, weigh, advance):
    """What a question becomes that is asked once for each hop.

    Args:
        state: the question `(B, T, D)`.
        memory: for each hop a pair of keys and values, each `(B, S, D)`.
        weigh: `weigh(state, keys)` makes the weights `(B, T, S)`.
        advance: `advance(hop, state, read)` makes the next question of this one and of what was read, `(B, T, D)`.

    Returns:
        The last state `(B, T, D)` and the weights `(B, hops, T, S)`.
    """
    hops = []
    for hop, (keys, values) in enumerate(memory):
        hops.append(weigh(state, keys))
        state = advance(hop, state, ops.matmul(hops[-1], values))
    return state, ops.stack(hops, axis=1)
