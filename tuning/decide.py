"""Implicit or explicit? From scores on paired seeds to a verdict in words. Pure functions on plain data."""

import dataclasses
import math

NO_DIFFERENCE = "no difference that matters"
NO_VERDICT = "no verdict"
CONFIDENCE = 0.95
#: What an interval covers: other seeds, or other test examples too.
SEEDS, BOTH = "seeds", "seeds and test examples"
#: With fewer draws of test examples nothing is said of other ones.
FEWEST_DRAWS = 20
#: Times that differ by less than this factor are alike: the same model takes as much longer on a busy machine.
ALIKE = 1.2
#: A spread that comes of floating point alone.
NOTHING = 1e-12


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
        step: the smallest difference that two test scores can have: one of the test split's answers. Older results do
            not say: then one of a thousand.
        redrawn: for each seed the test score on test examples drawn anew, `tuning.measures.redrawn`, the same draws
            for all candidates; empty if that is not known, and then only seeds are.
        units: how many test examples stand for themselves.
    """

    name: str
    kind: str
    valid: tuple
    test: tuple
    parameters: int
    cost: float
    step: float = 1e-3
    redrawn: tuple = ()
    units: int = 0


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One candidate's test scores less another's, seed by seed.

    Args:
        first, second: the candidates' names.
        differences: one a seed.
        mean: of the differences.
        low, high: the 95 % interval of the mean, on other seeds and other test examples; None with one seed.
        outcome: "first", "second" (better by more than the margin, and that is shown), "equivalent" (all of the
            interval is inside the margin), "inside the margin" (the mean is, and not all of the interval) or "not
            shown" (the mean is outside, and zero is not excluded).
        method: what the interval covers, "seeds and test examples" or "seeds"; None with one seed.
        p: how often means as far from zero as this come of no difference; None with one seed.
        adjusted: the same, corrected for all that was compared (Holm); None if nothing was corrected.
        among: how many comparisons it was corrected for.
        floor: the spread that was taken because the differences' own is smaller than `least_spread`; None if it is not.
    """

    first: str
    second: str
    differences: tuple
    mean: float
    low: float | None
    high: float | None
    outcome: str
    method: str | None = None
    p: float | None = None
    adjusted: float | None = None
    among: int = 1
    floor: float | None = None


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
        better_controls: the names of controls that are shown to be better than the winner.
    """

    answer: str
    reason: str
    winner: str | None
    comparisons: tuple = ()
    notes: tuple = ()
    better_controls: tuple = ()


def decide(candidates, margin):
    """The verdict on candidates, given the smallest difference that matters.

    Of each kind the best by validation score speaks for it; test scores have no say in that. A kind wins if its test
    scores are better than the other's by more than the margin, and the paired differences exclude zero, by their
    interval and after correction; a hybrid must beat both so. Corrected (Holm) is for every family of the two kinds
    that could have met the other's speaker, since the best of many has more chances than one.

    Args:
        candidates: a list of `Candidate`.
        margin: a score.

    Returns:
        A `Verdict`.
    """
    best = {kind: best_of(candidates, kind) for kind in ("implicit", "explicit", "hybrid")}
    comparisons = _compare_kinds(candidates, best, margin)
    answer = _answer(best, comparisons)
    if answer == NO_VERDICT:
        winner = _most_promising(best.values())
        reason = _why_no_verdict(best, winner, comparisons, margin)
    elif answer == NO_DIFFERENCE:
        winner, why = _cheaper(best["implicit"], best["explicit"])
        reason = f"{_describe_all(comparisons, margin)} {why}"
    else:
        winner = best[answer]
        reason = _describe_all(comparisons, margin)
    if winner is None:
        return Verdict(answer, reason, None, tuple(comparisons))
    controls = [compare(winner, control, margin) for control in candidates if control.kind == "control"]
    notes = _notes_on_controls(winner, controls, margin) + _notes_on_counts(candidates)
    better = tuple(each.second for each in controls if each.outcome == "second")
    return Verdict(answer, reason, winner.name, tuple(comparisons), notes, better)


def best_of(candidates, kind):
    """The best candidate of a kind: by mean validation score, then the fewer parameters; or None."""
    return _most_promising(candidate for candidate in candidates if candidate.kind == kind)


def compare(first, second, margin):
    """The `Comparison` of two candidates."""
    differences = tuple(a - b for a, b in zip(first.test, second.test, strict=True))
    floor = least_spread(max(first.step, second.step))
    examples = examples_error(first, second)
    low, high = interval(differences, floor, examples)
    floored = low is not None and spread(differences) < floor
    found = Comparison(
        first.name,
        second.name,
        differences,
        _mean(differences),
        low,
        high,
        outcome="",
        method=None if low is None else SEEDS if examples is None else BOTH,
        p=chance(differences, floor, examples),
        floor=floor if floored else None,
    )
    return dataclasses.replace(found, outcome=_outcome(found, margin))


def correct(comparisons, margin):
    """The comparisons with what chance would do among so many of them (Holm), and their outcomes by that.

    The smallest p of m is multiplied by m, the next by m - 1, and so on, never below the one before.

    Args:
        comparisons: a list of `Comparison`.
        margin: the smallest difference that matters.
    """
    known = sorted(
        (index for index, each in enumerate(comparisons) if each.p is not None), key=lambda i: comparisons[i].p
    )
    found, least = list(comparisons), 0.0
    for rank, index in enumerate(known):
        least = max(least, min(1.0, (len(known) - rank) * comparisons[index].p))
        found[index] = dataclasses.replace(comparisons[index], adjusted=least, among=len(known))
    return [dataclasses.replace(each, outcome=_outcome(each, margin)) for each in found]


def least_spread(step):
    """The spread that rounding alone gives to a difference of two scores.

    Differences that are alike on all seeds are no certainty: they vary by less than the scores can show.

    Args:
        step: the smallest difference that two scores can have.
    """
    return step / math.sqrt(6)


def examples_error(first, second):
    """How far the mean difference of two candidates is off because test examples are what they are, not others.

    Over draws of examples the mean over S seeds varies by what examples do on all seeds, e, and by a share of what they
    do on each seed in its own way, u / S; the difference on one seed varies by e + u. The spread over seeds has u in it
    already, so that what is added is e alone.

    Args:
        first, second: a `Candidate` each.

    Returns:
        `(variance, least, freedom)`: of e; of the mean over draws, e and u / S, the least that the whole can be however
        near few seeds happen to be to each other; freedom as of the t-distribution. None if it is not known.
    """
    import numpy as np

    if not (first.redrawn and second.redrawn) or len(first.redrawn) < 2 or min(first.units, second.units) < 2:
        return None
    differences = np.array(first.redrawn, float) - np.array(second.redrawn, float)  # (S, draws)
    differences = differences[:, np.isfinite(differences).all(axis=0)]
    seeds, draws = differences.shape
    if draws < FEWEST_DRAWS:
        return None
    of_mean, of_one = differences.mean(axis=0).var(ddof=1), differences.var(axis=1, ddof=1).mean()
    # Draws of few units vary less than other units would.
    fair = first.units / (first.units - 1)
    of_examples = max(0.0, float(seeds * of_mean - of_one) / (seeds - 1))
    return fair * of_examples, fair * float(of_mean), min(first.units, draws) - 1


def interval(values, floor=0.0, examples=None):
    """The 95 % interval of the mean of some values; `(None, None)` for one value, which says nothing of spread.

    Nor do values that are all the same, unless there is a floor. The values are taken for normally distributed: this
    is the interval of Student's t, and with examples of Welch and Satterthwaite.

    Args:
        values: at least one number.
        floor: the least spread, at least 0. Values that spread less are taken to spread so much.
        examples: see `examples_error`; None for what is not known, or not wanted.

    Example:
    >>> low, high = interval((1.0, 2.0, 3.0))
    >>> round(low, 3), round(high, 3)
    (-0.484, 4.484)
    """
    error, freedom = _error(values, floor, examples)
    if error is None:
        return None, None
    from scipy import stats

    half = error * float(stats.t.ppf(0.5 + CONFIDENCE / 2, freedom))
    return _mean(values) - half, _mean(values) + half


def chance(values, floor=0.0, examples=None):
    """How often a mean as far from zero comes of no difference: p of two sides; None where there is no `interval`.

    Example:
    >>> round(chance((1.0, 2.0, 3.0)), 4)
    0.0742
    """
    error, freedom = _error(values, floor, examples)
    if error is None:
        return None
    from scipy import stats

    return 2 * float(stats.t.sf(abs(_mean(values)) / error, freedom))


def _error(values, floor, examples):
    """The standard error of the mean and its degrees of freedom; None twice if nothing is known."""
    if len(values) < 2 or max(spread(values), floor) <= NOTHING:
        return None, None
    of_seeds, few = max(spread(values), floor) ** 2 / len(values), len(values) - 1
    if examples is None:
        return math.sqrt(of_seeds), few
    of_examples, least, many = examples
    variance = of_seeds + of_examples
    if variance < least:
        return math.sqrt(least), many
    return math.sqrt(variance), variance**2 / (of_seeds**2 / few + of_examples**2 / many)


def spread(values):
    """The standard deviation of some values, of a population they are drawn from; 0 for one."""
    if len(values) < 2:
        return 0.0
    mean = _mean(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _mean(values):
    return math.fsum(values) / len(values)


def _outcome(found, margin):
    if abs(found.mean) <= margin:
        inside = found.low is not None and -margin <= found.low and found.high <= margin
        return "equivalent" if inside else "inside the margin"
    p = found.p if found.adjusted is None else found.adjusted
    if found.low is None or found.low <= 0 <= found.high or p > 1 - CONFIDENCE:
        return "not shown"
    return "first" if found.mean > 0 else "second"


def _compare_kinds(candidates, best, margin):
    """The speakers' comparisons, each corrected for all of the two kinds that could have been compared so."""
    pairs = (("explicit", "implicit"), ("hybrid", "explicit"), ("hybrid", "implicit"))
    return [_compare_pair(candidates, best[a], best[b], margin) for a, b in pairs if best[a] and best[b]]


