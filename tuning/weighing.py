"""What a person cares for besides the score: fronts of score against cost, and sums by weights that a person sets.

Pure functions on plain data.
"""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Weighed:
    """What weights make of the families.

    Args:
        choice: the name of the family with the largest sum; None if there was nothing to weigh.
        kind: its kind; None too.
        weights: by factor.
        shares: by family, then by factor: a share of the best number, 1 for the best; None if missing.
        sums: by family, the largest first: its shares by their weights.
        notes: what else should be known, in words.
    """

    choice: str | None
    kind: str | None
    weights: dict
    shares: dict
    sums: dict
    notes: tuple = ()


#: By the name that a weight is set by: whether more is better, and what it is, for people.
FACTORS = {
    "score": (True, "test score"),
    "parameters": (False, "parameters"),
    "flops": (False, "multiply-adds twice, of a training step and example"),
    "memory": (False, "bytes that a training step takes at most"),
    "interpretability": (True, "how well its best map says what the answer depends on"),
    "length": (True, "score on the longest examples"),
    "distance": (True, "score where what matters lies furthest apart"),
    "training": (False, "seconds of training"),
    "latency": (False, "seconds for an example alone"),
    "latency_64": (False, "seconds for an example in a batch of 64"),
}
COSTS = tuple(name for name, (more, _) in FACTORS.items() if not more)
#: How a number becomes a share, in a sentence.
SCALE = (
    "Each number counts as a share of the best family's: the best counts 1, half the score or twice the cost 1/2; "
    "by their weights the shares are added up."
)


def parse(text):
    """Weights from a command line: `latency=2,score=1`.

    Raises:
        ValueError: for what is no factor or no weight.

    Example:
    >>> parse("latency=2,score=1")
    {'latency': 2.0, 'score': 1.0}
    """
    weights = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, number = map(str.strip, part.partition("="))
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not equals or name in weights or math.isnan(value):
            raise ValueError(f"Weights are factors with a number each, once: latency=2,score=1. Received: {part}")
        weights[name] = value
    return check(weights)


def check(weights):
    """The weights, if they are some: numbers of at least 0, one or more above it, of known factors."""
    for name, value in weights.items():
        if name not in FACTORS:
            from keras_attn.lookup import choose

            choose("factor", name, FACTORS)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise ValueError(f"A weight is a number of at least 0. Received: {name}={value!r}")
    if not any(weights.values()):
        raise ValueError(f"At least one factor of {', '.join(FACTORS)} needs a weight above 0. Received: {weights}")
    return weights


def weigh(numbers, kinds, weights):
    """The family that weights choose.

    Controls are not chosen: in them nothing learns to mix. A number that is missing adds nothing to its family's sum,
    and that is said.

    Args:
        numbers: by family, then by factor (see `FACTORS`), a number or None.
        kinds: by family.
        weights: by factor, at least 0.

    Returns:
        A `Weighed`.

    Raises:
        ValueError: for weights that are none.

    Example:
    >>> numbers = {"a": {"score": 0.9, "latency": 2.0}, "b": {"score": 0.6, "latency": 1.0}}
    >>> found = weigh(numbers, {"a": "explicit", "b": "implicit"}, {"score": 1, "latency": 2})
    >>> found.choice, {name: round(total, 2) for name, total in found.sums.items()}
    ('b', {'b': 2.67, 'a': 2.0})
    """
    check(weights)
    weights = {name: weight for name, weight in weights.items() if weight}
    rivals = [name for name in numbers if kinds[name] != "control"]
    shares = {name: {} for name in rivals}
    for factor in weights:
        found = scale({name: numbers[name].get(factor) for name in rivals}, FACTORS[factor][0])
        for name in rivals:
            shares[name][factor] = found[name]
    sums = {
        name: math.fsum(weights[factor] * (share or 0.0) for factor, share in of_family.items())
        for name, of_family in shares.items()
    }
    # Of equal sums the better score, so that the order of the families plays no part.
    order = sorted(rivals, key=lambda name: (-sums[name], -(numbers[name].get("score") or 0.0), name))
    choice = order[0] if order else None
    missing = [
        f"The {factor} of {name} is missing and counts nothing."
        for name in rivals
        for factor, share in shares[name].items()
        if share is None
    ]
    return Weighed(choice, kinds.get(choice), weights, shares, {name: sums[name] for name in order}, tuple(missing))


def scale(values, more):
    """Each number as a share of the best: at most 1, and 0 for what is not above it where more is better.

    Args:
        values: by name, numbers or None, which stays.
        more: whether more is better.
    """
    known = [value for value in values.values() if value is not None]
    best = (max if more else min)(known, default=None)
    return {name: None if value is None else _share(value, best, more) for name, value in values.items()}


def _share(value, best, more):
    if value == best:
        return 1.0 if best > 0 or not more else 0.0
    part, whole = (value, best) if more else (best, value)
    return max(0.0, part / whole) if whole > 0 else 0.0


def front(points):
    """The names of what nothing is both better and cheaper than, the cheapest first (Pareto).

    Of two with the same score and cost both are on it.

    Args:
        points: by name, `(score, cost)`; without what has either missing.

    Example:
    >>> front({"a": (0.9, 3.0), "b": (0.8, 1.0), "c": (0.7, 2.0)})
    ['b', 'a']
    """

    def beaten(score, cost):
        return any(s >= score and c <= cost and (s, c) != (score, cost) for s, c in points.values())

    best = [name for name, (score, cost) in points.items() if not beaten(score, cost)]
    return sorted(best, key=lambda name: (points[name][1], name))
