"""Columns of numbers: what is one, and what is missing."""

import numpy as np

from tuning.own.examples import column, rows

MISSING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "?")


def as_numbers(values):
    """A pandas series as float64, NaN where it is missing, and which rows hold something else."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(values) or pd.api.types.is_timedelta64_dtype(values):
        # pandas would count the nanoseconds.
        return np.full(len(values), np.nan), np.flatnonzero(values.notna())
    written = values.map(lambda value: np.nan if isinstance(value, str) and value.strip() in MISSING else value)
    found = pd.to_numeric(written, errors="coerce").to_numpy("float64", na_value=np.nan)
    return found, np.flatnonzero(np.isnan(found) & written.notna().to_numpy())


def are_numbers(values):
    """Whether a column holds numbers, some of which may be missing."""
    found, strange = as_numbers(values)
    return not len(strange) and not np.isnan(found).all()


def read(table, names):
    """Columns of numbers as float32 `(N, C)`, NaN where one is missing.

    Raises:
        ValueError: if a column holds anything else; it is named.
    """
    if not names:
        raise ValueError("There is no column of numbers.")
    columns = []
    for name in names:
        found, strange = as_numbers(column(table, name, "series"))
        if len(strange):
            raise ValueError(
                f"Series are numbers, and column {name!r} holds {table[name].iloc[strange[0]]!r} in {rows(strange)}. "
                "Is it the `label`, a `group` or a `time`? Otherwise leave it out."
            )
        columns.append(found)
    return check(np.stack(columns, axis=-1))


def check(x):
    """The array as float32, if its numbers are finite or missing, and some are there."""
    x = x.astype("float32")
    if np.isinf(x).any():
        raise ValueError("Series hold numbers that are finite (in float32), or missing. Received: infinite ones")
    if np.isnan(x).all():
        raise ValueError("All numbers are missing.")
    return x


def check_array(x):
    """An array of series as float32 `(N, T, C)`."""
    if x.ndim not in (2, 3):
        raise ValueError(f"Series are of shape (N, T) or (N, T, C). Received: {x.shape}")
    return check(x[:, :, None] if x.ndim == 2 else x)
