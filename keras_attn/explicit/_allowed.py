"""Who may look at whom, in full, for mechanisms with one head in which one pair depends on others."""

from keras import ops

from keras_attn import masks


def pairs(mask, query_mask, query, key):
    """Boolean `(B, T, S)` from a mask that broadcasts to weights `(B, 1, T, S)` and a mask of the queries `(B, T)`.

    A padded query may look at nothing. Without either mask, None: all is allowed.
    """
    mask = masks.combine(mask, None if query_mask is None else query_mask[:, None, :, None])
    if mask is None:
        return None
    return ops.broadcast_to(mask, (ops.shape(query)[0], 1, ops.shape(query)[1], ops.shape(key)[1]))[:, 0]
