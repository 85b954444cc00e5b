"""What stands between a stack and an answer."""

import keras
from keras import ops

from keras_attn import masks


@keras.saving.register_keras_serializable(package="zoo")
class MaskedMean(keras.layers.Layer):
    """The mean over real positions; zero where there are none.

    Call arguments:
        inputs: `(B, T, D)`.
        padding_mask: `(B, T)`, nonzero for real positions.

    Returns:
        `(B, D)`.

    Example:
    >>> mean = MaskedMean()(keras.ops.ones((1, 3, 2)), keras.ops.array([[1, 1, 0]]))
    >>> keras.ops.convert_to_numpy(mean).tolist()
    [[1.0, 1.0]]
    """

    def call(self, inputs, padding_mask):
        total = ops.sum(masks.zero(inputs, padding_mask), axis=1)  # (B, D)
        count = ops.sum(ops.cast(ops.cast(padding_mask, "bool"), inputs.dtype), axis=1, keepdims=True)
        return total / ops.maximum(count, 1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])


def compile_arguments(optimizer, loss, metrics):
    """KerasHub's `"auto"` arguments of `compile`, for the tasks it has no base class for."""
    if optimizer == "auto":
        optimizer = keras.optimizers.Adam(1e-3)
    if loss == "auto":
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if metrics == "auto":
        metrics = [keras.metrics.SparseCategoricalAccuracy()]
    return {"optimizer": optimizer, "loss": loss, "metrics": metrics}
