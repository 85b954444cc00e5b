"""Two small models that learn a task for some seconds: what they reach, and at what distance they look."""

import dataclasses
import functools
import math

import keras
import numpy as np
from keras import ops

from keras_attn import inspection
from tuning.seeds import derive
from tuning.task import Data
from tuning.training import Recipe, Workbench

#: One of each kind; of those that are quick at any length.
MIXERS = {"implicit": "min_gru", "explicit": "multi_head"}
WIDTH, BATCH, EPOCHS = 16, 32, 4
#: Steps of a probe, and how many positions of a row they read together: long rows get fewer. Never counted by a clock,
#: so that a busy machine finds the same.
STEPS, POSITIONS = 320, 320 * 64
#: Examples whose sensitivities are looked at, and the most answers of each.
ROWS, ANSWERS = 16, 16
NEAR = (1, 4, 16, 64)


@dataclasses.dataclass(frozen=True)
class Profile:
    """Where a model looks: shares of its squared sensitivity, the mean over examples and answers.

    Args:
        distance: the median distance of what an answer depends on. Where each position has an answer, the distance from
            it; where a row has one answer, the distance between two positions that it depends on.
        within: the shares within 1, 4, 16 and 64 positions.
        half: how many positions hold half of it, the median.
        quarters: the share of each quarter of the real positions, from the start.
    """

    distance: float
    within: tuple
    half: float
    quarters: tuple


@dataclasses.dataclass(frozen=True)
class Probe:
    """What came of a probe.

    Args:
        kind: "implicit" or "explicit".
        score: its validation score.
        steps: how many steps it was trained for.
        profile: its `Profile`; None if its answers depend on nothing.
    """

    kind: str
    score: float
    steps: int
    profile: Profile | None


