import keras
from keras import ops

from keras_attn import scores
from keras_attn.lookup import flag, whole_number
from keras_attn.mixer import Explicit


@keras.saving.register_keras_serializable(package="keras_attn")
class AdditiveAttention(Explicit):
    """Additive attention: a small network with one hidden layer scores each pair.

    `score(q, k) = v · tanh(W_q q + W_k k + b)`, and the mix is the weighted sum of the values as they are.
    Without `units` nothing is projected, `score(q, k) = v · tanh(q + k)`: what `keras.layers.AdditiveAttention` does.

    Args:
        use_scale: whether v is learned (glorot-uniform at first); if not it is all ones.
        dropout: share of the weights dropped in training, in [0, 1).
        units: width of the hidden layer, at least 1; None for no projections (then queries and keys have one width).
        normalizer: how scores become weights: "softmax", "sparsemax", "entmax15" or "hard".
        seed: an integer that makes the dropout repeatable.

    Call arguments:
        query: `(B, T, D)`, or a list `[query, value]` or `[query, value, key]`.
        value: `(B, S, Dv)`; None for self-attention.
        key: `(B, S, Dk)`; None for the value.
        query_mask, value_mask, key_mask: boolean `(B, T)` and `(B, S)`, True for real positions.
        attention_mask: boolean `(T, S)` or `(B, T, S)`, True where looking is allowed.
        use_causal_mask: whether to forbid looking at later positions.
        return_attention_scores: whether to return the weights `(B, T, S)` too.

    Returns:
        The mix `(B, T, Dv)`.

    Example:
    >>> layer = AdditiveAttention(units=8)
    >>> mix, weights = layer([keras.random.normal((2, 3, 5)), keras.random.normal((2, 7, 5))],
    ...                      return_attention_scores=True)
    >>> tuple(mix.shape), tuple(weights.shape)
    ((2, 3, 5), (2, 3, 7))

    Reference: Bahdanau et al., 2015, https://arxiv.org/abs/1409.0473, appendix A.1.2.
    """

    squeeze_heads = True

    def __init__(self, use_scale=True, dropout=0.0, units=None, normalizer="softmax", seed=None, **kwargs):
        super().__init__(normalizer=normalizer, dropout=dropout, seed=seed, **kwargs)
        self.use_scale = flag("use_scale", use_scale)
        self.units = whole_number("units", units, optional=True)

    def build_weights(self, query_shape, value_shape, key_shape):
        if self.units is None and query_shape[-1] != key_shape[-1]:
            raise ValueError(
                "Without `units` nothing is projected, so that queries and keys must have the same width. "
                f"Received: query_shape={query_shape}, key_shape={key_shape}"
            )
        if self.units is not None:
            # One bias serves both: they are only ever added.
            self.query_dense = self._projection("query", query_shape, use_bias=False)
            self.key_dense = self._projection("key", key_shape, use_bias=True)
        width = self.units or query_shape[-1]
        self.scale = (
            self.add_weight(name="scale", shape=(width,), initializer="glorot_uniform") if self.use_scale else None
        )

    def _projection(self, name, shape, use_bias):
        dense = keras.layers.Dense(self.units, use_bias=use_bias, name=name, dtype=self.dtype_policy)
        dense.build(shape)
        return dense

    def compute_scores(self, query, key):
        if self.units is not None:
            query, key = self.query_dense(query), self.key_dense(key)
        return ops.expand_dims(scores.additive(query, key, self.scale), 1)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "use_scale": self.use_scale}
