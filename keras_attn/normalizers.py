"""From scores to weights.

A normalizer maps scores `(..., S)` and a boolean mask that broadcasts against them (True: may be looked at, None: all)
to weights `(..., S)`: not negative, zero where masked, summing to one. A row in which nothing may be looked at gets
zeros, and zero gradients. All compute in float32 and return the dtype of the scores.
"""

from keras import ops

from keras_attn.lookup import choose


def softmax(scores, mask=None):
    """exp(z_i) / Σ_j exp(z_j)."""
    z, allowed = _shifted(scores, mask)
    return ops.cast(_softmax(z, allowed), scores.dtype)


def sparsemax(scores, mask=None):
    """The distribution nearest to the scores: [z_i - τ]_+, with exact zeros.

    Martins and Astudillo, 2016, https://arxiv.org/abs/1602.02068, algorithm 1.
    """
    z, allowed = _shifted(scores, mask)
    z, rank, largest_first = _sorted(z, allowed)
    partial_sums = ops.cumsum(largest_first, axis=-1)
    # k = max{j : 1 + j z_(j) > Σ_{i<=j} z_(i)}
    k = _count(1.0 + rank * largest_first > partial_sums)
    threshold = (_at(partial_sums, rank, k) - 1.0) / k
    return ops.cast(_above(z, threshold, 1, allowed), scores.dtype)


def entmax15(scores, mask=None):
    """Between softmax and sparsemax: [z_i / 2 - τ]_+², with exact zeros.

    Peters et al., 2019, https://arxiv.org/abs/1905.05702, algorithm 2 (α = 1.5).
    """
    z, allowed = _shifted(scores, mask)
    z, rank, largest_first = _sorted(z / 2.0, allowed)
    mean = ops.cumsum(largest_first, axis=-1) / rank
    mean_square = ops.cumsum(ops.square(largest_first), axis=-1) / rank
    # τ(j) = M(j) - sqrt((1 - j Var(j)) / j)
    spread = 1.0 / rank - (mean_square - ops.square(mean))
    candidates = mean - ops.sqrt(ops.maximum(spread, 0.0))
    k = _count(candidates <= largest_first)
    return ops.cast(_above(z, _at(candidates, rank, k), 2, allowed), scores.dtype)


def hard(scores, mask=None):
    """All weight on the largest score (the first of equals); the gradient is softmax's.

    Straight-through estimator: Bengio et al., 2013, https://arxiv.org/abs/1308.3432.
    """
    z, allowed = _shifted(scores, mask)
    soft = _softmax(z, allowed)
    winner = ops.argmax(ops.where(allowed, z, -1.0 + ops.min(z, axis=-1, keepdims=True)), axis=-1)
    one_hot = ops.cast(ops.one_hot(winner, ops.shape(z)[-1]), "float32") * ops.cast(allowed, "float32")
    # In this order the two soft terms cancel exactly, in any precision.
    return ops.cast(one_hot + (soft - ops.stop_gradient(soft)), scores.dtype)


NORMALIZERS = {"softmax": softmax, "sparsemax": sparsemax, "entmax15": entmax15, "hard": hard}


def names():
    """The names `get` knows."""
    return tuple(NORMALIZERS)


def get(name):
    """The normalizer called `name`.

    Raises:
        ValueError: if there is none; the message names those there are.
    """
    return NORMALIZERS[choose("normalizer", name, NORMALIZERS)]


def _shifted(scores, mask):
    """Scores in float32 with the row's largest allowed one at zero and masked ones at zero, and the full mask."""
    z = ops.cast(scores, "float32")
    allowed = ops.ones_like(z, dtype="bool") if mask is None else ops.broadcast_to(mask, ops.shape(z))
    # An overflow to inf in half precision becomes the largest number, so that differences stay numbers.
    z = ops.where(allowed, ops.clip(z, -3.0e38, 3.0e38), 0.0)
    largest = ops.max(ops.where(allowed, z, -3.0e38), axis=-1, keepdims=True)
    # Weights do not change when all scores move together, so no gradient is lost here.
    return ops.where(allowed, z - ops.stop_gradient(largest), 0.0), allowed


def _softmax(z, allowed):
    e = ops.where(allowed, ops.exp(z), 0.0)
    total = ops.sum(e, axis=-1, keepdims=True)
    return e / ops.where(total > 0.0, total, 1.0)


def _sorted(z, allowed):
    """Scores clipped to [-2, 0], the ranks 1..S, and the scores from the largest to the smallest, without gradient.

    The largest score is at zero and the threshold is at least -1, so nothing below -1 is ever in the support: clipping
    there changes no weight and keeps the partial sums small enough for float32.
    """
    z = ops.where(allowed, ops.maximum(z, -2.0), -2.0)
    largest_first = -ops.sort(-ops.stop_gradient(z), axis=-1)
    rank = ops.cumsum(ops.ones_like(largest_first), axis=-1)
    return z, rank, largest_first


def _count(condition):
    """How many hold along the last axis, at least one (rounding may deny even the first)."""
    return ops.maximum(ops.sum(ops.cast(condition, "float32"), axis=-1, keepdims=True), 1.0)


def _at(values, rank, k):
    """The k-th of `values` (k from one)."""
    return ops.sum(ops.where(rank == k, values, 0.0), axis=-1, keepdims=True)


def _above(z, threshold, power, allowed):
    """[z - τ]_+ ^ power with the exact gradient, from a threshold that was found without one.

    One Newton step on Σ [z - τ]_+ ^ power = 1 removes what rounding left in τ; being differentiable in z, it also
    carries dτ/dz. The support itself is not differentiated.
    """
    threshold = ops.stop_gradient(threshold)
    support = ops.stop_gradient(ops.logical_and(z > threshold, allowed))
    gap = ops.where(support, z - threshold, 0.0)
    inside = ops.where(support, 1.0, 0.0)
    excess = ops.sum(gap**power, axis=-1, keepdims=True) - 1.0
    slope = power * ops.sum(gap ** (power - 1) if power > 1 else inside, axis=-1, keepdims=True)
    step = excess / ops.where(slope > 0.0, slope, 1.0)
    return ops.where(support, ops.maximum(gap - step, 0.0), 0.0) ** power
