"""Series of numbers: what is shown are spans of time."""

import numpy as np

from zoo.explaining.cells import SPANS, Cells, Given
from zoo.series import MissingAsZero


def read(model, preprocessor, numbers, shape):
    series = numbers.astype("float32")
    series = series[:, None] if series.ndim == 1 else series
    # Of a longer series the preprocessor keeps the last steps.
    series = series[-(getattr(preprocessor, "sequence_length", None) or 0) :]
    if series.ndim != 2 or any(want not in (None, size) for want, size in zip(shape[1:], series.shape)):
        raise ValueError(f"The model takes series of shape {shape[1:]}. Received: an array of shape {series.shape}")
    inputs = series[None] if preprocessor is None else np.asarray(preprocessor(series[None]))
    return Given("series", inputs, series, at=_filled(model) if np.isnan(inputs).any() else None)


def _filled(model):
    """The name of the layer that puts numbers for what is missing, by which nothing can be differentiated."""
    names = [layer.name for layer in model._flatten_layers() if isinstance(layer, MissingAsZero)]
    if not names:
        raise ValueError("The model takes no series with missing numbers. Received: a series with NaN")
    return names[0]


def cells(model, given, lengths):
    length = len(given.subject)
    fitting = [count for count in lengths if 1 < count <= min(length, 4 * SPANS)]
    count = fitting[0] if fitting else min(length, SPANS)
    return Cells(count, None, given.inputs, lambda model: model, np.arange(length) * count // length)
