"""What stands between a stack and an answer."""

import keras
from keras import ops

from keras_attn import masks
from zoo.plain import PlainLayer


@keras.saving.register_keras_serializable(package="zoo")
class MaskedMean(PlainLayer):
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
        # Sums of many half-precision numbers lose the small ones.
        total = ops.sum(ops.cast(masks.zero(inputs, padding_mask), "float32"), axis=1)  # (B, D)
        count = ops.sum(ops.cast(ops.cast(padding_mask, "bool"), "float32"), axis=1, keepdims=True)
        return ops.cast(total / ops.maximum(count, 1.0), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])


@keras.saving.register_keras_serializable(package="zoo")
class LastWord(PlainLayer):
    """What stands at the last real position, of real ones that come first; zero where there are none.

    Call arguments:
        inputs: `(B, T, D)`.
        padding_mask: `(B, T)`, nonzero for real positions.

    Returns:
        `(B, D)`.

    Example:
    >>> last = LastWord()(keras.ops.array([[[1.0], [2.0], [3.0]]]), keras.ops.array([[1, 1, 0]]))
    >>> keras.ops.convert_to_numpy(last).tolist()
    [[2.0]]
    """

    def call(self, inputs, padding_mask):
        count = ops.sum(ops.cast(ops.cast(padding_mask, "bool"), "int32"), axis=1)[:, None, None]
        last = ops.take_along_axis(masks.zero(inputs, padding_mask), ops.maximum(count - 1, 0), axis=1)
        return last[:, 0]

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])


@keras.saving.register_keras_serializable(package="zoo")
class TiedLogits(keras.layers.Layer):
    """Logits of tokens by the table that embeds them: `y = x E^T + b`, with a learned bias for each token.

    Args:
        embedding: the `keras.layers.Embedding` whose table E `(V, D)` it is, built.

    Call arguments:
        inputs: `(..., D)`.

    Returns:
        `(..., V)`.

    Example:
    >>> embedding = keras.layers.Embedding(5, 3)
    >>> embedding.build()
    >>> tuple(TiedLogits(embedding)(keras.ops.ones((2, 7, 3))).shape)
    (2, 7, 5)

    Reference: Press and Wolf, 2017, https://arxiv.org/abs/1608.05859.
    """

    def __init__(self, embedding, **kwargs):
        super().__init__(**kwargs)
        self.embedding = embedding

    def build(self, input_shape):
        self.bias = self.add_weight(name="bias", shape=(self.embedding.input_dim,), initializer="zeros")
        self.built = True

    def call(self, inputs):
        if self.embedding.quantization_mode is not None:
            raise ValueError(
                "A table that embeds tokens and makes logits too cannot be quantized: leave it out with `filters`. "
                f"Received: an embedding quantized to {self.embedding.quantization_mode!r}"
            )
        table = ops.cast(self.embedding.embeddings, self.compute_dtype)
        return ops.matmul(inputs, ops.transpose(table)) + self.bias

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.embedding.input_dim)

    def get_config(self):
        return {**super().get_config(), "embedding": keras.saving.serialize_keras_object(self.embedding)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "embedding": keras.saving.deserialize_keras_object(config["embedding"])})


def compile_arguments(optimizer, loss, metrics):
    """KerasHub's `"auto"` arguments of `compile`, for the tasks it has no base class for."""
    if optimizer == "auto":
        optimizer = keras.optimizers.Adam(1e-3)
    if loss == "auto":
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if metrics == "auto":
        metrics = [keras.metrics.SparseCategoricalAccuracy()]
    return {"optimizer": optimizer, "loss": loss, "metrics": metrics}
