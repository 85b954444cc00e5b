"""Series in, what comes next out."""

import functools

import keras
import keras_hub

from keras_attn.lookup import choose, whole_number
from zoo.fitting import Shuffled
from zoo.heads import compile_arguments
from zoo.over_time import ChannelsApart, ChannelsTogether, LastStep, ScaleBack
from zoo.quantized import Quantizable
from zoo.series import MixerSeriesBackbone, MixerSeriesPreprocessor

POOLINGS = ("last", "flatten")
#: How many numbers a forecaster has of the past for each step ahead, where something is known of that step.
STEP_WIDTH = 16


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
        # What a backbone makes of numbers that are missing, where it does not know of such, is no zero.
        pool = keras.layers.Flatten if pooling == "flatten" else functools.partial(LastStep, missing_as_zero=False)
        self.pooler = pool(name="pooled", **policy)
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
