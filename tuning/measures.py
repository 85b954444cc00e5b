"""How well answers fit: measures by name, the larger the better, 1 the best there is."""

import dataclasses
import math
import warnings
from collections.abc import Callable

import numpy as np

#: How often a test split is drawn anew.
DRAWS = 100


@dataclasses.dataclass(frozen=True)
class Measure:
    """How answers are scored, and so what is learnt.

    Args:
        predicts: "labels", if the model's outputs are logits of classes, or "numbers".
        says: what the score is, for people.
        reduce: a function of targets `(N,)` and outputs, `(N, C)` for labels and `(N,)` for numbers, to what the score
            needs of each answer, `(N,)`.
        score: a function of targets, what `reduce` made of the outputs, and weights, `(N,)` each; the weights are None
            where all count alike.
    """

    predicts: str
    says: str
    reduce: Callable
    score: Callable


def _said(y, logits):
    return logits.argmax(axis=-1)


def _lead(y, logits):
    if logits.shape[-1] != 2:
        raise ValueError(f"auroc is for two classes. Received: {logits.shape[-1]} classes")
    return logits[:, 1].astype("float64") - logits[:, 0]


def _chance(y, logits):
    """The logarithm of the probability of what is right."""
    logits = logits.astype("float64")
    highest = logits.max(axis=-1)
    total = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=-1))
    return logits[np.arange(len(y)), y] - total


def _numbers(y, numbers):
    return numbers.astype("float64")


def _accuracy(y, said, weight):
    return np.average(said == y, weights=weight)


def _balanced_accuracy(y, said, weight):
    from sklearn import metrics

    return metrics.recall_score(y, said, average="macro", sample_weight=weight, labels=np.unique(y))


def _macro_f1(y, said, weight):
    from sklearn import metrics

    return metrics.f1_score(y, said, average="macro", sample_weight=weight, zero_division=0)


def _auroc(y, lead, weight):
    from sklearn import metrics

    return metrics.roc_auc_score(y, lead, sample_weight=weight)


def _likelihood(y, chance, weight):
    """The geometric mean of the probability of what is right: 1 over the perplexity."""
    return np.exp(np.average(chance, weights=weight))


def _explained(y, numbers, weight):
    from sklearn import metrics

    # Scikit-learn answers 0 or 1 where there is no variance to be explained.
    return metrics.r2_score(y.astype("float64"), numbers, sample_weight=weight) if np.ptp(y) else math.nan


MEASURES = {
    "accuracy": Measure("labels", "the share of labels that are right", _said, _accuracy),
    "next_tokens": Measure(
        "labels", "the share of next tokens that are right, given the true ones before", _said, _accuracy
    ),
    "balanced_accuracy": Measure(
        "labels", "the share of each class that is right, the mean", _said, _balanced_accuracy
    ),
    "macro_f1": Measure("labels", "F1, the mean over classes", _said, _macro_f1),
    "auroc": Measure("labels", "how often one of the second class is ranked before one of the first", _lead, _auroc),
    "likelihood": Measure(
        "labels", "the probability of what is right, geometric mean (1 / perplexity)", _chance, _likelihood
    ),
    "explained": Measure("numbers", "the share of the variance that is explained (R squared)", _numbers, _explained),
}


#: In which all classes count alike, however many rows they have.
BY_CLASS = ("balanced_accuracy", "macro_f1")


def get(name):
    """The `Measure` of that name.

    Raises:
        ValueError: if there is none; near names are shown.
    """
    if name not in MEASURES:
        from keras_attn.lookup import choose

        choose("measure", name, MEASURES)
    return MEASURES[name]


