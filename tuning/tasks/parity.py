"""Running parity: at each position, whether the number of ones so far is odd."""

import numpy as np

from tuning.tasks import sequences

LENGTH = 32
EPOCH, EPOCHS = 6_400, 8


def rule(numbers, count):
    """Sequences of 32 fair bits, with a label at each step."""
    bits = numbers.integers(2, size=(count, LENGTH))
    return bits, np.cumsum(bits, axis=1) % 2, sequences.EVERYWHERE


def data(seed):
    """Splits by the rule."""
    return sequences.splits("parity", rule, seed, EPOCH * EPOCHS)


def model(mixer, width, dropout):
    """A causal tagger: even or odd at each position."""
    return sequences.tagger(mixer, width, dropout, vocabulary=2, outputs=2, length=LENGTH)


PARITY = sequences.task(
    name="parity",
    description="Running parity of 32 bits: even or odd, asked at each step.",
    data=data,
    model=model,
    parameters=20_000,
    epochs=EPOCHS,
    epoch_size=EPOCH,
    batch_size=128,
    mixers=(
        "multi_head",
        "gru",
        "gated_conv",
        "linear_recurrence",
        ("gru", "multi_head"),
        "identity",
    ),
    # Below 1e-2 a recurrence is still learning the shortest sequences by heart when the rate has fallen to nothing.
    learning_rates=(3e-3, 1.5e-2, 3e-2),
    answer="implicit",
)
