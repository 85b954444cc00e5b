"""Selective copy: letters strewn among blanks, a mark, then the letters alone."""

import numpy as np

from tuning.tasks import sequences

LETTERS, COUNT, PLACES = 16, 8, 24
MARK, BLANK = LETTERS, LETTERS + 1
EPOCH, EPOCHS = 5_120, 8


def rule(numbers, count):
    """24 places, 8 of them letters and the rest blank, then a mark; from it on the labels are the letters in turn."""
    letters = numbers.integers(LETTERS, size=(count, COUNT))
    shown = np.full((count, PLACES), BLANK)
    np.put_along_axis(shown, sequences.strew(numbers, letters, PLACES), letters, axis=1)
    return sequences.then(shown, letters, MARK, BLANK)


def data(seed):
    """Splits by the rule."""
    return sequences.splits("selective_copy", rule, seed, EPOCH * EPOCHS)


def model(mixer, width, dropout):
    """A causal tagger: at each position one of the letters."""
    return sequences.tagger(mixer, width, dropout, vocabulary=LETTERS + 2, outputs=LETTERS, length=PLACES + COUNT)


SELECTIVE_COPY = sequences.task(
    name="selective_copy",
    description="Selective copy: 8 letters of 16 strewn among 24 places, then the letters alone.",
    data=data,
    model=model,
    parameters=20_000,
    epochs=EPOCHS,
    epoch_size=EPOCH,
)
