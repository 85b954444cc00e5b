"""Series in, labels out: preprocessor, backbone and classifier; see `zoo.forecaster` for what comes next."""

import warnings

import keras
import keras_hub
import numpy as np

from keras_attn.lookup import plain, whole_number
from zoo.backbone import MixerBackbone, check_stack, stack
from zoo.fitting import Shuffled
from zoo.heads import compile_arguments
from zoo.over_time import MissingAsZero, Patches, StandardizeOverTime
from zoo.quantized import Quantizable


@keras.saving.register_keras_serializable(package="zoo")
class MixerSeriesBackbone(MixerBackbone):
    """Numbers over time to a vector at each patch of steps: a dense layer, positions, and the zoo's residual stack.

    Args:
        channels: C, how many numbers a step has, at least 1.
        sequence_length: T, a multiple of `patch_size`, for mixers that work for one length only; None for any length.
        patch_size: how many steps make one token, at least 1.
        marks_missing: whether NaN is allowed: it counts as 0, and channels of their own mark it.
        standardize: whether each channel of each series is standardised by itself, over its time.
        hidden_dim: width D, at least 1.
        num_layers: how many layers, at least 1.
        mixer: a name or a spec from `keras_attn.mixers`, or a list of them (a hybrid), taken in turn by the layers.
        mlp_ratio: hidden width of the network at each position over D, above 0.
        short_convolution: how many positions the convolution before each mixer sees; 0 for none.
        positions: "sinusoid", or None to leave order to the mixers.
        causal: whether a token sees no later one.
        dropout: share of each branch dropped in training, in [0, 1).
        dtype: dtype or dtype policy of computations and weights.

    Call arguments:
        inputs: `(B, T, C)`.

    Returns:
        `(B, T / patch_size, D)`.

    Example:
    >>> backbone = MixerSeriesBackbone(channels=3, mixer="gru")
    >>> tuple(backbone(keras.random.normal((5, 7, 3))).shape)
    (5, 7, 32)
    """

    def __init__(
        self,
        channels,
        sequence_length=None,
        patch_size=1,
        marks_missing=False,
        standardize=False,
        hidden_dim=32,
        num_layers=2,
        mixer="multi_head",
        mlp_ratio=2.0,
        short_convolution=3,
        positions="sinusoid",
        causal=False,
        dropout=0.0,
        dtype=None,
        **kwargs,
    ):
        mixer = plain(mixer)
        whole_number("channels", channels)
        length = _count_patches(sequence_length, patch_size)
        check_stack(mixer, num_layers, hidden_dim, mlp_ratio, short_convolution, positions, causal, length)

        # === Functional Model ===
        inputs = keras.Input(shape=(sequence_length, channels), name="series")
        x = inputs
        if standardize:
            # Half precision has no room for raw numbers, nor for their sums.
            x = StandardizeOverTime(dtype="float32", name="standardize")(x)
        if marks_missing:
            x = MissingAsZero(marks=True, dtype=dtype, name="missing")(x)
        if patch_size > 1:
            x = Patches(patch_size, dtype=dtype, name="patches")(x)
        outputs = stack(
            keras.layers.Dense(hidden_dim, dtype=dtype, name="stem")(x),
            None,
            mixer=mixer,
            num_layers=num_layers,
            mlp_ratio=mlp_ratio,
            short_convolution=short_convolution,
            positions=positions,
            causal=causal,
            dropout=dropout,
            dtype=dtype,
        )
        super().__init__(inputs=inputs, outputs=outputs, dtype=dtype, **kwargs)

        # === Config ===
        self.channels = channels
        self.sequence_length = sequence_length
        self.patch_size = patch_size
        self.marks_missing = marks_missing
        self.standardize = standardize
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.mixer = mixer
        self.mlp_ratio = mlp_ratio
        self.short_convolution = short_convolution
        self.positions = positions
        self.causal = causal
        self.dropout = dropout

    def get_config(self):
        return {
            **super().get_config(),
            "channels": self.channels,
            "sequence_length": self.sequence_length,
            "patch_size": self.patch_size,
            "marks_missing": self.marks_missing,
            "standardize": self.standardize,
            "hidden_dim": self.hidden_dim,
            "num_layers": self.num_layers,
            "mixer": plain(self.mixer),
            "mlp_ratio": self.mlp_ratio,
            "short_convolution": self.short_convolution,
            "positions": self.positions,
            "causal": self.causal,
            "dropout": self.dropout,
        }


