"""Penalties on attention weights: what weights should look like, as a term of the loss.

Each function takes weights `(B, H, T, S)` (or `(B, T, S)`) with the masks of the queries `(B, T)` and of what they look
at `(B, S)`, boolean, None for all real, and returns one number in float32: a mean over real rows. A row is real if its
query is and if it has any weight at all, so that neither padding nor a query with nothing to look at counts.

A spec is plain data: a name, a dictionary `{"regularizer": name, "strength": 0.1, **options}`, or a list of these,
which means their sum.
"""

import dataclasses

import keras
from keras import ops

from keras_attn import masks
from keras_attn.lookup import choose, number, plain

AMONG = ("heads", "queries")


def entropy(weights, query_mask=None, source_mask=None):
    """The mean of -Σ_s a_s ln a_s: with a strength above 0 weights become sharp, below 0 flat."""
    weights, real = _rows(weights, query_mask, source_mask)
    # The logarithm never sees a zero: its slope there is infinite.
    logarithm = ops.log(ops.where(weights > 0.0, weights, 1.0))
    return _mean(-ops.sum(weights * logarithm, axis=-1), real)


def coverage(weights, query_mask=None, source_mask=None):
    """The mean over t of Σ_s min(a_ts, c_ts), with c_t = Σ_{t'<t} a_t': looking at the same place twice costs.

    See et al., 2017, https://arxiv.org/abs/1704.04368, section 2.3.
    """
    weights, real = _rows(weights, query_mask, source_mask)
    # Sums of the rows before: a shift is exact where a difference of sums is not.
    before = ops.cumsum(ops.pad(weights[:, :, :-1], ((0, 0), (0, 0), (1, 0), (0, 0))), axis=2)
    return _mean(ops.sum(ops.minimum(weights, before), axis=-1), real)


def doubly_stochastic(weights, query_mask=None, source_mask=None):
    """The mean over real s of (1 - Σ_t a_ts)²: every place is looked at once in all.

    It can vanish only where there are as many queries as sources. Xu et al., 2015,
    https://arxiv.org/abs/1502.03044, section 4.2.1 (there a sum over s).
    """
    weights, real = _rows(weights, query_mask, source_mask)
    sources = ops.logical_and(ops.any(real, axis=-1, keepdims=True), ops.ones_like(weights[:, :, 0], dtype="bool"))
    if source_mask is not None:
        sources = ops.logical_and(sources, ops.cast(source_mask, "bool")[:, None])
    return _mean(ops.square(1.0 - ops.sum(weights, axis=2)), sources)


def orthogonality(weights, query_mask=None, source_mask=None, among="heads"):
    """The mean of |A A' - I|²: rows of A look at different places, and each at few.

    Args:
        weights, query_mask, source_mask: see above.
        among: what the rows of A are: "heads" (or hops), an A for each query; or "queries" (or the seeds of
            `AttentionPooling`), an A for each head.

    Lin et al., 2017, https://arxiv.org/abs/1703.03130, section 2.2.
    """
    _check_among("among", among)
    weights, real = _rows(weights, query_mask, source_mask)
    if among == "heads":
        weights, real = ops.swapaxes(weights, 1, 2), ops.swapaxes(real, 1, 2)
    products = ops.matmul(weights, ops.swapaxes(weights, -1, -2))
    # A row that is not real has nothing to look at, and should not.
    identity = ops.eye(ops.shape(weights)[2], dtype="float32") * ops.cast(real, "float32")[..., None]
    return _mean(ops.sum(ops.square(products - identity), axis=(-2, -1)), ops.any(real, axis=-1))


def guided(weights, query_mask=None, source_mask=None, width=0.2):
    """The mean over t of Σ_s a_ts (1 - exp(-(s/S - t/T)² / 2g²)): weights far from the diagonal cost.

    Args:
        weights, query_mask, source_mask: see above; t, s, T and S count real positions, from one.
        width: g, above 0: how far from the diagonal is still near it, as a share of the length.

    Tachibana et al., 2017, https://arxiv.org/abs/1710.08969, section 4 (there a mean over s too).
    """
    number("width", width, low=0.0)
    weights, real = _rows(weights, query_mask, source_mask)
    queries = _place(query_mask, ops.shape(weights)[2])[:, None, :, None]
    sources = _place(source_mask, ops.shape(weights)[3])[:, None, None, :]
    cost = 1.0 - ops.exp(-ops.square(sources - queries) / (2.0 * width**2))
    return _mean(ops.sum(weights * cost, axis=-1), real)


def _rows(weights, query_mask, source_mask):
    """Weights `(B, H, T, S)` in float32 with zeros at padding, and which rows are real `(B, H, T)`."""
    if len(weights.shape) not in (3, 4):
        raise ValueError(f"Weights must have shape (B, H, T, S) or (B, T, S). Received: {tuple(weights.shape)}")
    weights = ops.cast(weights, "float32")
    weights = weights if len(weights.shape) == 4 else weights[:, None]
    real = masks.combine(
        None if query_mask is None else ops.cast(query_mask, "bool")[:, None, :, None],
        None if source_mask is None else masks.padding(source_mask),
    )
    weights = weights if real is None else ops.where(real, weights, 0.0)
    return weights, ops.any(ops.not_equal(weights, 0.0), axis=-1)


