"""Series in, labels or what comes next out: preprocessor, backbone, classifier and forecaster."""

import warnings

import keras
import keras_hub
import numpy as np
from keras import ops

from keras_attn.lookup import choose, plain, whole_number
from zoo.backbone import MixerBackbone, check_stack, stack
from zoo.fitting import Shuffled
from zoo.heads import compile_arguments
from zoo.plain import PlainLayer
from zoo.quantized import Quantizable

POOLINGS = ("last", "flatten")
#: How many numbers a forecaster has of the past for each step ahead, where something is known of that step.
STEP_WIDTH = 16


@keras.saving.register_keras_serializable(package="zoo")
class MissingAsZero(keras.layers.Layer):
    """What is missing, NaN, becomes 0, the mean of what was standardised; if asked for, channels mark where it was.

    Args:
        marks: whether as many channels are added, 1 where a number is missing and 0 elsewhere.

    Call arguments:
        inputs: `(B, T, C)`.

    Returns:
        `(B, T, C)`, or `(B, T, 2 C)` with marks.

    Example:
    >>> found = MissingAsZero(marks=True)(keras.ops.array([[[3.0, float("nan")]]]))
    >>> keras.ops.convert_to_numpy(found).tolist()
    [[[3.0, 0.0, 0.0, 1.0]]]
    """

    def __init__(self, marks=False, **kwargs):
        super().__init__(**kwargs)
        self.marks = marks

    def call(self, inputs):
        missing = ops.isnan(inputs)
        filled = ops.where(missing, ops.zeros_like(inputs), inputs)
        return ops.concatenate([filled, ops.cast(missing, inputs.dtype)], axis=-1) if self.marks else filled

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] * (2 if self.marks else 1))

    def get_config(self):
        return {**super().get_config(), "marks": self.marks}


