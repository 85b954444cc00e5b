"""What loaders of arrays share: reading an archive, taking apart what was joined end to end, padding, holding out."""

import itertools

import numpy as np

from keras_attn.lookup import whole_number


def read(path, *keys):
    """The arrays of those names in an .npz file, in that order. Each is read once: each access decompresses anew."""
    with np.load(path, allow_pickle=False) as file:
        missing = [key for key in keys if key not in file.files]
        if missing:
            raise ValueError(f"{path} must hold the arrays {list(keys)}. It holds: {file.files}")
        return tuple(file[key] for key in keys)


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