def _count_patches(sequence_length, patch_size):
    """How many tokens a series has; None if its length is open."""
    whole_number("patch_size", patch_size)
    whole_number("sequence_length", sequence_length, optional=True)
    if sequence_length is not None and sequence_length % patch_size:
        raise ValueError(
            "`patch_size` must divide `sequence_length`. "
            f"Received: patch_size={patch_size}, sequence_length={sequence_length}"
        )
    return None if sequence_length is None else sequence_length // patch_size


def standard(x):
    """Mean and deviation of each channel over all else, as lists; a channel that never changes has deviation 1."""
    x = np.asarray(x, "float64")
    flat = x.reshape(-1, x.shape[-1])
    with warnings.catch_warnings():
        # A channel may be missing as a whole.
        warnings.simplefilter("ignore", RuntimeWarning)
        mean, deviation = np.nan_to_num(np.nanmean(flat, axis=0)), np.nan_to_num(np.nanstd(flat, axis=0))
    return mean.tolist(), np.where(deviation > 1e-12, deviation, 1.0).tolist()


@keras.saving.register_keras_serializable(package="zoo")
class MixerSeriesPreprocessor(keras_hub.models.Preprocessor):
    """Raw series to the backbone's: the last steps, standardised; and what is to be forecast, or known ahead, alike.

    Args:
        mean, deviation: of each channel, C numbers each, the deviations above 0.
        sequence_length: how many steps are kept, the last ones; None for all.
        targets: the channels that are forecast, for models that forecast; None for others.
        ahead: the K channels that are known of the steps ahead too, for models that are told of them; None for others.

    Call arguments:
        x: `(B, T, C)`. NaN stays NaN. With `ahead` a dict of that as `"series"` and of `"ahead"`, `(B, horizon, K)`.
        y: passed through; with `targets` standardised, `(B, horizon, channels)`.
        sample_weight: passed through.

    Example:
    >>> MixerSeriesPreprocessor([1.0], [2.0], sequence_length=2)(np.array([[[9.0], [1.0], [5.0]]])).tolist()
    [[[0.0], [2.0]]]
    """

    backbone_cls = MixerSeriesBackbone

    def __init__(self, mean, deviation, sequence_length=None, targets=None, ahead=None, **kwargs):
        super().__init__(**kwargs)
        self.mean, self.deviation = list(map(float, mean)), list(map(float, deviation))
        if len(self.mean) != len(self.deviation) or not min(self.deviation, default=0) > 0:
            raise ValueError(
                "`mean` and `deviation` must have as many numbers, the deviations above 0. "
                f"Received: mean={self.mean}, deviation={self.deviation}"
            )
        self.sequence_length = sequence_length
        self.targets = None if targets is None else list(targets)
        self.ahead = None if ahead is None else list(ahead)

    @classmethod
    def of(cls, x, **options):
        """A preprocessor by mean and deviation of each channel in these series `(..., C)`, those to train on."""
        return cls(*standard(x), **options)

    def call(self, x, y=None, sample_weight=None):
        x = np.asarray(x) if isinstance(x, (list, tuple)) else x
        if self.ahead is None:
            x = self._standardize(self._last_steps(x))
        else:
            self._check_ahead(x)
            series = self._standardize(self._last_steps(x["series"]))
            x = {"series": series, "ahead": self._standardize(x["ahead"], self.ahead)}
        if y is not None and self.targets is not None:
            self._check_targets(y)
            y = self._standardize(y, self.targets)
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)

    def _last_steps(self, series):
        if series.shape[-1] != len(self.mean):
            raise ValueError(
                f"Series must have {len(self.mean)} channels, (B, T, {len(self.mean)}), as those that `mean` and "
                f"`deviation` are of. Received: an array of shape {tuple(series.shape)}"
            )
        return series if self.sequence_length is None else series[..., -self.sequence_length :, :]

    def _standardize(self, numbers, channels=slice(None)):
        # Arithmetic alone, so that arrays and the tensors of any backend and of tf.data pass.
        mean, deviation = (np.array(values, "float32")[channels] for values in (self.mean, self.deviation))
        return (_as_floats(numbers) - mean) / deviation

    def _check_targets(self, y):
        shape = np.shape(y) if isinstance(y, (list, tuple)) else tuple(y.shape)
        if len(shape) > 2 and shape[-1] != len(self.targets):
            raise ValueError(
                f"What is forecast has {len(self.targets)} channels, (B, horizon, {len(self.targets)}), those of "
                f"`targets`. Received: an array of shape {shape}"
            )

    def _check_ahead(self, x):
        if not isinstance(x, dict) or set(x) != {"series", "ahead"}:
            got = sorted(x) if isinstance(x, dict) else type(x).__name__
            raise ValueError(f"With `ahead`, `x` must be a dict of 'series' and 'ahead'. Received: {got}")
        if x["ahead"].shape[-1] != len(self.ahead):
            raise ValueError(
                f"x['ahead'] must have {len(self.ahead)} numbers a step, of the channels {self.ahead}. "
                f"Received: an array of shape {tuple(x['ahead'].shape)}"
            )

    def restore(self, numbers):
        """Forecasts, an array `(B, horizon, channels)`, in the units of the raw series."""
        mean, deviation = (np.array(values)[self.targets] for values in (self.mean, self.deviation))
        return numbers * deviation + mean

    def get_config(self):
        return {
            **super().get_config(),
            "mean": list(self.mean),
            "deviation": list(self.deviation),
            "sequence_length": self.sequence_length,
            "targets": None if self.targets is None else list(self.targets),
            "ahead": None if self.ahead is None else list(self.ahead),
        }


