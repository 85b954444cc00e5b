"""Running parity: at each position, whether the number of ones so far is odd."""

import numpy as np

from tuning.seeds import derive
from tuning.task import Data, Split, Task

LENGTH = 32
#: No training sequence comes twice in a run.
EPOCH, EPOCHS, VALID, TEST = 6_400, 8, 512, 1024


def data(seed):
    """Sequences of 32 fair bits, with a label at each step."""
    numbers = np.random.default_rng(derive(seed, "parity"))
    return Data(*(_draw(numbers, count) for count in (EPOCH * EPOCHS, VALID, TEST)))


def _draw(numbers, count):
    bits = numbers.integers(2, size=(count, LENGTH)).astype("int32")
    labels = np.cumsum(bits, axis=1).astype("int32") % 2
    return Split({"token_ids": bits, "padding_mask": np.ones_like(bits)}, labels)


def model(mixer, width, dropout):
    """A causal tagger: even or odd at each position."""
    import zoo

    backbone = zoo.MixerTextBackbone(
        2, hidden_dim=width, mixer=mixer, dropout=dropout, sequence_length=LENGTH, causal=True
    )
    return zoo.MixerTagger(backbone, num_classes=2)


PARITY = Task(
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
    trials=2,
    seeds=3,
    margin=0.02,
    # Below 1e-2 a recurrence is still learning the shortest sequences by heart when the rate has fallen to nothing.
    learning_rates=(3e-3, 1.5e-2, 3e-2),
    causal=True,
    solved=0.999,
    answer="implicit",
)
