"""Heads side by side: projections that make them, and the way there and back."""

import keras
from keras import ops

from keras_attn.lookup import whole_number
from keras_attn.pairwise import Pairwise


class HeadedPairwise(Pairwise):
    """A pairwise mixer with heads side by side, as wide together as the query, and no biases.

    A concrete layer says how it scores, in `compute_scores`.
    """

    def __init__(self, num_heads, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = whole_number("num_heads", num_heads)

    @property
    def heads(self):
        return self.num_heads

    def build_weights(self, query_shape, value_shape, key_shape):
        units = self.num_heads * width(query_shape[-1], self.num_heads)
        self.query_dense = projection(self, "query", query_shape[-1], units)
        self.key_dense = projection(self, "key", key_shape[-1], units)
        self.value_dense = projection(self, "value", value_shape[-1], units)
        self.output_dense = projection(self, "attention_output", units, query_shape[-1])

    def project_query(self, query, rows):
        return split(self.query_dense(query), self.num_heads)

    def project_key(self, key, cols):
        return split(self.key_dense(key), self.num_heads)

    def project_value(self, value):
        return split(self.value_dense(value), self.num_heads)

    def merge(self, mix, query):
        return self.output_dense(join(mix))

    def compute_output_shape(self, query_shape, value_shape=None, key_shape=None):
        return self._sort_shapes(query_shape, value_shape, key_shape)[0]

    def compute_weights_shape(self, query_shape, key_shape):
        batch, _, queries, sources = super().compute_weights_shape(query_shape, key_shape)
        return batch, self.num_heads, queries, sources

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads}


def projection(layer, name, inputs, units):
    """A linear map of `inputs` columns to `units`, for a layer to keep; no bias: under a softmax the keys' is dead."""
    dense = keras.layers.Dense(units, use_bias=False, name=name, dtype=layer.dtype_policy)
    dense.build((None, None, inputs))
    return dense


def width(columns, heads):
    """d, how wide a head is: the columns divided by the heads, rounded up."""
    return -(-columns // heads)


def split(x, heads):
    """`(..., T, H d)` to `(..., H, T, d)`."""
    x = ops.reshape(x, (*ops.shape(x)[:-1], heads, x.shape[-1] // heads))
    return ops.swapaxes(x, -2, -3)


def join(x):
    """`(..., H, T, d)` to `(..., T, H d)`."""
    x = ops.swapaxes(x, -2, -3)
    return ops.reshape(x, (*ops.shape(x)[:-2], x.shape[-2] * x.shape[-1]))
