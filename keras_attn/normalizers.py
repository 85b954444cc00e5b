"""From scores to weights.

A normalizer maps scores `(..., S)` and a boolean mask that broadcasts against them (True: may be looked at, None: all)
to weights `(..., S)`: not negative, and zero where masked. Most are distributions, whose rows sum to one; those of
`sigmoid`, `off_by_one` and `sink` may sum to anything. A row in which nothing may be looked at gets zeros, and zero
gradients. All compute in float32 and return the dtype of the scores. Each row is computed by itself.

The functions do the work. A spec names one with its options, as plain data: `"softmax"`, or
`{"normalizer": "top_k", "k": 4}`; `get` makes of it a `Normalizer` that a layer can call.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable

from keras import ops

from keras_attn.lookup import number, read_spec, whole_number

#: Halvings, each with a Newton step, after which a level is known as well as float32 can tell, even where a thousand
#: scores crowd at the edge of the support.
STEPS = 20


def softmax(scores, mask=None):
    """exp(z_i) / Σ_j exp(z_j)."""
    # In as few passes as can be: on long inputs each pass over the scores costs as much as a product of matrices.
    # An overflow to inf in half precision becomes a large number, so that differences stay numbers.
    z = ops.clip(ops.cast(scores, "float32"), -1.5e38, 1.5e38)
    z = z if mask is None else ops.where(mask, z, -3e38)
    # Above what stands for "masked", so that a row of nothing else comes to zeros and not to ones.
    largest = ops.max(z, axis=-1, keepdims=True, initial=-2e38)
    e = ops.exp(z - ops.stop_gradient(largest))
    total = ops.sum(e, axis=-1, keepdims=True)
    total = total if mask is None else ops.where(total > 0.0, total, 1.0)
    return ops.cast(e / total, scores.dtype)


def sparsemax(scores, mask=None):
    """The distribution nearest to the scores: [z_i - τ]_+, with exact zeros.

    Martins and Astudillo, 2016, https://arxiv.org/abs/1602.02068, proposition 1.
    """
    return _power_entmax(scores, mask, _gap, 1)


def entmax15(scores, mask=None):
    """Between softmax and sparsemax: [z_i / 2 - τ]_+², with exact zeros.

    Peters et al., 2019, https://arxiv.org/abs/1905.05702, section 3 (α = 1.5).
    """
    return _power_entmax(scores, mask, _square_gap, 2)


def entmax(scores, mask=None, alpha=1.5):
    """[(α-1) z_i - τ]_+^{1/(α-1)}: sparsemax at α = 2, entmax15 at 1.5, softmax in the limit of 1.

    `alpha` in (1, 2] is a number or a tensor that broadcasts against the scores; its gradient is exact.

    Peters et al., 2019, https://arxiv.org/abs/1905.05702, section 3; for the gradient with respect to α, Correia et
    al., 2019, https://arxiv.org/abs/1909.00015, section 3.
    """
    return _entmax(scores, mask, ops.convert_to_tensor(alpha - 1.0, dtype="float32"))


def sigmoid(scores, mask=None, bias="length"):
    """1 / (1 + exp(-z_i - b)): each position for itself; rows need not sum to one.

    `bias` b is a number or a tensor that broadcasts against the scores, or "length": -log n, where n positions of the
    row may be looked at. Then a row of zeros sums to nearly one at any length.

    Ramapuram et al., 2024, https://arxiv.org/abs/2409.04431, section 2.
    """
    z, allowed = _finite(scores, mask)
    bias = _minus_log_count(allowed) if isinstance(bias, str) else bias
    return ops.cast(ops.where(allowed, ops.sigmoid(z + bias), 0.0), scores.dtype)


def off_by_one(scores, mask=None):
    """exp(z_i) / (1 + Σ_j exp(z_j)): a row may look at nothing, if all of its scores are far below zero.

    Miller, 2023, https://www.evanmiller.org/attention-is-off-by-one.html.
    """
    return sink(scores, mask, 0.0)


def sink(scores, mask=None, sink=0.0):
    """exp(z_i) / (exp(s) + Σ_j exp(z_j)): one more position takes a share, with the score s and nothing to give.

    `sink` s is a number or a tensor that broadcasts against the scores.

    Xiao et al., 2023, https://arxiv.org/abs/2309.17453, section 3; gpt-oss, https://arxiv.org/abs/2508.10925.
    """
    z, allowed = _finite(scores, mask)
    sink = ops.convert_to_tensor(sink, dtype="float32")
    largest = ops.stop_gradient(ops.maximum(_largest(z, allowed), sink))
    e = ops.where(allowed, ops.exp(z - largest), 0.0)
    return ops.cast(e / (ops.exp(sink - largest) + ops.sum(e, axis=-1, keepdims=True)), scores.dtype)


def top_k(scores, mask=None, k=8):
    """The softmax of the `k` largest scores, zero elsewhere; among equals the first are taken.

    Gupta et al., 2021, https://arxiv.org/abs/2106.06899, section 2.
    """
    z, allowed = _shifted(scores, mask)
    ranked = ops.stop_gradient(ops.where(allowed, z, -float("inf")))
    positions = ops.shape(z)[-1]
    if isinstance(positions, int):
        k, enough = min(k, positions), ranked
    else:
        # There may be fewer than k, and jax must know the number beforehand.
        enough = ops.concatenate([ranked, ops.full((*ops.shape(z)[:-1], k), -float("inf"))], axis=-1)
    # Their minimum, not the last: a slice keeps XLA from its quick way, and it sorts all of them instead.
    threshold = ops.min(ops.top_k(enough, k)[0], axis=-1, keepdims=True)
    above, equal = ranked > threshold, ranked == threshold
    taken = ops.sum(ops.cast(above, "int32"), axis=-1, keepdims=True) + ops.cumsum(ops.cast(equal, "int32"), axis=-1)
    chosen = ops.logical_or(above, ops.logical_and(equal, taken <= k))
    return ops.cast(_softmax(z, ops.logical_and(allowed, chosen)), scores.dtype)


def hard(scores, mask=None):
    """All weight on the largest score (the first of equals); the gradient is softmax's.

    Straight-through estimator: Bengio et al., 2013, https://arxiv.org/abs/1308.3432.
    """
    return gumbel_hard(scores, mask)


def gumbel_hard(scores, mask=None, temperature=1.0, noise=None):
    """All weight on one position, drawn with the chances of softmax(z); the gradient is that of softmax((z + g) / t).

    `noise` u holds uniform numbers in (0, 1) of the scores' shape, and g = -log(-log u). Without it (at inference) the
    largest score wins, the first of equals.

    Jang et al., 2017, https://arxiv.org/abs/1611.01144, eq. 1-2 and section 2.2.
    """
    z, allowed = _shifted(scores, mask)
    if noise is not None:
        z, _ = _shifted(z + _gumbel(noise), allowed)
    soft = _softmax(z / temperature, allowed)
    winner = ops.argmax(ops.where(allowed, z, -1.0 + ops.min(z, axis=-1, keepdims=True)), axis=-1)
    one_hot = ops.cast(ops.one_hot(winner, ops.shape(z)[-1]), "float32") * ops.cast(allowed, "float32")
    # In this order the two soft terms cancel exactly, in any precision.
    return ops.cast(one_hot + (soft - ops.stop_gradient(soft)), scores.dtype)


@dataclasses.dataclass(frozen=True)
class Normalizer:
    """A normalizer with its options: call it with scores to get weights.

    Attributes:
        spec: what it was made from, a name or `{"normalizer": name, **options}`.
        function: what it calls.
        options: the keyword arguments it gives to the function.
        learned: `(name, initializer)` of each weight of shape `(H,)` that the layer must make and pass in.
        sums_to_one: whether rows sum to one.
        uses_noise: whether it draws in training.

    Call arguments:
        scores: `(..., S)`; `(B, H, T, S)` if anything is learned.
        mask: boolean, broadcasts against the scores; True where looking is allowed, None for everywhere.
        learned: a tensor `(H,)` for each of the attribute `learned`, in that order.
        noise: uniform numbers in (0, 1) of the scores' shape in training, None at inference.

    Returns:
        Weights of the scores' shape and dtype.
    """

    spec: object
    function: Callable
    options: dict = dataclasses.field(default_factory=dict)
    learned: tuple = ()
    sums_to_one: bool = True
    uses_noise: bool = False

    def __call__(self, scores, mask=None, learned=(), noise=None):
        if len(learned) != len(self.learned):
            raise ValueError(
                f"The normalizer {self.spec!r} has {len(self.learned)} learned weights, which must be passed in as "
                f"`learned`. Received: {len(learned)}"
            )
        # (H,) -> (H, 1, 1), against (B, H, T, S)
        given = {name: ops.cast(weight, "float32")[:, None, None] for (name, _), weight in zip(self.learned, learned)}
        if self.uses_noise:
            given["noise"] = noise
        return self.function(scores, mask, **self.options, **given)


def _make_entmax(alpha=1.5):
    if _is(alpha, "learned"):
        return {"function": _entmax_by_logit, "learned": (("alpha_logit", "zeros"),)}
    number("alpha", alpha, 1.0, 2.0, "(]", names=["learned"])
    return {"function": entmax, "options": {"alpha": alpha}}


def _make_sigmoid(bias="length"):
    if _is(bias, "learned"):
        return {"function": _sigmoid_with_bias, "learned": (("bias", "zeros"),), "sums_to_one": False}
    if not _is(bias, "length"):
        number("bias", bias, names=["length", "learned"])
    return {"function": sigmoid, "options": {"bias": bias}, "sums_to_one": False}


def _make_top_k(k=8):
    return {"function": top_k, "options": {"k": whole_number("k", k)}}


def _make_gumbel_hard(temperature=1.0):
    number("temperature", temperature, low=0.0)
    return {"function": gumbel_hard, "options": {"temperature": temperature}, "uses_noise": True}


#: What each name stands for: a function from options to the fields of a `Normalizer`.
NORMALIZERS = {
    "softmax": lambda: {"function": softmax},
    "sparsemax": lambda: {"function": sparsemax},
    "entmax15": lambda: {"function": entmax15},
    "entmax": _make_entmax,
    "sigmoid": _make_sigmoid,
    "off_by_one": lambda: {"function": off_by_one, "sums_to_one": False},
    "sink": lambda: {"function": sink, "learned": (("sink", "zeros"),), "sums_to_one": False},
    "top_k": _make_top_k,
    "hard": lambda: {"function": hard},
    "gumbel_hard": _make_gumbel_hard,
}


def names():
    """The names `get` knows."""
    return tuple(NORMALIZERS)


def get(spec):
    """The normalizer that a spec describes.

    Options, and what they are unless given:
        entmax: `alpha` (1.5), a number in (1, 2], or "learned": one for each head, in (1.001, 1.999), from 1.5.
        sigmoid: `bias` ("length"), a number, or "length": -log n, where n positions of the row may be looked at, or
            "learned": that and a number for each head, from 0.
        sink: none; the score of the sink is learned for each head, from 0.
        top_k: `k` (8), an integer of at least 1.
        gumbel_hard: `temperature` (1.0), a number above 0.

    Args:
        spec: a name, or `{"normalizer": name, **options}`.

    Returns:
        A `Normalizer`.

    Raises:
        ValueError: for a name or an option that is not known, or an option with a value that is not possible.

    Example:
    >>> get({"normalizer": "top_k", "k": 3}).options
    {'k': 3}
    >>> get({"normalizer": "entmax", "alpha": "learned"}).learned
    (('alpha_logit', 'zeros'),)
    """
    name, options = read_spec(
        "normalizer", spec, NORMALIZERS, lambda name: inspect.signature(NORMALIZERS[name]).parameters
    )
    return Normalizer(spec=dict(spec) if isinstance(spec, dict) else spec, **NORMALIZERS[name](**options))


def _is(value, word):
    return isinstance(value, str) and value == word


def _finite(scores, mask):
    """Scores in float32 with masked ones at zero, and the full mask."""
    z = ops.cast(scores, "float32")
    allowed = ops.ones_like(z, dtype="bool") if mask is None else ops.broadcast_to(mask, ops.shape(z))
    # An overflow to inf in half precision becomes a large number, so that differences stay numbers.
    return ops.where(allowed, ops.clip(z, -1.5e38, 1.5e38), 0.0), allowed


def _largest(z, allowed):
    return ops.max(ops.where(allowed, z, -1.5e38), axis=-1, keepdims=True)


def _shifted(scores, mask):
    """Scores in float32 with the row's largest allowed one at zero and masked ones at zero, and the full mask."""
    z, allowed = _finite(scores, mask)
    # Weights do not change when all scores move together, so no gradient is lost here.
    return ops.where(allowed, z - ops.stop_gradient(_largest(z, allowed)), 0.0), allowed


