"""How well answers fit: measures by name, the larger the better, 1 the best there is."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Measure:
    """How answers are scored, and so what is learnt.

    Args:
        predicts: "labels", if the model's outputs are logits of classes, or "numbers".
        says: what the score is, for people.
        score: a function of targets, outputs and weights, flat: `(N,)` and `(N, C)` for labels, `(N,)` twice for
            numbers; the weights are None where all count alike.
    """

    predicts: str
    says: str
    score: Callable


def _accuracy(y, logits, weight):
    return np.average(logits.argmax(axis=-1) == y, weights=weight)


def _balanced_accuracy(y, logits, weight):
    from sklearn import metrics

    return metrics.recall_score(y, logits.argmax(axis=-1), average="macro", sample_weight=weight, labels=np.unique(y))


def _macro_f1(y, logits, weight):
    from sklearn import metrics

    return metrics.f1_score(y, logits.argmax(axis=-1), average="macro", sample_weight=weight, zero_division=0)


def _auroc(y, logits, weight):
    from sklearn import metrics

    if logits.shape[-1] != 2:
        raise ValueError(f"auroc is for two classes. Received: {logits.shape[-1]} classes")
    return metrics.roc_auc_score(y, logits[:, 1].astype("float64") - logits[:, 0], sample_weight=weight)


def _likelihood(y, logits, weight):
    """The geometric mean of the probability of what is right: 1 over the perplexity."""
    logits = logits.astype("float64")
    highest = logits.max(axis=-1)
    total = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=-1))
    return np.exp(np.average(logits[np.arange(len(y)), y] - total, weights=weight))


def _explained(y, numbers, weight):
    from sklearn import metrics

    return metrics.r2_score(y.astype("float64"), numbers.astype("float64"), sample_weight=weight)


MEASURES = {
    "accuracy": Measure("labels", "the share of labels that are right", _accuracy),
    "next_tokens": Measure("labels", "the share of next tokens that are right, given the true ones before", _accuracy),
    "balanced_accuracy": Measure("labels", "the share of each class that is right, the mean", _balanced_accuracy),
    "macro_f1": Measure("labels", "F1, the mean over classes", _macro_f1),
    "auroc": Measure("labels", "how often one of the second class is ranked before one of the first", _auroc),
    "likelihood": Measure("labels", "the probability of what is right, geometric mean (1 / perplexity)", _likelihood),
    "explained": Measure("numbers", "the share of the variance that is explained (R squared)", _explained),
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
    weight = None if split.weight is None else _spread(split.weight, split.y.shape).reshape(-1)
    outputs = outputs.reshape(-1, outputs.shape[-1]) if measure.predicts == "labels" else outputs.reshape(-1)
    y = split.y.reshape(-1)
    if weight is not None:
        # Scikit-learn takes the classes from all rows: what is answered at padding must not be among them.
        y, outputs, weight = y[weight != 0], outputs[weight != 0], weight[weight != 0]
    if not len(y):
        raise ArithmeticError(f"There is no score {name} on {len(split)} examples: none of their answers counts.")
    found = float(measure.score(y, outputs, weight))
    if not math.isfinite(found):
        raise ArithmeticError(f"The score {name} is {found} on {len(split)} examples: they may hold one class only.")
    return found


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
