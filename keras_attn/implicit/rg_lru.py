import math

import keras
from keras import ops

from keras_attn.implicit.scanned import ScannedRecurrence

#: c of the paper, by which a gate that is open shortens a channel's memory.
SHARPNESS = 8.0
#: Below it 1 - a² counts as this much: the slope of a root is without bounds at zero.
LEAST = 1e-6


@keras.saving.register_keras_serializable(package="keras_attn")
class RealGatedLRU(ScannedRecurrence):
    """The real-gated linear recurrent unit: each channel has a memory of its own length, which a gate can shorten.

    `h_t = a_t ⊙ h_{t-1} + sqrt(1 - a_t²) ⊙ (i_t ⊙ x_t)` with `a_t = sigmoid(Λ)^(c r_t)`, c = 8, and the gates
    `r_t = sigmoid(W_a x_t + b_a)` and `i_t = sigmoid(W_x x_t + b_x)`. `Λ` starts such that with an open gate channels
    decay by 0.9 to 0.999 at each step. With `bidirectional`, half of the width runs forward and half backward.

    Args:
        bidirectional: whether to read both ways; then it cannot be causal. Otherwise it always is.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; at the others the state stays as it is.
        use_causal_mask: refused if bidirectional, and changes nothing otherwise.

    Returns:
        `(B, T, D)`, zero at padded positions.

    Example:
    >>> tuple(RealGatedLRU()(keras.random.normal((2, 7, 5))).shape)
    (2, 7, 5)

    Reference: De et al., 2024, https://arxiv.org/abs/2402.19427, section 2.4, eq. 1-4.
    """

    def make_weights(self, width):
        self.recurrence_dense = self.projection("recurrence_gate", width, activation="sigmoid")
        self.input_dense = self.projection("input_gate", width, activation="sigmoid")
        self.decay_logits = self.add_weight(name="decay_logits", shape=(width,), initializer=_spread_decays)

    def gates(self, inputs):
        gate = ops.cast(self.recurrence_dense(inputs), "float32")
        # log a = c r log sigmoid(Λ)
        logs = -SHARPNESS * gate * ops.softplus(-ops.cast(self.decay_logits, "float32"))
        scale = ops.sqrt(ops.maximum(-ops.expm1(2.0 * logs), LEAST))
        return ops.exp(logs), scale * ops.cast(self.input_dense(inputs), "float32"), ops.cast(inputs, "float32")


def _spread_decays(shape, dtype=None):
    """Λ with sigmoid(Λ)^c from 0.9 to 0.999, their distances to one spread evenly on a log scale."""
    decays = 1.0 - ops.exp(ops.linspace(math.log(0.1), math.log(0.001), shape[0]))
    logs = ops.log(decays) / SHARPNESS
    # logit(exp(l)) = l - log(1 - exp(l))
    return ops.cast(logs - ops.log(-ops.expm1(logs)), dtype or keras.config.floatx())
