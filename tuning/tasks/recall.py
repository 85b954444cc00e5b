"""Associative recall: pairs of keys and values, then the keys again, each to be answered with its value; at any size.

Arora et al., 2023, https://arxiv.org/abs/2312.04927: attention recalls at any size, what has a state of fixed size does
so as long as the pairs fit in.
"""

import functools

import numpy as np

from tuning.tasks import sequences

VALUES = 16
EPOCH, EPOCHS = 5_120, 8


def rule(numbers, count, pairs):
    """Sequences `k1 v1 ... kn vn q1 ... qn`; keys differ, and the label at each query is the value of its key.

    The keys are drawn from twice as many.
    """
    keys = numbers.permuted(np.tile(np.arange(2 * pairs), (count, 1)), axis=1)[:, :pairs]
    values = numbers.integers(VALUES, size=(count, pairs))
    asked = numbers.permuted(np.tile(np.arange(pairs), (count, 1)), axis=1)
    shown = np.stack([keys, 2 * pairs + values], axis=2).reshape(count, 2 * pairs)
    tokens = np.concatenate([shown, np.take_along_axis(keys, asked, axis=1)], axis=1)
    labels = np.zeros_like(tokens)
    labels[:, 2 * pairs :] = np.take_along_axis(values, asked, axis=1)
    return tokens, labels, np.arange(3 * pairs) >= 2 * pairs


def truth(split, pairs):
    """The first question is asked; its pair, key and value, is what matters."""
    tokens = split.x["token_ids"]
    asked = np.full(len(tokens), 2 * pairs)
    key = tokens[:, : 2 * pairs : 2] == tokens[:, 2 * pairs, None]
    found = np.zeros(tokens.shape, bool)
    found[:, : 2 * pairs] = np.repeat(key, 2, axis=1)
    return asked, found


def data(seed, name, pairs):
    """Splits by the rule. No training sequence comes twice in a run."""
    return sequences.splits(name, functools.partial(rule, pairs=pairs), seed, EPOCH * EPOCHS)


def model(mixer, width, dropout, pairs):
    """A causal tagger: at each position one of the values."""
    return sequences.tagger(mixer, width, dropout, vocabulary=2 * pairs + VALUES, outputs=VALUES, length=3 * pairs)


def _task(name, pairs):
    return sequences.task(
        name=name,
        description=f"Associative recall: {pairs} pairs of keys and values, then the value of each key is asked for.",
        data=functools.partial(data, name=name, pairs=pairs),
        model=functools.partial(model, pairs=pairs),
        parameters=40_000,
        epochs=EPOCHS,
        epoch_size=EPOCH,
        batch_size=128,
        answer="explicit",
        truth=functools.partial(truth, pairs=pairs),
    )


RECALL = (_task("recall_4", 4), _task("recall", 8), _task("recall_16", 16))