def run(kind, task, train, judged, seed):
    """Trains a probe.

    Args:
        kind: "implicit" or "explicit".
        task: a `tuning.task.Task`.
        train, judged: the splits to learn from and to be scored on.
        seed: what weights and order come from.

    Returns:
        A `Probe`.
    """
    spec = {"mixer": MIXERS[kind]}
    if kind == "implicit":
        spec["bidirectional"] = not task.causal
    _, count = entrance(task.model(spec, WIDTH, 0.0), judged.x)
    batch = min(BATCH, len(train))
    steps = max(1, min(STEPS, POSITIONS // count) // EPOCHS)
    quick = dataclasses.replace(task, epochs=EPOCHS, batch_size=batch, epoch_size=steps * batch)
    bench = Workbench(quick, Data(train, judged, judged))
    trained = bench.train(Recipe(spec, WIDTH, 0.0, task.learning_rates[1], derive(seed, "probe")))
    profile = look(trained.model, judged.take(judged.drawn(ROWS)), task.measure)
    bench.close()
    return Probe(kind, trained.curve[-1], steps * len(trained.curve), profile)


def entrance(model, x):
    """Where vectors of positions enter a model: a layer's path, None for the input itself; and how many there are.

    Raises:
        ValueError: if there are none, as in a table whose columns have no order.
    """
    first = main(x)
    if not isinstance(x, dict) and first.ndim == 3 and np.issubdtype(first.dtype, np.floating):
        return None, first.shape[1]
    layers = list(_in_order(model))
    embeddings = _embeddings(layers)
    if len(embeddings) == 1:
        return _name(embeddings[0]), first.shape[1]
    for layer in layers:
        shape = _shape(layer, "output")
        if len(shape) == 3 and not isinstance(layer, keras.layers.InputLayer):
            # An encoder has its embedding within.
            within = _embeddings(layer._flatten_layers(include_self=False))
            return (_name(within[0]) if len(within) == 1 else _name(layer)), shape[1] or first.shape[1]
    raise ValueError(
        "Advice is about what an answer depends on, position by position, and this task's model has no layer that "
        f"makes a vector for each position, (B, T, D). Received: inputs of shape {first.shape}"
    )


def _embeddings(layers):
    """Those through which vectors enter, and not those that a graph has where they make logits of vectors."""
    found = [layer for layer in layers if isinstance(layer, keras.layers.Embedding)]
    return [layer for layer in found if len(_shape(layer, "input")) < 3]


def main(x):
    """Of a model's inputs the array that is read: the first that is no mask."""
    if not isinstance(x, dict):
        return x
    return next((array for name, array in x.items() if "mask" not in name), next(iter(x.values())))


def real(x, count):
    """`(N, count)`: which positions are no padding, by a mask among the inputs, if there is one."""
    masks = [array for name, array in x.items() if "mask" in name] if isinstance(x, dict) else []
    fitting = [mask for mask in masks if mask.shape[1:] == (count,)]
    return fitting[0].astype(bool) if fitting else np.ones((len(main(x)), count), bool)


def look(model, split, measure):
    """The `Profile` of a model on a few examples; None if its answers depend on nothing."""
    from tuning import measures

    labels = measures.get(measure).predicts == "labels"
    at, count = entrance(model, split.x)
    there = real(split.x, count)
    each = split.y.ndim == (2 if labels else 3)
    places, asked = _places(split) if each else (None, np.ones((len(split), 1), bool))
    output = functools.partial(_answers, places=places, labels=labels)
    slopes = inspection.sensitivity(model, split.x, output=output, at=at)
    slopes = slopes.reshape(len(split), -1, count)
    aligned = each and split.y.shape[1] == count
    return profile(slopes, there, asked, places if aligned else None)


def profile(slopes, there, asked, places=None):
    """Sums up sensitivities.

    Args:
        slopes: `(B, P, S)`: how strongly each of P answers depends on each position.
        there: booleans `(B, S)`: which positions are real.
        asked: booleans `(B, P)`: which answers count.
        places: the positions of the answers, P of them; None if an answer is for the whole row.

    Returns:
        A `Profile`; None if no answer that counts depends on anything.

    Example:
    >>> found = profile(np.eye(5, k=-2)[None, 2:], np.ones((1, 5), bool), np.ones((1, 3), bool), np.arange(2, 5))
    >>> found.distance, found.within, found.half
    (2.0, (0.0, 1.0, 1.0, 1.0), 1.0)
    """
    # Squared, the many small slopes of what is not learnt yet count for little beside the few that matter.
    squared = np.square(slopes, dtype="float64") * there[:, None]
    total = squared.sum(axis=-1)
    row, answer = np.nonzero((total > 0) & np.isfinite(total) & asked)
    if not len(row):
        return None
    shares = squared[row, answer] / total[row, answer, None]
    distances = _distances(shares, None if places is None else places[answer])
    cumulated = np.cumsum(distances)
    largest = np.cumsum(-np.sort(-shares, axis=-1), axis=-1)
    rank = np.cumsum(there, axis=1) - 1
    quarter = np.minimum(4 * rank // np.maximum(there.sum(axis=1, keepdims=True), 1), 3)[row]
    return Profile(
        distance=float(np.searchsorted(cumulated, 0.5 * cumulated[-1])),
        within=tuple(float(min(1.0, cumulated[min(near, len(cumulated) - 1)])) for near in NEAR),
        half=float(np.median((largest < 0.5).sum(axis=-1) + 1)),
        quarters=tuple(float(np.where(quarter == number, shares, 0.0).sum(axis=-1).mean()) for number in range(4)),
    )


def _distances(shares, places):
    """The mean share at each distance, from 0: from an answer's place, or between two positions drawn by share."""
    count = shares.shape[1]
    positions = np.arange(count)
    if places is not None:
        apart = np.abs(positions - places[:, None])
        return np.bincount(apart.ravel(), shares.ravel(), count) / len(shares)
    pairs = shares.T @ shares / len(shares)  # (S, S)
    apart = np.abs(positions[:, None] - positions)
    return np.bincount(apart.ravel(), pairs.ravel(), count)


def _places(split):
    """A few positions that have answers, evenly spread, and `(B, P)` which of them count in which row."""
    weight = np.ones(split.y.shape[:2]) if split.weight is None else split.weight
    columns = np.flatnonzero((weight > 0).any(axis=0))
    places = columns[np.unique(np.linspace(0, len(columns) - 1, ANSWERS).astype(int))]
    return places, weight[:, places] > 0


def _answers(outputs, places, labels):
    """What of the outputs is looked at: how far the likeliest class stands above the mean, or the first numbers."""
    if places is not None:
        outputs = ops.take(outputs, ops.convert_to_tensor(places.astype("int32")), axis=1)
    if not labels:
        return outputs[..., :ANSWERS]
    # Not its probability, whose derivative is zero once the model is sure.
    return ops.max(outputs, axis=-1, keepdims=True) - ops.mean(outputs, axis=-1, keepdims=True)


def _in_order(model):
    """The layers of a model and of the models in it, from the inputs on."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _in_order(layer)
        else:
            yield layer


def _name(layer):
    """Its path, which is its own in nested models; what owns no weights may have none."""
    return layer.path or layer.name


def _shape(layer, side):
    """The symbolic shape of a layer's input or output; empty if it has none, or several."""
    try:
        return tuple(getattr(layer, side).shape)
    except (AttributeError, ValueError):
        return ()


def skill(score, constant):
    """The share of what a constant answer leaves to be gained.

    Example:
    >>> skill(0.875, 0.5), skill(0.25, 0.5)
    (0.75, 0.0)
    """
    return max(0.0, (score - constant) / (1.0 - constant)) if math.isfinite(score) and constant < 1.0 else 0.0
