"""How many cars an hour go west on I-94 between Minneapolis and St. Paul, with weather, holidays and the calendar.

- Source: github.com/CodyTheCoderPrice/Finding-Heavy-Traffic-Indicators-on-I94 at
  71a5b54c34abb30e8e72fa0032d3898e3996e5f3, `Metro_Interstate_Traffic_Volume.csv`.
- Licence: CC BY 4.0 (UCI).
- Paper: none; Hogue, 2019, https://doi.org/10.24432/C5X60B.
"""

import csv

import numpy as np

from keras_attn.lookup import choose
from zoo.datasets import files, windows

SOURCE = "github.com/CodyTheCoderPrice/Finding-Heavy-Traffic-Indicators-on-I94"
LICENCE = "CC BY 4.0"
SPLITS = windows.SPLITS
#: Columns of the file that are numbers: cars, kelvin, millimetres an hour, millimetres an hour, percent.
COLUMNS = ("traffic_volume", "temp", "rain_1h", "snow_1h", "clouds_all")
#: The calendar: 1 on a holiday, and where in the day and in the week the hour is, on circles.
CALENDAR = ("holiday", "day_sine", "day_cosine", "week_sine", "week_cosine")
CHANNELS = COLUMNS + CALENDAR
#: Gaps of up to so many hours are bridged by straight lines.
LONGEST_GAP = 3
#: What lies outside was mistyped: 0 kelvin, 9,831 mm of rain in an hour.
LIMITS = {"temp": (200, 330), "rain_1h": (0, 500)}


def load(split, inputs=168, horizon=24, raw=False):
    """Windows of a split: 70, 10 and 20 % of the hours from 2 October 2012 to 30 September 2018.

    Windows over a gap are left out. More than a fifth of the hours is missing, most of them in 307 days from August
    2014 on.

    Args:
        split: "train", "dev" or "test". Of 168 and 24 hours there are 21,025, 4,464 and 10,290.
        inputs: hours seen.
        horizon: hours forecast.
        raw: whether the units stay those of the source, rather than mean 0 and deviation 1 over the training part.

    Returns:
        `Windows`, ten channels. The first of `y` is what is to be forecast; the last five, `CALENDAR`, are known of
        the hours ahead too.
    """
    choose("split of metro_traffic", split, SPLITS)
    values = read(files.find("metro_traffic", "Metro_Interstate_Traffic_Volume.csv.gz", SOURCE))
    return windows.cut(values, CHANNELS, windows.end_by_share(len(values)), split, inputs, horizon, raw)


def read(path):
    """Each hour from the first to the last: `(T, 10)`, float64, NaN in gaps but for the calendar.

    Of an hour that has several rows, one for each kind of weather, the first counts.
    """
    rows = list(csv.DictReader(line for _, line in files.read_lines(path)))
    needed = [*COLUMNS, "date_time", "holiday"]
    if not rows or any(column not in rows[0] for column in needed):
        raise ValueError(f"{path} must have the columns {needed}. It has: {list(rows[0]) if rows else 'no rows'}")
    hours = np.array([row["date_time"] for row in rows], "datetime64[s]").astype("datetime64[h]")
    if np.any(np.diff(hours) < np.timedelta64(0, "h")):
        raise ValueError(f"The rows of {path} must stand in the order of time.")
    grid = np.arange(hours[0], hours[-1] + 1)
    values = np.full((len(grid), len(COLUMNS)), np.nan)
    places, first = np.unique((hours - hours[0]).astype("int64"), return_index=True)
    for place, row in zip(places, first, strict=True):
        values[place] = [_read_number(rows[row], column, row, path) for column in COLUMNS]
    values = np.stack([windows.bridge(column, LONGEST_GAP) for column in values.T], axis=1)
    # A holiday is named in the first hour of its day alone.
    days = [hour for hour, row in zip(hours, rows, strict=True) if row["holiday"] != "None"]
    return np.concatenate([values, _calendar(grid, np.array(days, "datetime64[D]"))], axis=1)


def _read_number(row, column, index, path):
    try:
        number = float(row[column])
    except (TypeError, ValueError):
        raise ValueError(f"Line {index + 2} of {path} must have a number as {column}. Received: {row}") from None
    low, high = LIMITS.get(column, (-np.inf, np.inf))
    return number if low <= number <= high else np.nan


def _calendar(hours, holidays):
    # The hours are counted from a Thursday's midnight on.
    turns = 2.0 * np.pi * hours.astype("int64")[:, None] / [24, 7 * 24]
    circles = np.stack([np.sin(turns), np.cos(turns)], axis=-1).reshape(len(hours), 4)
    return np.concatenate([np.isin(hours.astype("datetime64[D]"), holidays)[:, None], circles], axis=1)
