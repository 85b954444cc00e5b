"""The adding problem: two of many numbers are marked, and their sum is asked for at the end; at several lengths.

Hochreiter and Schmidhuber, 1997, https://doi.org/10.1162/neco.1997.9.8.1735, section 5.4. Numbers are tokens here, one
for each level and one more for it with a mark, as the zoo's taggers read them; the sum has mean 0 and deviation 1.
"""

import functools

import numpy as np

from tuning.tasks import sequences

LEVELS = 16
QUESTION = 2 * LEVELS
EPOCHS = 8


def rule(numbers, count, length):
    """So many levels, one marked in each half, then a question, whose answer is the sum of the two."""
    levels = numbers.integers(LEVELS, size=(count, length))
    half = length // 2
    marked = np.stack([numbers.integers(half, size=count), numbers.integers(half, length, size=count)], axis=1)
    chosen = np.take_along_axis(levels, marked, axis=1)
    np.put_along_axis(levels, marked, chosen + LEVELS, axis=1)
    tokens = np.concatenate([levels, np.full((count, 1), QUESTION)], axis=1)
    answers = np.zeros((count, length + 1, 1))
    answers[:, -1, 0] = sequences.standardise(chosen.sum(axis=1), LEVELS, terms=2)
    return tokens, answers, np.arange(length + 1) == length


def data(seed, length, epoch):
    """Splits by the rule."""
    draw = functools.partial(rule, length=length)
    return sequences.splits(f"adding_{length}", draw, seed, epoch * EPOCHS)


def model(mixer, width, dropout, length):
    """A causal tagger: at each position a number."""
    return sequences.tagger(mixer, width, dropout, vocabulary=QUESTION + 1, outputs=1, length=length + 1)


def _task(length, epoch):
    return sequences.task(
        name=f"adding_{length}",
        description=f"The adding problem: two of {length} numbers are marked, and their sum is asked for.",
        data=functools.partial(data, length=length, epoch=epoch),
        model=functools.partial(model, length=length),
        parameters=20_000,
        epochs=EPOCHS,
        epoch_size=epoch,
        measure="explained",
    )


ADDING = (_task(16, 5_120), _task(48, 2_560), _task(96, 2_560))
