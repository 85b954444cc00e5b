import math

import keras
from keras import ops

from keras_attn import scores
from keras_attn.lookup import choose
from keras_attn.pairwise import Pairwise

SCORES = ("dot", "scaled_dot", "general", "cosine", "l2")


@keras.saving.register_keras_serializable(package="keras_attn")
class MultiplicativeAttention(Pairwise):
    """Multiplicative attention: a product scores each pair.

    `score(q, k)` is `q·k` ("dot"), `q·k / sqrt(d)` ("scaled_dot"), `q' W k` ("general"), `β q·k / (|q| |k|)` ("cosine",
    with a learned strength β that starts at 10) or `-|q - k|² / sqrt(d)` ("l2"). The mix is the weighted sum of the
    values as they are.

    Args:
        score: "dot", "scaled_dot", "general", "cosine" or "l2". All but "general" need queries and keys of one width.
        normalizer: how scores become weights, a name or a spec from `keras_attn.normalizers`.
        dropout: share of the weights dropped in training, in [0, 1).
        seed: an integer that makes the dropout repeatable.
        chunk_size: queries at a time, at least 1; None for all at once; "auto" for all at once where that is small.

    Call arguments:
        query: `(B, T, D)`, or a list `[query, value]` or `[query, value, key]`.
        value: `(B, S, Dv)`; None for self-attention.
        key: `(B, S, Dk)`; None for the value.
        query_mask, value_mask, key_mask: boolean `(B, T)` and `(B, S)`, True for real positions.
        attention_mask: boolean `(T, S)` or `(B, T, S)`, True where looking is allowed.
        use_causal_mask: whether to forbid looking at later positions.
        return_attention_scores: whether to return the weights `(B, 1, T, S)` too; a list of positions for these
            queries'.
        attention_bias: what to add to the scores, `(T, S)` or `(B, T, S)`.
        segment_ids: whole numbers `(B, T)`, or two tensors for queries and keys; only equal ones look at each other.

    Returns:
        The mix `(B, T, Dv)`.

    Example:
    >>> layer = MultiplicativeAttention(score="general")
    >>> tuple(layer(keras.random.normal((2, 3, 5)), keras.random.normal((2, 7, 4))).shape)
    (2, 3, 4)

    Reference: Luong et al., 2015, https://arxiv.org/abs/1508.04025, eq. 8; Vaswani et al., 2017,
    https://arxiv.org/abs/1706.03762, eq. 1; Graves et al., 2014, https://arxiv.org/abs/1410.5401, eq. 5-6; Kim et al.,
    2021, https://arxiv.org/abs/2006.04710 ("l2").
    """

    def __init__(self, score="scaled_dot", normalizer="softmax", dropout=0.0, seed=None, chunk_size="auto", **kwargs):
        super().__init__(normalizer=normalizer, dropout=dropout, seed=seed, chunk_size=chunk_size, **kwargs)
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

    def score_parameters(self):
        if self.score != "cosine":
            return super().score_parameters()
        return {**super().score_parameters(), "strength": ops.exp(ops.convert_to_tensor(self.log_strength))}

    def project_query(self, query, rows):
        return ops.expand_dims(ops.matmul(query, self.kernel) if self.score == "general" else query, 1)

    def compute_scores(self, query, key, parameters):
        if self.score == "l2":
            return scores.l2(query, key)
        return scores.dot(*self.as_dot_product(query, key, parameters))

    def as_dot_product(self, query, key, parameters):
        if self.score == "l2":
            return None
        if self.score == "cosine":
            return parameters["strength"] * scores.unit(query), scores.unit(key)
        # For "general" the query has been through the kernel.
        return scores.scaled(query) if self.score == "scaled_dot" else query, key

    def get_config(self):
        return {**super().get_config(), "score": self.score}
