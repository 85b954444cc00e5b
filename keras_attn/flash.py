"""softmax(q·k) and the mix it makes, a few queries at a time, with a gradient of its own.

Automatic differentiation would write some six arrays of all pairs of a turn, and multiply matrices in an order in which
a product with a narrow result is several times slower than its mirror image. Here keys and values stand as columns,
`(B, H, d, S)`, so that every product has a wide result, and what a row needs to be computed again is kept: its largest
score and one over its sum.

In float32 the subtraction of one number per row rides on a product of matrices: the number is one more column of the
queries, and the keys have a row of ones. So does the sum over a row.

Reference: Dao, 2023, https://arxiv.org/abs/2307.08691, algorithms 1 and 2, with whole rows for tiles.
"""

import dataclasses

import keras
from keras import ops

from keras_attn import noise, turns
from keras_attn.attend import folded, grouped_matmul
from keras_attn.first_order import first_order_only

#: Bytes of the scores of one turn: more of them do not stay in the cache.
ROOM = 2**23
# Below every score, and what stands for the largest score of a row with none.
MASKED, LOWEST = -3e38, -2e38


@dataclasses.dataclass(frozen=True)
class Extras:
    """What happens to scores and weights beside the softmax.

    Attributes:
        falls: for each head, by how much a score falls for each position of distance; None if none does.
        rate: share of the weights that is dropped.
        seed: two integers that say which; None if none is.
    """

    falls: tuple | None = None
    rate: float = 0.0
    seed: object = None

    @property
    def are_none(self):
        """Whether there are none."""
        return self.falls is None and not self.drops

    @property
    def drops(self):
        """Whether weights are dropped."""
        return self.seed is not None and self.rate > 0

    def of_heads(self, heads):
        """What belongs to single heads: their numbers, and what their scores fall by, `(1, H, 1, 1)` each."""
        falls = ops.convert_to_tensor(self.falls or (0.0,) * heads, dtype="float32")
        return tuple(ops.reshape(x, (1, heads, 1, 1)) for x in (ops.arange(heads, dtype="int32"), falls))

    def scores(self, query, key, part, falls):
        """The scores of a turn's queries on a part of the keys, in float32."""
        found = _product(query, part.of(key, 3))
        if self.falls is None:
            return found
        distance = ops.abs(part.seen.rows[:, None] - part.seen.cols[None, :])
        return found - falls * ops.cast(distance, found.dtype)

    def left(self, x, numbers, part):
        """`x` of a part without what is dropped; what is left is yet to be divided by `1 - rate`."""
        if not self.drops:
            return x
        place = part.seen.first_query, part.seen.first_key, numbers[0, 0, 0, 0]
        return ops.where(noise.kept(self.seed, self.rate, ops.shape(x), *place), x, 0.0)


NOTHING = Extras()


def attend(query, key, value, seen, size, extras=NOTHING):
    """The mix `(B, H, T, dv)` of softmax(q·k), `size` queries at a turn.

    Args:
        query: `(B, H, T, d)`.
        key: `(B, H or a divisor, S, d)`.
        value: `(B, H or a divisor, S, dv)`.
        seen: a `Sight`; what it forbids is the same for all heads.
        size: how many queries a turn has, at least 1.
        extras: an `Extras`.
    """
    loops = turns.loops(query.shape[2], size, seen)
    of_heads = extras.of_heads(query.shape[1])

    def over_heads(function, tensors, places):
        tensors = (*of_heads, *tensors)
        # Narrow turns are small enough with all heads.
        return function(*tensors) if loops[0].starts else turns.over_heads(function, tensors, places)

    @ops.custom_gradient
    def exact(query, key, value):
        row = ops.zeros((*ops.shape(query)[:3], 1), dtype="float32")
        mix = ops.zeros((*ops.shape(query)[:3], value.shape[2]), dtype=query.dtype)
        found = over_heads(lambda *parts: _mix(loops, extras, *parts), (query, key, value), (mix, row, row))

        def gradient(*args, upstream=None):
            upstream, inputs = args[0] if upstream is None else upstream, (query, key, value)
            places = map(ops.zeros_like, inputs)
            tensors = (upstream, *found, *inputs)
            slopes = over_heads(lambda *parts: _gradient(loops, extras, *parts), tensors, places)
            return first_order_only(slopes, inputs)

        return found[0], gradient

    # The columns are made outside: autodiff turns their gradients back.
    return exact(query, ops.swapaxes(key, -1, -2), ops.swapaxes(value, -1, -2))


def _mix(loops, extras, numbers, falls, query, key, value):
    """The mix, and of each row the largest score and one over the sum, `(B, H, T, 1)`."""
    # What is dropped counts in the sum, but not in the mix.
    width, sum_rides = value.shape[2], _rides(query) and not extras.drops
    value = ops.swapaxes(_with_ones(value) if sum_rides else value, -1, -2)

    def turn(carry, parts, query):
        scores = [_masked(extras.scores(query, key, part, falls), part) for part in parts]
        largest = LOWEST
        for x in scores:
            largest = ops.maximum(ops.max(x, axis=-1, keepdims=True), largest)
        e = [ops.exp(x - largest) for x in scores]
        left = [ops.cast(extras.left(x, numbers, part), value.dtype) for x, part in zip(e, parts)]
        mix = _sum([_product(x, part.of(value, 2)) for x, part in zip(left, parts)])
        total = mix[..., width:] if sum_rides else _sum([ops.sum(x, axis=-1, keepdims=True) for x in e])
        share = ops.where(total > 0.0, 1.0 / ops.maximum(total, 1.0), 0.0)
        mix = mix[..., :width] * (share / (1.0 - extras.rate) if extras.drops else share)
        return carry, (ops.cast(mix, query.dtype), largest, share)

    outputs = ((width, query.dtype), (1, "float32"), (1, "float32"))
    found = [
        _nothing(loop, query, outputs) if loop.is_blind else loop.gather(turn, (query,), (), outputs)[1]
        for loop in loops
    ]
    return tuple(_joined(x, 2) for x in zip(*found))


