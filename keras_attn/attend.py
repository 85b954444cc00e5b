"""Queries, keys and values, and what each query looks at, once: the plain path and the exact path by chunks.

A `look` is a function of one block, `look(query, key, value, bias, parameters, seen) -> mix, weights`: some queries,
and all the keys that any of them may see. So whatever a normalizer does to a row it does to the whole of it, and every
score and every normalizer goes by chunks.

By chunks, the scores and weights of a chunk of queries are gone once its mix is made, and are computed again in the
backward pass: memory grows with the length of the sequence, not with its square. The chunks are turns of a loop, for a
compiler that sees them side by side keeps them all at once. A loop's turns are alike, so where later queries see other
keys (causality, windows) there are several loops one after the other, each over the keys its queries can see.
"""

import math

import keras
from keras import ops

from keras_attn.sight import cut

#: Of a sequence whose length is not known before it comes, so many chunks.
UNKNOWN_LENGTH_CHUNKS = 16
#: Loops where what is seen depends on the position: more of them skip more, and take longer to compile.
CAUSAL_LOOPS, PATTERN_LOOPS = 8, 32
#: Bytes of scores that may be there at once, and of those of a chunk where they may not.
PLAIN_ROOM, CHUNK_ROOM = 2**27, 2**25


def by_chunks(look, query, key, value, bias, parameters, seen, size):
    """The mix alone, `size` queries at a time."""
    mixes = []
    for first, last in _loops(query.shape[2], size, seen):
        low, high = seen.reach(first, last)
        if low == high and high is not None:
            mixes.append(ops.zeros((*ops.shape(query)[:2], last - first, value.shape[-1]), dtype=value.dtype))
            continue
        queries, keys = slice(first, last), slice(low, high)
        parts = (query[:, :, queries], key[:, :, keys], value[:, :, keys], cut(bias, queries, keys))
        mixes.append(_loop(look, *parts, parameters, seen.block(queries, keys), size))
    return mixes[0] if len(mixes) == 1 else ops.concatenate(mixes, axis=2)


