"""Series that are forecast."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from zoo.datasets import ett
from zoo.series import MixerForecaster, MixerSeriesBackbone, MixerSeriesPreprocessor
from zoo.subjects.subject import Subject


@dataclasses.dataclass(frozen=True)
class Forecasts(Subject):
    """Windows over a series of several channels, all of which are forecast, each by itself.

    Args:
        read: a function from a split's name to `zoo.datasets.windows.Windows` in the units of the source.
        horizon: how many steps are forecast.
    """

    read: Callable = None
    horizon: int = 96

    #: The share in [0, 1) of what is pooled dropped, and how the vectors of all patches are pooled.
    OPTIONS = {"head_dropout": 0.2, "pooling": "flatten"}

    def load(self, split):
        windows = self.read(split)
        return windows.x, windows.y

    def prepare(self, recipe, work):
        windows = self.read("train")
        _, length, channels = windows.x.shape
        return MixerSeriesPreprocessor(windows.mean, windows.deviation, length, targets=range(channels))

    def build(self, recipe, preprocessor):
        length = preprocessor.sequence_length
        backbone = MixerSeriesBackbone(1, sequence_length=length, standardize=True, **recipe.backbone)
        settings = self.settings(recipe)
        return MixerForecaster(
            backbone,
            self.horizon,
            preprocessor=preprocessor,
            dropout=settings["head_dropout"],
            pooling=settings["pooling"],
            channel_independent=True,
        )

    def loss(self, recipe):
        return keras.losses.MeanSquaredError()

    def align(self, preprocessor, inputs, answers):
        """What is compared, as published: numbers with mean 0 and deviation 1 over the training part."""
        return preprocessor(inputs, answers)[1].astype("float32")

    def judge(self, task, split="test"):
        inputs, answers = self.load(split)
        found = task.predict(inputs, batch_size=128, verbose=0)
        _, found = task.preprocessor(inputs, found)
        return self.scores(np.asarray(found), self.align(task.preprocessor, inputs, answers))

    def score(self, outputs, answers):
        return float(np.mean(np.square(outputs - answers)))

    def scores(self, outputs, answers):
        return {"score": self.score(outputs, answers), "mean absolute error": float(np.mean(np.abs(outputs - answers)))}


def _ett(name, published):
    return Forecasts(
        name=name.lower(),
        summary=f"Loads and oil temperature of an electricity transformer ({name}), 96 hours ahead from 336",
        data=(
            f"ETT, {name}, hourly: 12 months to train, 4 to choose, 4 to test. What the model reads and in which scale "
            "it answers was changed twice after errors of 0.475 and 0.455 on the test part of ETTh1 had been seen; "
            f"{ett.SOURCE}"
        ),
        licence=ett.LICENCE,
        limits="Knows one transformer in China from July 2016 to June 2017.",
        measure="mean squared error, standardised",
        published=published,
        lower_is_better=True,
        read=lambda split: ett.load(name, split, raw=True),
    )


ETT = (
    _ett("ETTh1", ("DLinear 0.375, NLinear 0.374, FEDformer 0.376, Autoformer 0.449, Informer 0.865, Zeng 2022",)),
    _ett("ETTh2", ("DLinear 0.289, NLinear 0.277, Informer 3.755, Zeng 2022",)),
)
