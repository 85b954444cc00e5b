"""Which rows are to train on, to choose by and to judge by: by group, by time, or drawn at random."""

import collections
import warnings

import numpy as np

from tuning.own import times

#: One row of ten is to choose by, and one of ten to judge by.
FOLDS = 10


def draw(count, seed, labels=None, group=None, time=None, keys=None, tested=False):
    """Indices of the three splits.

    Args:
        count: how many rows there are.
        seed: what is drawn at random is drawn from it.
        labels: numbers of classes, so that each split has its share of each; None for none.
        group: `(N,)`; rows of a group stay in one split.
        time: `(N,)`; the test split is what is last, and before it the validation split.
        keys: a hashable for each row; rows of the same stay in one split, if it is drawn at random.
        tested: whether test data is given, so that only the other two are drawn.

    Returns:
        `(train, valid, test)`, arrays of indices; test is None if it is given.
    """
    if time is not None:
        parts = _by_time(times.read(time), tested)
    elif group is not None:
        parts = _by_group(group, labels, seed, tested)
    else:
        parts = _at_random(count, labels, keys, seed, tested)
    if not all(len(part) for part in parts):
        sizes = ", ".join(str(len(part)) for part in parts)
        alike = len(set(keys)) if keys is not None and time is None and group is None else count
        why = f" Rows that are alike stay together, and only {alike} are different." if alike < count else ""
        raise ValueError(f"Each split needs rows, and {count} rows were split into {sizes}.{why}")
    return (*parts, None) if tested else parts


def describe(group, time, labels, tested, names):
    """How the splits are made, in words."""
    shares = "90/10, the test data as it was given," if tested else "80/10/10"
    if time is not None:
        return f"splits {shares} by `{names.get('time', 'time')}`, the later to judge by"
    if group is not None:
        return f"splits {shares} by `{names.get('group', 'group')}`, no group in two of them"
    return f"splits {shares} drawn at random" + (", stratified" if labels is not None else "")


def check(group, time, tested):
    """Raises for what rows cannot be split by."""
    if group is not None and time is not None:
        raise ValueError("Rows are split by `group` or by `time`: name one of them.")
    fewest = 2 if tested else 3
    if group is not None and len(set(group)) < fewest:
        raise ValueError(f"To split by group needs at least {fewest} groups. Received: {len(set(group))}")
    if time is not None:
        times.read(time)


def _at_random(count, labels, keys, seed, tested):
    numbers = np.random.default_rng(seed)
    # Of rows that are the same the first is drawn, and the others go with it.
    _, firsts, inverse = np.unique(_numbered(keys, count), return_index=True, return_inverse=True)
    strata = np.zeros(len(firsts), int) if labels is None else np.asarray(labels)[firsts]
    side = np.zeros(len(firsts), int)
    for stratum in np.unique(strata):
        members = numbers.permutation(np.flatnonzero(strata == stratum))
        share = max(1, round(len(members) / FOLDS))
        # The first is to train on, whatever there is else.
        if not tested:
            side[members[1:][:share]] = 2
        side[members[1:][share * (not tested) :][:share]] = 1
    return _parts(side[inverse], tested)


def _by_group(group, labels, seed, tested):
    from sklearn import model_selection

    group = _numbered(group, len(group))
    folds = min(FOLDS, len(np.unique(group)))
    if labels is not None:
        folds = min(folds, max(collections.Counter(labels.tolist()).values()))
        splitter = model_selection.StratifiedGroupKFold(folds, shuffle=True, random_state=seed % 2**32)
    else:
        splitter = model_selection.GroupKFold(folds, shuffle=True, random_state=seed % 2**32)
    side = np.zeros(len(group), int)
    with warnings.catch_warnings():
        # That a class has fewer rows than there are folds.
        warnings.simplefilter("ignore", UserWarning)
        found = [part for _, part in splitter.split(np.zeros(len(group)), labels, group)]
    side[found[0]] = 1
    if not tested:
        side[found[1]] = 2
    return _parts(side, tested)


def _by_time(moments, tested):
    order = np.argsort(moments, kind="stable")
    late = moments[order]
    cuts = [round(len(late) * share) for share in ((0.9,) if tested else (0.8, 0.9))]
    # Rows of one moment stay together, on the later side.
    cuts = [int(np.searchsorted(late, late[min(cut, len(late) - 1)])) for cut in cuts]
    return tuple(np.split(order, cuts))


def _parts(side, tested):
    return tuple(np.flatnonzero(side == number) for number in range(2 if tested else 3))


def _numbered(keys, count):
    """A number for each different key, in the order they come."""
    if keys is None:
        return np.arange(count)
    known = {}
    return np.array([known.setdefault(key, len(known)) for key in keys])
