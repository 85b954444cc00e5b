"""Whether a model's maps say what its answers depend on."""

import contextlib

import numpy as np

from keras_attn import inspection
from tuning.factors import CannotMeasure, answers

#: So many validation examples, so many at once: when time is over those are left out that were not begun.
EXAMPLES, AT_ONCE = 32, 16
STEPS = 8
#: Of the oracle's orders, and random orders beside.
ROUNDS, DRAWS = 4, 4


def parts(task, data, model, run, clock):
    """See `tuning.factors.attempt`."""
    names = ("value", "by", "map", "maps", "chance", "examples")
    return {names: lambda: _measure(task, data, model, clock)}


def _measure(task, data, model, clock):
    split = data.valid.take(data.valid.drawn(EXAMPLES))
    found = []
    for start in range(0, len(split), AT_ONCE):
        if found:
            clock.check()
        subject = answers.subject(task, model, split.take(slice(start, start + AT_ONCE)))
        judge = _faithfulness if subject.truth is None else _pointing
        found.append(judge(model, subject, maps(model, subject)))
        if clock.over():
            break
    names = [name for name in found[0][0] if all(name in of_some for of_some, _, _ in found)]
    counts = [count for _, _, count in found]
    values = {name: _mean([of_some[name] for of_some, _, _ in found], counts) for name in names}
    known = {name: value for name, value in values.items() if value is not None}
    if not known:
        raise CannotMeasure("no order of the positions is better than random ones: the answers depend on none of them")
    best = max(known, key=known.get)
    chance = _mean([chance for _, chance, _ in found], counts)
    by = "faithfulness" if task.truth is None else "pointing"
    return known[best], by, best, values, chance, sum(counts)


def maps(model, subject):
    """Maps `(B, S)` of a `tuning.factors.answers.Subject`, by name: the cheap ones that the model has."""
    found = {}
    for name in ("gradient_x_input", "integrated_gradients"):
        found[name.replace("_", " ")] = inspection.attribution(
            model, subject.x, output=subject.number, method=name, steps=STEPS, at=subject.at
        ).map
    for name, make in (("weights", _weights), ("mixing", _mixing)):
        # Some layers have none, and those of others are of other places.
        with contextlib.suppress(ValueError):
            found[f"{name} (rollout)"] = _looked_at(inspection.rollout(make(model, subject.x)), subject)
    return {name: np.where(subject.real, each, 0.0) for name, each in found.items()}


def _weights(model, x):
    return list(inspection.weights(model, x).values())


def _mixing(model, x):
    """The size of the mixing matrices, the mean over channels."""
    return [np.abs(each.matrix).mean(axis=1) for each in inspection.implicit_weights(model, x).values()]


def _looked_at(flow, subject):
    """Of weights `(B, T, S)` what the answer looks at: the row that is asked, or the mean of all real ones."""
    if flow.shape[1:] != subject.real.shape[1:] * 2:
        raise ValueError("weights of other places")
    if subject.asked is not None:
        return flow[np.arange(len(flow)), subject.asked]
    return (flow * subject.real[..., None]).sum(axis=1) / subject.real.sum(axis=1, keepdims=True)


def _pointing(model, subject, found):
    """By map how often its largest number stands where the answer lies, what chance is, and how many examples."""
    counted = np.array(subject.real)
    if subject.asked is not None:
        # Every answer depends on what is asked: that it looks there says nothing.
        counted[np.arange(len(counted)), subject.asked] = False
    truth = subject.truth & counted
    hits = {name: inspection.pointing(np.abs(each), truth, counted) for name, each in found.items()}
    chance = next(iter(hits.values())).chance
    if not len(chance):
        raise CannotMeasure("no example has a place where its answer is known to lie")
    return {name: float(each.hit.mean()) for name, each in hits.items()}, float(chance.mean()), len(chance)


def _faithfulness(model, subject, found):
    """By map the mean of the four measures of faithfulness: 0 as good as random orders, 1 as the oracle's."""
    judged = inspection.faithfulness(
        model,
        subject.x,
        found,
        output=subject.chance,
        mask=subject.real,
        steps=min(subject.real.shape[1], STEPS),
        draws=DRAWS,
        rounds=ROUNDS,
        at=subject.at,
    )
    values = {name: np.array(each.overall()) for name, each in judged.items()}
    return {name: _known_mean(each) for name, each in values.items()}, 0.0, len(subject.real)


def _known_mean(numbers):
    known = numbers[~np.isnan(numbers)]
    return float(known.mean()) if len(known) else None


def _mean(values, counts):
    """The mean over some values, each of so many examples; None if none is known."""
    known = [(value, count) for value, count in zip(values, counts, strict=True) if value is not None]
    if not known:
        return None
    values, counts = zip(*known, strict=True)
    return float(np.average(values, weights=counts))
