"""Induction: letters that all differ, then the same once more, begun anywhere: what comes next?"""

import numpy as np

from tuning.tasks import sequences

LETTERS, COUNT = 32, 16
EPOCH, EPOCHS = 2_560, 8


def rule(numbers, count):
    """16 of 32 letters, then the same turned round by a random step; the label of a letter is what followed it.

    Nothing followed the last one when it was shown first, so that it is not asked for.
    """
    letters = numbers.permuted(np.tile(np.arange(LETTERS), (count, 1)), axis=1)[:, :COUNT]
    places = (np.arange(COUNT) + numbers.integers(COUNT, size=(count, 1))) % COUNT
    again = np.take_along_axis(letters, places, axis=1)
    followers = np.take_along_axis(letters, (places + 1) % COUNT, axis=1)
    tokens = np.concatenate([letters, again], axis=1)
    labels = np.concatenate([np.zeros_like(letters), followers], axis=1)
    asked = np.concatenate([np.zeros_like(letters, bool), places != COUNT - 1], axis=1)
    return tokens, labels, asked


def data(seed):
    """Splits by the rule."""
    return sequences.splits("induction", rule, seed, EPOCH * EPOCHS)


def model(mixer, width, dropout):
    """A causal tagger: at each position one of the letters."""
    return sequences.tagger(mixer, width, dropout, vocabulary=LETTERS, outputs=LETTERS, length=2 * COUNT)


INDUCTION = sequences.task(
    name="induction",
    description="Induction: 16 of 32 letters, then the same begun anywhere; what follows is asked for.",
    data=data,
    model=model,
    parameters=20_000,
    epochs=EPOCHS,
    epoch_size=EPOCH,
    # Olsson et al., 2022, https://arxiv.org/abs/2209.11895: two layers of attention do it, by heads they name after it.
    answer="explicit",
)