def _softmax(z, allowed):
    e = ops.where(allowed, ops.exp(z), 0.0)
    total = ops.sum(e, axis=-1, keepdims=True)
    return e / ops.where(total > 0.0, total, 1.0)


def _gumbel(noise):
    # The nearest to 0 and 1 that float32 can hold with a finite logarithm.
    return -ops.log(-ops.log(ops.clip(ops.cast(noise, "float32"), 1e-37, 1.0 - 2.0**-24)))


def _minus_log_count(allowed):
    count = ops.sum(ops.cast(allowed, "float32"), axis=-1, keepdims=True)
    return -ops.log(ops.maximum(count, 1.0))


def _sigmoid_with_bias(scores, mask, bias):
    _, allowed = _finite(scores, mask)
    return sigmoid(scores, mask, _minus_log_count(allowed) + bias)


def _entmax_by_logit(scores, mask, alpha_logit):
    # Away from 1, where the gradient with respect to α drowns in rounding, and from 2, where it jumps.
    return _entmax(scores, mask, 0.001 + 0.998 * ops.sigmoid(alpha_logit))


def _entmax(scores, mask, beta):
    """Entmax with β = α - 1, which may be so small that one plus it is one."""
    z, allowed = _shifted(scores, mask)
    # The largest weight grows with α, from softmax's at α = 1 up to one.
    largest = ops.stop_gradient(ops.max(_softmax(z, allowed), axis=-1, keepdims=True))
    low, high = ops.log(ops.maximum(largest, 1e-30)), ops.zeros_like(largest)
    return ops.cast(_solve(_below_largest, low, high, _far_below(z, allowed), beta), scores.dtype)


