"""Small tasks for tests: a few examples and models that train in a moment."""

import dataclasses
import functools

import numpy as np

import tuning
from tuning import tasks
from tuning.task import Data, Split, Task


def blobs(seed, count=96):
    """Two clouds of points, N x 3 x 2, apart enough to be told."""
    numbers = np.random.default_rng(seed)
    labels = numbers.integers(2, size=count).astype("int32")
    points = (numbers.normal(size=(count, 3, 2)) + labels[:, None, None]).astype("float32")
    whole = Split(points, labels)
    return Data(whole.take(slice(64)), whole.take(slice(64, 80)), whole.take(slice(80, count)))


def dense(mixer, width, dropout):
    """A model without any mixer, so that it compiles in a moment."""
    import keras

    layers = [
        keras.Input((3, 2)),
        keras.layers.Flatten(),
        keras.layers.Dense(width, activation="relu"),
        keras.layers.Dropout(dropout),
        keras.layers.Dense(2),
    ]
    return keras.Sequential(layers)


BLOBS = Task(
    name="blobs",
    description="Two clouds of points.",
    data=blobs,
    model=dense,
    parameters=100,
    epochs=2,
    batch_size=16,
    mixers=("identity", "pooling"),
    trials=2,
    seeds=2,
    dropouts=(0.25,),
)


def few_digits(seed):
    """A tenth of the digits."""
    whole = tasks.get("digits").data(seed)
    return Data(whole.train.take(slice(128)), whole.valid.take(slice(32)), whole.test.take(slice(64)))


#: A real task at its smallest: what a search makes of it is no evidence of anything.
DIGITS = dataclasses.replace(
    tasks.get("digits"),
    data=few_digits,
    parameters=2500,
    epochs=1,
    mixers=("multi_head", "gated_conv"),
    trials=1,
    seeds=2,
)

#: Without the five factors, which take some seconds for each family.
search = functools.partial(tuning.compare, factors=False)
