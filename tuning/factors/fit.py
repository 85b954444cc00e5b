"""How well a model fits the data's characteristics: how long its examples are, and how far apart lies what matters."""

import functools

import keras
import numpy as np
from keras import ops

from keras_attn import inspection
from tuning import measures
from tuning.factors import CannotMeasure, answers

BINS = 4
#: Examples whose sensitivities are looked into, so many at once; positions of each; and directions of each position.
EXAMPLES, AT_ONCE, ROWS, DIRECTIONS = 64, 32, 8, 2
SCORED_AT_ONCE = 256


def parts(task, data, model, run, clock):
    """See `tuning.factors.attempt`."""
    outputs = functools.cache(lambda: _outputs(model, data.test))
    return {
        ("by", "bins"): lambda: _by_length(task, data.test, outputs(), model),
        ("reach", "profile", "distance"): lambda: _by_distance(task, data.test, model, outputs(), clock),
    }


def _outputs(model, split):
    starts = range(0, len(split), SCORED_AT_ONCE)
    parts = [model.predict_on_batch(split.take(slice(start, start + SCORED_AT_ONCE)).x) for start in starts]
    return np.concatenate([ops.convert_to_numpy(part) for part in parts])


def _by_length(task, split, outputs, model=None):
    """Test scores by the examples' lengths; by position, if all are of one length and answers stand at each."""
    lengths = _lengths(split)
    if lengths is not None and lengths.min() < lengths.max():
        return "length", [
            _bin(task, split.take(chosen), outputs[chosen], lengths[chosen]) for chosen in _quantiles(lengths)
        ]
    _refuse_forecasts(model)
    if outputs.ndim == 3 and split.y.ndim >= 2 and split.y.shape[1] == outputs.shape[1]:
        return "position", list(_by_position(task, split, outputs))
    raise CannotMeasure("all examples are of one length and have one answer")


def _refuse_forecasts(model):
    if getattr(model, "horizon", None) is not None:
        raise CannotMeasure("what a forecast answers are steps ahead, which stand at no positions of its input")


def _lengths(split):
    mask = split.x.get("padding_mask") if isinstance(split.x, dict) else None
    return None if mask is None else np.asarray(mask).astype(bool).sum(axis=1)


def _quantiles(values, bins=BINS):
    """Indices of the examples in each of some bins with about as many, from the smallest values to the largest.

    Equal values are never parted, so that there may be fewer bins.
    """
    edges = np.unique(np.quantile(values, np.arange(1, bins) / bins, method="lower"))
    place = np.searchsorted(edges, values, side="left")
    return [chosen for chosen in (np.flatnonzero(place == each) for each in range(bins)) if len(chosen)]


def _bin(task, split, outputs, values):
    return {
        "low": float(values.min()),
        "high": float(values.max()),
        "count": len(values),
        "score": _score(task, split, outputs),
    }


def _score(task, split, outputs):
    """The score of some examples; None where they have none, such as an AUROC of one class."""
    try:
        return measures.score(task.measure, split, outputs)
    except (ArithmeticError, ValueError):
        return None


def _by_position(task, split, outputs):
    counts = np.ones(split.y.shape[:2], bool) if split.weight is None else split.weight > 0
    positions = np.flatnonzero(counts.any(axis=0))
    for chosen in np.array_split(positions, min(BINS, len(positions))):
        weight = None if split.weight is None else split.weight[:, chosen]
        part = type(split)(None, split.y[:, chosen], weight)
        yield {
            "low": float(chosen.min()),
            "high": float(chosen.max()),
            "count": int(counts[:, chosen].sum()),
            "score": _score(task, part, outputs[:, chosen]),
        }


def _by_distance(task, split, model, outputs, clock):
    """How far apart outputs and what they depend on lie, and test scores by that."""
    states, reaches, profile = vectors(model), [], 0.0
    chosen = split.drawn(EXAMPLES)
    split, outputs = split.take(chosen), outputs[chosen]
    for start in range(0, len(split), AT_ONCE):
        if reaches and clock.over():
            break
        some = split.take(slice(start, start + AT_ONCE))
        of_some, by_distance = _sensitivities(states, some)
        reaches.append(of_some)
        profile = profile + by_distance
    reaches = np.concatenate(reaches)
    bins = [
        _bin(task, split.take(chosen), outputs[chosen], reaches[chosen]) for chosen in _quantiles(reaches, BINS // 2)
    ]
    return float(reaches.mean()), list(_as_profile(profile / profile.sum())), bins


def vectors(model):
    """The model up to the last layer with a vector at each position, or to its outputs if they stand at each.

    Raises:
        CannotMeasure: if there is no such layer, or the model forecasts.
    """
    _refuse_forecasts(model)
    if len(model.outputs) == 1 and len(model.outputs[0].shape) == 3:
        return model
    for layer in reversed(model.layers):
        # What was never called, or several times, has no output of its own.
        symbolic = getattr(layer, "output", None) if layer._inbound_nodes else None
        if isinstance(symbolic, keras.KerasTensor) and len(symbolic.shape) == 3:
            return keras.Model(model.input, symbolic)
    raise CannotMeasure("no layer of the model has a vector at each position")


def _sensitivities(model, split):
    """Of each example the mean distance of what matters, weighted by the squared sensitivity; and its sum by distance.

    Of all outputs and channels a few random directions stand for the whole: their squares are so on average.
    """
    at = answers.entrance(model, split.x)
    real = answers.padding(model, split.x, at)
    length, width = ops.shape(model(split.take(slice(1)).x, training=False))[1:]
    if length != real.shape[1]:
        raise CannotMeasure(f"the model has {real.shape[1]} positions at its entrance and {length} at its end")
    rows = np.unique(np.linspace(0, length - 1, min(length, ROWS)).round().astype(int))
    turned = np.random.default_rng(0).normal(size=(width, DIRECTIONS)).astype("float32")

    def some(y):
        return ops.matmul(ops.take(ops.cast(y, "float32"), rows, axis=1), turned)  # (B, rows, DIRECTIONS)

    found = inspection.sensitivity(model, split.x, output=some, at=at) ** 2  # (B, rows, S)
    found = found * real[:, rows, None] * real[:, None, :]
    # Every row counts alike, however large its derivatives are.
    whole = found.sum(axis=2, keepdims=True)
    found = np.divide(found, whole, out=np.zeros_like(found), where=whole > 0)
    distance = np.abs(rows[:, None] - np.arange(length))
    total = np.maximum(found.sum(axis=(1, 2)), np.finfo("float32").tiny)
    by_distance = np.bincount(distance.ravel(), weights=found.sum(axis=0).ravel(), minlength=length)
    return (found * distance).sum(axis=(1, 2)) / total, by_distance


def _as_profile(shares):
    """Shares by distance in steps that double: 0, 1, 2 to 3, 4 to 7 and so on."""
    low, high = 0, 0
    while low < len(shares):
        high = min(high, len(shares) - 1)
        yield {"low": low, "high": high, "share": float(shares[low : high + 1].sum())}
        low, high = high + 1, max(1, 2 * high + 1)