def _power_entmax(scores, mask, weights, power):
    """Entmax with 1/(α-1) = `power`, 1 or 2: a product where any other power takes a logarithm."""
    z = _far_below(*_shifted(scores, mask))
    one = ops.ones_like(ops.stop_gradient(z[..., :1]))
    return ops.cast(_solve(weights, ops.zeros_like(one), one, z / power), scores.dtype)


def _far_below(z, allowed):
    """Scores of which the masked ones are so low that they are in no support."""
    return ops.where(allowed, z, -1.0e30)


def _gap(level, z):
    """[z - τ]_+ and its slope as a function of the level -τ, in [0, 1] if the largest z is zero."""
    gap = ops.relu(z + level)
    return gap, ops.cast(gap > 0.0, "float32")


def _square_gap(level, z):
    """[z - τ]_+² and its slope as a function of the level -τ, in [0, 1] if the largest z is zero."""
    gap = ops.relu(z + level)
    return ops.square(gap), 2.0 * gap


def _below_largest(level, z, beta):
    """[βz - τ]_+^{1/β} and its slope as a function of the level ℓ, the logarithm of the largest weight.

    The largest z is zero, so that exp(βℓ) = -τ, and the weights are exp(ℓ + log(1 + u) / β) with u = βz exp(-βℓ).
    Here no numbers are subtracted that are nearly equal, neither for β near 0 nor for many small weights.
    """
    u = beta * z * ops.exp(-beta * level)
    support = u > -1.0
    u = ops.where(support, u, 0.0)
    weights = ops.where(support, ops.exp(level + ops.log1p(u) / beta), 0.0)
    return weights, weights / (1.0 + u)


