import math

import keras
from keras import ops

from keras_attn.explicit import _linear_state
from keras_attn.explicit._state_attention import (
    StateAttention,
    keep_past,
    read_causal,
    seen_by_some,
    standardised,
    where_present,
)

RANK = 16
TEMPERATURE = 16.0


@keras.saving.register_keras_serializable(package="keras_attn")
class GatedLinearAttention(StateAttention):
    """Gated linear attention: products of queries and keys in which each channel fades as fast as the inputs say.

    `weight_ts = Σ_i q_ti k_si Π_{s<r<=t} α_ri / sqrt(d)` for s <= t, with the gate
    `α_r = sigmoid(W_2 W_1 x_r + b)^(1/16)` through a bottleneck of 16. What the heads read is standardised over a
    head's channels, then multiplied by `swish(W_g x_t)` and projected back together. Only the gate α has a bias.
    Weights may be negative. It is a recurrence `S_t = Diag(α_t) S_{t-1} + k_t v_t'`, always causal; unless weights are
    asked for, time and memory are linear in the length. The keys have the gates. Nothing fades at padded positions, nor
    at those that no query may look at.

    Args:
        num_heads: number of heads, at least 1. A head is as wide as the query divided by the heads, rounded up, and at
            least 2.
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
    >>> layer = GatedLinearAttention(num_heads=2)
    >>> mix, weights = layer(keras.random.normal((2, 3, 8)), return_attention_scores=True)
    >>> tuple(mix.shape), tuple(weights.shape)
    ((2, 3, 8), (2, 2, 3, 3))

    Reference: Yang et al., 2023, https://arxiv.org/abs/2312.06635, sections 4.1 (recurrence) and 4.4 (gates).
    """

    weights_are = "signed"
    # Always causal, from the last key on: another sequence would be read only as far as queries are left.
    can_read = False

    def build_weights(self, query_shape, value_shape, key_shape):
        super().build_weights(query_shape, value_shape, key_shape)
        units = self.num_heads * self._head_width
        self.gate_dense = self._dense("gate", query_shape[-1], units, activation="silu")
        self.narrow_dense = self._dense("decay_narrow", key_shape[-1], RANK)
        self.decay_dense = self._dense("decay", RANK, units, use_bias=True)

    def _log_decay(self, key):
        """The logarithm of α, in float32: `(B, H, S, d)`."""
        return ops.log_sigmoid(self._heads(self.decay_dense(self.narrow_dense(key)))) / TEMPERATURE

    def compute_weights(self, query, key, value, mask, query_mask=None, training=None):
        # What is read of one-hot values is the weights. Written out they are sums over channels that do not factor:
        # an array of T times S times d numbers.
        one_hot = ops.eye(ops.shape(key)[1], dtype="float32")[None, None]
        return self._as_weights(keep_past(self._read(query, key, one_hot, seen_by_some(mask), True), mask))

    def _read(self, query, key, values, present, causal):
        log_decay = where_present(self._log_decay(key), present)
        return read_causal(_linear_state.read, self._queries(query), self._keys(key), values, log_decay)

    def _queries(self, query):
        return super()._queries(query) / math.sqrt(self._head_width)

    def _finish(self, mix, query):
        return self.output_dense(self._joined(standardised(mix)) * self.gate_dense(query))

    def initial_state(self, batch_size, max_length=None):
        """The state before the first position."""
        return {"memory": self._empty_memory(batch_size)}

    def _advance(self, inputs, state, present):
        heads = self._queries(inputs), self._keys(inputs), self._values(inputs)
        log_decay = where_present(self._log_decay(inputs), present)
        mix, memory = _linear_state.read(*heads, log_decay, state["memory"])
        return mix, {"memory": memory}
