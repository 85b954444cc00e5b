"""Flip-flop: a bit is written, others are ignored, and when it is read it is the one that was written last."""

import numpy as np

from tuning.tasks import sequences

WRITE, READ, IGNORE = 2, 3, 4
PAIRS = 32
#: How often an instruction is to ignore; the others are as often to write as to read.
IGNORED = 0.8
EPOCH, EPOCHS = 2_560, 8


def rule(numbers, count):
    """Instructions, each with a bit: the first writes, the last reads. The label at a read is the bit behind it."""
    drawn = numbers.random(size=(count, PAIRS))
    orders = np.where(drawn < IGNORED, IGNORE, np.where(drawn < (1 + IGNORED) / 2, WRITE, READ))
    orders[:, 0], orders[:, -1] = WRITE, READ
    bits = numbers.integers(2, size=(count, PAIRS))
    written = np.maximum.accumulate(np.where(orders == WRITE, np.arange(PAIRS), 0), axis=1)
    bits = np.where(orders == READ, np.take_along_axis(bits, written, axis=1), bits)
    tokens = np.stack([orders, bits], axis=2).reshape(count, 2 * PAIRS)
    asked = tokens == READ
    labels = np.where(asked, np.repeat(bits, 2, axis=1), 0)
    return tokens, labels, asked


def data(seed):
    """Splits by the rule."""
    return sequences.splits("flip_flop", rule, seed, EPOCH * EPOCHS)


def model(mixer, width, dropout):
    """A causal tagger: at each position a bit."""
    return sequences.tagger(mixer, width, dropout, vocabulary=5, outputs=2, length=2 * PAIRS)


FLIP_FLOP = sequences.task(
    name="flip_flop",
    description="Flip-flop: 32 bits written, read or ignored; what is read is what was written last.",
    data=data,
    model=model,
    parameters=20_000,
    epochs=EPOCHS,
    epoch_size=EPOCH,
    # Liu et al., 2023, https://arxiv.org/abs/2306.00946: an LSTM makes no error, Transformers keep some.
    answer="implicit",
)
