"""Texts with classes or numbers."""

import math

import numpy as np

from tuning import texts as words

SUBJECT = "text"
PIECES, LONGEST = 4000, 256
MIXERS = ("multi_head", "additive", "gru", "gated_conv", "linear_recurrence", ("gru", "multi_head"))
CONTROLS = ("identity", "pooling")
RATES, DROPOUTS = (5e-4, 1.5e-3, 5e-3), (0.3, 0.1)


def measure(x, test=None):
    """How many pieces a vocabulary has at most, and how many of a text are read: numbers, nothing that is learnt."""
    counts = [len(words.WORD.findall(text.lower())) for text in x]
    # Rare words take several pieces; two more are the start and the end.
    length = 8 * math.ceil((1.2 * np.percentile(counts, 95) + 2) / 8)
    size = len(words.vocabulary(x, PIECES))
    return {"vocabulary_size": size, "sequence_length": int(min(LONGEST, length))}


def describe(sizes, x):
    cut = np.mean([len(words.WORD.findall(text)) + 2 > sizes["sequence_length"] for text in x])
    said = f"the first {sizes['sequence_length']} pieces of a text are read"
    return said + (f" (at least {cut:.0%} are longer)" if cut >= 0.005 else "")


def learn(x, sizes):
    """The preprocessor with the vocabulary of the training texts."""
    import zoo

    tokenizer = zoo.MixerTokenizer(words.vocabulary(x, sizes["vocabulary_size"]))
    return zoo.MixerTextClassifierPreprocessor(tokenizer, sequence_length=sizes["sequence_length"])


def prepare(preprocessor, x):
    return words.as_arrays(preprocessor(list(x)))


def keys(x):
    """What tells whether two rows are the same."""
    return list(x)


def model(mixer, width, dropout, sizes, outputs):
    """A classifier over word pieces."""
    import zoo

    backbone = zoo.MixerTextBackbone(mixer=mixer, hidden_dim=width, dropout=dropout, **sizes)
    return zoo.MixerTextClassifier(backbone, num_classes=outputs, dropout=dropout)