def _compare_pair(candidates, first, second, margin):
    def others(speaker):
        return [each for each in candidates if each.kind == speaker.kind and each is not speaker]

    beside = [compare(each, second, margin) for each in others(first)]
    beside += [compare(first, each, margin) for each in others(second)]
    return correct([compare(first, second, margin), *beside], margin)[0]


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
    answers = {"first": "explicit", "second": "implicit", "not shown": NO_VERDICT}
    return answers.get(outcome, NO_DIFFERENCE)


def _cheaper(*pair):
    """The cheaper of two candidates to run, and why it is, in words; times that are about alike say nothing."""
    fast, slow = sorted(pair, key=lambda candidate: candidate.cost)
    if slow.cost > ALIKE * fast.cost:
        times = f"{1e3 * fast.cost:.2g} ms an example at its best for {1e3 * slow.cost:.2g}"
        return fast, f"The cheaper to run is {fast.name}: {times}."
    small = min(pair, key=lambda candidate: (candidate.parameters, candidate.cost))
    return small, f"They cost about the same to run; {small.name} has fewer or as many parameters."


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
    numbers = f"{names}: {comparison.mean:+.3f} on {seeds} seed{'s' * (seeds > 1)}{_describe_interval(comparison)}"
    meaning = {
        "first": f"{comparison.first} is better.",
        "second": f"{comparison.second} is better.",
        "equivalent": f"as good as each other: all of the interval is within the {margin:g} that does not matter.",
        "inside the margin": f"within the {margin:g} that does not matter{_describe_doubt(comparison, margin)}.",
        "not shown": f"a difference, but not shown with this many seeds{_describe_correction(comparison)}.",
    }
    return f"{numbers}; {meaning[comparison.outcome]}"


