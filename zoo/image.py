"""Images in, labels out: converter, preprocessor, backbone and classifier."""

import keras
import keras_hub
from keras import ops

from keras_attn import mixers
from keras_attn.lookup import plain
from zoo import image_readers
from zoo.backbone import MixerBackbone, as_list, check_stack, stack
from zoo.fitting import Shuffled
from zoo.quantized import Quantizable

STEMS = ("patches", "convolution")


@keras.saving.register_keras_serializable(package="zoo")
class MixerImageBackbone(MixerBackbone):
    """Pixels to a vector at each patch, row after row: a stem, positions, and the zoo's residual stack.

    Args:
        image_shape: `(H, W, C)`; H and W are multiples of `patch_size`.
        stem: "patches" (each patch is projected by itself) or "convolution" (3 x 3 filters, so that a patch sees over
            its edges). Both give H W / patch_size^2 tokens.
        patch_size: side of a patch in pixels, at least 1.
        hidden_dim: width D, at least 1.
        num_layers: how many layers, at least 1.
        mixer: a name or a spec from `keras_attn.mixers`, or a list of them (a hybrid), taken in turn by the layers.
            An option `grid` that is left open is the grid of patches.
        mlp_ratio: hidden width of the network at each position over D, above 0.
        short_convolution: how many positions the convolution before each mixer sees; 0 for none.
        positions: "sinusoid", or None to leave order to the mixers.
        dropout: share of each branch dropped in training, in [0, 1).
        dtype: dtype or dtype policy of computations and weights.

    Call arguments:
        inputs: `(B, H, W, C)`.

    Returns:
        `(B, T, D)`, T = H W / patch_size^2.

    Example:
    >>> backbone = MixerImageBackbone((6, 4, 3), mixer="gru")
    >>> tuple(backbone(keras.random.normal((5, 6, 4, 3))).shape)
    (5, 6, 32)
    """

    def __init__(
        self,
        image_shape,
        stem="patches",
        patch_size=2,
        hidden_dim=32,
        num_layers=2,
        mixer="multi_head",
        mlp_ratio=2.0,
        short_convolution=3,
        positions="sinusoid",
        dropout=0.0,
        dtype=None,
        **kwargs,
    ):
        mixer, image_shape = plain(mixer), tuple(image_shape)
        grid = _patches(image_shape, patch_size)
        length = grid[0] * grid[1]
        specs = [_on_grid(spec, grid) for spec in as_list(mixer)]
        check_stack(specs, num_layers, hidden_dim, mlp_ratio, short_convolution, positions, length=length)

        # === Functional Model ===
        inputs = keras.Input(shape=image_shape, name="images")
        tokens = keras.layers.Reshape((length, hidden_dim), dtype=dtype, name="raster")(
            _apply_stem(inputs, stem, patch_size, hidden_dim, dtype)
        )
        outputs = stack(
            tokens,
            None,
            mixer=specs,
            num_layers=num_layers,
            mlp_ratio=mlp_ratio,
            short_convolution=short_convolution,
            positions=positions,
            dropout=dropout,
            dtype=dtype,
        )
        super().__init__(inputs=inputs, outputs=outputs, dtype=dtype, **kwargs)

        # === Config ===
        self.image_shape = image_shape
        self.stem = stem
        self.patch_size = patch_size
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.mixer = mixer
        self.mlp_ratio = mlp_ratio
        self.short_convolution = short_convolution
        self.positions = positions
        self.dropout = dropout

    def get_config(self):
        return {
            **super().get_config(),
            "image_shape": self.image_shape,
            "stem": self.stem,
            "patch_size": self.patch_size,
            "hidden_dim": self.hidden_dim,
            "num_layers": self.num_layers,
            "mixer": plain(self.mixer),
            "mlp_ratio": self.mlp_ratio,
            "short_convolution": self.short_convolution,
            "positions": self.positions,
            "dropout": self.dropout,
        }


def _on_grid(spec, grid):
    """The spec, with this grid if its mixer has one that is left open: only an image knows which it is."""
    chosen = mixers.resolve(spec)
    # Not by a layer made for a look: it would draw seeds.
    takes_grid = "grid" in mixers.options(mixers.MIXERS[chosen["mixer"]][0])
    return {**chosen, "grid": list(grid)} if takes_grid and chosen.get("grid") is None else spec


def _patches(image_shape, patch_size):
    """How many rows and columns of patches there are."""
    if len(image_shape) != 3 or not all(isinstance(size, int) and size > 0 for size in image_shape):
        raise ValueError(f"`image_shape` must be (H, W, C), three positive integers. Received: {image_shape!r}")
    height, width, _ = image_shape
    if not isinstance(patch_size, int) or patch_size < 1 or height % patch_size or width % patch_size:
        raise ValueError(
            "`patch_size` must be an integer that divides height and width. "
            f"Received: patch_size={patch_size!r}, image_shape={image_shape}"
        )
    return height // patch_size, width // patch_size


def _apply_stem(images, stem, patch_size, hidden_dim, dtype):
    """`(B, H, W, C)` to `(B, H / patch_size, W / patch_size, D)`."""
    if stem not in STEMS:
        raise ValueError(f"`stem` must be one of {STEMS}. Received: stem={stem!r}")
    common = {"padding": "same", "data_format": "channels_last", "dtype": dtype}
    if stem == "convolution":
        images = keras.layers.Conv2D(hidden_dim, 3, activation="gelu", name="stem_convolution", **common)(images)
    size = patch_size if stem == "patches" else max(3, patch_size)
    return keras.layers.Conv2D(hidden_dim, size, strides=patch_size, name="stem", **common)(images)


