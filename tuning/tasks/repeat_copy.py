"""Repeat copy: letters, a number, then the letters so many times, and an end."""

import numpy as np

from tuning.tasks import sequences

LETTERS, COUNT, MOST = 8, 6, 4
END, BLANK = LETTERS, LETTERS + MOST
LENGTH = COUNT + MOST * COUNT + 1
EPOCH, EPOCHS = 5_120, 8


def rule(numbers, count):
    """Sequences `s1 ... s6 number blank ...`; from the number on `s1 ... s6` so many times, then the end."""
    letters = numbers.integers(LETTERS, size=(count, COUNT))
    times = numbers.integers(1, MOST + 1, size=count)
    steps = np.arange(MOST * COUNT + 1)
    last = (times * COUNT)[:, None]
    answers = np.where(steps < last, np.tile(letters, (1, MOST + 1))[:, : len(steps)], END)
    tokens, labels, _ = sequences.then(letters, answers, LETTERS - 1 + times, BLANK)
    asked = np.concatenate([np.zeros_like(letters, bool), steps <= last], axis=1)
    return tokens, labels, asked


def data(seed):
    """Splits by the rule."""
    return sequences.splits("repeat_copy", rule, seed, EPOCH * EPOCHS)


def model(mixer, width, dropout):
    """A causal tagger: at each position one of the letters, or the end."""
    return sequences.tagger(mixer, width, dropout, vocabulary=BLANK + 1, outputs=LETTERS + 1, length=LENGTH)


REPEAT_COPY = sequences.task(
    name="repeat_copy",
    description="Repeat copy: 6 letters of 8 and a number from 1 to 4, then the letters so many times, and an end.",
    data=data,
    model=model,
    parameters=20_000,
    epochs=EPOCHS,
    epoch_size=EPOCH,
)
