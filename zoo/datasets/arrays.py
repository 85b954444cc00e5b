"""What loaders of numbers share: reading archives and tables, taking apart what was joined, padding, holding out."""

import csv
import itertools
import zipfile
import zlib

import numpy as np

from keras_attn.lookup import whole_number
from zoo.datasets import files


def read(path, *keys):
    """The arrays of those names in an .npz file, in that order. Each is read once: each access decompresses anew."""
    # What is no archive, numpy would take for a pickle.
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is damaged: it is no archive, or its end is missing. Get it again.")
    with np.load(path, allow_pickle=False) as file:
        missing = [key for key in keys if key not in file.files]
        if missing:
            raise ValueError(f"{path} must hold the arrays {list(keys)}. It holds: {file.files}")
        try:
            return tuple(file[key] for key in keys)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise ValueError(f"{path} is damaged: {error}. Get it again.") from error


def read_table(path, columns, dated=True):
    """The numbers of a compressed text, a line a step, with commas between them.

    Args:
        path: the file's.
        columns: the names in its first line, without that of the date; case does not matter.
        dated: whether the first line has names, and every line behind it begins with a date.

    Returns:
        The dates, a list of strings, empty if there are none; and `(T, C)`, float64.
    """
    first = int(dated)
    rows = list(csv.reader(line for _, line in files.read_lines(path)))
    if dated and [name.lower() for row in rows[:1] for name in row] != ["date", *(name.lower() for name in columns)]:
        raise ValueError(f"The first line of {path} must name date, {', '.join(columns)}. Received: {rows[:1]}")
    rows = rows[first:]
    numbers = [_read_numbers(row[first:], len(columns), line, path) for line, row in enumerate(rows, start=1 + first)]
    return [row[0] for row in rows if dated], np.array(numbers, dtype="float64")


def _read_numbers(cells, count, line, path):
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError:
        numbers = []
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ValueError(f"Line {line} of {path} must have {count} numbers. Received: {cells}")
    return numbers


def take_apart(joined, offset):
    """The parts of an array that were joined end to end, views: part i is `joined[offset[i] : offset[i + 1]]`."""
    offset = np.asarray(offset, dtype="int64")
    if offset[0] != 0 or offset[-1] != len(joined) or np.any(np.diff(offset) < 0):
        raise ValueError(
            f"`offset` must rise from 0 to {len(joined)}, the length of what was joined. "
            f"Received: {offset[0]} to {offset[-1]}"
        )
    return [joined[first:last] for first, last in itertools.pairwise(offset)]


def pad(parts, length=None):
    """Parts of different lengths as one array.

    Args:
        parts: arrays `(steps, ...)`.
        length: T; what is longer is cut behind. None: that of the longest.

    Returns:
        `(N, T, ...)`, float32, with zeros behind each part, and `(N,)`, int32, how many steps of each are its own.
    """
    whole_number("length", length, optional=True)
    length = max(map(len, parts)) if length is None else length
    lengths = np.array([min(len(part), length) for part in parts], dtype="int32")
    padded = np.zeros((len(parts), length, *parts[0].shape[1:]), dtype="float32")
    for row, part, steps in zip(padded, parts, lengths, strict=True):
        row[:steps] = part[:steps]
    return padded, lengths


def hold_out(classes, every):
    """Which examples are held out: of each class the last of every so many, in the order in which they stand.

    Args:
        classes: `(N,)`.
        every: at least 2.

    Returns:
        Booleans `(N,)`.
    """
    whole_number("every", every, least=2)
    held = np.zeros(len(classes), dtype=bool)
    for one in np.unique(classes):
        held[np.flatnonzero(classes == one)[every - 1 :: every]] = True
    return held
