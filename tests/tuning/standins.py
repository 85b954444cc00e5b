"""Small tasks for tests: a few examples and models that train in a moment."""

import dataclasses
import functools
import os
import types
import zlib

import numpy as np

import tuning
from tuning import comparison, looks, runner, tasks, training, winners
from tuning.factors import families as measured
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

#: Without the five factors, which take some seconds for each family, and without past verdicts, since for an advice two
#: models are trained.
search = functools.partial(tuning.compare, factors=False, record=())


def train_nothing(monkeypatch):
    """From here on a run takes no time: its scores are drawn from its mixer, rate and seed."""

    def train(bench, recipe, epochs=None, paused=None):
        source = zlib.crc32(repr((recipe.mixer, recipe.learning_rate)).encode())
        level = np.random.default_rng([source, recipe.seed]).uniform(0.3, 0.9)
        curve = tuple(level + epoch / 100 for epoch in range(epochs or bench.task.epochs))
        model = types.SimpleNamespace(get_weights=lambda: [np.zeros(3)])
        return training.Trained(model, curve, (0.01,) * len(curve), False, [])

    def judge(_, model, run):
        return dataclasses.replace(run, test=run.valid - 0.01, latency={"1": 2e-3, "64": 1e-3})

    monkeypatch.setattr(training.Workbench, "train", train)
    monkeypatch.setattr(runner.Runner, "_judge", judge)
    monkeypatch.setattr(winners, "save", lambda *_: {})
    # Nothing is saved, so that models may be such as could not be.
    monkeypatch.setattr(comparison, "_check_model", lambda *_: None)
    monkeypatch.setattr(measured, "of_all", lambda task, data, journal, found, progress: found)
    monkeypatch.setattr(looks, "save", lambda *_: None)
    # No crash of the machine is feared here, and where many share a disk this takes longest.
    monkeypatch.setattr(os, "fsync", lambda handle: None)
