import math

import keras
from keras import ops

from keras_attn.explicit import _linear_state
from keras_attn.explicit._state_attention import StateAttention, read_causal, where_present
from keras_attn.lookup import choose

# A sum of weights below this is none. No feature is smaller than exp(LEAST), and a query's largest is one: the slope of
# a share, one over a sum's square, is one that float32 can hold.
TINY = 1e-37
LEAST = -40.0


def _elu(x):
    """1 + elu(x), written so that a small value is not lost in the one."""
    return ops.where(x > 0.0, x + 1.0, ops.exp(ops.clip(x, LEAST, 0.0)))


def _relu(x):
    """max(x, 0), and a little more, so that each query has something to look at."""
    return ops.relu(x) + 1e-3


def _exp(x):
    """exp(x_i) / Σ_j exp(x_j): dividing by the sum keeps it in bounds."""
    return ops.maximum(ops.softmax(x, axis=-1), math.exp(LEAST))


FEATURE_MAPS = {"elu": _elu, "relu": _relu, "exp": _exp}


@keras.saving.register_keras_serializable(package="keras_attn")
class LinearAttention(StateAttention):
    """Linear attention: the weight of a pair is a product of features, so that sums over the keys serve all queries.

    `head_t = Σ_s φ(q_t)·φ(k_s) v_s / Σ_s φ(q_t)·φ(k_s)`, over all s, or if causal over s <= t, with positive features φ
    of the projected queries and keys; the heads are projected back together. No projection has a bias. Unless weights
    are asked for, `Σ φ(k_s) v_s'` and `Σ φ(k_s)` are all that is kept: time and memory are linear in the length.

    Args:
        num_heads: number of heads, at least 1. A head is as wide as the query divided by the heads, rounded up.
        feature_map: φ, "elu" (1 + elu(x)), "relu" (0.001 + relu(x)) or "exp" (exp(x_i) / Σ_j exp(x_j) over a head's
            features).
        dropout: share of the weights dropped in training, in [0, 1); then they are computed, at quadratic cost.
        seed: an integer that makes the dropout repeatable.

    Call arguments:
        query: `(B, T, D)`, or a list `[query, value]` or `[query, value, key]`.
        value: `(B, S, Dv)`; None for self-attention.
        key: `(B, S, Dk)`; None for the value.
        query_mask, value_mask, key_mask: boolean `(B, T)` and `(B, S)`, True for real positions.
        attention_mask: boolean `(T, S)`, `(B, T, S)` or `(B, H, T, S)`, True where looking is allowed.
        use_causal_mask: whether to forbid looking at later positions. The last query stands at the last key.
        return_attention_scores: True for the weights `(B, H, T, S)` too; a list of positions for these queries'.

    Returns:
        The mix `(B, T, D)`.

    Example:
    >>> layer = LinearAttention(num_heads=2)
    >>> mix, weights = layer(keras.random.normal((2, 3, 8)), return_attention_scores=True)
    >>> tuple(mix.shape), tuple(weights.shape)
    ((2, 3, 8), (2, 2, 3, 3))

    Reference: Katharopoulos et al., 2020, https://arxiv.org/abs/2006.16236, eq. 5, 7 and 9-12.
    """

    def __init__(self, num_heads, feature_map="elu", dropout=0.0, seed=None, **kwargs):
        super().__init__(num_heads, dropout=dropout, seed=seed, **kwargs)
        self.feature_map = choose("feature_map", feature_map, FEATURE_MAPS)

    def compute_weights(self, query, key, value, mask, query_mask=None, training=None):
        queries, keys = self._features(query, key)
        scores = ops.matmul(queries, ops.swapaxes(keys, -1, -2))
        scores = scores if mask is None else ops.where(mask, scores, 0.0)
        return self._as_weights(_shares(scores, ops.sum(scores, axis=-1, keepdims=True)))

    def _read(self, query, key, values, present, causal):
        queries, keys = self._features(query, key)
        keys, counted = where_present(keys, present), _counted(values)
        if causal:
            sums = read_causal(_linear_state.read, queries, keys, counted, ops.zeros((1, 1, ops.shape(keys)[2], 1)))
        else:
            sums = ops.matmul(queries, ops.matmul(ops.swapaxes(keys, -1, -2), counted))
        return _shares(sums[..., :-1], sums[..., -1:])

    def _features(self, query, key):
        feature_map = FEATURE_MAPS[self.feature_map]
        queries = feature_map(self._queries(query))
        # The size of a query cancels out; small features of query and key would be lost in their product.
        queries = queries / ops.stop_gradient(ops.max(queries, axis=-1, keepdims=True))
        return queries, feature_map(self._keys(key))

    def initial_state(self, batch_size, max_length=None):
        """The sums before the first position: of keys times values and, in the last column, of keys."""
        return {"memory": self._empty_memory(batch_size, columns=1)}

    def _advance(self, inputs, state, present):
        queries, keys = self._features(inputs, inputs)
        keys, counted = where_present(keys, present), _counted(self._values(inputs))
        log_decay = ops.zeros((1, 1, ops.shape(keys)[2], 1))
        sums, memory = _linear_state.read(queries, keys, counted, log_decay, state["memory"])
        return _shares(sums[..., :-1], sums[..., -1:]), {"memory": memory}

    def get_config(self):
        return {**super().get_config(), "feature_map": self.feature_map}


def _counted(values):
    """Values with a column of ones, whose mix is the sum of the weights."""
    return ops.concatenate([values, ops.ones_like(values[..., :1])], axis=-1)


def _shares(parts, total):
    """Parts of a total, none of nothing."""
    return ops.where(total > TINY, parts / ops.where(total > TINY, total, 1.0), 0.0)
