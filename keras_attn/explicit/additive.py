import keras
from keras import ops

from keras_attn import scores
from keras_attn.lookup import choose, flag, whole_number
from keras_attn.pairwise import Pairwise

SCORES = ("additive", "normalized", "concat")


@keras.saving.register_keras_serializable(package="keras_attn")
class AdditiveAttention(Pairwise):
    """Additive attention: a small network with one hidden layer scores each pair.

    `score(q, k) = v · tanh(W_q q + W_k k + b)` ("additive"), `g v / |v| · tanh(W_q q + W_k k + b)` ("normalized") or
    `v · tanh(W [q; k])` ("concat"), and the mix is the weighted sum of the values as they are. Without `units` nothing
    is projected, `score(q, k) = v · tanh(q + k)`: what `keras.layers.AdditiveAttention` does.

    Args:
        use_scale: whether v is learned (glorot-uniform at first); if not it is all ones.
        dropout: share of the weights dropped in training, in [0, 1).
        units: width of the hidden layer, at least 1; None for no projections (then queries and keys have one width).
        score: "additive", "normalized" (v at length one, times a learned strength g that starts at 1 / sqrt(units)) or
            "concat" (as "additive" without its bias, for the projections of a concatenation are two added up). The
            last two need `units`.
        normalizer: how scores become weights, a name or a spec from `keras_attn.normalizers`.
        seed: an integer that makes the dropout repeatable.
        chunk_size: queries at a time, at least 1; None for all at once; "auto" for all at once where that is small.

    Call arguments:
        query: `(B, T, D)`, or a list `[query, value]` or `[query, value, key]`.
        value: `(B, S, Dv)`; None for self-attention.
        key: `(B, S, Dk)`; None for the value.
        query_mask, value_mask, key_mask: boolean `(B, T)` and `(B, S)`, True for real positions.
        attention_mask: boolean `(T, S)` or `(B, T, S)`, True where looking is allowed.
        use_causal_mask: whether to forbid looking at later positions.
        return_attention_scores: whether to return the weights `(B, T, S)` too; a list of positions for these queries'.
        attention_bias: what to add to the scores, `(T, S)` or `(B, T, S)`.
        segment_ids: whole numbers `(B, T)`, or two tensors for queries and keys; only equal ones look at each other.

    Returns:
        The mix `(B, T, Dv)`.

    Example:
    >>> layer = AdditiveAttention(units=8)
    >>> mix, weights = layer([keras.random.normal((2, 3, 5)), keras.random.normal((2, 7, 5))],
    ...                      return_attention_scores=True)
    >>> tuple(mix.shape), tuple(weights.shape)
    ((2, 3, 5), (2, 3, 7))

    Reference: Bahdanau et al., 2015, https://arxiv.org/abs/1409.0473, appendix A.1.2; Luong et al.,
    2015, https://arxiv.org/abs/1508.04025, eq. 8 ("concat"); Salimans and Kingma, 2016,
    https://arxiv.org/abs/1602.07868, eq. 2 (v at length one).
    """

    squeeze_heads = True

    def __init__(
        self,
        use_scale=True,
        dropout=0.0,
        units=None,
        score="additive",
        normalizer="softmax",
        seed=None,
        chunk_size="auto",
        **kwargs,
    ):
        super().__init__(normalizer=normalizer, dropout=dropout, seed=seed, chunk_size=chunk_size, **kwargs)
        self.use_scale = flag("use_scale", use_scale)
        self.units = whole_number("units", units, optional=True)
        self.score = choose("score", score, SCORES)
        if score != "additive" and (units is None or not use_scale):
            raise ValueError(
                f'The score "{score}" needs `units` and `use_scale=True`. '
                f"Received: units={units}, use_scale={use_scale}"
            )

    @property
    def pair_cost(self):
        # The gradient by hand has about four numbers for each of the hidden layer: sum, tanh, its square, a product.
        return 4 * self._width if self.built else 1

    def build_weights(self, query_shape, value_shape, key_shape):
        if self.units is None and query_shape[-1] != key_shape[-1]:
            raise ValueError(
                "Without `units` nothing is projected, so that queries and keys must have the same width. "
                f"Received: query_shape={query_shape}, key_shape={key_shape}"
            )
        self._width = self.units or query_shape[-1]
        if self.units is not None:
            # One bias serves both: they are only ever added.
            self.query_dense = self._projection("query", query_shape, use_bias=False)
            self.key_dense = self._projection("key", key_shape, use_bias=self.score != "concat")
        if self.use_scale:
            self.scale = self.add_weight(name="scale", shape=(self._width,), initializer="glorot_uniform")
        if self.score == "normalized":
            start = keras.initializers.Constant(self.units**-0.5)
            self.strength = self.add_weight(name="strength", shape=(), initializer=start)

    def _projection(self, name, shape, use_bias):
        dense = keras.layers.Dense(self.units, use_bias=use_bias, name=name, dtype=self.dtype_policy)
        dense.build(shape)
        return dense

    def project_query(self, query, rows):
        return ops.expand_dims(query if self.units is None else self.query_dense(query), 1)

    def project_key(self, key, cols):
        return ops.expand_dims(key if self.units is None else self.key_dense(key), 1)

    def score_parameters(self):
        return {**super().score_parameters(), **({"scale": self._scale()} if self.use_scale else {})}

    def _scale(self):
        scale = ops.convert_to_tensor(self.scale)
        if self.score != "normalized":
            return scale
        length = ops.sqrt(ops.sum(ops.square(ops.cast(scale, "float32"))) + 1e-12)
        return ops.convert_to_tensor(self.strength) * scale / ops.cast(length, scale.dtype)

    def compute_scores(self, query, key, parameters):
        return scores.additive(query, key, parameters.get("scale"))

    def compute_chunk_scores(self, query, key, parameters):
        return scores.lean_additive(query, key, parameters.get("scale"))

    def get_config(self):
        return {**super().get_config(), "units": self.units, "use_scale": self.use_scale, "score": self.score}
