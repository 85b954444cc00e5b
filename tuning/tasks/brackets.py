"""Counting brackets: at each step, how many are open."""

import numpy as np

from tuning.tasks import sequences

OPEN, CLOSE = 0, 1
DEEPEST, LENGTH = 11, 64
EPOCH, EPOCHS = 2_560, 8


def rule(numbers, count):
    """Brackets that open or close by chance, but at depth 0, where they open, and at depth 11, where they close."""
    wishes = numbers.integers(2, size=(count, LENGTH))
    tokens, depths = np.empty_like(wishes), np.empty_like(wishes)
    depth = np.zeros(count, int)
    for step in range(LENGTH):
        tokens[:, step] = np.where(depth == 0, OPEN, np.where(depth == DEEPEST, CLOSE, wishes[:, step]))
        depth = depth + np.where(tokens[:, step] == OPEN, 1, -1)
        depths[:, step] = depth
    return tokens, depths, sequences.EVERYWHERE


def data(seed):
    """Splits by the rule."""
    return sequences.splits("brackets", rule, seed, EPOCH * EPOCHS)


def model(mixer, width, dropout):
    """A causal tagger: at each position a depth."""
    return sequences.tagger(mixer, width, dropout, vocabulary=2, outputs=DEEPEST + 1, length=LENGTH)


BRACKETS = sequences.task(
    name="brackets",
    description="Counting brackets: how many of 64 are open, from 0 to 11, asked at each step.",
    data=data,
    model=model,
    parameters=20_000,
    epochs=EPOCHS,
    epoch_size=EPOCH,
)
