import keras
from keras import ops

from keras_attn.implicit.scanned import ScannedRecurrence


@keras.saving.register_keras_serializable(package="keras_attn")
class MinLSTM(ScannedRecurrence):
    """An LSTM without what sees its own state: what is kept and what is taken in are shares of one whole.

    `h_t = f'_t ⊙ h_{t-1} + i'_t ⊙ h̃_t` with `f' = f / (f + i)`, `i' = i / (f + i)`, `f_t = sigmoid(W_f x_t + b_f)`,
    `i_t = sigmoid(W_i x_t + b_i)` and `h̃_t = W_h x_t + b_h`. With `bidirectional`, half of the width runs forward and
    half backward.

    Args:
        bidirectional: whether to read both ways; then it cannot be causal. Otherwise it always is.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; at the others the state stays as it is.
        use_causal_mask: refused if bidirectional, and changes nothing otherwise.

    Returns:
        `(B, T, D)`, zero at padded positions.

    Example:
    >>> tuple(MinLSTM()(keras.random.normal((2, 7, 5))).shape)
    (2, 7, 5)

    Reference: Feng et al., 2024, https://arxiv.org/abs/2410.01201, section 3.2.
    """

    def make_weights(self, width):
        self.forget_dense = self.projection("forget", width)
        self.input_dense = self.projection("input", width)
        self.candidate_dense = self.projection("candidate", width)

    def gates(self, inputs):
        forget, take = (ops.cast(dense(inputs), "float32") for dense in (self.forget_dense, self.input_dense))
        # f / (f + i) = sigmoid(log f - log i): where both vanish a quotient would not be a number.
        decay = ops.sigmoid(ops.softplus(-take) - ops.softplus(-forget))
        return decay, None, ops.cast(self.candidate_dense(inputs), "float32")