@keras.saving.register_keras_serializable(package="zoo")
class MixerImageConverter(keras_hub.layers.ImageConverter):
    """KerasHub's image converter (size, scale, offset), found with our backbone."""

    backbone_cls = MixerImageBackbone


@keras.saving.register_keras_serializable(package="zoo")
class MixerImageClassifierPreprocessor(keras_hub.models.ImageClassifierPreprocessor):
    """Raw images to the backbone's: what the image converter says."""

    backbone_cls = MixerImageBackbone
    image_converter_cls = MixerImageConverter


@keras.saving.register_keras_serializable(package="zoo")
class MixerImageClassifier(Shuffled, Quantizable, keras_hub.models.ImageClassifier):
    """Images to the logits of classes: the backbone, a reader of its patches, a dense layer.

    The reader makes one vector of the patches' vectors x_s:

    - None: their mean.
    - "soft": a `keras_attn.AttentionPooling`, `Σ_s a_s x_s` with weights a that a learned query finds. Its options are
      `score`, `num_heads`, `units` and `normalizer`.
    - "hard": a `zoo.image_readers.HardReader`, whose learned query draws one patch in training. Its options are
      `units`, `inference`, `soft_chance` and `seed`.
    - "glimpse": a `zoo.image_readers.GlimpseReader`, which looks at a few places of the grid of patches, one after
      another. Its options are `count`, `size`, `scales`, `units`, `std` and `seed`. After a mixer the patches tell of
      the whole image: only with the stem "patches", `mixer="identity"` and `short_convolution=0` does the model know
      nothing of an image but what its glimpses covered.

    `keras_attn.inspection.weights(classifier, images)["reader"]` has the weights of soft and hard readers,
    `(B, 1, patches)` and `(B, 1, 1, patches)` (soft with several heads: `(B, heads, 1, patches)`), patches row after
    row; `places` has those that glimpses were taken at. What hard and glimpse readers draw learns from its reward where
    a `keras_attn.ReinforceModel` trains the classifier, on images as the backbone wants them.

    Args:
        backbone: a `MixerImageBackbone`.
        num_classes: how many classes, at least 1.
        preprocessor: a `MixerImageClassifierPreprocessor`; None if images come as the backbone wants them.
        dropout: share of what was read dropped in training, in [0, 1).
        activation: what is applied to the logits; None for nothing.
        reader: None, a name, or a dictionary `{"reader": name, **options}`. It is new, as the logits are, when a preset
            gets another `num_classes`.

    Call arguments:
        inputs: `(B, H, W, C)`.

    Returns:
        `(B, num_classes)`.

    Example:
    >>> classifier = MixerImageClassifier(MixerImageBackbone((6, 4, 3), mixer="gru"), num_classes=7)
    >>> tuple(classifier(keras.random.normal((5, 6, 4, 3))).shape)
    (5, 7)

    Reference: Yang et al., 2016, https://aclanthology.org/N16-1174, eq. 5-7 (soft); Xu et al., 2015,
    https://arxiv.org/abs/1502.03044, section 4.1 (hard); Mnih et al., 2014, https://arxiv.org/abs/1406.6247 (glimpses).
    """

    backbone_cls = MixerImageBackbone
    preprocessor_cls = MixerImageClassifierPreprocessor

    def __init__(self, backbone, num_classes, preprocessor=None, dropout=0.0, activation=None, reader=None, **kwargs):
        reader = plain(reader)
        # Known before the default loss is chosen by it.
        self.activation = keras.activations.get(activation)

        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor
        policy = {"dtype": backbone.dtype_policy}
        if reader is None:
            self.pooler = keras.layers.GlobalAveragePooling1D(data_format="channels_last", name="pooler", **policy)
        else:
            grid = _patches(backbone.image_shape, backbone.patch_size)
            self.pooler = image_readers.get(reader, grid, name="reader", **policy)
        self.output_dropout = keras.layers.Dropout(dropout, name="output_dropout", **policy)
        self.output_dense = keras.layers.Dense(num_classes, activation=activation, name="logits", **policy)

        # === Functional Model ===
        inputs = backbone.input
        outputs = self.output_dense(self.output_dropout(self.pooler(backbone(inputs))))
        # Past ImageClassifier, which pools over two axes.
        keras_hub.models.Task.__init__(self, inputs=inputs, outputs=outputs, **kwargs)

        # === Config ===
        self.num_classes = num_classes
        self.dropout = dropout
        self.reader = reader

    def places(self, images):
        """Where a glimpse reader looks, one glimpse after another.

        Args:
            images: `(B, H, W, C)`, as `predict` takes them.

        Returns:
            An array `(B, count, 2)`: (x, y) from (-1, -1), the image's upper left corner, to (1, 1), its lower right
            one.

        Raises:
            ValueError: if the model has another reader.
        """
        if not isinstance(self.pooler, image_readers.GlimpseReader):
            raise ValueError(
                f'Only a model with the reader "glimpse" looks at places. Received: reader={plain(self.reader)!r}'
            )
        inputs = images if self.preprocessor is None else self.preprocessor(images)
        vectors = self.backbone.predict(inputs, verbose=0)
        return ops.convert_to_numpy(self.pooler(vectors, return_places=True, training=False)[1])

    def get_config(self):
        return {
            **self.with_quantized(keras_hub.models.Task.get_config(self)),
            "num_classes": self.num_classes,
            "dropout": self.dropout,
            "activation": keras.activations.serialize(self.activation),
            "reader": plain(self.reader),
        }
