"""Windows over series that are to be forecast: what is seen, and what comes next."""

import dataclasses

import numpy as np

from keras_attn.lookup import choose, whole_number

SPLITS = ("train", "dev", "test")


@dataclasses.dataclass(frozen=True)
class Windows:
    """Windows over a series, one a step. If nothing is missing, `x` and `y` are views of it and cannot be written to.

    Attributes:
        x: `(N, inputs, C)`, float32, what is seen.
        y: `(N, horizon, C)`, the steps behind it.
        names: of the channels.
        mean, deviation: of each channel over the training part, `(C,)`, float64: `y * deviation + mean` are the units
            of the source, if the series came standardised.
    """

    x: np.ndarray
    y: np.ndarray
    names: tuple[str, ...]
    mean: np.ndarray
    deviation: np.ndarray


def cut(values, names, ends, split, inputs, horizon, raw=False):
    """The windows of one part of a series.

    What is forecast, `horizon` steps, lies in that part alone; what is seen for it, `inputs` steps, reaches back over
    its beginning, as in the benchmark of Zeng et al., 2022, https://arxiv.org/abs/2205.13504.

    Args:
        values: `(T, C)`. Windows with a NaN are left out.
        names: of the channels.
        ends: where train, dev and test end.
        split: "train", "dev" or "test".
        inputs, horizon: at least 1.
        raw: whether the units stay those of the source, rather than mean 0 and deviation 1 over the training part.

    Returns:
        `Windows`.
    """
    part = SPLITS.index(choose("split of a series", split, SPLITS))
    whole_number("inputs", inputs)
    whole_number("horizon", horizon)
    begin = ends[part - 1] - inputs if part else 0
    count = ends[part] - begin - inputs - horizon + 1
    if begin < 0 or count < 1:
        raise ValueError(
            f"There is no window of {inputs} and {horizon} steps in {split}: train, dev and test end at {ends}."
        )
    mean, deviation = np.nanmean(values[: ends[0]], axis=0), np.nanstd(values[: ends[0]], axis=0)
    shown = values if raw else (values - mean) / deviation
    steps = shown[begin : ends[part]].astype("float32")
    windows = _slide(steps, inputs + horizon).swapaxes(1, 2)
    whole = _slide(np.isfinite(steps).all(axis=1), inputs + horizon).all(axis=1)
    if not whole.all():
        windows = windows[whole]
    return Windows(windows[:, :inputs], windows[:, inputs:], tuple(names), mean, deviation)


def _slide(steps, size):
    return np.lib.stride_tricks.sliding_window_view(steps, size, axis=0)


def end_by_share(length, train=0.7, test=0.2):
    """Where train, dev and test end in a series of so many steps; dev is what the two others leave."""
    return int(length * train), length - int(length * test), length


def bridge(series, longest):
    """Gaps of up to so many steps, NaN, filled by straight lines; longer ones, and those at the ends, stay.

    Args:
        series: `(T,)`.
        longest: at least 1.

    Returns:
        `(T,)`.
    """
    steps, known = np.arange(len(series)), np.flatnonzero(np.isfinite(series))
    before = known[np.maximum(known.searchsorted(steps, side="right") - 1, 0)]
    behind = known[np.minimum(known.searchsorted(steps), len(known) - 1)]
    filled = np.interp(steps, known, series[known], left=np.nan, right=np.nan)
    return np.where(behind - before <= longest + 1, filled, np.nan)
