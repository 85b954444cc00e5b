"""Words with a tag each."""

import math

import numpy as np

from tuning import texts as words
from tuning.own import texts

SUBJECT = "words"
MIXERS, RATES, DROPOUTS = texts.MIXERS, (1e-3, 3e-3, 1e-2), (0.1, 0.3)
CONTROLS = ("identity",)


def measure(x, test=None):
    """As for texts, without a start and an end."""
    counts = [sum(len(words.WORD.findall(word.lower())) or 1 for word in row) for row in x]
    length = 8 * math.ceil(1.3 * np.percentile(counts, 98) / 8)
    size = len(words.vocabulary([" ".join(row) for row in x], texts.PIECES))
    return {"vocabulary_size": size, "sequence_length": int(min(texts.LONGEST, max(8, length)))}


def describe(sizes, x):
    return f"the first {sizes['sequence_length']} pieces of a row are read, and a word's tag stands at its first piece"


def learn(x, sizes):
    """The preprocessor with the vocabulary of the training rows."""
    import zoo

    tokenizer = zoo.MixerTokenizer(words.vocabulary([" ".join(row) for row in x], sizes["vocabulary_size"]))
    return zoo.MixerTaggerPreprocessor(tokenizer, sequence_length=sizes["sequence_length"])


def prepare(preprocessor, x):
    return words.as_arrays(preprocessor(x))


def keys(x):
    """What tells whether two rows are the same."""
    return [tuple(row) for row in x]


def model(mixer, width, dropout, sizes, outputs):
    """A tagger over word pieces."""
    import zoo

    backbone = zoo.MixerTextBackbone(mixer=mixer, hidden_dim=width, dropout=dropout, **sizes)
    return zoo.MixerTagger(backbone, num_classes=outputs)
