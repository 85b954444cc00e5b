"""A sequence in one vector: what a decoder is told that cannot look."""

import keras
from keras import ops

from keras_attn import masks
from zoo.heads import LastWord, MaskedMean
from zoo.plain import PlainLayer


@keras.saving.register_keras_serializable(package="zoo")
class Summary(PlainLayer):
    """One vector of a whole sequence, told to each query alike: sequence to sequence without attention.

    `c = W tanh(V [x_first; x_last; mean(x)])`. A recurrence knows all at its last position, and the one that runs
    backward at the first; what sees a part of the sequence only is heard through the mean.

    It has the methods by which a decoder reads through an explicit mixer (`keras_attn.mixer.Explicit`).

    Call arguments:
        query: `(B, T, D)`; it counts for its shape.
        value: `(B, S, Dv)`, what is summarised, real positions first.
        value_mask: `(B, S)`, nonzero for real positions, or None.

    Returns:
        `(B, T, D)`, the same at all T.

    Example:
    >>> tuple(Summary()(keras.random.normal((2, 3, 5)), keras.random.normal((2, 7, 4))).shape)
    (2, 3, 5)

    Reference: Cho et al., 2014, https://arxiv.org/abs/1406.1078, eq. 5 and appendix A.1.1.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.mean = MaskedMean(dtype=self.dtype_policy)
        self.last = LastWord(dtype=self.dtype_policy)

    def build(self, query_shape, value_shape):
        self.hidden_dense = keras.layers.Dense(
            query_shape[-1], activation="tanh", dtype=self.dtype_policy, name="hidden"
        )
        self.hidden_dense.build((None, 3 * value_shape[-1]))
        self.output_dense = keras.layers.Dense(query_shape[-1], use_bias=False, dtype=self.dtype_policy, name="output")
        self.output_dense.build((None, query_shape[-1]))
        self.built = True

    def call(self, query, value, value_mask=None):
        told = self.prepare_memory(value, value_mask)["told"]
        return ops.broadcast_to(told[:, None], (*ops.shape(query)[:2], told.shape[-1]))

    def prepare_memory(self, memory, memory_mask=None):
        if memory_mask is None:
            memory_mask = ops.ones(ops.shape(memory)[:2], dtype="bool")
        parts = [masks.zero(memory, memory_mask)[:, 0], self.last(memory, memory_mask), self.mean(memory, memory_mask)]
        return {"told": self.output_dense(self.hidden_dense(ops.concatenate(parts, axis=-1)))}

    def memory_state(self, prepared):
        return ()

    def attend_step(self, query, prepared, state, seed=None):
        return prepared["told"], None, state

    def compute_output_shape(self, query_shape, value_shape):
        return tuple(query_shape)
