"""Sort: digits, a mark, then the digits in order."""

import numpy as np

from tuning.tasks import sequences

DIGITS, COUNT = 16, 12
MARK, BLANK = DIGITS, DIGITS + 1
EPOCH, EPOCHS = 5_120, 8


def rule(numbers, count):
    """Sequences `d1 ... d12 mark blank ...`; from the mark on the labels are the digits from the smallest on."""
    digits = numbers.integers(DIGITS, size=(count, COUNT))
    return sequences.then(digits, np.sort(digits, axis=1), MARK, BLANK)


def data(seed):
    """Splits by the rule."""
    return sequences.splits("sort", rule, seed, EPOCH * EPOCHS)


def model(mixer, width, dropout):
    """A causal tagger: at each position one of the digits."""
    return sequences.tagger(mixer, width, dropout, vocabulary=DIGITS + 2, outputs=DIGITS, length=2 * COUNT)


SORT = sequences.task(
    name="sort",
    description="Sort: 12 digits of 16, then the same from the smallest on.",
    data=data,
    model=model,
    parameters=20_000,
    epochs=EPOCHS,
    epoch_size=EPOCH,
)
