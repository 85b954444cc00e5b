"""Raw examples, and how a person says what they mean."""

import dataclasses
import decimal
import numbers

import numpy as np


@dataclasses.dataclass(frozen=True)
class Words:
    """How a person says what the data means: the options of `tuning.task_from` of the same names."""

    text: str | None = None
    label: object = None
    tokens: str | None = None
    tags: str | None = None
    pairs: object = None
    horizon: int | None = None
    ahead: object = None
    group: object = None
    time: object = None
    predict: str | None = None


@dataclasses.dataclass(frozen=True)
class Examples:
    """Raw examples of one kind.

    Args:
        kind: "text", "tags", "pairs", "image", "series" or "forecast".
        x: raw inputs, N of them: an array, or a list of lists of words, or of series `(T, C)` to forecast; of pairs
            `(N, 2)`, source and target.
        y: raw answers: an object array, or a list of lists; None if there are none.
        group, time: arrays `(N,)`, or None.
        names: the columns' names by option, for people and for predictions.
        notes: what should be known, in words.
    """

    kind: str
    x: object
    y: object = None
    group: object = None
    time: object = None
    names: dict = dataclasses.field(default_factory=dict)
    notes: tuple = ()

    def __len__(self):
        return len(self.x)


def take(values, chosen):
    """The values that indices choose, of an array or a list."""
    return values[chosen] if isinstance(values, np.ndarray) else [values[index] for index in chosen]


def column(table, name, option):
    """The column of that name.

    Raises:
        ValueError: if there is none; near names are shown.
    """
    if name not in table.columns:
        from keras_attn.lookup import choose

        choose(f"column for `{option}`", name, {str(known): None for known in table.columns})
    return table[name]


def as_name(option):
    """A column's name as text: frames may have whole numbers for names. All else as it is."""
    if isinstance(option, list):
        return [as_name(each) for each in option]
    return str(option) if isinstance(option, numbers.Integral) else option


def as_names(option):
    """The names that an option gives: one, several or none, as a list."""
    if option is None:
        return []
    return [option] if isinstance(option, str) else list(option)


def as_list(cell):
    """Words or tags as a list of strings: a list, or a text with blanks between.

    Raises:
        ValueError: if it is neither, or one of them is missing.
    """
    if isinstance(cell, str):
        return cell.split()
    if isinstance(cell, (list, tuple, np.ndarray)):
        if any(map(is_missing, cell)):
            raise ValueError(f"A token or a tag is missing in {list(cell)!r}: write what it is, or leave the row out.")
        return [str(each) for each in cell]
    if cell is None or is_missing(cell):
        return []
    raise ValueError(f"Tokens and tags are lists, or texts with blanks between. Received: {cell!r}")


def is_missing(value):
    """Whether it is None, NaN or one of pandas' own marks."""
    import pandas as pd

    return pd.api.types.is_scalar(value) and bool(pd.isna(value))


def list_names(names):
    """Names in words."""
    return ", ".join(repr(str(name)) for name in names) or "none"


def rows(indices):
    """Row numbers as people count: the first is 1."""
    shown = ", ".join(str(index + 1) for index in indices[:5])
    return f"row{'s' * (len(indices) > 1)} {shown}{' and more' if len(indices) > 5 else ''} (the first is 1)"


def plain(value):
    """A value as Python's own, which JSON takes."""
    value = value.item() if isinstance(value, np.generic) else value
    return float(value) if isinstance(value, decimal.Decimal) else value


def as_labels(values):
    """Labels as an object array of Python's own values."""
    found = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        found[row] = plain(value)
    return found
