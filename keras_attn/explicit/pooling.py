import keras
from keras import ops

from keras_attn import masks, normalizers, scores
from keras_attn.half import with_fractions
from keras_attn.lookup import choose, number, plain, whole_number

SCORES = ("additive", "dot")


@keras.saving.register_keras_serializable(package="keras_attn")
class AttentionPooling(keras.layers.Layer):
    """A sequence as one vector, or as several: learned queries ask, the positions answer.

    "additive": `u_s = tanh(W x_s + b)`, `a_s = softmax_s(q · u_s)`, and the result is `Σ_s a_s x_s`. With several
    queries q this is structured self-attention with as many hops.

    "dot": in each head `a_s = softmax_s(q · W_K x_s / sqrt(d))` reads `Σ_s a_s W_V x_s`, and the heads are projected
    back together. That is pooling by multi-head attention, without the norms and the network behind it.

    It is no mixer: the positions are gone afterwards. (The mixer `Pooling` is another thing, a mean that every position
    gets, for a yardstick.)

    Args:
        score: "additive" or "dot".
        seeds: number of learned queries k, at least 1, for a result `(B, k, D)`; None for one and a result `(B, D)`.
        units: width of the hidden layer ("additive"; None: D) or of a head's keys and values ("dot"; None: D divided
            by the heads, rounded up).
        num_heads: number of heads, at least 1; "additive" has one only.
        normalizer: how scores become weights, a name or a spec from `keras_attn.normalizers`.
        dropout: share of the weights dropped in training, in [0, 1).
        seed: an integer that makes what is random repeatable.

    Call arguments:
        inputs: `(B, S, D)`.
        mask: boolean `(B, S)`, True for real positions; Keras fills it in from the inputs.
        return_attention_scores: whether to return the weights too.
        training: whether dropout acts.

    Returns:
        `(B, D)`, or `(B, k, D)` with `seeds`; zero for a sequence of padding alone. It carries no mask. If asked for
        also the weights as they were before dropout: `(B, k, S)`, or `(B, H, k, S)` with several heads.

    Example:
    >>> layer = AttentionPooling(score="dot", seeds=2, num_heads=4)
    >>> pooled, weights = layer(keras.random.normal((3, 7, 8)), return_attention_scores=True)
    >>> tuple(pooled.shape), tuple(weights.shape)
    ((3, 2, 8), (3, 4, 2, 7))

    Reference: Yang et al., 2016, https://aclanthology.org/N16-1174, eq. 5-7; Lin et al., 2017,
    https://arxiv.org/abs/1703.03130, section 2.1 (hops); Lee et al., 2019, https://arxiv.org/abs/1810.00825,
    section 3.2.
    """

    def __init__(
        self,
        score="additive",
        seeds=None,
        units=None,
        num_heads=1,
        normalizer="softmax",
        dropout=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.score = choose("score", score, SCORES)
        self.seeds = whole_number("seeds", seeds, optional=True)
        self.units = whole_number("units", units, optional=True)
        self.num_heads = whole_number("num_heads", num_heads)
        if score == "additive" and num_heads > 1:
            raise ValueError(
                'The score "additive" has one head; several learned queries are `seeds`, several heads need the score '
                f'"dot". Received: num_heads={num_heads}'
            )
        self.normalizer = normalizer
        self.dropout = number("dropout", dropout, 0.0, 1.0, "[)")
        self.seed = seed
        self._normalizer = normalizers.get(normalizer)
        self._seeds = keras.random.SeedGenerator(seed) if self._normalizer.uses_noise else None
        self._drop = keras.layers.Dropout(dropout, seed=seed, dtype=self.dtype_policy) if dropout else None

    def build(self, input_shape):
        width = input_shape[-1]
        if width is None:
            raise ValueError(f"The last axis of the inputs must be known. Received: input_shape={input_shape}")
        units = self.units or -(-width // self.num_heads)
        # Keys without a bias under a dot product: it would move all scores alike.
        self.key_dense = self._projection("key", width, units * self.num_heads, use_bias=self.score == "additive")
        if self.score == "dot":
            self.value_dense = self._projection("value", width, units * self.num_heads)
            self.output_dense = self._projection("output", units * self.num_heads, width)
        self.queries = self.add_weight(name="queries", shape=(self.num_heads, self.seeds or 1, units))
        self._learned = [
            self.add_weight(name=name, shape=(self.num_heads,), initializer=initializer)
            for name, initializer in self._normalizer.learned
        ]
        self.built = True

    def _projection(self, name, inputs, units, use_bias=False):
        dense = keras.layers.Dense(units, use_bias=use_bias, name=name, dtype=self.dtype_policy)
        dense.build((None, None, inputs))
        return dense

    def call(self, inputs, mask=None, return_attention_scores=False, training=None):
        inputs = masks.zero(with_fractions(inputs, self.compute_dtype), mask)
        weights = self._weights(inputs, None if mask is None else masks.padding(mask), training)
        used = weights if self._drop is None else self._drop(weights, training=training)
        pooled = self._mix(used, inputs)
        pooled = pooled if self.seeds else pooled[:, 0]
        if return_attention_scores:
            return pooled, weights if self.num_heads > 1 else weights[:, 0]
        return pooled

    def _weights(self, inputs, mask, training):
        """Weights `(B, H, k, S)`."""
        scores = self._scores(inputs)
        drawing = training and self._normalizer.uses_noise
        noise = keras.random.uniform(ops.shape(scores), seed=self._seeds) if drawing else None
        return self._normalizer(scores, mask, tuple(self._learned), noise)

    def _scores(self, inputs):
        """Scores `(B, H, k, S)`."""
        keys = self._split(self.key_dense(inputs))
        queries = ops.expand_dims(ops.cast(self.queries, keys.dtype), 0)
        if self.score == "additive":
            return scores.dot(queries, ops.tanh(keys))
        return scores.scaled_dot(queries, keys)

    def _mix(self, weights, inputs):
        """What the weights make of the positions: `(B, k, D)`."""
        if self.score == "additive":
            return ops.matmul(weights[:, 0], inputs)
        heads = ops.matmul(weights, self._split(self.value_dense(inputs)))
        # (B, H, k, d) -> (B, k, H d)
        width = self.num_heads * heads.shape[-1]
        return self.output_dense(ops.reshape(ops.swapaxes(heads, 1, 2), (-1, self.seeds or 1, width)))

    def _split(self, x):
        """The heads, from `(B, S, H d)` to `(B, H, S, d)`."""
        batch, length = ops.shape(x)[:2]
        width = x.shape[-1] // self.num_heads
        return ops.swapaxes(ops.reshape(x, (batch, length, self.num_heads, width)), 1, 2)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *((self.seeds,) if self.seeds else ()), input_shape[-1])

    def compute_output_spec(self, inputs, mask=None, return_attention_scores=False, training=None):
        pooled = keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)
        if not return_attention_scores:
            return pooled
        heads = (self.num_heads,) if self.num_heads > 1 else ()
        shape = (inputs.shape[0], *heads, self.seeds or 1, inputs.shape[1])
        return pooled, keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "score": self.score,
            "seeds": self.seeds,
            "units": self.units,
            "num_heads": self.num_heads,
            "normalizer": plain(self.normalizer),
            "dropout": self.dropout,
            "seed": self.seed,
        }