def _solve(weights, low, high, *given):
    """Weights that sum to one, with the exact gradient.

    `weights(level, *given)` are weights and their slopes; their sum grows with the level and is convex in it. The level
    between `low` and `high` is found without gradient. One more step of Newton's method, with gradient, removes what
    rounding left in it, and carries the level's gradient, by the theorem on implicit functions. The support is not
    differentiated.
    """
    ends = (low, high, *map(ops.stop_gradient, given))
    level = ops.stop_gradient(ops.fori_loop(0, STEPS, _halving(weights), ends)[1])
    _, step = _newton(*weights(level, *given))
    return weights(level - step, *given)[0]


@functools.cache
def _halving(weights):
    """A step of bisection: always the same function for the same weights, or JAX would compile it at each call."""

    def halve(_, state):
        low, high, *given = state
        middle = (low + high) / 2.0
        excess, step = _newton(*weights(middle, *given))
        # On a convex sum, a Newton step from anywhere ends at the solution or above it.
        return (ops.where(excess < 0.0, middle, low), ops.minimum(high, middle - step), *given)

    return halve


def _newton(weights, slopes):
    """By how much the weights exceed one, and the step down that Newton's method takes for it."""
    excess = ops.sum(weights, axis=-1, keepdims=True) - 1.0
    slope = ops.stop_gradient(ops.sum(slopes, axis=-1, keepdims=True))
    return excess, excess / ops.where(slope > 0.0, slope, 1.0)
