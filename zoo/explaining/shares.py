"""What an answer is divided from, and what its shares leave over."""

import keras

from keras_attn import inspection
from keras_attn.inspection._entrance import MEAN, entered

#: Of an answer the share that may be left unexplained before it is said that the others mean little.
MUCH = 0.2


def attribution(model, x, at=None, **options):
    """`inspection.attribution`, of words from an average word and of numbers from zeros."""
    of_words = isinstance(entered(model, x, at), keras.layers.Embedding)
    return inspection.attribution(model, x, at=at, baseline=MEAN if of_words else None, **options)


def unexplained(name, shares, divided, unit=1.0):
    """What the shares of an answer leave over, in words; so much of it is one of the model's."""
    gap = shares.gap[0]
    total = shares.map[0].sum() + gap
    found = f"The shares of {name} leave {unit * gap:.3g} of {divided} unexplained"
    if abs(gap) <= MUCH * abs(total):
        return f"{found}."
    return f"{found}, which is {unit * total:.3g} away from what it is where nothing is there: do not rely on them."
