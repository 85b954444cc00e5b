import keras
from keras import ops

from keras_attn import normalizers
from keras_attn.explicit import _allowed, _history
from keras_attn.lookup import flag, whole_number
from keras_attn.mixer import Explicit


@keras.saving.register_keras_serializable(package="keras_attn")
class LocationSensitiveAttention(Explicit):
    """Location-sensitive attention: the score of a key knows what the query before looked at, there and nearby.

    `score_ij = v · tanh(W q_i + V k_j + U f_ij + b)`, with features `f_i = F * α_{i-1}` from a convolution along the
    previous weights (whose filters are not flipped); before the first query those are zero. The queries come one after
    another, so that time grows with T. A query that is padded or may look at nothing leaves the previous weights as
    they were.

    Args:
        units: width of the hidden layer, at least 1.
        filters: number of features f of the previous weights, at least 1.
        kernel_size: how many places of the previous weights a feature sees, at least 1.
        smoothing: whether weights are `sigmoid(score_ij) / Σ_j sigmoid(score_ij)`, softer than a softmax.
        cumulative: whether the features are those of the sum of all previous weights.
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
    >>> layer = LocationSensitiveAttention(units=8, filters=4, kernel_size=5)
    >>> tuple(layer(keras.random.normal((2, 3, 5)), keras.random.normal((2, 7, 4))).shape)
    (2, 3, 4)

    Reference: Chorowski et al., 2015, https://arxiv.org/abs/1506.07503, eq. 5-9, section 2.3 (smoothing); Shen et al.,
    2018, https://arxiv.org/abs/1712.05884, section 2.3 (cumulative weights).
    """

    can_step = True

    def __init__(
        self,
        units=64,
        filters=16,
        kernel_size=15,
        smoothing=False,
        cumulative=False,
        dropout=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        self.units = whole_number("units", units)
        self.filters = whole_number("filters", filters)
        self.kernel_size = whole_number("kernel_size", kernel_size)
        self.smoothing = flag("smoothing", smoothing)
        self.cumulative = flag("cumulative", cumulative)

    def build_weights(self, query_shape, value_shape, key_shape):
        # One bias serves both: they are only ever added.
        self.query_dense = self._projection("query", query_shape, use_bias=False)
        self.key_dense = self._projection("key", key_shape, use_bias=True)
        self.cell = LocationSensitiveCell(
            self.units, self.filters, self.kernel_size, self.smoothing, self.cumulative, name="cell"
        )
        # Keras's loop over steps is the one that compiles and differentiates at an unknown length on all backends.
        self.loop = keras.layers.RNN(self.cell, return_sequences=True, dtype="float32", name="loop")
        self.loop.build((None, None, self.units))

    def _projection(self, name, shape, use_bias):
        dense = keras.layers.Dense(self.units, use_bias=use_bias, name=name, dtype=self.dtype_policy)
        dense.build((None, None, shape[-1]))
        return dense

    def compute_weights(self, query, key, value, mask, query_mask=None, training=None):
        keys = ops.cast(self.key_dense(key), "float32")
        all_pairs = ops.ones((1, 1, 1, 1), dtype="bool")
        allowed = _allowed.pairs(all_pairs if mask is None else mask, query_mask, query, key)
        inputs = self.cell.pack(self.query_dense(query), allowed)
        weights = self.loop(inputs, initial_state=[ops.zeros_like(keys[..., 0]), keys])
        return ops.cast(weights, query.dtype)[:, None]

    def prepare_memory(self, memory, memory_mask=None):
        prepared = super().prepare_memory(memory, memory_mask)
        return {**prepared, "keys": ops.cast(self.key_dense(prepared["memory"]), "float32")}

    def memory_state(self, prepared):
        """The previous weights `(B, S)`."""
        return ops.zeros_like(prepared["keys"][..., 0])

    def attend_step(self, query, prepared, state, seed=None):
        memory, keys = prepared["memory"], prepared["keys"]
        allowed = prepared["mask"] if "mask" in prepared else ops.ones_like(keys[..., 0], dtype="bool")
        weights, (state, _) = self.cell(self.cell.pack(self.query_dense(query), allowed), [state, keys])
        weights = ops.cast(weights, memory.dtype)[:, None, None]
        return self.compute_mix(self._drop(weights, seed), memory, query)[:, 0], weights[:, :, 0], state

    def initial_state(self, batch_size, max_length=None):
        """The state before the first position: weights, and room for `max_length` keys and values (None: it grows)."""
        width = self.query_dense.kernel.shape[0]
        return {
            "previous": _history.empty(batch_size, max_length, 1, "float32"),
            "keys": _history.empty(batch_size, max_length, self.units, "float32"),
            "values": _history.empty(batch_size, max_length, width, self.compute_dtype),
            **_history.start(batch_size, max_length),
        }

    def step(self, inputs, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position."""
        _history.check_room(self, state, state["values"])
        position = state.get("position")
        values = _history.append(state["values"], inputs, position)
        keys = _history.append(state["keys"], self.key_dense(inputs), position)
        # Nothing has looked at the new place yet.
        previous = _history.append(state["previous"], ops.zeros_like(inputs[:, :1]), position)[..., 0]
        allowed = ops.logical_and(_history.written(values, position), ops.ones_like(previous, dtype="bool"))
        weights, (previous, _) = self.cell(self.cell.pack(self.query_dense(inputs), allowed), [previous, keys])
        output = ops.matmul(ops.cast(weights, values.dtype)[:, None], values)[:, 0]
        return output, {"previous": previous[..., None], "keys": keys, "values": values, **_history.advance(state)}

    def get_config(self):
        options = {
            "units": self.units,
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "smoothing": self.smoothing,
            "cumulative": self.cumulative,
        }
        return {**super().get_config(), **options}


class LocationSensitiveCell(keras.layers.Layer):
    """One query's weights from the previous ones, in float32: errors would add up from step to step.

    Its inputs are a projected query with what it may look at, `(B, units + S)`; its states the previous weights
    `(B, S)` and the projected keys `(B, S, units)`, which stay as they are.
    """

    def __init__(self, units, filters, kernel_size, smoothing, cumulative, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.units = units
        self.filters = filters
        self.kernel_size = kernel_size
        self.smoothing = smoothing
        self.cumulative = cumulative
        # Keras asks for sizes, and reads them only where the first states are not given.
        self.state_size = [1, 1]

    def build(self, inputs_shape, states_shape=None):
        self.filter_kernel = self.add_weight(name="filters", shape=(self.kernel_size, self.filters))
        self.feature_kernel = self.add_weight(name="features", shape=(self.filters, self.units))
        self.scale = self.add_weight(name="scale", shape=(self.units,), initializer="glorot_uniform")
        self.built = True

    def pack(self, query, allowed):
        """Projected queries `(..., units)` and what they may look at, `(..., S)`, as one tensor."""
        return ops.concatenate([ops.cast(query, "float32"), ops.cast(allowed, "float32")], axis=-1)

    def call(self, inputs, states):
        query, allowed = inputs[:, : self.units], inputs[:, self.units :] > 0.5
        previous, keys = states
        # (B, 1, units) + (B, S, units)
        hidden = ops.tanh(query[:, None] + keys + self._features(previous))
        score = ops.sum(hidden * self.scale, axis=-1)
        # sigmoid(z) = exp(log sigmoid(z)), so that a softmax of these makes the quotient without 0/0.
        weights = normalizers.softmax(ops.log_sigmoid(score) if self.smoothing else score, allowed)
        if self.cumulative:
            return weights, [previous + weights, keys]
        return weights, [ops.where(ops.any(allowed, axis=-1, keepdims=True), weights, previous), keys]

    def _features(self, previous):
        """U f of the previous weights `(B, S)`: `(B, S, units)`."""
        before = (self.kernel_size - 1) // 2
        padded = ops.pad(previous, ((0, 0), (before, self.kernel_size - 1 - before)))
        sources = ops.shape(previous)[1]
        # Slices and a product: several times as fast as a convolution of one channel.
        near = ops.stack([padded[:, i : i + sources] for i in range(self.kernel_size)], axis=-1)
        # As matrices: XLA does not compile the gradient of the other product in a loop where lengths are unknown.
        flat = ops.reshape(near, (-1, self.kernel_size))
        features = ops.matmul(flat, ops.matmul(self.filter_kernel, self.feature_kernel))
        return ops.reshape(features, (-1, sources, self.units))
