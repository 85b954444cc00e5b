import keras
from keras import ops

from keras_attn import masks, scores
from keras_attn.explicit import axes
from keras_attn.lookup import whole_number
from keras_attn.mixer import Explicit


@keras.saving.register_keras_serializable(package="keras_attn")
class MultiHeadAttention(Explicit):
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
        normalizer: how scores become weights: "softmax", "sparsemax", "entmax15" or "hard".

    Call arguments:
        query: `(B, T, D)`, or `(B, ..., D)` with `attention_axes`.
        value: `(B, S, Dv)`; None for self-attention.
        key: `(B, S, Dk)`; None for the value.
        query_mask, value_mask, key_mask: boolean `(B, T)` and `(B, S)`, True for real positions.
        attention_mask: boolean `(T, S)`, `(B, T, S)` or `(B, H, T, S)`, True where looking is allowed.
        use_causal_mask: whether to forbid looking at later positions. The last query stands at the last key.
        return_attention_scores: whether to return the weights `(B, H, T, S)` too.

    Returns:
        The mix `(B, T, D)`, or with the given output shape behind the positions.

    Example:
    >>> layer = MultiHeadAttention(num_heads=4, num_key_value_heads=2)
    >>> mix, weights = layer(keras.random.normal((2, 3, 8)), return_attention_scores=True)
    >>> tuple(mix.shape), tuple(weights.shape)
    ((2, 3, 8), (2, 4, 3, 3))

    Reference: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.2; Ainslie et al., 2023,
    https://arxiv.org/abs/2305.13245 (grouped heads).
    """

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
        **kwargs,
    ):
        super().__init__(normalizer=normalizer, dropout=dropout, seed=seed, **kwargs)
        self.num_heads = whole_number("num_heads", num_heads)
        self.key_dim = whole_number("key_dim", key_dim, optional=True)
        self.value_dim = whole_number("value_dim", value_dim, optional=True)
        self.num_key_value_heads = whole_number("num_key_value_heads", num_key_value_heads, optional=True)
        if num_heads % (num_key_value_heads or num_heads):
            raise ValueError(
                "Argument `num_key_value_heads` must divide `num_heads`. "
                f"Received: num_heads={num_heads}, num_key_value_heads={num_key_value_heads}"
            )
        self.use_bias = use_bias
        self._output_shape = _shape(output_shape)
        self.attention_axes = attention_axes
        self.sliding_window = whole_number("sliding_window", sliding_window, optional=True)
        self.use_gate = use_gate
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
            kernel_initializer=self.kernel_initializer.clone(),
            bias_initializer=self.bias_initializer.clone(),
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

    def compute_scores(self, query, key):
        return scores.scaled_dot(self._heads(self._query_dense(query)), self._heads(self._key_dense(key)))

    def compute_mix(self, weights, value, query):
        mix = ops.transpose(ops.matmul(weights, self._heads(self._value_dense(value))), (0, 2, 1, 3))
        return self._output_dense(mix * self._gate_dense(query) if self.use_gate else mix)

    def _heads(self, x):
        """`(B, T, H or fewer, d)` to `(B, H, T, d)`: a shared head serves its neighbours, [0, 0, 1, 1]."""
        return ops.repeat(ops.transpose(x, (0, 2, 1, 3)), self.num_heads // x.shape[2], axis=1)

    def _allowed(self, query, key, source_mask, attention_mask, use_causal_mask):
        allowed = super()._allowed(query, key, source_mask, attention_mask, use_causal_mask)
        if self.sliding_window is None:
            return allowed
        lengths = ops.shape(query)[1], ops.shape(key)[1]
        return masks.combine(allowed, masks.window(*lengths, self.sliding_window))

    def _attend(self, query, value, key, query_mask, source_mask, attention_mask, use_causal_mask, training):
        rank = len(query.shape)
        over = axes.resolve(self.attention_axes, rank)
        if rank == 3 and over == (1,):
            who = (query_mask, source_mask, attention_mask, use_causal_mask)
            return super()._attend(query, value, key, *who, training)
        if attention_mask is not None:
            attention_mask = axes.fold_attention_mask(attention_mask, over, query, value)
        folded = (axes.fold(x, over) for x in (query, value, key))
        folded_masks = (axes.fold_mask(m, over) for m in (query_mask, source_mask))
        mix, weights = super()._attend(*folded, *folded_masks, attention_mask, use_causal_mask, training)
        return axes.unfold(mix, over, query), axes.unfold_weights(weights, over, query, value)

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
        }
        return {**super().get_config(), **options}


def _shape(output_shape):
    """An integer or a sequence of integers as a tuple, None as None."""
    if output_shape is None:
        return None
    sizes = (output_shape,) if isinstance(output_shape, int) else output_shape
    if not isinstance(sizes, (list, tuple)) or not all(isinstance(size, int) for size in sizes):
        raise ValueError(f"Invalid `output_shape`: it must be an integer or a tuple of them. Received: {output_shape}")
    return tuple(sizes)
