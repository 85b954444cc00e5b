"""Queries, keys and values, and what each query looks at, once: the plain path and the exact path by chunks.

A `look` is a function of one block, `look(query, key, value, bias, parameters, seen) -> mix, weights`: some queries,
and all the keys that any of them may see. So whatever a normalizer does to a row it does to the whole of it, and every
score and every normalizer goes by chunks.

By chunks, the scores and weights of a chunk of queries are gone once its mix is made, and are computed again in the
backward pass: memory grows with the length of the sequence, not with its square. The softmax of dot products has a
quicker way of its own, `keras_attn.flash`.
"""

import math

import keras
from keras import ops

from keras_attn import turns

#: Bytes of scores that may be there at once, and of those of a chunk where they may not.
PLAIN_ROOM, CHUNK_ROOM = 2**27, 2**25
#: A batch whose size is not known before it comes counts as one of so many.
UNKNOWN_BATCH = 32


def by_chunks(look, query, key, value, bias, parameters, seen, size):
    """The mix alone, `size` queries at a time."""
    # Keys and values go in as columns, for then their gradients are products with a wide result.
    columns = [ops.swapaxes(x, 2, 3) for x in (key, value)]

    def turn(part, query, bias_of_queries):
        here = bias if bias_of_queries is None else bias_of_queries
        here = here if here is None or here.shape[3] == 1 else part.of(here, 3)
        return _chunk(look, query, *(part.of(x, 3) for x in columns), here, parameters, part.seen)

    def nothing(loop):
        rows = loop.queries.stop - loop.queries.start
        return ops.zeros((*ops.shape(query)[:2], rows, value.shape[-1]), dtype=value.dtype)

    bias_of_queries = bias if bias is not None and bias.shape[2] != 1 else None
    loops = turns.loops(query.shape[2], size, seen)
    mixes = [nothing(loop) if loop.is_blind else loop.run(turn, (query, bias_of_queries)) for loop in loops]
    return mixes[0] if len(mixes) == 1 else ops.concatenate(mixes, axis=2)


def _chunk(look, query, key, value, bias, parameters, seen):
    """The mix of one chunk, not kept for the backward pass but computed again."""
    tensors = [query, key, value, *(() if bias is None else (bias,)), *parameters.values()]

    # All that is differentiated must be an argument: what is merely captured gets no gradient on tensorflow.
    def mix(query, key, value, *others):
        key, value = (ops.swapaxes(x, 2, 3) for x in (key, value))
        block_bias, others = (None, others) if bias is None else (others[0], others[1:])
        return look(query, key, value, block_bias, dict(zip(parameters, others)), seen)[0]

    return keras.remat(mix)(*tensors)


def fused(query, key, value, causal, mask):
    """The mix of softmax(q·k) by the backend's own kernel; `mask` is None or `(B, 1, 1, S)`."""
    heads = query.shape[1]
    key, value = (x if x.shape[1] == heads else ops.repeat(x, heads // x.shape[1], axis=1) for x in (key, value))
    swapped = (ops.swapaxes(x, 1, 2) for x in (query, key, value))
    mix = ops.swapaxes(ops.dot_product_attention(*swapped, mask=mask, scale=1.0, is_causal=causal), 1, 2)
    if mask is None:
        return mix
    # Where nothing may be looked at the kernel looks at everything.
    return ops.where(ops.any(mask, axis=-1, keepdims=True), mix, ops.zeros_like(mix))


def grouped_matmul(x, shared):
    """`x` `(B, H, t, a)` times `shared` `(B, H or a divisor, a, b)`: neighbouring heads share, [0, 0, 1, 1]."""
    heads, groups = x.shape[1], shared.shape[1]
    if heads == groups:
        return ops.matmul(x, shared)
    product = ops.matmul(folded(x, groups), shared)
    return ops.reshape(product, (*ops.shape(x)[:3], shared.shape[-1] or ops.shape(shared)[-1]))


def folded(x, groups):
    """`x` `(B, H, t, a)` as `(B, groups, H / groups * t, a)`: the rows of heads that share one of the keys."""
    batch, heads, rows, width = ops.shape(x)
    return x if heads == groups else ops.reshape(x, (batch, groups, heads // groups * rows, width))


def chunk_size(asked, shape, pair_cost, heads_at_a_time=None, room=CHUNK_ROOM):
    """How many queries at a time, None for all at once.

    Args:
        asked: "auto", None or a number: what the layer was told.
        shape: `(B, H, T, S)` as far as it is known.
        pair_cost: numbers that one pair of positions needs at a time.
        heads_at_a_time: how many heads a chunk has; None for all.
        room: bytes of scores that a chunk may need.
    """
    batch, heads, queries, keys = (size if isinstance(size, int) else None for size in shape)
    # While jax finds out shapes, an unknown size is a symbol, of which nothing can be asked; all at once has the same.
    if asked is None or not (queries or ops.is_tensor(shape[2])):
        return None
    if asked != "auto":
        return asked if queries is None or asked < queries else None
    # Of an unknown length nothing says whether a loop would pay.
    if queries is None or keys is None:
        return None
    row = 4 * (batch or UNKNOWN_BATCH) * keys * pair_cost
    if row * heads * queries <= PLAIN_ROOM:
        return None
    return 2 ** int(math.log2(max(1, room // (row * (heads_at_a_time or heads)))))
