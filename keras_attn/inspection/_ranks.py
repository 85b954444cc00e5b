"""Maps of positions as orders of positions, and which positions count."""

import numpy as np

from keras_attn.inspection.attribution import Attribution


def real_positions(shape, mask):
    """Booleans `(B, S)`, False at padding."""
    if len(shape) != 2:
        raise ValueError(f"A map has one number for each position, (B, S). Received: a map of shape {shape}")
    if mask is None:
        return np.ones(shape, dtype=bool)
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.shape != shape:
        raise ValueError(
            f"`mask` says which positions are real: booleans of shape {shape}, as the map. "
            f"Received: {mask.dtype} of shape {mask.shape}"
        )
    return mask


def numbers(map):
    """The array of a map, of an `Attribution` too."""
    return np.asarray(map.map if isinstance(map, Attribution) else map)


def checked(what, map, real):
    """The map, as float64, if it has finite numbers at all real positions; of an `Attribution` its map."""
    map = numbers(map).astype("float64")
    if map.shape != real.shape:
        raise ValueError(
            f"`{what}` must have one number for each position, {real.shape}. Received: an array of shape {map.shape}"
        )
    if not np.all(np.isfinite(map[real])):
        raise ValueError(
            f"`{what}` must be finite: what is not has no order. Received: {np.sum(~np.isfinite(map[real]))} numbers "
            "at real positions that are not"
        )
    return map


def ranked(map, real, random):
    """The positions of each row, `(B, S)`, largest first: equal ones in random order, padding behind all."""
    return np.lexsort((random.random(map.shape), np.where(real, -map, np.inf)), axis=-1)


def places(order):
    """Where each position stands in an order of `ranked`, `(B, S)`."""
    return np.argsort(order, axis=-1)


def average_ranks(numbers):
    """Ranks `(S,)` of numbers `(S,)`, equal ones at the mean of their places."""
    _, which, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[which]
