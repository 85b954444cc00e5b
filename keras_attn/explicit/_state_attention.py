import keras
from keras import ops

from keras_attn import masks
from keras_attn.explicit import _linear_state
from keras_attn.half import as_held
from keras_attn.lookup import whole_number
from keras_attn.mixer import Explicit


class StateAttention(Explicit):
    """Heads that can be mixed in two ways: by weights `(B, H, T, S)`, or by a state of fixed size that is read.

    A concrete layer defines `compute_weights`, `_read`, `_advance` and `initial_state`, and `_finish` if what the heads
    have read is more than joined. The two ways give the same numbers; the state costs time and memory linear in T.
    """

    can_step = True

    def __init__(self, num_heads, dropout=0.0, seed=None, **kwargs):
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        self.num_heads = whole_number("num_heads", num_heads)

    def build_weights(self, query_shape, value_shape, key_shape):
        # One column alone would be nothing but its sign once it is standardised.
        self._head_width = max(2, -(-query_shape[-1] // self.num_heads))
        units = self.num_heads * self._head_width
        self.query_dense = self._dense("query", query_shape[-1], units)
        self.key_dense = self._dense("key", key_shape[-1], units)
        self.value_dense = self._dense("value", value_shape[-1], units)
        self.output_dense = self._dense("attention_output", units, query_shape[-1])

    def _dense(self, name, width, units, use_bias=False, **options):
        dense = keras.layers.Dense(units, use_bias=use_bias, name=name, dtype=self.dtype_policy, **options)
        dense.build((None, None, width))
        return dense

    def compute_mix(self, weights, value, query):
        return self._finish(ops.matmul(ops.cast(weights, "float32"), self._values(value)), query)

    def compute_mix_alone(self, query, key, value, source_mask, causal):
        return self._finish(self._read(query, key, self._values(value), source_mask, causal), query)

    def _read(self, query, key, values, present, causal):
        """What the heads read, `(B, H, T, d)`; `present` is None or boolean `(B, S)`."""
        raise NotImplementedError(f"{type(self).__name__} must say how a state is read: define `_read`.")

    def step(self, inputs, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position."""
        outputs, state = self.prefill(inputs[:, None], state)
        return outputs[:, 0], state

    def prefill(self, inputs, state, mask=None):
        """Outputs `(B, n, D)` and next state for inputs `(B, n, D)` at the next n positions, all at once.

        Where the mask `(B, n)` is False the state stays as it was, and the output is zero.
        """
        present = None if mask is None else ops.cast(mask, "bool")
        inputs = masks.zero(inputs, present)
        mix, state = self._advance(inputs, state, present)
        return masks.zero(self._finish(mix, inputs), present), state

    def _advance(self, inputs, state, present):
        """What the heads read `(B, H, n, d)` at the next n positions, for inputs `(B, n, D)`, and the next state.

        Inputs are zero where `present` `(B, n)`, or None, is False.
        """
        raise NotImplementedError(f"{type(self).__name__} must say how a state moves on: define `_advance`.")

    def _finish(self, mix, query):
        """`(B, T, D)` from what the heads have read, `(B, H, T, d)`."""
        return self.output_dense(self._joined(mix))

    def _joined(self, mix):
        shape = ops.shape(mix)
        joined = ops.reshape(ops.transpose(mix, (0, 2, 1, 3)), (shape[0], shape[2], self.num_heads * self._head_width))
        return ops.cast(joined, self.compute_dtype)

    def _queries(self, query):
        return self._heads(self.query_dense(query))

    def _keys(self, key):
        return self._heads(self.key_dense(key))

    def _values(self, value):
        return self._heads(self.value_dense(value))

    def _heads(self, x):
        """`(B, T, H d)` to `(B, H, T, d)`, in float32: sums over all positions lose the small terms in less."""
        shape = ops.shape(x)
        x = ops.reshape(x, (shape[0], shape[1], self.num_heads, x.shape[-1] // self.num_heads))
        return ops.cast(ops.transpose(x, (0, 2, 1, 3)), "float32")

    def _empty_memory(self, batch_size, columns=0):
        return ops.zeros((batch_size, self.num_heads, self._head_width, self._head_width + columns), dtype="float32")

    def _as_weights(self, weights):
        """Weights in the layer's dtype; what is too large for it becomes the largest number there is."""
        return as_held(weights, self.compute_dtype)

    def compute_output_shape(self, query_shape, value_shape=None, key_shape=None):
        return self._sort_shapes(query_shape, value_shape, key_shape)[0]

    def compute_weights_shape(self, query_shape, key_shape):
        return (query_shape[0], self.num_heads, query_shape[1], key_shape[1])

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads}


def read_causal(read, queries, *sources):
    """`read` where T queries and S keys may differ: the last query stands at the last key."""
    length = ops.shape(sources[0])[2]
    mix, _ = read(_linear_state.last(queries, length), *sources)
    return _linear_state.last(mix, ops.shape(queries)[2])


def seen_by_some(mask):
    """`(B, S)`, the positions that some query may look at, from a mask that broadcasts to the weights; None: all.

    The others are as good as padding.
    """
    return None if mask is None else ops.any(mask, axis=(1, 2))


def keep_past(weights, mask):
    """Weights `(B, H, T, S)` with zeros where the mask is False and at later positions."""
    past = masks.causal(ops.shape(weights)[2], ops.shape(weights)[3])
    return ops.where(masks.combine(past, mask), weights, 0.0)


def where_present(x, present):
    """`x` of `(B, H, S, d)` with zeros where positions are not present `(B, S)`; None: all are."""
    return x if present is None else ops.where(present[:, None, :, None], x, 0.0)


def standardised(x, centre=True):
    """`x` divided by its size along the last axis, and if `centre` less its mean before."""
    x = x - ops.mean(x, axis=-1, keepdims=True) if centre else x
    return x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + 1e-5)
