"""A label at each position."""

import keras
import keras_hub

from zoo.heads import compile_arguments
from zoo.text import MixerTextBackbone


@keras.saving.register_keras_serializable(package="zoo")
class MixerTagger(keras_hub.models.Task):
    """Tokens to the logits of classes at each position: the backbone and a dense layer.

    Answers at padded positions mean nothing: give them no weight in the loss (`sample_weight` of shape `(B, T)`).

    Args:
        backbone: a `MixerTextBackbone`.
        num_classes: how many classes, at least 1.
        preprocessor: a layer from raw inputs to the backbone's; None if inputs come as ids.

    Call arguments:
        inputs: as for the backbone.

    Returns:
        `(B, T, num_classes)`.

    Example:
    >>> tagger = MixerTagger(MixerTextBackbone(11, hidden_dim=8, mixer="gru"), num_classes=3)
    >>> ids = keras.ops.ones((2, 7), dtype="int32")
    >>> tuple(tagger({"token_ids": ids, "padding_mask": ids}).shape)
    (2, 7, 3)
    """

    backbone_cls = MixerTextBackbone

    def __init__(self, backbone, num_classes, preprocessor=None, **kwargs):
        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor
        self.output_dense = keras.layers.Dense(num_classes, dtype=backbone.dtype_policy, name="logits")

        # === Functional Model ===
        inputs = backbone.input
        super().__init__(inputs=inputs, outputs=self.output_dense(backbone(inputs)), **kwargs)

        # === Config ===
        self.num_classes = num_classes

    def compile(self, optimizer="auto", loss="auto", *, metrics="auto", **kwargs):
        super().compile(**compile_arguments(optimizer, loss, metrics), **kwargs)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}