def _describe_shown(comparison):
    return "" if comparison.outcome == "second" else " on average, though not shown with this many seeds"


def _describe_interval(comparison):
    if comparison.low is None:
        return ""
    said = f", 95 % interval {comparison.low:+.3f} to {comparison.high:+.3f} (over {comparison.method}"
    if comparison.floor is None:
        return f"{said})"
    return f"{said}; seeds differ by less than test scores can show: a spread of {comparison.floor:.2g} is taken)"


def _describe_doubt(comparison, margin):
    """What an interval leaves open that reaches over the margin."""
    if comparison.low is None:
        return "; one seed excludes nothing"
    furthest = max(comparison.low, comparison.high, key=abs)
    return f" on average; {furthest:+.3f} is not excluded"


def _describe_correction(comparison):
    if comparison.low is None or comparison.low <= 0 <= comparison.high:
        return ""
    return (
        f", of {comparison.among} comparisons that could be made (p {comparison.adjusted:.2g} after Holm's correction)"
    )


def _notes_on_controls(winner, found, margin):
    """What a winner is worth that does not beat a model in which nothing learns to mix."""
    as_good = [comparison.second for comparison in found if comparison.outcome in ("equivalent", "inside the margin")]
    unsure = [comparison.second for comparison in found if comparison.outcome == "not shown" and comparison.mean > 0]
    notes = [
        f"The control {comparison.second} is better{_describe_shown(comparison)}, so that at this size the task is not "
        f"served by attention of any kind ({winner.name} less {comparison.second}: {comparison.mean:+.3f}"
        f"{_describe_interval(comparison)})."
        for comparison in found
        if comparison.outcome == "second" or (comparison.outcome == "not shown" and comparison.mean < 0)
    ]
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
