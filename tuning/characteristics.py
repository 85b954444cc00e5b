"""What can be measured of a task in a minute: counts, simple answers, and what two small models make of it."""

import dataclasses
import math

import numpy as np

from tuning import bag, measures, probes

#: Examples that are judged; fewer where each has many answers.
JUDGED, ANSWERS = 256, 16_384


@dataclasses.dataclass(frozen=True)
class Characteristics:
    """What a task is like.

    Args:
        length, spread: positions of an example that are no padding: the median, and the range of the middle half.
        positions: positions of an example, padding too.
        values: how many different tokens there are, or how many channels.
        tokens: whether the inputs are tokens, and not numbers.
        examples: how many there are to learn from.
        labels: whether labels are asked for, and not numbers.
        classes: how many classes there are, or how many numbers an answer has.
        entropy: of the labels that count, in bits; 0 for numbers.
        asked: answers for each position that is no padding: 1 if each has one, 1 / length if the example has one.
        constant: the score of the most frequent label, or of the mean.
        bag: the score of a linear model that sees what there is and not where.
        implicit, explicit: the scores of a small model of each kind after a few hundred steps.
        steps: how many steps those had at most.
        looks: the kind whose sensitivity is described: that with the better score.
        distance, within, half, quarters: see `tuning.probes.Profile`.
    """

    length: float
    spread: float
    positions: int
    values: int
    tokens: bool
    examples: int
    labels: bool
    classes: int
    entropy: float
    asked: float
    constant: float
    bag: float
    implicit: float
    explicit: float
    steps: int
    looks: str
    distance: float
    within: tuple
    half: float
    quarters: tuple

    def skill(self, name):
        """What "bag", "implicit" or "explicit" reached, as a share of what the constant answer leaves to be gained."""
        return probes.skill(getattr(self, name), self.constant)


def describe(task, data, seed=0):
    """Measures what a task is like, by its training and validation splits. The same seed finds the same.

    Args:
        task: a `tuning.task.Task`.
        data: its `tuning.task.Data`.
        seed: at least 0; what the probes are drawn from.

    Returns:
        A `Characteristics`.

    Raises:
        ValueError: if the task's model has no vectors of positions.
        ArithmeticError: if a score is not a number, or a probe's answers depend on no position.
    """
    train = data.train
    labels = measures.get(task.measure).predicts == "labels"
    answers = train.y[0].size if labels else train.y[0].size // train.y.shape[-1]
    judged = data.valid.take(data.valid.drawn(max(32, min(JUDGED, ANSWERS // answers))))
    x = probes.main(train.x)
    tokens = np.issubdtype(x.dtype, np.integer)
    found = [probes.run(kind, task, train, judged, seed) for kind in probes.MIXERS]
    scores = {probe.kind: probe.score for probe in found}
    best = max((probe for probe in found if probe.profile), key=lambda probe: probe.score, default=None)
    if best is None:
        raise ArithmeticError(f"What small models of {task.name} answer depends on no position of the input.")
    _, positions = probes.entrance(task.model("identity", probes.WIDTH, 0.0), judged.x)
    lengths = probes.real(train.x, positions).sum(axis=1)
    low, length, high = np.percentile(lengths, (25, 50, 75))
    counted = train.y[train.weight > 0] if labels and train.weight is not None else train.y
    classes = int(max(train.y.max(), data.valid.y.max())) + 1 if labels else train.y.shape[-1]
    weight = np.ones(train.y.shape if labels else train.y.shape[:-1]) if train.weight is None else train.weight
    return Characteristics(
        length=float(length),
        spread=float(high - low),
        positions=int(positions),
        values=len(np.unique(x)) if tokens else int(x.shape[-1]),
        tokens=bool(tokens),
        examples=len(train),
        labels=labels,
        classes=classes,
        entropy=_round(_entropy(counted)) if labels else 0.0,
        asked=_round((weight > 0).sum() / max(1, lengths.sum())),
        constant=_round(bag.constant(task, train, judged, classes)),
        bag=_round(bag.linear(task, train, judged, classes)),
        **{kind: _round(score) for kind, score in scores.items()},
        steps=max(probe.steps for probe in found),
        looks=best.kind,
        distance=best.profile.distance,
        within=tuple(map(_round, best.profile.within)),
        half=best.profile.half,
        quarters=tuple(map(_round, best.profile.quarters)),
    )


def _entropy(labels):
    shares = np.unique(labels, return_counts=True)[1] / labels.size
    return float(-(shares * np.log2(shares)).sum())


def _round(number):
    """Four digits: beyond them a backend may sum in another order."""
    return 0.0 if number == 0 else round(float(number), 3 - math.floor(math.log10(abs(number))))
