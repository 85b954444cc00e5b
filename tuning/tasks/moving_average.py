"""A moving average: at each step, the mean of the last few numbers.

Numbers are tokens, one for each level, as the zoo's taggers read them; what is asked for is a number, with mean 0 and
deviation 1.
"""

import numpy as np

from tuning.tasks import sequences

LEVELS, WINDOW, LENGTH = 16, 8, 48
EPOCH, EPOCHS = 2_560, 8


def rule(numbers, count):
    """48 levels; from the 8th on the mean of the last 8 is asked for."""
    tokens = numbers.integers(LEVELS, size=(count, LENGTH))
    totals = np.cumsum(tokens, axis=1)
    totals[:, WINDOW:] -= totals[:, :-WINDOW].copy()
    means = sequences.standardise(totals, LEVELS, WINDOW)
    return tokens, means[..., None], np.arange(LENGTH) >= WINDOW - 1


def data(seed):
    """Splits by the rule."""
    return sequences.splits("moving_average", rule, seed, EPOCH * EPOCHS)


def model(mixer, width, dropout):
    """A causal tagger: at each position a number."""
    return sequences.tagger(mixer, width, dropout, vocabulary=LEVELS, outputs=1, length=LENGTH)


MOVING_AVERAGE = sequences.task(
    name="moving_average",
    description="A moving average: the mean of the last 8 of 48 numbers, asked at each step.",
    data=data,
    model=model,
    parameters=20_000,
    epochs=EPOCHS,
    epoch_size=EPOCH,
    measure="explained",
)
