import keras
from keras import ops

from keras_attn import masks, normalizers, scores
from keras_attn.cached import Cached
from keras_attn.lookup import plain, whole_number
from keras_attn.memory import _hops
from keras_attn.mixer import Asked


@keras.saving.register_keras_serializable(package="keras_attn")
class KeyValueMemory(Cached):
    """A memory of key-value slots, addressed by content in several hops.

    The memory holds `slots` learned rows and behind them a row for each position of the value. The state starts at
    `u_1 = W_q q`; hop j reads `o_j = Σ_i softmax_i(u_j · k_i / sqrt(D)) v_i` and asks the next question with
    `u_{j+1} = u_j + o_j`. The output is `W_o Σ_j o_j`: what was read, and nothing else.

    Args:
        slots: number of learned rows, at least 0 (0: only what the sequence says).
        hops: how often the memory is read, at least 1.
        normalizer: how scores become weights, of `keras_attn.normalizers` one that learns and draws nothing.
        dropout: share of the weights dropped in training when the output is read, in [0, 1).
        seed: an integer that makes the dropout repeatable.

    Call arguments:
        query: `(B, T, D)`, or a list `[query, value]` or `[query, value, key]`.
        value: `(B, S, Dv)`; None for the query.
        key: `(B, S, Dk)`; None for the value.
        query_mask, value_mask, key_mask: boolean `(B, T)` and `(B, S)`, True for real positions.
        attention_mask: boolean `(T, S)` or `(B, T, S)`, True where looking is allowed; learned rows always are.
        use_causal_mask: whether to forbid looking at later positions.
        return_attention_scores: whether to return the weights `(B, hops, T, slots + S)` too.

    Returns:
        `(B, T, D)`.

    Example:
    >>> layer = KeyValueMemory(slots=5, hops=2)
    >>> read, weights = layer(keras.random.normal((2, 3, 8)), return_attention_scores=True)
    >>> tuple(read.shape), tuple(weights.shape)
    ((2, 3, 8), (2, 2, 3, 8))

    Reference: Sukhbaatar et al., 2015, https://arxiv.org/abs/1503.08895, section 2.2 (hops); Miller et al., 2016,
    https://arxiv.org/abs/1606.03126 (keys apart from values); Sukhbaatar et al., 2019,
    https://arxiv.org/abs/1907.01470 (learned rows beside the sequence).
    """

    def __init__(self, slots=8, hops=2, normalizer="softmax", dropout=0.0, seed=None, **kwargs):
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        self.normalizer = normalizer
        self._normalize = normalizers.get(normalizer)
        if self._normalize.learned or self._normalize.uses_noise:
            raise ValueError(
                "The hops of a memory share a normalizer that learns nothing and draws nothing. "
                f"Received: normalizer={normalizer!r}"
            )
        self.slots = whole_number("slots", slots, least=0)
        self.hops = whole_number("hops", hops)

    @property
    def weights_are(self):
        return "distribution" if self._normalize.sums_to_one else "nonnegative"

    @property
    def extra_keys(self):
        return self.slots

    def build_weights(self, query_shape, value_shape, key_shape):
        width = query_shape[-1]
        self.query_dense = self._projection("query", query_shape, width)
        self.key_dense = self._projection("key", key_shape, width)
        self.value_dense = self._projection("value", value_shape, width)
        self.output_dense = self._projection("output", query_shape, width)
        if self.slots:
            self.slot_keys = self.add_weight(name="slot_keys", shape=(self.slots, width))
            self.slot_values = self.add_weight(name="slot_values", shape=(self.slots, width))

    def _projection(self, name, shape, width):
        dense = keras.layers.Dense(width, use_bias=False, name=name, dtype=self.dtype_policy)
        dense.build((None, None, shape[-1]))
        return dense

    def compute_weights(self, query, key, value, mask, query_mask=None, training=None):
        return self._hops(query, self.key_dense(key), self.value_dense(value), mask)

    def _hops(self, query, keys, values, mask):
        """The hops' weights `(B, hops, T, slots + S)` on projected keys and values `(B, S, D)`."""
        state = self.query_dense(query)
        keys, values = self._rows("keys", keys), self._rows("values", values)
        mask = None if mask is None else mask[:, 0]
        _, weights = _hops.ask(
            state,
            [(keys, values)] * self.hops,
            weigh=lambda state, keys: self._normalize(scores.scaled_dot(state, keys), mask),
            advance=lambda hop, state, read: state + read,
        )
        return weights

    def compute_mix(self, weights, value, query):
        return self._read(weights, self.value_dense(value))

    def _read(self, weights, values):
        return self.output_dense(ops.matmul(ops.sum(weights, axis=1), self._rows("values", values)))

    def _rows(self, what, of_sequence):
        """The learned rows and behind them those of the sequence: `(B, slots + S, D)`."""
        if not self.slots:
            return of_sequence
        learned = ops.cast(self.slot_keys if what == "keys" else self.slot_values, of_sequence.dtype)
        batch = ops.shape(of_sequence)[0]
        return ops.concatenate([ops.broadcast_to(learned, (batch, *learned.shape)), of_sequence], axis=1)

    def _allowed(self, query, key, source_mask, asked):
        allowed = super()._allowed(query, key, source_mask, asked)
        if allowed is not None and allowed.shape[1] != 1:
            raise ValueError(
                "The hops of a memory share one `attention_mask`: its shape must be (T, S), (B, T, S) or (B, 1, T, S). "
                f"Received: {tuple(asked.attention_mask.shape)}"
            )
        if allowed is None or not self.slots:
            return allowed
        # One truth for a whole row counts for each of its positions.
        allowed = ops.broadcast_to(allowed, (*ops.shape(allowed)[:-1], ops.shape(key)[1]))
        learned = ops.ones((*ops.shape(allowed)[:-1], self.slots), dtype="bool")
        return ops.concatenate([learned, allowed], axis=-1)

    def keep(self, inputs):
        return {"keys": self.key_dense(inputs), "values": self.value_dense(inputs)}

    def look_back(self, query, kept, query_mask, source_mask, asked):
        weights = self._hops(query, **kept, mask=self._allowed(query, kept["keys"], source_mask, asked))
        return masks.zero(self._read(weights, kept["values"]), query_mask)

    def prepare_memory(self, memory, memory_mask=None):
        prepared = super().prepare_memory(memory, memory_mask)
        return {**prepared, **self.keep(prepared["memory"])}

    def attend_step(self, query, prepared, state, seed=None):
        keys, values = prepared["keys"], prepared["values"]
        mask = self._allowed(query[:, None], keys, prepared.get("mask"), Asked())
        weights = self._hops(query[:, None], keys, values, mask)
        return self._read(self._drop(weights, seed), values)[:, 0], weights[:, :, 0], state

    def compute_output_shape(self, query_shape, value_shape=None, key_shape=None):
        return self._sort_shapes(query_shape, value_shape, key_shape)[0]

    def compute_weights_shape(self, query_shape, key_shape):
        batch, _, queries, sources = super().compute_weights_shape(query_shape, key_shape)
        return batch, self.hops, queries, sources

    def get_config(self):
        return {**super().get_config(), "normalizer": plain(self.normalizer), "slots": self.slots, "hops": self.hops}