def score(name, split, outputs):
    """The score of outputs for a split.

    Args:
        name: a measure's.
        split: a `tuning.task.Split`.
        outputs: the model's: `(N, C)` or `(N, T, C)` logits, or numbers of the shape of `split.y`.

    Returns:
        A float.

    Raises:
        ArithmeticError: if it is not a finite number, or if nothing counts.

    Example:
    >>> from tuning import Split
    >>> score("accuracy", Split(None, np.array([0, 1])), np.array([[2.0, 1.0], [2.0, 1.0]]))
    0.5
    """
    measure = get(name)
    y, answers, weight, _ = _that_count(measure, split, outputs)
    if not len(y):
        raise ArithmeticError(f"There is no score {name} on {len(split)} examples: none of their answers counts.")
    found = float(measure.score(y, answers, weight))
    if not math.isfinite(found):
        raise ArithmeticError(
            f"The score {name} is {found} on {len(split)} examples: they may hold one class, or one number, only."
        )
    return found


def redrawn(name, split, outputs):
    """What the score would be on other examples like these: on draws of as many of them, with replacement.

    What belongs together (`split.group`) is drawn together. The draws are the same whatever the outputs, so that the
    scores of two models can be subtracted draw by draw.

    Args:
        name, split, outputs: see `score`.

    Returns:
        A tuple of so many scores as there are `DRAWS`, None where a draw has none; empty with one unit alone.
    """
    if units(split) < 2:
        return ()
    measure = get(name)
    y, answers, weight, unit = _that_count(measure, split, outputs)
    numbers, found, count = np.random.default_rng(0), [], unit.max() + 1
    for _ in range(DRAWS):
        times = np.bincount(numbers.integers(0, count, count), minlength=count)[unit]
        here = times > 0
        counts = times[here] if weight is None else times[here] * weight[here]
        found.append(_on_draw(measure, y[here], answers[here], counts))
    return tuple(found)


def _on_draw(measure, y, answers, counts):
    """A score to six digits; None if there is none, as where a draw has one class only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = float(measure.score(y, answers, counts))
        except (ValueError, ArithmeticError):
            return None
    return round(found, 6) if math.isfinite(found) else None


def units(split):
    """How many examples, or groups of them that belong together, have an answer that counts."""
    return len(np.unique(_unit(split)[_counting(split)]))


def _unit(split):
    """A number `(N,)` for each example, the same for those that belong together."""
    if split.group is None:
        return np.arange(len(split))
    return np.unique(split.group, return_inverse=True)[1]


def _that_count(measure, split, outputs):
    """Of the answers that count: targets, what the score needs of the outputs, weights or None, and units, flat."""
    weight = None if split.weight is None else _spread(split.weight, split.y.shape).reshape(-1)
    outputs = outputs.reshape(-1, outputs.shape[-1]) if measure.predicts == "labels" else outputs.reshape(-1)
    y, unit = split.y.reshape(-1), np.repeat(_unit(split), split.y.size // max(1, len(split)))
    if weight is not None:
        # Scikit-learn takes the classes from all rows: what is answered at padding must not be among them.
        y, outputs, weight, unit = y[weight != 0], outputs[weight != 0], weight[weight != 0], unit[weight != 0]
    return y, measure.reduce(y, outputs), weight, np.unique(unit, return_inverse=True)[1]


def _counting(split):
    """Booleans `(N,)`: which examples have an answer that counts."""
    if split.weight is None:
        return np.ones(len(split), bool)
    return (split.weight != 0).reshape(len(split), -1).any(axis=1)


def step(split, name="accuracy"):
    """About what one of the answers that count is worth in the score of that name.

    Where classes count alike that is one of the smallest class.
    """
    y = split.y.reshape(-1)
    if split.weight is not None:
        y = y[_spread(split.weight, split.y.shape).reshape(-1) != 0]
    if name in BY_CLASS and len(y):
        _, counts = np.unique(y, return_counts=True)
        return 1 / float(len(counts) * counts.min())
    return 1 / max(1, len(y))


def _spread(weight, shape):
    """The weight of a time step counts for all the numbers that stand there."""
    return np.broadcast_to(weight.reshape(weight.shape + (1,) * (len(shape) - weight.ndim)), shape)
