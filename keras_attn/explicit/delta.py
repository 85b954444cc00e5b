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
from keras_attn.lookup import flag


@keras.saving.register_keras_serializable(package="keras_attn")
class DeltaRule(StateAttention):
    """The delta rule: a memory in which a new value replaces what its key has read so far, instead of adding to it.

    `S_t = α_t S_{t-1} (I - β_t k_t k_t') + β_t v_t k_t'` and `head_t = S_t q_t`, with queries and keys of length 1, the
    share that is replaced `β_t = sigmoid(w_β·x_t)`, and `α_t = 1`, or if gated `α_t = exp(-a softplus(w_α·x_t + b))`
    with a learned a > 0, so that memory fades. What the heads read is divided by its size, the root mean square over a
    head's channels, and projected back together. Only the gate α has a bias. The paper's layer has short convolutions
    and a SiLU in front, which are left out: put a mixer that sees the position before in front of it.

    Weights say how much of each value is read: `weight_ts = β_s k_s' Π_{s<r<=t} α_r (I - β_r k_r k_r') q_t` with the
    factors in their order; they may be negative. It is a recurrence, always causal; unless weights are asked for, time
    and memory are linear in the length. The keys have the gates. Padded positions change nothing.

    Args:
        num_heads: number of heads, at least 1. A head is as wide as the query divided by the heads, rounded up, and at
            least 2.
        gated: whether memory fades; at first over 2 to 200 positions, each head at its own pace.
        dropout: share of the weights dropped in training, in [0, 1); then they are computed, at quadratic cost.
        seed: an integer that makes the dropout repeatable.

    Call arguments:
        query: `(B, T, D)`, or a list `[query, value]` or `[query, value, key]`.
        value: `(B, S, Dv)`; None for self-attention.
        key: `(B, S, Dk)`; None for the value.
        query_mask, value_mask, key_mask: boolean `(B, T)` and `(B, S)`, True for real positions.
        attention_mask: refused: a value that one query may not look at has changed what the next one sees.
        use_causal_mask: changes nothing. The last query stands at the last key.
        return_attention_scores: True for the weights `(B, H, T, S)` too; a list of positions for these queries'.

    Returns:
        The mix `(B, T, D)`.

    Example:
    >>> layer = DeltaRule(num_heads=2, gated=True)
    >>> mix, weights = layer(keras.random.normal((2, 3, 8)), return_attention_scores=True)
    >>> tuple(mix.shape), tuple(weights.shape)
    ((2, 3, 8), (2, 2, 3, 3))

    Reference: Yang et al., 2024, https://arxiv.org/abs/2406.06484, sections 2.2 and 3; Yang et al., 2024,
    https://arxiv.org/abs/2412.06464, eq. 10 (gated).
    """

    weights_are = "signed"
    # Always causal, from the last key on: another sequence would be read only as far as queries are left.
    can_read = False
    takes_attention_mask = False

    def __init__(self, num_heads, gated=False, dropout=0.0, seed=None, **kwargs):
        super().__init__(num_heads, dropout=dropout, seed=seed, **kwargs)
        self.gated = flag("gated", gated)

    def build_weights(self, query_shape, value_shape, key_shape):
        super().build_weights(query_shape, value_shape, key_shape)
        self.beta_dense = self._dense("beta", key_shape[-1], self.num_heads)
        if self.gated:
            self.decay_dense = self._dense(
                "decay", key_shape[-1], self.num_heads, use_bias=True, bias_initializer=_spread_memories
            )
            self.log_rate = self.add_weight(name="log_rate", shape=(self.num_heads,), initializer="zeros")

    def _gates(self, key):
        """β and log α, in float32: `(B, H, S, 1)` both."""
        beta = ops.sigmoid(self._heads(self.beta_dense(key)))
        if not self.gated:
            return beta, ops.zeros_like(beta)
        rate = ops.exp(ops.cast(self.log_rate, "float32"))[:, None, None]
        return beta, -rate * ops.softplus(self._heads(self.decay_dense(key)))

    def compute_weights(self, query, key, value, mask, query_mask=None, training=None):
        queries, keys = self._queries(query), self._keys(key)
        beta, log_decay = (where_present(gate, seen_by_some(mask)) for gate in self._gates(key))
        between = _linear_state.decays(log_decay)
        # U = X V: what is added at each position, as sums of values.
        solved = _linear_state.solve_delta(keys, beta, between, beta * ops.eye(ops.shape(key)[1], dtype="float32"))
        aligned = _linear_state.last(queries, ops.shape(key)[1])
        reads = ops.matmul(aligned, ops.swapaxes(keys, -1, -2)) * between
        weights = _linear_state.last(ops.matmul(reads, solved), ops.shape(query)[1])
        return self._as_weights(keep_past(weights, mask))

    def _read(self, query, key, values, present, causal):
        gates = (where_present(gate, present) for gate in self._gates(key))
        return read_causal(_linear_state.read_delta, self._queries(query), self._keys(key), values, *gates)

    def _queries(self, query):
        return _unit(super()._queries(query))

    def _keys(self, key):
        return _unit(super()._keys(key))

    def _finish(self, mix, query):
        return self.output_dense(self._joined(standardised(mix, centre=False)))

    def initial_state(self, batch_size, max_length=None):
        """The state before the first position."""
        return {"memory": self._empty_memory(batch_size)}

    def _advance(self, inputs, state, present):
        heads = self._queries(inputs), self._keys(inputs), self._values(inputs)
        gates = (where_present(gate, present) for gate in self._gates(inputs))
        mix, memory = _linear_state.read_delta(*heads, *gates, state["memory"])
        return mix, {"memory": memory}

    def get_config(self):
        return {**super().get_config(), "gated": self.gated}


def _unit(x):
    """`x` at length 1, and zeros where there is nothing: a longer key would take off more than it reads."""
    return x * ops.rsqrt(ops.sum(ops.square(x), axis=-1, keepdims=True) + 1e-6)


def _spread_memories(shape, dtype=None):
    """Biases b with softplus(b) = 1 / n for memories n from 2 to 200 positions, spread evenly on a log scale."""
    share = (ops.arange(shape[0], dtype="float32") + 0.5) / shape[0]
    return ops.cast(ops.log(ops.expm1(0.5 * 100.0**-share)), dtype or keras.config.floatx())
