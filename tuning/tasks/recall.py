"""Associative recall: pairs of keys and values, then the keys again, each to be answered with its value."""

import numpy as np

from tuning.seeds import derive
from tuning.task import Data, Split, Task

PAIRS, KEYS, VALUES = 8, 16, 16
#: No training sequence comes twice in a run.
EPOCH, EPOCHS, VALID, TEST = 5_120, 8, 512, 1024


def data(seed):
    """Sequences `k1 v1 ... k8 v8 q1 ... q8`; keys differ, and the label at each query is the value of its key."""
    numbers = np.random.default_rng(derive(seed, "recall"))
    return Data(*(_draw(numbers, count) for count in (EPOCH * EPOCHS, VALID, TEST)))


def _draw(numbers, count):
    keys = numbers.permuted(np.tile(np.arange(KEYS), (count, 1)), axis=1)[:, :PAIRS]
    values = numbers.integers(VALUES, size=(count, PAIRS))
    asked = numbers.permuted(np.tile(np.arange(PAIRS), (count, 1)), axis=1)
    pairs = np.stack([keys, KEYS + values], axis=2).reshape(count, 2 * PAIRS)
    tokens = np.concatenate([pairs, np.take_along_axis(keys, asked, axis=1)], axis=1).astype("int32")
    labels = np.zeros_like(tokens)
    labels[:, 2 * PAIRS :] = np.take_along_axis(values, asked, axis=1)
    weight = np.zeros(tokens.shape, "float32")
    weight[:, 2 * PAIRS :] = 1.0
    return Split({"token_ids": tokens, "padding_mask": np.ones_like(tokens)}, labels, weight)


def truth(split):
    """The first question is asked; its pair, key and value, is what matters."""
    tokens = split.x["token_ids"]
    asked = np.full(len(tokens), 2 * PAIRS)
    key = tokens[:, : 2 * PAIRS : 2] == tokens[:, 2 * PAIRS, None]
    found = np.zeros(tokens.shape, bool)
    found[:, : 2 * PAIRS] = np.repeat(key, 2, axis=1)
    return asked, found


def model(mixer, width, dropout):
    """A causal tagger: at each position one of the values."""
    import zoo

    backbone = zoo.MixerTextBackbone(
        KEYS + VALUES, hidden_dim=width, mixer=mixer, dropout=dropout, sequence_length=3 * PAIRS, causal=True
    )
    return zoo.MixerTagger(backbone, num_classes=VALUES)


RECALL = Task(
    name="recall",
    description="Associative recall: 8 pairs of keys and values, then the value of each key is asked for.",
    data=data,
    model=model,
    parameters=40_000,
    epochs=EPOCHS,
    epoch_size=EPOCH,
    batch_size=128,
    mixers=(
        "multi_head",
        "multiplicative",
        "gru",
        "gated_conv",
        "linear_recurrence",
        ("gru", "multi_head"),
        "identity",
    ),
    trials=2,
    seeds=3,
    margin=0.02,
    causal=True,
    solved=0.999,
    answer="explicit",
    truth=truth,
)