def _nothing(loop, query, outputs):
    shape = (*ops.shape(query)[:2], loop.queries.stop - loop.queries.start)
    return tuple(ops.zeros((*shape, width), dtype=dtype) for width, dtype in outputs)


def _gradient(loops, extras, numbers, falls, upstream, mix, largest, share, query, key, value):
    """The gradients of query, key and value."""
    rides, dtype, widths = _rides(query), query.dtype, (key.shape[2], value.shape[2])
    # What a row's slopes have in common: Σ_s w_s dw_s = upstream · mix.
    common = ops.sum(ops.cast(upstream, "float32") * ops.cast(mix, "float32"), axis=-1, keepdims=True)
    rows_of_key, length = ops.swapaxes(key, -1, -2), ops.shape(key)[3]
    upstream = upstream / (1.0 - extras.rate) if extras.drops else upstream
    # A weight that is dropped has no slope, but what it has in common with the row.
    common_rides = rides and not extras.drops
    if rides:
        # One over the sum goes to what has few columns, not to the weights.
        upstream, common = upstream * share, common * share
        query, key = ops.concatenate([query, -largest], axis=3), _with_ones(key)
    if common_rides:
        upstream, value = ops.concatenate([upstream, -common], axis=3), _with_ones(value)

    def turn(carry, parts, query, upstream, largest, common, share):
        of_query, of_keys = [], []
        bare = [x[..., :width] for x, width in zip((query, upstream), widths)]
        for part in parts:
            scores = extras.scores(query, key, part, falls)
            slopes = extras.left(_product(upstream, part.of(value, 3)), numbers, part)
            scores = scores if rides else scores - largest
            slopes = slopes if common_rides else slopes - common
            weights = ops.exp(_masked(scores, part))
            weights = weights if rides else weights * share
            slopes = ops.cast(weights * slopes, dtype)
            weights = ops.cast(extras.left(weights, numbers, part), dtype)
            of_query.append(_product(slopes, part.of(rows_of_key, 2)))
            of_keys.append([_pooled(x, y, key.shape[1]) for x, y in zip(bare, (slopes, weights))])
        carry = tuple(turns.added(x, new) for x, new in zip(carry, zip(*of_keys)))
        return carry, (ops.cast(_sum(of_query), dtype),)

    rows = (query, upstream, largest, common, share)
    of_query, of_keys = [], [0.0, 0.0]
    for loop in loops:
        if loop.is_blind:
            of_query.append(ops.zeros_like(query[:, :, loop.queries, : widths[0]], dtype=dtype))
            continue
        nothing = tuple(
            ops.zeros_like(x[:, :, :width, loop.keys], dtype="float32") for x, width in zip((key, value), widths)
        )
        found, (new,) = loop.gather(turn, rows, nothing, ((widths[0], dtype),))
        of_query.append(new)
        of_keys = [x + _spread(new, loop.keys, length) for x, new in zip(of_keys, found)]
    return _joined(of_query, 2), *(ops.cast(x, dtype) for x in of_keys)


def _rides(query):
    """Whether numbers of rows may be columns: not where a column has few digits."""
    return keras.backend.standardize_dtype(query.dtype) == "float32"


def _with_ones(columns):
    return ops.concatenate([columns, ops.ones_like(columns[:, :, :1])], axis=2)


def _product(x, shared):
    """As `grouped_matmul`, in float32."""
    product = grouped_matmul(x, shared)
    if keras.backend.standardize_dtype(product.dtype) == "float32":
        return product
    # An overflow to inf in half precision becomes a large number, so that differences stay numbers.
    return ops.clip(ops.cast(product, "float32"), -1.5e38, 1.5e38)


def _masked(scores, part):
    allowed = part.seen.mask()
    return scores if allowed is None else ops.where(allowed, scores, MASKED)


def _pooled(x, y, groups):
    """Σ_t x_t y_t' `(B, G, a, b)` of `(B, H, t, a)` and `(B, H, t, b)`, over the heads that share one of G."""
    x, y = folded(x, groups), folded(y, groups)
    return ops.cast(ops.matmul(ops.swapaxes(x, -1, -2), y), "float32")


def _spread(x, keys, length):
    """`x`, which belongs to some columns, with zeros for the others."""
    before, after = keys.start or 0, 0 if keys.stop is None else length - keys.stop
    return ops.pad(x, ((0, 0), (0, 0), (0, 0), (before, after))) if before or after else x


def _sum(parts):
    return parts[0] if len(parts) == 1 else sum(parts[1:], parts[0])


def _joined(parts, axis):
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=axis)
