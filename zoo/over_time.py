"""What the models of series do with steps and channels, as layers."""

import keras
from keras import ops

from keras_attn.lookup import whole_number
from zoo.plain import PlainLayer


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
        channels = None if self.channels is None else list(self.channels)
        return {**super().get_config(), "channels": channels, "missing_as_zero": self.missing_as_zero}


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
    """The last step of a series, of all channels or of some.

    Args:
        channels: numbers of channels; None for all.
        missing_as_zero: whether NaN, which stands for what is missing, becomes 0.

    Call arguments:
        inputs: `(B, T, C)`.

    Returns:
        `(B, channels)`.

    Example:
    >>> keras.ops.convert_to_numpy(LastStep([1])(keras.ops.array([[[2.0, 3.0], [5.0, 7.0]]]))).tolist()
    [[7.0]]
    """

    def __init__(self, channels=None, missing_as_zero=True, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels if channels is None else list(channels)
        self.missing_as_zero = missing_as_zero

    def call(self, inputs):
        last = inputs[:, -1]
        if self.missing_as_zero:
            last = ops.where(ops.isnan(last), ops.zeros_like(last), last)
        return last if self.channels is None else ops.take(last, list(self.channels), axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1] if self.channels is None else len(self.channels))

    def get_config(self):
        return {**super().get_config(), "channels": None if self.channels is None else list(self.channels)}
