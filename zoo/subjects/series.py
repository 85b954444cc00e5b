"""Series that are classified."""

import dataclasses
from collections.abc import Callable

import numpy as np

from zoo.batches import Shuffled
from zoo.datasets import physionet2012, ucr
from zoo.series import MixerSeriesBackbone, MixerSeriesClassifier, MixerSeriesPreprocessor
from zoo.subjects.figures import auroc
from zoo.subjects.subject import Labelled


@dataclasses.dataclass(frozen=True)
class Series(Labelled):
    """Series of one length, each with one label.

    Args:
        change: a function of a random generator and a batch of series that gives others, to train on; None for none.
        without_dev: whether there are too few examples to hold some out: then "dev" is "train", and the last of equally
            good epochs is kept.
    """

    change: Callable | None = None
    without_dev: bool = False

    #: The share in [0, 1) of the pooled vector dropped, of a label spread over all classes, and how much more a rare
    #: class counts: weights are the inverse share of a class, to this power.
    OPTIONS = {"head_dropout": 0.2, "label_smoothing": 0.0, "balance": 0.0}

    def load(self, split):
        return self.read("train" if self.without_dev and split == "dev" else split)

    def is_better(self, score, than):
        return score >= than if self.without_dev else super().is_better(score, than)

    def prepare(self, recipe, work):
        x, _ = self.load("train")
        return MixerSeriesPreprocessor.of(x, sequence_length=x.shape[1])

    def build(self, recipe, preprocessor):
        channels, length = len(preprocessor.mean), preprocessor.sequence_length
        backbone = MixerSeriesBackbone(channels, sequence_length=length, **recipe.backbone)
        dropout = self.settings(recipe)["head_dropout"]
        return MixerSeriesClassifier(backbone, len(self.names), preprocessor=preprocessor, dropout=dropout)

    def targets(self, recipe, answers):
        shares = np.bincount(answers, minlength=len(self.names)) / len(answers)
        weights = np.maximum(shares, 1 / len(answers)) ** -self.settings(recipe)["balance"]
        weights = weights / (shares @ weights)
        return super().targets(recipe, answers), weights[answers].astype("float32")

    def batches(self, recipe, preprocessor, inputs, targets, seed):
        targets, weights = targets
        return Shuffled(inputs, targets, recipe.batch_size, seed, weights, self.change)


def _ucr(name, names, published):
    """A row for a set of the UCR archive, whose classes have numbers for names."""
    steps, classes, train, test = ucr.SETS[name]
    return Series(
        name=f"ucr_{name.lower()}",
        summary=f"The class of a series of {steps:,} steps of {name}, one of {classes}",
        data=(
            f"UCR archive, {name}: {train} series to train, {test:,} to test. None is held out: the last of the epochs "
            f"that do best on the training series is kept; {ucr.SOURCE}"
        ),
        licence=ucr.LICENCE,
        limits=f"Knows {train} series of one kind.",
        measure="accuracy",
        published=(f"Fawaz 2019, mean of 5 runs: FCN, ResNet, MLP {published}",),
        read=lambda split: ucr.load(name, split)[:2],
        names=names,
        without_dev=True,
    )


UCR = (
    _ucr("ACSF1", tuple("0123456789"), "0.898, 0.916, 0.558"),
    _ucr("ArrowHead", tuple("012"), "0.843, 0.838, 0.784"),
    _ucr("ECG200", ("1", "-1"), "0.888, 0.874, 0.914"),
    _ucr("GunPoint", tuple("12"), "1.000, 0.991, 0.928"),
    _ucr("ItalyPowerDemand", tuple("12"), "0.963, 0.962, 0.953"),
    _ucr("OSULeaf", tuple("123456"), "0.979, 0.980, 0.560"),
)


def _read_stays(split):
    stays = physionet2012.load(split)
    return stays.channels(), stays.y


PHYSIONET = Series(
    name="physionet2012",
    summary="Whether a patient dies in hospital, from the first 48 hours in intensive care",
    data=(
        "PhysioNet challenge of 2012: 3,201 stays of set A to train, 799 to choose, the 4,000 of set B to test; "
        f"{physionet2012.SOURCE}"
    ),
    licence=physionet2012.LICENCE,
    limits="Knows four intensive care units of one hospital before 2010; not for use on patients.",
    measure="area under the receiver's curve",
    goal=0.845,
    published=(
        "logistic regression on the same stays, each summed up, `python benchmarks/stays.py`: 0.856, better than these",
        "GRU-D 0.842 and GRU 0.823, five-fold on set A, Che 2018",
    ),
    read=_read_stays,
    names=("survives", "dies"),
    figures=auroc,
)
