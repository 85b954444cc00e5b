import dataclasses
import math

import keras
from keras import ops

from keras_attn import attend, patterns, scores
from keras_attn.explicit import axes
from keras_attn.lookup import choose, flag, number, plain, whole_number
from keras_attn.pairwise import Pairwise
from keras_attn.positions import get as part_of_positions


@keras.saving.register_keras_serializable(package="keras_attn")
class MultiHeadAttention(Pairwise):
    """Multi-head attention: several scaled dot products side by side, each between projections of its own.

    `head_h = softmax(Q_h K_h' / sqrt(key_dim)) V_h` with `Q_h = q W_h^Q`, `K_h = k W_h^K`, `V_h = v W_h^V`; the heads
    are projected back together. With fewer `num_key_value_heads` than heads, neighbouring heads share keys and values
    (grouped-query attention; one: multi-query attention).

    Arguments, call arguments and the order of the weights are those of `keras.layers.MultiHeadAttention`; what differs
    is listed in `docs/keras_compatibility.md`.

    Args:
        num_heads: number of heads, at least 1.
        key_dim: width of a head's queries and keys; None for the query's width divided by the heads, rounded up.
        value_dim: width of a head's values; None for `key_dim`.
        dropout: share of the weights dropped in training, in [0, 1).
        use_bias: whether the projections have biases. (Under softmax the keys' bias changes nothing.)
        output_shape: width or shape of the output behind its positions; None for the query's width.
        attention_axes: axes to attend over; None for all but the batch and the width.
        sliding_window: if given, keys `sliding_window` or more positions away are not looked at; as under a causal mask
            the last query stands at the last key.
        kernel_initializer, bias_initializer: how the projections start.
        kernel_regularizer, bias_regularizer, activity_regularizer: penalties on the projections.
        kernel_constraint, bias_constraint: constraints on the projections.
        use_gate: whether a sigmoid of the query, projected, scales each head's mix.
        seed: an integer that makes the dropout repeatable.
        num_key_value_heads: heads of keys and values, a divisor of `num_heads`; None for as many.
        normalizer: how scores become weights, a name or a spec from `keras_attn.normalizers`.
        score: "scaled_dot", or "cosine" for β_h q·k / (|q| |k|), a learned strength for each head that starts at 10.
        soft_cap: if given, a score s becomes c tanh(s / c), with this c above 0.
        talking_heads: whether the heads exchange scores before the normalizer and weights after it, each by a learned
            `(H, H)` that starts near the identity. Then the weights may be negative.
        positions: how heads know where a token stands, a name or a spec from `keras_attn.positions`; None: not at all.
        pattern: who may look at whom by position alone, a name or a spec from `keras_attn.patterns`, or a list of them.
        chunk_size: queries at a time, at least 1; None for all at once; "auto" for all at once where that is small.

    Call arguments:
        query: `(B, T, D)`, or `(B, ..., D)` with `attention_axes`.
        value: `(B, S, Dv)`; None for self-attention.
        key: `(B, S, Dk)`; None for the value.
        query_mask, value_mask, key_mask: boolean `(B, T)` and `(B, S)`, True for real positions.
        attention_mask: boolean `(T, S)`, `(B, T, S)` or `(B, H, T, S)`, True where looking is allowed.
        use_causal_mask: whether to forbid looking at later positions. The last query stands at the last key.
        return_attention_scores: whether to return the weights `(B, H, T, S)` too; a list of positions for these
            queries'.
        attention_bias: what to add to the scores, `(T, S)`, `(B, T, S)` or `(B, H, T, S)`.
        segment_ids: whole numbers `(B, T)`, or two tensors for queries and keys; only equal ones look at each other.

    Returns:
        The mix `(B, T, D)`, or with the given output shape behind the positions.

    Example:
    >>> layer = MultiHeadAttention(num_heads=4, num_key_value_heads=2)
    >>> mix, weights = layer(keras.random.normal((2, 3, 8)), return_attention_scores=True)
    >>> tuple(mix.shape), tuple(weights.shape)
    ((2, 3, 8), (2, 4, 3, 3))

    Reference: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.2; Ainslie et al., 2023,
    https://arxiv.org/abs/2305.13245 (grouped heads); Henry et al., 2020, https://arxiv.org/abs/2010.04245
    ("cosine"); Shazeer et al., 2020, https://arxiv.org/abs/2003.02436 (talking heads); Qiu et al., 2025,
    https://arxiv.org/abs/2505.06708 (the gate); Gemma Team, 2024, https://arxiv.org/abs/2408.00118 (the cap).
    """

    many_axes = True

    def __init__(
        self,
        num_heads,
        key_dim=None,
        value_dim=None,
        dropout=0.0,
        use_bias=True,
        output_shape=None,
        attention_axes=None,
        sliding_window=None,
        # Keras has `flash_attention` here: behind it an argument by position would mean another one.
        *,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        use_gate=False,
        seed=None,
        num_key_value_heads=None,
        normalizer="softmax",
        score="scaled_dot",
        soft_cap=None,
        talking_heads=False,
        positions=None,
        pattern=None,
        chunk_size="auto",
        **kwargs,
    ):
        super().__init__(normalizer=normalizer, dropout=dropout, seed=seed, chunk_size=chunk_size, **kwargs)
        self.num_heads = whole_number("num_heads", num_heads)
        self.key_dim = whole_number("key_dim", key_dim, optional=True)
        self.value_dim = whole_number("value_dim", value_dim, optional=True)
        self.num_key_value_heads = whole_number("num_key_value_heads", num_key_value_heads, optional=True)
        if num_heads % (num_key_value_heads or num_heads):
            raise ValueError(
                "Argument `num_key_value_heads` must divide `num_heads`. "
                f"Received: num_heads={num_heads}, num_key_value_heads={num_key_value_heads}"
            )
        self.use_bias = flag("use_bias", use_bias)
        self._output_shape = _shape(output_shape)
        self.attention_axes = attention_axes
        self.sliding_window = whole_number("sliding_window", sliding_window, optional=True)
        self.use_gate = flag("use_gate", use_gate)
        self.score = choose("score", score, ("scaled_dot", "cosine"))
        self.soft_cap = number("soft_cap", soft_cap, low=0.0, optional=True)
        self.talking_heads = flag("talking_heads", talking_heads)
        self.positions = positions
        self._positions = part_of_positions(positions)
        self._pattern_option = pattern
        self._pattern = patterns.get(
            [*([] if sliding_window is None else [{"pattern": "window", "width": sliding_window}]), *_listed(pattern)]
            or None
        )
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        # The penalty is for the projections; as an attribute of that name Keras would apply it to this layer too.
        self._projection_activity_regularizer = keras.regularizers.get(activity_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    # The projections bear the names of Keras's own, so that its weight files fit.
    @property
    def query_dense(self):
        return self._query_dense

    @property
    def key_dense(self):
        return self._key_dense

    @property
    def value_dense(self):
        return self._value_dense

    @property
    def output_dense(self):
        return self._output_dense

    def build_weights(self, query_shape, value_shape, key_shape):
        key_dim = self.key_dim or -(-query_shape[-1] // self.num_heads)
        value_dim = self.value_dim or key_dim
        heads, shared = self.num_heads, self.num_key_value_heads or self.num_heads
        self._query_dense = self._split("query", query_shape, heads, key_dim)
        self._key_dense = self._split("key", key_shape, shared, key_dim)
        self._value_dense = self._split("value", value_shape, shared, value_dim)
        if self.use_gate:
            self._gate_dense = self._split("gate", query_shape, heads, value_dim, activation="sigmoid")
        self._output_dense = self._join("attention_output", query_shape, heads, value_dim)
        self._build_mixing_of_heads()

    def _split(self, name, shape, heads, width, **options):
        """A projection `(B, T, D) -> (B, T, H, d)`."""
        bias_axes = "hd" if self.use_bias else None
        return self._projection(
            "bti,ihd->bthd", (None, heads, width), bias_axes, name, (None, None, shape[-1]), **options
        )

    def _join(self, name, query_shape, heads, width):
        """The projection `(B, T, H, d) -> (B, T, *output)`."""
        output = self._output_shape or (query_shape[-1],)
        letters = "mnopqrsuvwxyz"[: len(output)]
        bias_axes = letters if self.use_bias else None
        equation = f"bthd,hd{letters}->bt{letters}"
        return self._projection(equation, (None, *output), bias_axes, name, (None, None, heads, width))

    def _projection(self, equation, output_shape, bias_axes, name, input_shape, **options):
        dense = keras.layers.EinsumDense(
            equation,
            output_shape,
            bias_axes=bias_axes,
            # A copy each: one initializer instance would start all projections alike.
            kernel_initializer=_copy(self.kernel_initializer),
            bias_initializer=_copy(self.bias_initializer),
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            activity_regularizer=self._projection_activity_regularizer,
            kernel_constraint=self.kernel_constraint,
            bias_constraint=self.bias_constraint,
            dtype=self.dtype_policy,
            name=name,
            **options,
        )
        dense.supports_masking = True
        dense.build(input_shape)
        return dense

    def _build_mixing_of_heads(self):
        if self.score == "cosine":
            start = keras.initializers.Constant(math.log(10.0))
            self._log_strength = self.add_weight(name="log_strength", shape=(self.num_heads,), initializer=start)
        self._learned_positions = {
            name: self.add_weight(name=name, shape=shape, initializer=initializer)
            for name, shape, initializer in self._positions.learned(self.num_heads)
        }
        self._talking = {name: self._talk(name) for name in ("talk_before", "talk_after")} if self.talking_heads else {}

    def _talk(self, name):
        return self.add_weight(name=name, shape=(self.num_heads, self.num_heads), initializer=_near_identity)

    @property
    def heads(self):
        return self.num_heads

    @property
    def pattern(self):
        return self._pattern

    @property
    def can_read(self):
        # Distances to a query's own place: among the keys of another sequence it has none.
        return self._positions.spec is None and self._pattern.spec is None

    @property
    def weights_are(self):
        return "signed" if self.talking_heads else super().weights_are

    def project_query(self, query, rows):
        return self._positions.rotate(_heads_first(self._query_dense(self._positions.embed(query, rows))), rows)

    def project_key(self, key, cols):
        return self._positions.rotate(_heads_first(self._key_dense(self._positions.embed(key, cols))), cols)

    def project_value(self, value):
        return _heads_first(self._value_dense(value))

    def score_parameters(self):
        own = {**self._learned_positions, **self._talking}
        if self.score == "cosine":
            own["log_strength"] = self._log_strength
        return {**super().score_parameters(), **{name: ops.convert_to_tensor(weight) for name, weight in own.items()}}

    def compute_scores(self, query, key, parameters):
        query, key = self._vectors(query, key, parameters)
        found = attend.grouped_matmul(query, ops.swapaxes(key, -1, -2))
        return found if self.soft_cap is None else self.soft_cap * ops.tanh(found / self.soft_cap)

    def _vectors(self, query, key, parameters):
        if self.score == "cosine":
            strength = ops.cast(ops.exp(parameters["log_strength"])[:, None, None], query.dtype)
            return strength * scores.unit(query), scores.unit(key)
        return scores.scaled(query), key

    def as_dot_product(self, query, key, parameters):
        more_bias = self._positions.has_bias and self.score_falls is None
        more = self.soft_cap or self.talking_heads or more_bias
        return None if more else self._vectors(query, key, parameters)

    @property
    def score_falls(self):
        return self._positions.falls(self.num_heads)

    def position_bias(self, rows, cols, parameters):
        learned = tuple(parameters[name] for name in self._learned_positions)
        return self._positions.bias(rows, cols, self.num_heads, learned)

    def adjust_scores(self, scores, parameters):
        if not self.talking_heads:
            return scores
        # Of scores that float16 cannot hold the sum may be infinity less infinity.
        finite = ops.clip(ops.cast(scores, "float32"), -1e36, 1e36)
        return ops.cast(_talk(finite, ops.cast(parameters["talk_before"], "float32")), scores.dtype)

    def adjust_weights(self, weights, parameters):
        return _talk(weights, parameters["talk_after"]) if self.talking_heads else weights

    def merge(self, mix, query):
        mix = ops.transpose(mix, (0, 2, 1, 3))
        return self._output_dense(mix * self._gate_dense(query) if self.use_gate else mix)

    def _attend(self, query, value, key, query_mask, source_mask, asked):
        rank = len(query.shape)
        over = axes.resolve(self.attention_axes, rank)
        if rank == 3 and over == (1,):
            return super()._attend(query, value, key, query_mask, source_mask, asked)
        if not isinstance(asked.weights, bool) or asked.attention_bias is not None or asked.segment_ids is not None:
            raise ValueError(
                "Weights of chosen queries, `attention_bias` and `segment_ids` need inputs of one axis of positions, "
                f"(B, T, D). Received: query.shape={tuple(query.shape)}, attention_axes={self.attention_axes}"
            )
        if asked.attention_mask is not None:
            folded_mask = axes.fold_attention_mask(asked.attention_mask, over, query, value)
            asked = dataclasses.replace(asked, attention_mask=folded_mask)
        folded = (axes.fold(x, over) for x in (query, value, key))
        folded_masks = (axes.fold_mask(m, over) for m in (query_mask, source_mask))
        mix, weights = super()._attend(*folded, *folded_masks, asked)
        weights = None if weights is None else axes.unfold_weights(weights, over, query, value)
        return axes.unfold(mix, over, query), weights

    def compute_output_shape(self, query_shape, value_shape=None, key_shape=None):
        query_shape, _, _ = self._sort_shapes(query_shape, value_shape, key_shape)
        return (*query_shape[:-1], *(self._output_shape or query_shape[-1:]))

    def compute_weights_shape(self, query_shape, key_shape):
        over = axes.resolve(self.attention_axes, len(query_shape))
        others = (size for axis, size in enumerate(query_shape[:-1]) if axis not in over)
        return (*others, self.num_heads, *(shape[axis] for shape in (query_shape, key_shape) for axis in over))

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        options = {
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "use_bias": self.use_bias,
            "output_shape": self._output_shape,
            "attention_axes": self.attention_axes,
            "sliding_window": self.sliding_window,
            "kernel_initializer": serialize(self.kernel_initializer),
            "bias_initializer": serialize(self.bias_initializer),
            "kernel_regularizer": serialize(self.kernel_regularizer),
            "bias_regularizer": serialize(self.bias_regularizer),
            "activity_regularizer": serialize(self._projection_activity_regularizer),
            "kernel_constraint": serialize(self.kernel_constraint),
            "bias_constraint": serialize(self.bias_constraint),
            "use_gate": self.use_gate,
            "num_key_value_heads": self.num_key_value_heads,
            "score": self.score,
            "soft_cap": self.soft_cap,
            "talking_heads": self.talking_heads,
            "positions": plain(self.positions),
            "pattern": plain(self._pattern_option),
        }
        return {**super().get_config(), **options}


def _heads_first(x):
    """`(B, T, H, d)` to `(B, H, T, d)`."""
    return ops.transpose(x, (0, 2, 1, 3))


def _talk(x, kernel):
    """`x` `(B, H, T, S)` with its heads mixed by `kernel` `(H, H)`."""
    return ops.einsum("bhts,hg->bgts", x, kernel)


def _copy(initializer):
    """Another of its kind; a plain function has nothing to share."""
    return initializer.clone() if hasattr(initializer, "clone") else initializer


def _near_identity(shape, dtype=None):
    return keras.initializers.Identity()(shape, dtype) + keras.initializers.RandomNormal(stddev=0.05)(shape, dtype)


def _listed(spec):
    return [] if spec is None else list(spec) if isinstance(spec, (list, tuple)) else [spec]


def _shape(output_shape):
    """An integer or a sequence of integers as a tuple, None as None."""
    if output_shape is None:
        return None
    sizes = (output_shape,) if isinstance(output_shape, int) else output_shape
    if not isinstance(sizes, (list, tuple)) or not all(type(size) is int and size > 0 for size in sizes):
        raise ValueError(
            f"Invalid `output_shape`: it must be an integer of at least 1 or a tuple of them. Received: {output_shape}"
        )
    return tuple(sizes)
