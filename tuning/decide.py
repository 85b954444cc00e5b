"""Implicit or explicit? From scores on paired seeds to a verdict in words. Pure functions on plain data."""

import dataclasses
import math

NO_DIFFERENCE = "no difference that matters"
NO_VERDICT = "no verdict"
CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A family's best, trained again on fresh seeds: what a decision is made from.

    Args:
        name: the family's name.
        kind: "implicit", "explicit", "hybrid" or "control".
        valid: validation scores, one a seed.
        test: test scores, one a seed, the seeds in the same order for all candidates.
        parameters: how many parameters it has.
        cost: seconds for an example.
    """

    name: str
    kind: str
    valid: tuple
    test: tuple
    parameters: int
    cost: float


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One candidate's test scores less another's, seed by seed.

    Args:
        first, second: the candidates' names.
        differences: one a seed.
        mean: of the differences.
        low, high: the 95 % interval of the mean; None with one seed.
        outcome: "first", "second", "inside the margin" (the means differ by no more than matters) or "not shown" (they
            differ by more, and the interval holds zero).
    """

    first: str
    second: str
    differences: tuple
    mean: float
    low: float | None
    high: float | None
    outcome: str


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a search says.

    Args:
        answer: "implicit", "explicit", "hybrid", "no difference that matters", or "no verdict": if a difference is
            larger than the margin but not shown with this many seeds, or if there was nothing to compare.
        reason: why, in words.
        winner: the name of the candidate to take; None if there is none.
        comparisons: those the answer rests on.
        notes: what else should be known, in words.
    """

    answer: str
    reason: str
    winner: str | None
    comparisons: tuple = ()
    notes: tuple = ()


def decide(candidates, margin):
    """The verdict on candidates, given the smallest difference that matters.

    Of each kind the best by validation score speaks for it. A kind wins if its test scores are better than the other's
    by more than the margin, and the interval of the paired differences excludes zero; a hybrid must beat both so.

    Args:
        candidates: a list of `Candidate`.
        margin: a score.

    Returns:
        A `Verdict`.
    """
    best = {kind: best_of(candidates, kind) for kind in ("implicit", "explicit", "hybrid")}
    comparisons = _compare_kinds(best, margin)
    answer = _answer(best, comparisons)
    if answer == NO_VERDICT:
        winner = _most_promising(best.values())
        reason = _why_no_verdict(best, winner, comparisons, margin)
    elif answer == NO_DIFFERENCE:
        winner = min(best["implicit"], best["explicit"], key=lambda candidate: (candidate.cost, candidate.parameters))
        reason = f"{_describe_all(comparisons, margin)} The cheaper to run is {winner.name}."
    else:
        winner = best[answer]
        reason = _describe_all(comparisons, margin)
    notes = _notes_on_controls(candidates, winner, margin) + _notes_on_counts(candidates) if winner else ()
    return Verdict(answer, reason, winner and winner.name, tuple(comparisons), notes)


def best_of(candidates, kind):
    """The best candidate of a kind: by mean validation score, then the fewer parameters; or None."""
    return _most_promising(candidate for candidate in candidates if candidate.kind == kind)


def compare(first, second, margin):
    """The `Comparison` of two candidates."""
    differences = tuple(a - b for a, b in zip(first.test, second.test, strict=True))
    mean = _mean(differences)
    low, high = interval(differences)
    return Comparison(first.name, second.name, differences, mean, low, high, _outcome(mean, low, high, margin))


def interval(values):
    """The 95 % t-interval of the mean of some values; `(None, None)` for one value, which says nothing of spread.

    Example:
    >>> low, high = interval((1.0, 2.0, 3.0))
    >>> round(low, 3), round(high, 3)
    (-0.484, 4.484)
    """
    if len(values) < 2:
        return None, None
    from scipy import stats

    half = stats.t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1) * spread(values) / math.sqrt(len(values))
    return _mean(values) - float(half), _mean(values) + float(half)


def spread(values):
    """The standard deviation of some values, of a population they are drawn from; 0 for one."""
    if len(values) < 2:
        return 0.0
    mean = _mean(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _mean(values):
    return math.fsum(values) / len(values)


def _outcome(mean, low, high, margin):
    if abs(mean) <= margin:
        return "inside the margin"
    if low is None or low <= 0 <= high:
        return "not shown"
    return "first" if mean > 0 else "second"


def _compare_kinds(best, margin):
    pairs = (("explicit", "implicit"), ("hybrid", "explicit"), ("hybrid", "implicit"))
    return [compare(best[first], best[second], margin) for first, second in pairs if best[first] and best[second]]


def _answer(best, comparisons):
    outcomes = {(comparison.first, comparison.second): comparison.outcome for comparison in comparisons}
    name = {kind: candidate and candidate.name for kind, candidate in best.items()}
    if not name["explicit"] or not name["implicit"]:
        return NO_VERDICT
    if name["hybrid"]:
        beaten = [outcomes[name["hybrid"], name[kind]] == "first" for kind in ("explicit", "implicit")]
        if all(beaten):
            return "hybrid"
    outcome = outcomes[name["explicit"], name["implicit"]]
    return {"first": "explicit", "second": "implicit", "inside the margin": NO_DIFFERENCE}.get(outcome, NO_VERDICT)


def _most_promising(candidates):
    candidates = [candidate for candidate in candidates if candidate is not None]
    return max(candidates, key=lambda candidate: (_mean(candidate.valid), -candidate.parameters), default=None)


def _why_no_verdict(best, winner, comparisons, margin):
    missing = [kind for kind in ("implicit", "explicit") if best[kind] is None]
    if not missing:
        return f"{_describe_all(comparisons, margin)} More seeds would tell; the best in validation is {winner.name}."
    reason = f"Nothing {' and nothing '.join(missing)} was trained to its end, so that there is nothing to compare."
    return f"{reason} The best that was: {winner.name}." if winner else reason


def _describe_all(comparisons, margin):
    return " ".join(_describe(comparison, margin) for comparison in comparisons)


def _describe(comparison, margin):
    names = f"{comparison.first} less {comparison.second}"
    seeds = len(comparison.differences)
    between = "" if comparison.low is None else f", 95 % interval {comparison.low:+.3f} to {comparison.high:+.3f}"
    numbers = f"{names}: {comparison.mean:+.3f} on {seeds} seed{'s' * (seeds > 1)}{between}"
    meaning = {
        "first": f"{comparison.first} is better.",
        "second": f"{comparison.second} is better.",
        "inside the margin": f"within the {margin:g} that does not matter.",
        "not shown": "a difference, but not shown with this many seeds.",
    }
    return f"{numbers}; {meaning[comparison.outcome]}"


def _notes_on_controls(candidates, winner, margin):
    """What a winner is worth that does not beat a model in which nothing learns to mix."""
    found = [compare(winner, control, margin) for control in candidates if control.kind == "control"]
    as_good = [comparison.second for comparison in found if comparison.outcome in ("inside the margin", "second")]
    unsure = [comparison.second for comparison in found if comparison.outcome == "not shown"]
    notes = []
    if as_good:
        notes.append(
            f"The task does not need a mixer at this size: {winner.name} is no more than {margin:g} better than the "
            f"control {' and '.join(as_good)}."
        )
    if unsure:
        notes.append(f"That {winner.name} beats the control {' and '.join(unsure)} is not shown with this many seeds.")
    return tuple(notes)


def _notes_on_counts(candidates):
    """The best of many has an advantage over the best of few."""
    count = {kind: sum(candidate.kind == kind for candidate in candidates) for kind in ("implicit", "explicit")}
    if count["implicit"] == count["explicit"]:
        return ()
    return (f"The best of {count['implicit']} implicit met the best of {count['explicit']} explicit.",)
