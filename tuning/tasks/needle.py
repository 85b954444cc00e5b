"""A needle in noise: one marked letter among many, asked for at the end."""

import numpy as np

from tuning.tasks import sequences

LETTERS, LENGTH = 16, 64
MARK, QUESTION = LETTERS, LETTERS + 1
EPOCH, EPOCHS = 2_560, 8


def rule(numbers, count):
    """62 letters, a mark before one of them, then a question; its label is the marked letter."""
    tokens = numbers.integers(LETTERS, size=(count, LENGTH))
    place = numbers.integers(LENGTH - 2, size=(count, 1))
    np.put_along_axis(tokens, place, MARK, axis=1)
    tokens[:, -1] = QUESTION
    labels = np.zeros_like(tokens)
    labels[:, -1:] = np.take_along_axis(tokens, place + 1, axis=1)
    return tokens, labels, np.arange(LENGTH) == LENGTH - 1


def data(seed):
    """Splits by the rule."""
    return sequences.splits("needle", rule, seed, EPOCH * EPOCHS)


def model(mixer, width, dropout):
    """A causal tagger: at each position one of the letters."""
    return sequences.tagger(mixer, width, dropout, vocabulary=LETTERS + 2, outputs=LETTERS, length=LENGTH)


NEEDLE = sequences.task(
    name="needle",
    description="A needle in noise: one marked letter of 16 among 61 others, asked for at the end.",
    data=data,
    model=model,
    parameters=20_000,
    epochs=EPOCHS,
    epoch_size=EPOCH,
)