def _mean(values, real):
    """The mean of the values that are real; 0 if none is."""
    count = ops.sum(ops.cast(real, "float32"))
    return ops.sum(ops.where(real, values, 0.0)) / ops.maximum(count, 1.0)


def _place(mask, length):
    """Where each position stands in its own sequence, in (0, 1]: `(B, T)`, or `(1, T)` without a mask."""
    real = ops.ones((1, length)) if mask is None else ops.cast(mask, "float32")
    return ops.cumsum(real, axis=1) / ops.maximum(ops.sum(real, axis=1, keepdims=True), 1.0)


def _check_among(name, value):
    choose(name, value, AMONG)


def _check_positive(name, value):
    number(name, value, low=0.0)


#: Name -> the function, and its options with what checks their values.
REGULARIZERS = {
    "entropy": (entropy, {}),
    "coverage": (coverage, {}),
    "doubly_stochastic": (doubly_stochastic, {}),
    "orthogonality": (orthogonality, {"among": _check_among}),
    "guided": (guided, {"width": _check_positive}),
}


@dataclasses.dataclass(frozen=True)
class Regularizer:
    """A penalty from the table with its strength: called with weights and masks it gives a number.

    Attributes:
        name: a name in the table.
        strength: any number; the penalty times it enters the loss.
        options: pairs of an option's name and value.
    """

    name: str
    strength: float = 1.0
    options: tuple = ()

    def __post_init__(self):
        checks = REGULARIZERS[choose("regularizer", self.name, REGULARIZERS)][1]
        number("strength", self.strength)
        for option, value in self.options:
            checks[choose(f"option of {self.name!r}", option, {**checks, "strength": None})](option, value)

    def __call__(self, weights, query_mask=None, source_mask=None):
        penalty = REGULARIZERS[self.name][0](weights, query_mask, source_mask, **dict(self.options))
        return self.strength * penalty


@dataclasses.dataclass(frozen=True)
class Sum:
    """Several penalties at once.

    Attributes:
        terms: the penalties.
    """

    terms: tuple

    def __call__(self, weights, query_mask=None, source_mask=None):
        return sum(term(weights, query_mask, source_mask) for term in self.terms)


def names():
    """The names `get` knows."""
    return tuple(REGULARIZERS)


def get(spec):
    """The penalty that a spec describes.

    Args:
        spec: a name, `{"regularizer": name, "strength": 0.1, **options}`, or a list of these for their sum.

    Returns:
        A function of `(weights, query_mask=None, source_mask=None)` that returns one number.

    Raises:
        ValueError: for a name or an option that is not known, or an option with a value that is not possible.

    Example:
    >>> float(get({"regularizer": "coverage", "strength": 3.0})(keras.ops.ones((1, 1, 2, 1))))
    1.5
    """
    if isinstance(spec, (list, tuple)):
        if not spec:
            raise ValueError("A list of regularizers must have one at least. Received: []")
        return Sum(tuple(get(one) for one in spec))
    options = dict(spec) if isinstance(spec, dict) else {"regularizer": spec}
    if "regularizer" not in options:
        raise ValueError(
            'A regularizer is a name, a dictionary {"regularizer": name, "strength": number, **options} or a list of '
            f"these. Received: {spec!r}"
        )
    name, strength = options.pop("regularizer"), options.pop("strength", 1.0)
    return Regularizer(name, strength, tuple(sorted(options.items())))


@keras.saving.register_keras_serializable(package="keras_attn")
class WeightRegularization(keras.layers.Layer):
    """Adds a penalty on attention weights to the loss, and hands the weights on as they are.

    Args:
        regularizer: a name or a spec from `keras_attn.regularizers`, or a list of them for their sum.

    Call arguments:
        weights: `(B, H, T, S)` or `(B, T, S)`, as any explicit layer gives with `return_attention_scores=True`.
        query_mask: boolean `(B, T)`, True for real queries.
        source_mask: boolean `(B, S)`, True for what is real among what they look at.

    Returns:
        The weights.

    Example:
    >>> layer = WeightRegularization({"regularizer": "guided", "strength": 0.5, "width": 0.3})
    >>> tuple(layer(keras.ops.ones((2, 3, 5, 7)) / 7).shape), len(layer.losses)
    ((2, 3, 5, 7), 1)
    """

    def __init__(self, regularizer="entropy", **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        # The weights stay in the precision they came in.
        self.autocast = False
        self.regularizer = regularizer
        self._penalty = get(regularizer)

    def call(self, weights, query_mask=None, source_mask=None):
        self.add_loss(self._penalty(weights, query_mask, source_mask))
        return weights

    def compute_output_spec(self, weights, query_mask=None, source_mask=None):
        return keras.KerasTensor(weights.shape, dtype=weights.dtype)

    def get_config(self):
        return {**super().get_config(), "regularizer": plain(self.regularizer)}
