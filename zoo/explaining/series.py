"""Series of numbers: what is shown are spans of time."""

import numpy as np
from keras import ops

from zoo.explaining.cells import SPANS, Cells, Given
from zoo.explaining.sound import as_many
from zoo.over_time import MissingAsZero, StandardizeOverTime


def read(model, preprocessor, numbers, shape):
    """One series `(T, C)`, standardised as the model wants it."""
    series = last_steps(preprocessor, numbers, shape)
    inputs = series[None] if preprocessor is None else np.asarray(preprocessor(series[None]))
    return Given("series", inputs, series, at=entrance(model, inputs))


def read_plain(numbers, shape):
    """One row of numbers `(T,)`, for a model without channels."""
    series = last_steps(None, np.ravel(numbers), (*shape, 1))
    return Given("series", series[None, :, 0], series)


def entrance(model, inputs):
    """The name of the layer behind which numbers are differentiated by; None for the input.

    By what is missing nothing can be differentiated. And to a model that divides by a series' own deviation half a
    series is as large as a whole one, so that on the way from nothing to the series nothing would happen.
    """
    missing = np.isnan(inputs).any()
    kind = MissingAsZero if missing else StandardizeOverTime
    names = [layer.name for layer in model._flatten_layers() if isinstance(layer, kind)]
    if missing and not names:
        raise ValueError("The model takes no series with missing numbers. Received: a series with NaN")
    return names[0] if names else None


def read_told(model, given, shapes):
    """One series, and what is known of the steps ahead, `(horizon, K)`, which is held as it is."""
    preprocessor = getattr(model, "preprocessor", None)
    if not isinstance(given, dict) and getattr(model, "ahead", None) is not None:
        given = past_and_coming(model, given)
    if not isinstance(given, dict) or set(given) != set(shapes):
        raise ValueError(
            f"The model takes a dict of arrays, {sorted(shapes)}, given from Python: `zoo.explain(model, dict)`. "
            f"Received: {type(given).__name__}"
        )
    series, ahead = last_steps(preprocessor, given["series"], shapes["series"]), np.asarray(given["ahead"], "float32")
    if ahead.shape != shapes["ahead"][1:]:
        raise ValueError(f"The model is told {shapes['ahead'][1:]} numbers ahead. Received: an array of {ahead.shape}")
    inputs = {"series": series[None], "ahead": ahead[None]}
    at = entrance(model, series) if np.isnan(series).any() else None
    return Given("series", inputs if preprocessor is None else preprocessor(inputs), series, at=at)


def past_and_coming(forecaster, numbers):
    """What a forecaster that is told of the steps ahead takes, from one array, whose last rows are those steps.

    Args:
        forecaster: a `MixerForecaster` with `ahead`.
        numbers: `(T + horizon, C)`; in the last `horizon` rows the channels `ahead` are there, and all others NaN.

    Returns:
        A dict of `"series"`, `(T, C)`, and `"ahead"`, `(horizon, K)`, float32.

    Raises:
        ValueError: for rows of another form.
    """
    known, horizon, channels = forecaster.ahead, forecaster.horizon, forecaster.backbone.channels
    least = (forecaster.backbone.sequence_length or 1) + horizon
    numbers = np.asarray(numbers, "float32")
    there = ~np.isnan(numbers[-horizon:]) if numbers.ndim else None
    if numbers.ndim != 2 or numbers.shape[1] != channels or len(numbers) < least:
        fault = f"an array of shape {numbers.shape}"
    elif not there[:, known].all() or there.sum() != horizon * len(known):
        missing, besides = (~there[:, known]).sum(), np.delete(there, known, axis=1).sum()
        fault = f"of these steps {missing} of these numbers missing, and {besides} others filled in"
    else:
        return {"series": numbers[:-horizon], "ahead": numbers[-horizon:, known]}
    raise ValueError(
        f"The model is told columns {known}, counted from 0, of the steps that it forecasts: of at least {least} rows "
        f"of {channels} numbers the last {horizon} are those steps, in which these columns are filled in and no "
        f"others. Received: {fault}"
    )


def last_steps(preprocessor, numbers, shape):
    """One series `(T, C)`, the last steps of it that the model reads; refused if it is no such series."""
    series = np.asarray(numbers, "float32")
    series = series[:, None] if series.ndim == 1 else series
    if series.ndim != 2:
        raise ValueError(f"The model takes series of shape {shape[1:]}. Received: an array of shape {series.shape}")
    # Of a longer series the preprocessor keeps the last steps.
    series = series[-(getattr(preprocessor, "sequence_length", None) or 0) :]
    if any(want not in (None, size) for want, size in zip(shape[1:], series.shape)):
        raise ValueError(f"The model takes series of shape {shape[1:]}. Received: an array of shape {series.shape}")
    return series


def cells(model, given, lengths):
    length = len(given.subject)
    fitting = [count for count in lengths if 1 < count <= min(length, 4 * SPANS)]
    count = fitting[0] if fitting else min(length, SPANS)
    cell = np.arange(length) * count // length
    if not isinstance(given.inputs, dict) or given.at:
        return Cells(count, None, given.inputs, lambda model: model, cell)

    def of_series(model):
        def function(x, **options):
            return model({**as_many(given.inputs, x), "series": ops.convert_to_tensor(x)}, **options)

        return function

    return Cells(count, None, given.inputs["series"], of_series, cell)
