"""What tasks on sequences made by a rule have in common: splits, answers behind a question, a causal tagger.

A rule is a function of a `numpy.random.Generator` and a count. It returns tokens, int `(N, T)`, answers, which are
labels `(N, T)` or numbers `(N, T, 1)`, and where they are asked for, boolean `(T,)` or `(N, T)`.
"""

import numpy as np

from tuning.seeds import derive
from tuning.task import Data, Split, Task

VALID, TEST = 512, 1024
#: Both kinds, a hybrid, and a control that moves nothing between positions.
MIXERS = (
    "multi_head",
    "multiplicative",
    "gru",
    "gated_conv",
    "linear_recurrence",
    ("gru", "multi_head"),
    "identity",
)
EVERYWHERE = np.array(True)


def task(**row):
    """A `Task` with what such tasks have in common; a row says what differs."""
    common = {
        "batch_size": 64,
        "mixers": MIXERS,
        "trials": 2,
        "seeds": 3,
        "margin": 0.02,
        "causal": True,
        "solved": 0.999,
    }
    return Task(**{**common, **row})


def splits(name, rule, seed, train):
    """Train, validation and test by a rule. No sequence comes twice, neither in one of them nor in two.

    Args:
        name: what the numbers are drawn for: with another name they are others.
        rule: see above.
        seed: the master seed.
        train: how many sequences there are to train on.
    """
    numbers = np.random.default_rng(derive(seed, name))
    seen = set()
    return Data(*(_draw_new(rule, numbers, count, seen) for count in (train, VALID, TEST)))


def _draw_new(rule, numbers, count, seen):
    """So many examples whose tokens were not seen before."""
    parts, missing = [], count
    while missing:
        split = _as_split(*rule(numbers, missing))
        new = [index for index, row in enumerate(split.x["token_ids"]) if _is_new(row.tobytes(), seen)]
        parts.append(split.take(new))
        missing -= len(new)
    return parts[0] if len(parts) == 1 else _join(parts)


def _is_new(sequence, seen):
    before = len(seen)
    seen.add(sequence)
    return len(seen) > before


def _as_split(tokens, answers, asked):
    tokens = tokens.astype("int32")
    answers = answers.astype("int32" if answers.ndim == 2 else "float32")
    weight = None if asked is EVERYWHERE else np.broadcast_to(asked, tokens.shape).astype("float32")
    return Split({"token_ids": tokens, "padding_mask": np.ones_like(tokens)}, answers, weight)


def _join(splits):
    x = {name: np.concatenate([split.x[name] for split in splits]) for name in splits[0].x}
    weight = None if splits[0].weight is None else np.concatenate([split.weight for split in splits])
    return Split(x, np.concatenate([split.y for split in splits]), weight)


def then(shown, answers, mark, blank):
    """What is shown, a mark, blanks; from the mark on the answers are asked for, one at each step.

    Args:
        shown: int `(N, S)`.
        answers: int `(N, A)`.
        mark, blank: tokens; the mark may be `(N,)`, one for each sequence.

    Returns:
        Tokens and labels, `(N, S + A)`, and where they are asked for.

    Example:
    >>> tokens, labels, asked = then(np.array([[3, 5]]), np.array([[5, 3]]), mark=7, blank=8)
    >>> tokens.tolist(), labels.tolist(), asked.tolist()
    ([[3, 5, 7, 8]], [[0, 0, 5, 3]], [False, False, True, True])
    """
    question = np.full(answers.shape, blank)
    question[:, 0] = mark
    tokens = np.concatenate([shown, question], axis=1)
    labels = np.concatenate([np.zeros_like(shown), answers], axis=1)
    return tokens, labels, np.arange(tokens.shape[1]) >= shown.shape[1]


def strew(numbers, items, among):
    """Where items stand that are strewn among so many places: increasing, `(N, items)` for `(N, items)` of anything."""
    count, size = items.shape
    places = numbers.permuted(np.tile(np.arange(among), (count, 1)), axis=1)[:, :size]
    return np.sort(places, axis=1)


def standardise(total, levels, terms):
    """The sum of so many numbers, each of [0, levels) alike, with mean 0 and deviation 1: as losses like it."""
    variance = (levels**2 - 1) / 12
    return (total - terms * (levels - 1) / 2) / np.sqrt(terms * variance)


def tagger(mixer, width, dropout, vocabulary, outputs, length):
    """A causal tagger: at each position the logits of classes, or numbers."""
    import zoo

    backbone = zoo.MixerTextBackbone(
        vocabulary, hidden_dim=width, mixer=mixer, dropout=dropout, sequence_length=length, causal=True
    )
    return zoo.MixerTagger(backbone, num_classes=outputs)
