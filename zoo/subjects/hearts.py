"""Hearts: which class has a beat? Is one in ten seconds ventricular, and does the model look there?"""

import dataclasses
from collections.abc import Callable

import numpy as np

from keras_attn.inspection import attribution, pointing
from zoo.datasets import mitbih
from zoo.explaining.series import entrance
from zoo.subjects.changes import move
from zoo.subjects.figures import auroc, share_right
from zoo.subjects.series import Series


def _read_beats(split):
    """Of each beat the signal, and as two more channels how long it is to its neighbours, as shares of the usual."""
    beats = mitbih.load_beats(split)
    gaps = np.minimum(beats.rr / beats.usual_rr[:, None], 3)[:, None].repeat(beats.x.shape[1], axis=1)  # (N, T, 2)
    return np.concatenate([beats.x[..., None], gaps], axis=-1).astype("float32"), beats.y


#: Beats are also judged at the threshold at which so many of those that are called ventricular are.
AIMED_PRECISION = 0.85
SENSITIVITY_AT = f"sensitivity at a precision of {AIMED_PRECISION}"


def _sensitivity_at(precision, logits, there):
    """The largest share that is found at a threshold of the probability at which the precision is that or better."""
    from scipy.special import softmax
    from sklearn.metrics import precision_recall_curve

    chance = softmax(logits.astype("float64"), axis=-1)[:, mitbih.VENTRICULAR]
    precisions, sensitivities, _ = precision_recall_curve(there, chance)
    return float(sensitivities[precisions >= precision].max())


def _ventricular(logits, labels):
    """How well ventricular beats are found: F1, and what it is made of."""
    found, there = logits.argmax(axis=-1) == mitbih.VENTRICULAR, labels == mitbih.VENTRICULAR
    right = np.sum(found & there)
    sensitivity, precision = right / np.sum(there), right / max(1, np.sum(found))
    at_precision = _sensitivity_at(AIMED_PRECISION, logits, there)
    f1 = 2 * right / (np.sum(there) + max(1, np.sum(found)))
    return {
        "score": float(f1),
        "sensitivity": float(sensitivity),
        "precision": float(precision),
        SENSITIVITY_AT: at_precision,
        "accuracy over 5 classes": share_right(logits, labels),
    }


BEATS = Series(
    name="mitbih_beats",
    summary="The class of a heartbeat, one of the 5 of the AAMI, from a second of one lead and the gaps beside it",
    data=(
        "MIT-BIH arrhythmia, across patients: 40,224 beats of 17 records to train, 10,797 of 5 others to choose, "
        f"49,712 of 22 others to test; {mitbih.SOURCE}"
    ),
    licence=mitbih.LICENCE,
    limits="Knows lead MLII at 120 Hz of 44 patients of the 1970s; not for use on patients.",
    measure="F1 of ventricular beats",
    goal=0.9,
    goal_of=SENSITIVITY_AT,
    published=("linear discriminants on features, de Chazal 2004: V sensitivity 0.777, precision 0.819",),
    read=_read_beats,
    names=mitbih.CLASSES,
    figures=_ventricular,
)


def as_another_heart(random, series):
    """Strips as if of others: faster or slower, upside down, on restless ground, from any moment on.

    Args:
        random: a generator.
        series: `(B, T, 1)`.

    Returns:
        As many others, float32.
    """
    count, length, _ = series.shape
    size, tempo = series.std(axis=1), np.exp(random.uniform(-0.2, 0.2, (count, 1)))  # (B, 1)
    moments = (random.integers(0, length, (count, 1)) + np.arange(length) * tempo) % length
    # Behind the last moment comes the first again.
    x = move(np.concatenate([series, series[:, :1]], axis=1), moments, length)[..., 0]
    x = x * random.choice([1, -1], (count, 1), p=[0.7, 0.3])
    times = np.arange(length) / mitbih.RATE
    for _ in range(2):
        waves, start = random.uniform(0.05, 0.5, (count, 1)), random.uniform(0, 1, (count, 1))
        x = x + size * random.uniform(0, 0.3, (count, 1)) * np.sin(2 * np.pi * (waves * times + start))
    x = x + size * random.uniform(0, 0.1, (count, 1)) * random.normal(size=x.shape)
    return x[..., None].astype("float32")


@dataclasses.dataclass(frozen=True)
class Strips(Series):
    """Series of one channel, each with something in it or without, of which it is known where.

    Args:
        places: a function from a split's name to booleans `(N, T)`, True where that lies.
    """

    places: Callable = None

    #: How many series with it are asked for what the model looks at.
    ASKED = 200

    def example(self):
        x, y = self.load("test")
        return x[y == 1][0]

    def judge(self, task, split="test"):
        return {**super().judge(task, split), **self._point(task, split)}

    def _point(self, task, split):
        """Whether integrated gradients are largest where it lies, over the spans that are the model's tokens."""
        (x, _), places = self.load(split), self.places(split)
        rows = np.flatnonzero(places.any(axis=1))
        rows = rows[:: max(1, len(rows) // self.ASKED)]
        size, inputs = task.backbone.patch_size, task.preprocessor(x[rows])
        found = attribution(task, inputs, output=1, at=entrance(task, inputs)).map
        truth = places[rows].reshape(len(rows), -1, size).mean(axis=-1) >= 0.5
        pointed = pointing(found.reshape((*truth.shape, size)).sum(axis=-1), truth)
        return {"points at it": float(pointed.hit.mean()), "by chance": float(pointed.chance.mean())}


def _read_strips(split):
    strips, here = _strips(split)
    return strips.x[here, :, None], strips.y[here]


def _places(split):
    strips, here = _strips(split)
    return strips.ventricular[here] & (strips.y[here] == 1)[:, None]


def _strips(split):
    """All strips of a file, and which of them are in the split."""
    strips = mitbih.load_strips("test" if split == "test" else "train")
    here = split == "test" or np.isin(strips.patient, mitbih.DEV_PATIENTS) == (split == "dev")
    return strips, np.broadcast_to(here, strips.y.shape)


STRIPS = Strips(
    name="mitbih_strips",
    summary="Is there a ventricular beat in ten seconds of an electrocardiogram?",
    data=(
        "MIT-BIH arrhythmia, across patients: 3,060 strips of 17 records to train, 900 of 5 others to choose, 3,960 of "
        "22 others to test. Their scores had been seen before, of other recipes: what strips are changed by was chosen "
        f"on those to choose; {mitbih.SOURCE}"
    ),
    licence=mitbih.LICENCE,
    limits="Knows lead MLII at 120 Hz of 44 patients of the 1970s; not for use on patients.",
    measure="area under the receiver's curve",
    goal=0.97,
    published=("nothing that is known to us of strips like these",),
    read=_read_strips,
    names=("without", "with a ventricular beat"),
    figures=auroc,
    change=as_another_heart,
    places=_places,
)
