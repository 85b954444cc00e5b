"""What is to be answered: classes by name, or numbers. Never guessed where a column may be either."""

import collections
import dataclasses

import numpy as np

from tuning.own.examples import is_missing, list_names, rows
from tuning.own.numbers import MISSING

#: Whole numbers of no more distinct values than this are classes, of more may be either.
MANY = 20
#: The fewest rows of a class: one for each split.
FEWEST = 3
#: Where the largest class has more than this many times the rows of the smallest, classes count alike.
IMBALANCE = 4
#: The most that one example may count for.
HEAVIEST = 10.0


@dataclasses.dataclass(frozen=True)
class Classes:
    """Classes by the names that a person gave them, sorted."""

    names: tuple

    def encode(self, labels):
        """Numbers of classes, int32."""
        numbers = {name: number for number, name in enumerate(self.names)}
        return np.array([numbers[label] for label in labels], dtype="int32")


@dataclasses.dataclass(frozen=True)
class Numbers:
    """Numbers; their scale is learnt from the training split."""

    def encode(self, labels):
        """Numbers as they are, float64."""
        return np.array([float(label) for label in labels], dtype="float64")


def find(train, test, predict, name):
    """The `Classes` or `Numbers` that labels are.

    Args:
        train, test: object arrays of labels; test may be None.
        predict: "classes" or "numbers" if a person said so; None to infer it.
        name: the label's name, for errors.

    Raises:
        ValueError: for labels that are missing, too few or of one class, or that may be either.
    """
    for labels, where in ((train, ""), (() if test is None else test, " of the test data")):
        missing = _missing(labels)
        if missing:
            raise ValueError(f"{name} is missing in {rows(missing)}{where}. Rows without an answer teach nothing.")
        strange = [
            row for row, label in enumerate(labels) if not isinstance(label, (str, bool, int, float, np.generic))
        ]
        if strange:
            raise ValueError(
                f"{name} must hold texts or numbers, and holds {labels[strange[0]]!r} in {rows(strange)}{where}: write "
                "it as one of them."
            )
    if predict not in (None, "classes", "numbers"):
        raise ValueError(f"`predict` must be 'classes' or 'numbers'. Received: predict={predict!r}")
    if (predict or _infer(train, name)) == "numbers":
        return _numbers(train, test, name)
    return classes(train, test, name)


def _missing(labels):
    """The rows without an answer. What is written for one missing, as NA, is a name where the others are names."""
    written = [isinstance(label, str) and label.strip() in MISSING for label in labels]
    others = [label for label, is_word in zip(labels, written) if not is_word and not is_missing(label)]
    numbers = bool(others) and _as_floats(others) is not None
    return [row for row, label in enumerate(labels) if is_missing(label) or (numbers and written[row])]


def classes(train, test, name):
    """The `Classes` of labels that are known to be classes."""
    counts = collections.Counter(train)
    if len(counts) < 2:
        raise ValueError(f"{name} has one class only, {list_names(counts)}: there is nothing to tell apart.")
    small = [label for label, count in counts.items() if count < FEWEST]
    if small:
        raise ValueError(
            f"Each class needs at least {FEWEST} rows, one for each split. Too few of {name}: "
            f"{', '.join(f'{label!r} ({counts[label]})' for label in small[:5])}{' and more' * (len(small) > 5)}. "
            "Leave them out, or if these are numbers say predict='numbers'."
        )
    new = sorted({str(label) for label in (() if test is None else test) if label not in counts})
    if new and {str(label) for label in counts}.issuperset(new):
        raise ValueError(
            f"{name} has texts in one of training and test data and numbers in the other, as {new[0]!r}: write them "
            "alike."
        )
    if new:
        raise ValueError(f"The test data has classes of {name} that the training data has not: {list_names(new[:5])}.")
    return Classes(tuple(sorted(counts, key=_order)))


def imbalance(labels):
    """How many times larger the largest class is than the smallest."""
    counts = collections.Counter(labels).values()
    return max(counts) / min(counts)


def weights(numbers, count):
    """What each example counts for, float32: each class alike in sum, but no example more than `HEAVIEST`."""
    found = np.bincount(numbers, minlength=count)
    each = len(numbers) / (np.count_nonzero(found) * np.maximum(found, 1))
    return np.minimum(each, HEAVIEST).astype("float32")[numbers]


def _infer(labels, name):
    values, distinct = _as_floats(labels), len(set(labels))
    if values is None or all(isinstance(label, (bool, np.bool_)) for label in labels):
        if distinct > max(MANY, len(labels) // FEWEST):
            raise ValueError(
                f"{name} has {distinct:,} distinct values in {len(labels):,} rows. Classes come again and again: is it "
                "another column?"
            )
        return "classes"
    whole = bool((values == np.round(values)).all())
    if whole and distinct <= MANY:
        return "classes"
    if not whole and distinct > MANY:
        return "numbers"
    raise ValueError(
        f"{name} holds {distinct:,} distinct {'whole ' * whole}numbers from {values.min():g} to {values.max():g}, "
        "which may be classes or numbers: say predict='classes' or predict='numbers'."
    )


def _numbers(train, test, name):
    for labels in (train, () if test is None else test):
        values = _as_floats(labels)
        if values is None or not np.isfinite(values).all():
            strange = next((label for label in labels if _as_floats([label]) is None), "infinite ones")
            raise ValueError(f"{name} must hold numbers for predict='numbers'. Received: {strange!r}")
    if len(set(train)) < 2:
        raise ValueError(f"{name} is always {train[0]!r}: there is nothing to learn.")
    return Numbers()


def _as_floats(labels):
    try:
        return np.array([float(label) for label in labels], "float64")
    except (TypeError, ValueError):
        return None


def _order(label):
    """Numbers by size, then texts."""
    value = _as_floats([label])
    return (0, value[0], str(label)) if value is not None else (1, 0.0, str(label))
