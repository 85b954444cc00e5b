import math

import keras
from keras import ops

from keras_attn.implicit.scanned import ScannedRecurrence


@keras.saving.register_keras_serializable(package="keras_attn")
class LinearRecurrence(ScannedRecurrence):
    """A recurrence that is linear in its state, so that all steps run at once; its gates see the input only.

    `h_t = a_t ⊙ h_{t-1} + (1 - a_t) ⊙ v_t` and `y_t = W_o (h_t ⊙ sigmoid(W_g x_t))`, with the gate
    `a_t = sigmoid(W_a x_t + b_a)` and `v_t = W_v x_t`. The biases `b_a` start such that memories of 2 to 200 positions
    are there from the first step on. With `bidirectional`, half of the width runs forward and half backward.

    Args:
        bidirectional: whether to read both ways; then it cannot be causal. Otherwise it always is.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; at the others the state stays as it is.
        use_causal_mask: refused if bidirectional, and changes nothing otherwise.

    Returns:
        `(B, T, D)`, zero at padded positions.

    Example:
    >>> tuple(LinearRecurrence()(keras.random.normal((2, 7, 5))).shape)
    (2, 7, 5)

    Reference: Feng et al., 2024, https://arxiv.org/abs/2410.01201, section 3.1 (the recurrence); De et al., 2024,
    https://arxiv.org/abs/2402.19427, section 2.4 (memories spread from the start).
    """

    def make_weights(self, width):
        self.decay_dense = self.projection("decay", width, bias_initializer=_spread_memories)
        self.input_dense = self.projection("input", width)
        self.gate_dense = self.projection("gate", width, activation="sigmoid")
        self.output_dense = self.projection("output", width)

    def gates(self, inputs):
        decay = ops.sigmoid(ops.cast(self.decay_dense(inputs), "float32"))
        return decay, None, ops.cast(self.input_dense(inputs), "float32")

    def let_out(self, state, inputs):
        return state * ops.cast(self.gate_dense(inputs), "float32")

    def read(self, mix):
        return self.output_dense(ops.cast(mix, self.compute_dtype))


def _spread_memories(shape, dtype=None):
    """Biases b with sigmoid(b) = 1 - 1/n for memories n from 2 to 200 positions, spread evenly on a log scale."""
    length = ops.exp(ops.linspace(math.log(2.0), math.log(200.0), shape[0]))
    return ops.cast(ops.log(length - 1.0), dtype or keras.config.floatx())