@keras.saving.register_keras_serializable(package="zoo")
class MixerSeriesClassifier(Shuffled, Quantizable, keras_hub.models.Task):
    """Series to the logits of classes: the backbone, the mean over time, a dense layer.

    Args:
        backbone: a `MixerSeriesBackbone`.
        num_classes: how many classes, at least 1.
        preprocessor: a `MixerSeriesPreprocessor`; None if series come as the backbone wants them.
        dropout: share of the mean dropped in training, in [0, 1).

    Call arguments:
        inputs: `(B, T, C)`.

    Returns:
        `(B, num_classes)`.

    Example:
    >>> classifier = MixerSeriesClassifier(MixerSeriesBackbone(3, mixer="gru"), num_classes=7)
    >>> tuple(classifier(keras.random.normal((5, 11, 3))).shape)
    (5, 7)
    """

    backbone_cls = MixerSeriesBackbone
    preprocessor_cls = MixerSeriesPreprocessor

    def __init__(self, backbone, num_classes, preprocessor=None, dropout=0.0, **kwargs):
        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor
        policy = {"dtype": backbone.dtype_policy}
        self.pooler = keras.layers.GlobalAveragePooling1D(data_format="channels_last", name="pooler", **policy)
        self.output_dropout = keras.layers.Dropout(dropout, name="output_dropout", **policy)
        self.output_dense = keras.layers.Dense(num_classes, name="logits", **policy)

        # === Functional Model ===
        inputs = backbone.input
        outputs = self.output_dense(self.output_dropout(self.pooler(backbone(inputs))))
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)

        # === Config ===
        self.num_classes = num_classes
        self.dropout = dropout

    def compile(self, optimizer="auto", loss="auto", *, metrics="auto", **kwargs):
        super().compile(**compile_arguments(optimizer, loss, metrics), **kwargs)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes, "dropout": self.dropout}


def _as_floats(numbers):
    """Numbers that are whole as others: a tensor of whole ones would take means and deviations for whole ones too."""
    if "float" in keras.backend.standardize_dtype(numbers.dtype):
        return numbers
    if isinstance(numbers, np.ndarray):
        return numbers.astype("float32")
    import tensorflow as tf

    return tf.cast(numbers, "float32") if tf.is_tensor(numbers) else keras.ops.cast(numbers, "float32")
