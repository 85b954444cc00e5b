"""Nested list operations: what is the maximum, the minimum or the sum of a list that has lists in it?

Nangia and Bowman, 2018, https://arxiv.org/abs/1804.06028, without their median, and with the value of every list asked
for where it closes.
"""

import numpy as np

from tuning.tasks import sequences

DIGITS = 10
#: What a list asks for is said where it opens; the sum is modulo 10.
MAXIMUM, MINIMUM, SUM, CLOSE = range(DIGITS, DIGITS + 4)
DEEPEST, LEAST, LENGTH = 3, 2, 32
#: How often within a list a digit comes, another list, and its end, where all three may.
SHARES = (0.5, 0.2, 0.3)
EPOCH, EPOCHS = 5_120, 8


def rule(numbers, count):
    """Lists one after another, up to 3 deep, of at least 2 elements; the label where one closes is its value.

    Digits fill up the end, where no list fits in.
    """
    rows, depth = np.arange(count), np.zeros(count, int)
    # Of each list that is open: what it asks for, its value so far, how many elements it must still have. The first
    # column is no list.
    kinds, values, missing = np.zeros((3, count, DEEPEST + 1), int)
    tokens, labels = np.zeros((2, count, LENGTH), int)
    for step in range(LENGTH):
        digit, opens, closes = _choose(numbers, depth, missing, LENGTH - step - 1)
        found = np.where(closes, values[rows, depth], numbers.integers(DIGITS, size=count))
        kind = numbers.integers(MAXIMUM, CLOSE, size=count)
        tokens[:, step] = np.select([digit, opens], [found, kind], CLOSE)
        labels[:, step] = np.where(closes, found, 0)
        # A digit belongs to the list that is open, and the value of one that closes to the list around it.
        depth = depth - closes
        added = _add(kinds[rows, depth], values[rows, depth], found)
        values[rows, depth] = np.where(opens, values[rows, depth], added)
        # A list counts as an element from where it opens.
        missing[rows, depth] = np.maximum(missing[rows, depth] - ~closes, 0)
        depth = depth + opens
        kinds[rows, depth] = np.where(opens, kind, kinds[rows, depth])
        values[rows, depth] = np.where(opens, np.where(kind == MINIMUM, DIGITS - 1, 0), values[rows, depth])
        missing[rows, depth] = np.where(opens, LEAST, missing[rows, depth])
    return tokens, labels, tokens == CLOSE


def _choose(numbers, depth, missing, left):
    """Whether a digit comes, a list opens or one closes, three booleans for each row, so that all end in time."""
    here = missing[np.arange(len(depth)), depth]
    owed = depth + missing.sum(axis=1) - (here > 0)
    may_open = (depth < DEEPEST) & (owed + 1 + LEAST <= left)
    may_digit = np.where(depth == 0, ~may_open, owed <= left)
    may_close = (depth > 0) & (here == 0)
    bounds = np.cumsum(np.stack([may_digit, may_open, may_close]) * np.reshape(SHARES, (3, 1)), axis=0)
    drawn = numbers.random(len(depth)) * bounds[-1]
    return drawn < bounds[0], (bounds[0] <= drawn) & (drawn < bounds[1]), bounds[1] <= drawn


def _add(kind, value, element):
    """The value of a list with one more element."""
    largest, smallest = np.maximum(value, element), np.minimum(value, element)
    return np.select([kind == MAXIMUM, kind == MINIMUM], [largest, smallest], (value + element) % DIGITS)


def data(seed):
    """Splits by the rule."""
    return sequences.splits("listops", rule, seed, EPOCH * EPOCHS)


def model(mixer, width, dropout):
    """A causal tagger: at each position a digit."""
    return sequences.tagger(mixer, width, dropout, vocabulary=CLOSE + 1, outputs=DIGITS, length=LENGTH)


LISTOPS = sequences.task(
    name="listops",
    description="Nested lists: the maximum, minimum or sum (modulo 10) of each, where it closes.",
    data=data,
    model=model,
    parameters=20_000,
    epochs=EPOCHS,
    epoch_size=EPOCH,
    # Tay et al., 2020, https://arxiv.org/abs/2011.04006: a Transformer 36 %; Gu et al., 2021,
    # https://arxiv.org/abs/2111.00396: a state space 59 %.
    answer="implicit",
)