@keras.saving.register_keras_serializable(package="zoo")
class StandardizeOverTime(PlainLayer):
    """Each channel of each series less its own mean, over its own deviation; what is missing, NaN, stays missing.

    Call arguments:
        inputs: `(B, T, C)`.

    Returns:
        `(B, T, C)`.

    Example:
    >>> found = StandardizeOverTime()(keras.ops.array([[[3.0], [float("nan")], [7.0]]]))
    >>> keras.ops.convert_to_numpy(found).round(3).tolist()
    [[[-1.0], [nan], [1.0]]]
    """

    def call(self, inputs):
        mean, deviation = _moments(inputs)
        return (inputs - mean) / deviation

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable(package="zoo")
class ScaleBack(keras.layers.Layer):
    """Times the deviations that `StandardizeOverTime` divided by.

    Args:
        channels: numbers of those channels of the series that the inputs are about; None for all.

    Call arguments:
        inputs: `(B, S, channels)`.
        series: `(B, T, C)`, what was standardised.

    Returns:
        `(B, S, channels)`.

    Example:
    >>> series = keras.ops.array([[[3.0, 0.0], [7.0, 0.0]]])
    >>> found = ScaleBack([0])(keras.ops.ones((1, 1, 1)), series=series)
    >>> keras.ops.convert_to_numpy(found).round(3).tolist()
    [[[2.0]]]
    """

    def __init__(self, channels=None, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels if channels is None else list(channels)

    def call(self, inputs, series):
        _, deviation = _moments(series)  # (B, 1, C)
        return inputs * (deviation if self.channels is None else ops.take(deviation, list(self.channels), axis=-1))

    def compute_output_shape(self, inputs_shape, series_shape):
        return inputs_shape

    def get_config(self):
        return {**super().get_config(), "channels": None if self.channels is None else list(self.channels)}


#: Added to a variance: what stands still becomes 0.
LEAST = 1e-6


def _moments(series):
    """Mean and deviation over time, `(B, 1, C)` each, of what is known, not NaN."""
    known = ops.logical_not(ops.isnan(series))
    count = ops.maximum(ops.sum(ops.cast(known, series.dtype), axis=1, keepdims=True), 1)
    mean = ops.sum(ops.where(known, series, 0), axis=1, keepdims=True) / count
    apart = ops.where(known, series - mean, 0)
    return mean, ops.sqrt(ops.sum(ops.square(apart), axis=1, keepdims=True) / count + LEAST)


@keras.saving.register_keras_serializable(package="zoo")
class Patches(keras.layers.Layer):
    """So many steps as one token.

    Args:
        size: how many, at least 1.

    Call arguments:
        inputs: `(B, T, C)`, T a multiple of the size.

    Returns:
        `(B, T / size, size C)`.

    Example:
    >>> x = keras.ops.array([[[1], [2], [3], [4]]])
    >>> keras.ops.convert_to_numpy(Patches(2)(x)).tolist()
    [[[1, 2], [3, 4]]]
    """

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = whole_number("size", size)

    def call(self, inputs):
        self._check(inputs.shape)
        return ops.reshape(inputs, (-1, ops.shape(inputs)[1] // self.size, self.size * inputs.shape[2]))

    def compute_output_shape(self, input_shape):
        self._check(input_shape)
        batch, length, channels = input_shape
        return (batch, None if length is None else length // self.size, self.size * channels)

    def _check(self, shape):
        if shape[1] is not None and shape[1] % self.size:
            raise ValueError(
                f"`patch_size` must divide the number of steps. Received: patch_size={self.size}, series of shape "
                f"{tuple(shape)}"
            )

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable(package="zoo")
class ChannelsApart(PlainLayer):
    """Each channel as a series of its own.

    Call arguments:
        inputs: `(B, T, C)`.

    Returns:
        `(B C, T, 1)`.

    Example:
    >>> keras.ops.convert_to_numpy(ChannelsApart()(keras.ops.array([[[2, 3], [5, 7]]]))).tolist()
    [[[2], [5]], [[3], [7]]]
    """

    def call(self, inputs):
        # Its own length, if it is known: a reshape to -1 would forget it.
        length = inputs.shape[1] or ops.shape(inputs)[1]
        rows = ops.shape(inputs)[0] * ops.shape(inputs)[2]
        return ops.reshape(ops.transpose(inputs, (0, 2, 1)), (rows, length, 1))

    def compute_output_shape(self, input_shape):
        return (None, input_shape[1], 1)


@keras.saving.register_keras_serializable(package="zoo")
class ChannelsTogether(PlainLayer):
    """What stood for each channel by itself, side by side again.

    Call arguments:
        inputs: `(B C, T, 1)`.
        like: `(B, S, C)`, which says how many channels there are.

    Returns:
        `(B, T, C)`.

    Example:
    >>> x = keras.ops.array([[[2, 3], [5, 7]]])
    >>> keras.ops.convert_to_numpy(ChannelsTogether()(ChannelsApart()(x), like=x)).tolist()
    [[[2, 3], [5, 7]]]
    """

    def call(self, inputs, like):
        channels = like.shape[2] or ops.shape(like)[2]
        x = ops.reshape(inputs, (-1, channels, inputs.shape[1]))
        return ops.transpose(x, (0, 2, 1))

    def compute_output_shape(self, inputs_shape, like_shape):
        return (like_shape[0], inputs_shape[1], like_shape[2])


@keras.saving.register_keras_serializable(package="zoo")
class LastStep(keras.layers.Layer):
    """The last step of a series, of all channels or of some; what is missing, NaN, is 0.

    Args:
        channels: numbers of channels; None for all.

    Call arguments:
        inputs: `(B, T, C)`.

    Returns:
        `(B, channels)`.

    Example:
    >>> keras.ops.convert_to_numpy(LastStep([1])(keras.ops.array([[[2.0, 3.0], [5.0, 7.0]]]))).tolist()
    [[7.0]]
    """

    def __init__(self, channels=None, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels if channels is None else list(channels)

    def call(self, inputs):
        last = inputs[:, -1]
        last = ops.where(ops.isnan(last), ops.zeros_like(last), last)
        return last if self.channels is None else ops.take(last, list(self.channels), axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1] if self.channels is None else len(self.channels))

    def get_config(self):
        return {**super().get_config(), "channels": None if self.channels is None else list(self.channels)}


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


@keras.saving.register_keras_serializable(package="zoo")
class MixerForecaster(Shuffled, Quantizable, keras_hub.models.Task):
    """Series to what comes next: the last value of each target, and what the backbone's vectors add to it.

    Of a backbone that standardises each series by itself they add shares of that series' deviation, so that a series
    of three times the size is forecast three times as large.

    Of some channels more may be known than their past: hours, weekdays, holidays, prices that are set. With `ahead` the
    forecaster is told of them, and what the vectors add to step h is linear in `v_h + gelu(W [v_h; a_h] + b)`, with v_h
    16 numbers that the vectors have for that step, and a_h what is known of it. That is one small network for all
    steps, as in TiDE (Das et al.), in front of which any mixer can stand, since the past is read as without it. What is
    known of one step changes the forecast of that step alone.

    `fit` and `evaluate` compare in standardised units if there is a preprocessor; `predict` answers in raw ones.

    Args:
        backbone: a `MixerSeriesBackbone`.
        horizon: how many steps are forecast, at least 1.
        targets: the channels that are forecast, numbers in [0, C); None for all.
        preprocessor: a `MixerSeriesPreprocessor` with the same `targets` and `ahead`; None if series come as the
            backbone wants them.
        dropout: share of what is pooled dropped in training, in [0, 1).
        pooling: what of the backbone's vectors is read: "last", or "flatten" for all, side by side, which is more
            weights and wants a backbone of one length.
        channel_independent: whether the backbone, of one channel, forecasts each channel by itself, as Nie et al.
            found to be better where data are few. Any number of channels goes then, and `targets` is None.
        ahead: the K channels that are known of the steps ahead too, numbers in [0, C), none of them a target; None if
            there are none. Not with `channel_independent`.

    Call arguments:
        inputs: `(B, T, C)`. With `ahead` a dict of that as `"series"` and of `"ahead"`, `(B, horizon, K)`, without NaN.

    Returns:
        `(B, horizon, channels)`.

    Reference:
        Nie et al., 2022, A time series is worth 64 words, https://arxiv.org/abs/2211.14730, 3.1.
        Das et al., 2023, Long-term forecasting with TiDE, https://arxiv.org/abs/2304.08424, the temporal decoder.

    Example:
    >>> forecaster = MixerForecaster(MixerSeriesBackbone(3, mixer="gru"), horizon=5, targets=[2])
    >>> tuple(forecaster(keras.random.normal((2, 11, 3))).shape)
    (2, 5, 1)
    >>> told = MixerForecaster(MixerSeriesBackbone(3, mixer="gru"), horizon=5, targets=[2], ahead=[0, 1])
    >>> tuple(told({"series": keras.random.normal((2, 11, 3)), "ahead": keras.ops.ones((2, 5, 2))}).shape)
    (2, 5, 1)
    """

    backbone_cls = MixerSeriesBackbone
    preprocessor_cls = MixerSeriesPreprocessor

    def __init__(
        self,
        backbone,
        horizon,
        targets=None,
        preprocessor=None,
        dropout=0.0,
        pooling="last",
        channel_independent=False,
        ahead=None,
        **kwargs,
    ):
        whole_number("horizon", horizon)
        choose("pooling", pooling, POOLINGS)
        if pooling == "flatten" and backbone.sequence_length is None:
            raise ValueError("With pooling='flatten' the backbone wants a `sequence_length`. Received: None")
        if channel_independent and (backbone.channels != 1 or targets not in (None, [0])):
            raise ValueError(
                "With `channel_independent` the backbone has one channel, and all are forecast. "
                f"Received: backbone.channels={backbone.channels}, targets={targets}"
            )
        targets = list(range(backbone.channels)) if targets is None else list(targets)
        if not targets or not all(0 <= target < backbone.channels for target in targets):
            raise ValueError(f"`targets` are numbers in [0, {backbone.channels}). Received: targets={targets}")
        ahead = None if ahead is None else list(ahead)
        if ahead is not None:
            _check_ahead(ahead, targets, backbone.channels, channel_independent)
        if preprocessor is not None:
            _check_preprocessor(preprocessor, targets, ahead, channel_independent)
        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor
        policy = {"dtype": backbone.dtype_policy}
        self.pooler = (LastStep if pooling == "last" else keras.layers.Flatten)(name="pooled", **policy)
        # Raw numbers may be too large or too fine for half precision.
        exact = {"dtype": "float32"}
        self.last_values = LastStep(targets, name="last_values", **exact)
        self.output_dropout = keras.layers.Dropout(dropout, name="output_dropout", **policy)
        width = len(targets) if ahead is None else STEP_WIDTH
        self.output_dense = keras.layers.Dense(horizon * width, name="changes", **policy)

        # === Functional Model ===
        series = keras.Input(shape=(backbone.sequence_length, None), name="series") if channel_independent else None
        inputs = ChannelsApart(name="channels_apart", **exact)(series) if channel_independent else backbone.input
        changes = self.output_dense(self.output_dropout(self.pooler(backbone(inputs))))
        changes = keras.layers.Reshape((horizon, width), name="steps", **policy)(changes)
        if ahead is not None:
            known = keras.Input(shape=(horizon, len(ahead)), name="ahead")
            changes = _tell(changes, known, len(targets), policy)
        if backbone.standardize:
            changes = ScaleBack(targets, name="scale_back", **exact)(changes, series=inputs)
        last = keras.layers.Reshape((1, len(targets)), name="last", **exact)(self.last_values(inputs))
        outputs = keras.layers.Add(name="forecast", **exact)([changes, last])
        if channel_independent:
            outputs = ChannelsTogether(name="channels_together", **exact)(outputs, like=series)
        given = series if channel_independent else inputs
        super().__init__(
            inputs=given if ahead is None else {"series": given, "ahead": known}, outputs=outputs, **kwargs
        )

        # === Config ===
        self.horizon = horizon
        self.targets = targets
        self.dropout = dropout
        self.pooling = pooling
        self.channel_independent = channel_independent
        self.ahead = ahead

    def compile(self, optimizer="auto", loss="auto", *, metrics="auto", **kwargs):
        loss = keras.losses.MeanSquaredError() if loss == "auto" else loss
        metrics = [keras.metrics.MeanAbsoluteError()] if metrics == "auto" else metrics
        super().compile(**compile_arguments(optimizer, loss, metrics), **kwargs)

    def predict(self, x, *args, **kwargs):
        return self._restored(super().predict(x, *args, **kwargs))

    def predict_on_batch(self, x):
        return self._restored(super().predict_on_batch(x))

    def _restored(self, found):
        """Forecasts in the units of the series that came in."""
        return found if self.preprocessor is None else self.preprocessor.restore(found)

    def get_config(self):
        return {
            **super().get_config(),
            "horizon": self.horizon,
            "targets": list(self.targets),
            "dropout": self.dropout,
            "pooling": self.pooling,
            "channel_independent": self.channel_independent,
            "ahead": None if self.ahead is None else list(self.ahead),
        }


def _as_floats(numbers):
    """Numbers that are whole as others: a tensor of whole ones would take means and deviations for whole ones too."""
    if "float" in keras.backend.standardize_dtype(numbers.dtype):
        return numbers
    if isinstance(numbers, np.ndarray):
        return numbers.astype("float32")
    import tensorflow as tf

    return tf.cast(numbers, "float32") if tf.is_tensor(numbers) else keras.ops.cast(numbers, "float32")


def _check_preprocessor(preprocessor, targets, ahead, channel_independent):
    # Of channels by themselves all are forecast, however many there are.
    targets = list(range(len(preprocessor.mean))) if channel_independent else targets
    if (preprocessor.targets, preprocessor.ahead) != (targets, ahead):
        raise ValueError(
            f"The preprocessor must have the forecaster's `targets`, {targets}, and its `ahead`, {ahead}. "
            f"Received: targets={preprocessor.targets}, ahead={preprocessor.ahead}"
        )


def _check_ahead(ahead, targets, channels, channel_independent):
    if channel_independent:
        raise ValueError(f"With `channel_independent` nothing is known ahead. Received: ahead={ahead}")
    if not ahead or not all(0 <= channel < channels for channel in ahead) or set(ahead) & set(targets):
        raise ValueError(
            f"`ahead` are numbers in [0, {channels}), none of them a target. Received: ahead={ahead}, targets={targets}"
        )


def _tell(steps, known, width, policy):
    """What is forecast of each step, `(B, horizon, width)`, from its numbers and from what is known of it."""
    told = keras.layers.Concatenate(name="told", **policy)([steps, known])
    told = keras.layers.Dense(STEP_WIDTH, activation="gelu", name="told_steps", **policy)(told)
    steps = keras.layers.Add(name="add_told", **policy)([steps, told])
    return keras.layers.Dense(width, name="told_changes", **policy)(steps)