def by_heads(look, query, key, value, bias, parameters, seen, size):
    """As `by_chunks`, one head of the keys after the other, for a `look` to which all heads are alike.

    With one head at a time a chunk has more queries in the same room, and so do the products of matrices.
    """
    groups = key.shape[1]

    def by_group(x):
        batch, heads, length, width = ops.shape(x)
        return ops.moveaxis(ops.reshape(x, (batch, groups, heads // groups, length, width)), 1, 0)

    def turn(tensors):
        return by_chunks(look, *tensors, bias, parameters, seen, size)

    mix = ops.moveaxis(ops.map(turn, [by_group(x) for x in (query, key, value)]), 0, 1)
    batch, _, _, length, width = ops.shape(mix)
    return ops.reshape(mix, (batch, query.shape[1], length, width))


def _loops(length, size, seen):
    """First and last (exclusive) query of each loop."""
    if length is None or seen.first_row is None or not (seen.causal or seen.pattern.spec):
        return [(0, length)]
    loops = PATTERN_LOOPS if seen.pattern.spec else CAUSAL_LOOPS
    step = size * math.ceil(length / size / loops)
    return [(first, min(first + step, length)) for first in range(0, length, step)]


def _loop(look, query, key, value, bias, parameters, seen, size):
    """The mix of some queries that see the same keys, `size` queries at a turn."""
    length = query.shape[2] or ops.shape(query)[2]
    if query.shape[2] is None:
        chunks = UNKNOWN_LENGTH_CHUNKS
        size = (length + chunks - 1) // chunks
    else:
        chunks = math.ceil(length / size)
        size = min(size, length)
    of_queries = [(query, 2), *seen.of_queries(), *([(bias, 2)] if _has_queries(bias) else [])]
    turns = [_split(x, axis, chunks, size) for x, axis in of_queries]
    firsts = ops.arange(chunks, dtype="int32") * size + seen.first_query

    def turn(inputs):
        first, query, *parts = inputs
        turn_bias = parts.pop() if _has_queries(bias) else bias
        return _chunk(look, query, key, value, turn_bias, parameters, seen.with_queries(parts, first))

    if chunks == 1:
        return turn([firsts[0], *(x[0] for x in turns)])
    mix = ops.map(turn, [firsts, *turns])
    # (chunks, B, H, size, d) -> (B, H, T, d)
    mix = ops.transpose(mix, (1, 2, 0, 3, 4))
    shape = ops.shape(mix)
    return ops.reshape(mix, (*shape[:2], chunks * size, shape[4]))[:, :, :length]


def _has_queries(bias):
    return bias is not None and bias.shape[2] != 1


def _split(x, axis, chunks, size):
    """`x` in pieces of `size` along `axis`, zeros behind the end: a new first axis counts the pieces."""
    shape = ops.shape(x)
    ends = [(0, 0)] * len(shape)
    ends[axis] = (0, chunks * size - shape[axis])
    x = (
        x
        if ends[axis] == (0, 0)
        else ops.cast(ops.pad(ops.cast(x, "int32"), ends), "bool")
        if _is_bool(x)
        else ops.pad(x, ends)
    )
    x = ops.reshape(x, (*shape[:axis], chunks, size, *shape[axis + 1 :]))
    return ops.moveaxis(x, axis, 0)


def _is_bool(x):
    return keras.backend.standardize_dtype(x.dtype) == "bool"


def _chunk(look, query, key, value, bias, parameters, seen):
    """The mix of one chunk, not kept for the backward pass but computed again."""
    tensors = [query, key, value, *(() if bias is None else (bias,)), *parameters.values()]

    # All that is differentiated must be an argument: what is merely captured gets no gradient on tensorflow.
    def mix(query, key, value, *others):
        block_bias, others = (None, others) if bias is None else (others[0], others[1:])
        return look(query, key, value, block_bias, dict(zip(parameters, others)), seen)[0]

    return keras.remat(mix)(*tensors)


def fused(query, key, value, causal, mask):
    """The mix of softmax(q·k / sqrt(d)) by the backend's own kernel; `mask` is None or `(B, 1, 1, S)`."""
    heads = query.shape[1]
    key, value = (x if x.shape[1] == heads else ops.repeat(x, heads // x.shape[1], axis=1) for x in (key, value))
    swapped = (ops.swapaxes(x, 1, 2) for x in (query, key, value))
    mix = ops.swapaxes(ops.dot_product_attention(*swapped, mask=mask, is_causal=causal), 1, 2)
    if mask is None:
        return mix
    # Where nothing may be looked at the kernel looks at everything.
    return ops.where(ops.any(mask, axis=-1, keepdims=True), mix, ops.zeros_like(mix))


def grouped_matmul(x, shared):
    """`x` `(B, H, t, a)` times `shared` `(B, H or a divisor, a, b)`: neighbouring heads share, [0, 0, 1, 1]."""
    heads, groups = x.shape[1], shared.shape[1]
    if heads == groups:
        return ops.matmul(x, shared)
    batch, _, rows, width = ops.shape(x)
    folded = ops.reshape(x, (batch, groups, heads // groups * rows, width))
    return ops.reshape(ops.matmul(folded, shared), (batch, heads, rows, shared.shape[-1] or ops.shape(shared)[-1]))


def chunk_size(asked, shape, pair_cost, turns=1):
    """How many queries at a time, None for all at once.

    Args:
        asked: "auto", None or a number: what the layer was told.
        shape: `(B, H, T, S)` as far as it is known.
        pair_cost: numbers that one pair of positions needs at a time.
        turns: in how many turns the heads are taken.
    """
    # While jax finds out shapes, an unknown size is a symbol, of which nothing can be asked.
    batch, heads, queries, keys = (size if isinstance(size, int) else None for size in shape)
    if asked != "auto":
        return asked if asked is None or queries is None or asked < queries else None
    if queries is None or keys is None:
        return None
    row = 4 * (batch or 1) * heads * keys * pair_cost
    if row * queries <= PLAIN_ROOM:
        return None
    return 2 ** int(math.log2(max(1, CHUNK_ROOM * turns // row)))
