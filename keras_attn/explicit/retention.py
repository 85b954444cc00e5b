import math

import keras
from keras import ops

from keras_attn.explicit import _linear_state
from keras_attn.explicit._state_attention import StateAttention, keep_past, read_causal, seen_by_some, standardised
from keras_attn.lookup import flag
from keras_attn.positions import rotary


@keras.saving.register_keras_serializable(package="keras_attn")
class Retention(StateAttention):
    """Retention: products of queries and keys that fade with the distance, each head at a rate of its own.

    `weight_ts = γ_h^(t - s) q_t·k_s / sqrt(d)` for s <= t, with `γ_h = 1 - 2^(-5 - h)` for heads h = 0, 1, ..., of
    queries and keys turned by angles that grow with the position. What the heads read is standardised over a head's
    channels, then multiplied by `swish(W_g x_t)` and projected back together. No projection has a bias. Weights may be
    negative. It is a recurrence `S_t = γ S_{t-1} + k_t v_t'`, always causal; unless weights are asked for, time and
    memory are linear in the length. Padded positions do not count as distance, nor do those that no query may look at.

    Args:
        num_heads: number of heads, at least 1. A head is as wide as the query divided by the heads, rounded up, and at
            least 2.
        use_rotary: whether queries and keys are turned; if not, the distance shows in the fading only.
        dropout: share of the weights dropped in training, in [0, 1); then they are computed, at quadratic cost.
        seed: an integer that makes the dropout repeatable.

    Call arguments:
        query: `(B, T, D)`, or a list `[query, value]` or `[query, value, key]`.
        value: `(B, S, Dv)`; None for self-attention.
        key: `(B, S, Dk)`; None for the value.
        query_mask, value_mask, key_mask: boolean `(B, T)` and `(B, S)`, True for real positions.
        attention_mask: boolean `(T, S)`, `(B, T, S)` or `(B, H, T, S)`, True where looking is allowed.
        use_causal_mask: changes nothing. The last query stands at the last key.
        return_attention_scores: True for the weights `(B, H, T, S)` too; a list of positions for these queries'.

    Returns:
        The mix `(B, T, D)`.

    Example:
    >>> layer = Retention(num_heads=2)
    >>> mix, weights = layer(keras.random.normal((2, 3, 8)), return_attention_scores=True)
    >>> tuple(mix.shape), tuple(weights.shape)
    ((2, 3, 8), (2, 2, 3, 3))

    Reference: Sun et al., 2023, https://arxiv.org/abs/2307.08621, eq. 5-8.
    """

    weights_are = "signed"
    # Always causal, from the last key on: another sequence would be read only as far as queries are left.
    can_read = False

    def __init__(self, num_heads, use_rotary=True, dropout=0.0, seed=None, **kwargs):
        super().__init__(num_heads, dropout=dropout, seed=seed, **kwargs)
        self.use_rotary = flag("use_rotary", use_rotary)

    def build_weights(self, query_shape, value_shape, key_shape):
        super().build_weights(query_shape, value_shape, key_shape)
        units = self.num_heads * self._head_width
        self.gate_dense = self._dense("gate", query_shape[-1], units, activation="silu")

    def _log_decay(self):
        """The logarithm of each head's γ: `(H,)`."""
        logs = [math.log1p(-(2.0 ** (-5 - head))) for head in range(self.num_heads)]
        return ops.convert_to_tensor(logs, dtype="float32")

    def compute_weights(self, query, key, value, mask, query_mask=None, training=None):
        places = _places(seen_by_some(mask), key)
        queries, keys, ahead = self._turned(query, key, places)
        distance = ops.cast(ops.maximum(ahead[:, :, None] - places[:, None, :], 0), "float32")
        fading = ops.exp(distance[:, None] * self._log_decay()[:, None, None])
        return self._as_weights(keep_past(ops.matmul(queries, ops.swapaxes(keys, -1, -2)) * fading, mask))

    def _read(self, query, key, values, present, causal):
        queries, keys, _ = self._turned(query, key, _places(present, key))
        return read_causal(_linear_state.read, queries, keys, values, self._log_decays(present, key))

    def _log_decays(self, present, key):
        """The logarithm of γ at each position, 0 at those that are not present: `(1 or B, H, S, 1)`."""
        counts = ops.ones((1, ops.shape(key)[1])) if present is None else ops.cast(present, "float32")
        return counts[:, None, :, None] * self._log_decay()[:, None, None]

    def _turned(self, query, key, places):
        """Queries, keys, and where the queries stand: `(1 or B, T)`."""
        ahead = _linear_state.last(places, ops.shape(query)[1], axis=1)
        return self._rotate(self._queries(query), ahead), self._rotate(self._keys(key), places), ahead

    def _queries(self, query):
        return super()._queries(query) / math.sqrt(self._head_width)

    def _rotate(self, x, places):
        return rotary(x, places) if self.use_rotary else x

    def _finish(self, mix, query):
        return self.output_dense(self._joined(standardised(mix)) * self.gate_dense(query))

    def initial_state(self, batch_size, max_length=None):
        """The state before the first position, and each row's number of positions so far."""
        return {"memory": self._empty_memory(batch_size), "position": ops.zeros((batch_size,), dtype="int32")}

    def _advance(self, inputs, state, present):
        places = state["position"][:, None] + _places(present, inputs)
        queries, keys = self._rotate(self._queries(inputs), places), self._rotate(self._keys(inputs), places)
        log_decay = self._log_decays(present, inputs)
        mix, memory = _linear_state.read(queries, keys, self._values(inputs), log_decay, state["memory"])
        return mix, {"memory": memory, "position": places[:, -1]}

    def get_config(self):
        return {**super().get_config(), "use_rotary": self.use_rotary}


def _places(present, key):
    """How many positions are there up to each one, itself included: `(1 or B, S)`, int32."""
    if present is None:
        return 1 + ops.arange(ops.shape(key)[1], dtype="int32")[None]
    return ops.cast(ops.cumsum(ops.cast(present, "int32"), axis=1), "int32")
