from typing import NamedTuple

import numpy as np

from keras_attn.inspection._ranks import checked, numbers, real_positions


class Pointing(NamedTuple):
    """How well maps point at what is known to matter: an array `(R,)` each, a number for each row that has a truth.

    Attributes:
        hit: whether the largest number of the map stands at a true position.
        precision: average precision of the true positions in the order of the map.
        mass: share of the map's positive part that stands at true positions.
        chance: what a map that knows nothing reaches in `hit` and `mass`: the share of positions that are true.
        chance_precision: what it reaches in `precision`.
        rows: which rows of the batch these are.
        left_out: how many have no true position.
    """

    hit: np.ndarray
    precision: np.ndarray
    mass: np.ndarray
    chance: np.ndarray
    chance_precision: np.ndarray
    rows: np.ndarray
    left_out: int


def pointing(map, truth, mask=None):
    """Whether a map is largest where the answer is known to lie.

    Among equal numbers of a map there is no order, so each is given its mean over all of them: the largest number that
    stands at three positions of which one is true is a third of a hit. A constant map reaches exactly what chance does,
    and so do in `mass` maps without positive part. Where the sign says nothing, hand over `abs(map)`.

    Args:
        map: `(B, S)`, larger for what matters more, or an `Attribution`.
        truth: boolean `(B, S)`, True at the positions that matter. Rows without any are left out, and counted.
        mask: boolean `(B, S)`, False at padding, which is no position; None for no padding.

    Returns:
        A `Pointing` of arrays `(R,)`.

    Raises:
        ValueError: for other shapes, numbers that are not finite, or truth at padding.

    Example:
    >>> found = pointing([[0.1, 0.7, 0.2, 0.0]], [[False, False, True, False]])
    >>> found.hit.tolist(), found.precision.tolist(), found.mass.round(6).tolist(), found.chance.tolist()
    ([0.0], [0.5], [0.2], [0.25])

    Reference: Zhang et al., 2016, https://arxiv.org/abs/1608.00507 (the pointing game); McSherry and
    Najork, 2008, https://doi.org/10.1007/978-3-540-78646-7_38 (average precision among ties).
    """
    map = numbers(map)
    real = real_positions(map.shape, mask)
    map, truth = checked("map", map, real), true_positions(truth, real)
    rows = np.flatnonzero(truth.any(axis=1))
    found = np.array([_of_row(map[row][real[row]], truth[row][real[row]]) for row in rows]).reshape(-1, 5)
    return Pointing(*found.T, rows=rows, left_out=len(map) - len(rows))


def true_positions(truth, real):
    """`truth` as booleans `(B, S)`, all of them at `real` positions."""
    truth = np.asarray(truth)
    if truth.dtype != bool or truth.shape != real.shape:
        raise ValueError(
            f"`truth` says of each position whether it matters: booleans of shape {real.shape}. "
            f"Received: {truth.dtype} of shape {truth.shape}"
        )
    if np.any(truth & ~real):
        raise ValueError(
            "Padding cannot matter: `truth` must be False where `mask` is. "
            f"Received: true padding in rows {np.flatnonzero((truth & ~real).any(axis=1)).tolist()}"
        )
    return truth


def _of_row(map, truth):
    first, positive = map == map.max(), np.maximum(map, 0.0)
    total, chance = positive.sum(), truth.mean()
    mass = positive[truth].sum() / total if total > 0.0 else chance
    precisions = _average_precision(map, truth), _average_precision(np.zeros_like(map), truth)
    return truth[first].mean(), precisions[0], mass, chance, precisions[1]


def _average_precision(map, truth):
    """The mean over all orders in which no number stands before a larger one."""
    found = before = true_before = 0.0
    for number in np.unique(map)[::-1]:
        ties = truth[map == number]
        count, true = len(ties), ties.sum()
        # A true one at place j of the ties has this many true ones before it among them, in the mean.
        places = np.arange(count)
        within = places * (true - 1) / max(1, count - 1)
        found += true / count * np.sum((true_before + within + 1.0) / (before + places + 1.0))
        before, true_before = before + count, true_before + true
    return found / truth.sum()
