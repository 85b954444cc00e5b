import keras
from keras import ops

from keras_attn.implicit.scanned import ScannedRecurrence


@keras.saving.register_keras_serializable(package="keras_attn")
class MinGRU(ScannedRecurrence):
    """A GRU without what sees its own state: one gate and one candidate, both of the input alone.

    `h_t = (1 - z_t) ⊙ h_{t-1} + z_t ⊙ h̃_t` with `z_t = sigmoid(W_z x_t + b_z)` and `h̃_t = W_h x_t + b_h`. With
    `bidirectional`, half of the width runs forward and half backward.

    Args:
        bidirectional: whether to read both ways; then it cannot be causal. Otherwise it always is.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; at the others the state stays as it is.
        use_causal_mask: refused if bidirectional, and changes nothing otherwise.

    Returns:
        `(B, T, D)`, zero at padded positions.

    Example:
    >>> tuple(MinGRU()(keras.random.normal((2, 7, 5))).shape)
    (2, 7, 5)

    Reference: Feng et al., 2024, https://arxiv.org/abs/2410.01201, section 3.1.
    """

    def make_weights(self, width):
        self.update_dense = self.projection("update", width)
        self.candidate_dense = self.projection("candidate", width)

    def gates(self, inputs):
        update = ops.sigmoid(ops.cast(self.update_dense(inputs), "float32"))
        return 1.0 - update, None, ops.cast(self.candidate_dense(inputs), "float32")
