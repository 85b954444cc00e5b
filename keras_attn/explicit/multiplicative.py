import math

import keras
from keras import ops

from keras_attn import scores
from keras_attn.lookup import choose
from keras_attn.mixer import Explicit

SCORES = ("dot", "scaled_dot", "general", "cosine")


@keras.saving.register_keras_serializable(package="keras_attn")
class MultiplicativeAttention(Explicit):
    """Multiplicative attention: a product scores each pair.

    `score(q, k)` is `q·k` ("dot"), `q·k / sqrt(d)` ("scaled_dot"), `q' W k` ("general") or `β q·k / (|q| |k|)`
    ("cosine", with a learned strength β that starts at 10). The mix is the weighted sum of the values as they are.

    Args:
        score: "dot", "scaled_dot", "general" or "cosine". All but "general" need queries and keys of one width.
        normalizer: how scores become weights: "softmax", "sparsemax", "entmax15" or "hard".
        dropout: share of the weights dropped in training, in [0, 1).
        seed: an integer that makes the dropout repeatable.

    Call arguments:
        query: `(B, T, D)`, or a list `[query, value]` or `[query, value, key]`.
        value: `(B, S, Dv)`; None for self-attention.
        key: `(B, S, Dk)`; None for the value.
        query_mask, value_mask, key_mask: boolean `(B, T)` and `(B, S)`, True for real positions.
        attention_mask: boolean `(T, S)` or `(B, T, S)`, True where looking is allowed.
        use_causal_mask: whether to forbid looking at later positions.
        return_attention_scores: whether to return the weights `(B, 1, T, S)` too.

    Returns:
        The mix `(B, T, Dv)`.

    Example:
    >>> layer = MultiplicativeAttention(score="general")
    >>> tuple(layer(keras.random.normal((2, 3, 5)), keras.random.normal((2, 7, 4))).shape)
    (2, 3, 4)

    Reference: Luong et al., 2015, https://arxiv.org/abs/1508.04025, eq. 8; Vaswani et al., 2017,
    https://arxiv.org/abs/1706.03762, eq. 1; Graves et al., 2014, https://arxiv.org/abs/1410.5401, eq. 5-6.
    """

    def __init__(self, score="scaled_dot", normalizer="softmax", dropout=0.0, seed=None, **kwargs):
        super().__init__(normalizer=normalizer, dropout=dropout, seed=seed, **kwargs)
        self.score = choose("score", score, SCORES)

    def build_weights(self, query_shape, value_shape, key_shape):
        if self.score == "general":
            self.kernel = self.add_weight(name="kernel", shape=(query_shape[-1], key_shape[-1]))
        elif query_shape[-1] != key_shape[-1]:
            raise ValueError(
                f'The score "{self.score}" needs queries and keys of the same width; "general" does not. '
                f"Received: query_shape={query_shape}, key_shape={key_shape}"
            )
        if self.score == "cosine":
            start = keras.initializers.Constant(math.log(10.0))
            self.log_strength = self.add_weight(name="log_strength", shape=(), initializer=start)

    def compute_scores(self, query, key):
        return ops.expand_dims(self._score(query, key), 1)

    def _score(self, query, key):
        if self.score == "general":
            return scores.general(query, key, self.kernel)
        if self.score == "cosine":
            return scores.cosine(query, key, ops.exp(self.log_strength))
        return scores.dot(query, key) if self.score == "dot" else scores.scaled_dot(query, key)

    def get_config(self):
        return {**super().get_config(), "score": self.score}
