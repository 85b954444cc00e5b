"""A first guess before any search: what past verdicts on tasks that are alike came to, and how far to believe it."""

import dataclasses
import math

import numpy as np

from keras_attn.lookup import whole_number
from tuning import decide, families, tasks
from tuning.characteristics import Characteristics, describe
from tuning.record import load

#: How often the truth shall lie in an interval. With fewer past tasks than `LEAST` no errors tell how wide that is.
COVERAGE = 0.8
LEAST = 4
#: Widths of the kernel that are tried, in distances as `distance` measures them; the last takes the plain mean.
WIDTHS = (0.35, 0.7, 1.4, math.inf)
#: What tasks are compared by, each divided by its deviation over the record.
FEATURES = {
    "length": lambda task: math.log2(task.length),
    "examples": lambda task: math.log2(task.examples),
    "answers": lambda task: math.log2(max(task.asked * task.length, 1.0)),
    "distance": lambda task: math.log2(1 + task.distance),
    "half": lambda task: math.log2(task.half),
    "bag": lambda task: task.skill("bag"),
    "probes": lambda task: task.skill("explicit") - task.skill("implicit"),
    "learnt": lambda task: max(task.skill("explicit"), task.skill("implicit")),
}
KINDS = ("implicit", "explicit", "hybrid")
OPEN = "open"


@dataclasses.dataclass(frozen=True)
class Expectation:
    """What is expected of something, from past verdicts.

    Args:
        name: of what.
        mean: a difference of scores.
        low, high: where it lies four times in five, if this task is to the past ones as they are to each other.
        tasks: from how many past tasks.
        width: of the kernel, in deviations; infinity if likeness did not help, so that it is their plain mean.
    """

    name: str
    mean: float
    low: float
    high: float
    tasks: int
    width: float


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A past task.

    Args:
        task: its name.
        distance: how far it is from this one, in deviations over the record, the mean over the characteristics.
        weight: its share of the guess.
        difference: what the best explicit family was better by than the best implicit one, as a share of what a
            constant answer left to be gained.
    """

    task: str
    distance: float
    weight: float
    difference: float


@dataclasses.dataclass(frozen=True)
class Start:
    """How a search might begin with a family. `tuning.compare` takes up the order, and gives all a whole start.

    Args:
        family: its name.
        trials: how many first trials are worth while, at least 1.
    """

    family: str
    trials: int


@dataclasses.dataclass(frozen=True)
class Advice:
    """A first guess.

    Args:
        task: the task's name.
        characteristics: what it is like.
        answer: "implicit" or "explicit", if the whole interval of the difference lies beyond the margin on that side
            and the task is not further from all past ones than those are from each other; else "open".
        difference: the `Expectation` of explicit less implicit; None if there is no advice.
        kinds, gaps: `Expectation` of how far each kind, and each family, is behind the best of all, at most 0; only
            those of which enough is known.
        neighbours: the past tasks, the nearest first.
        uncertainty: how far to believe it, in words.
        start: a `Start` for each family of the task, in the order to try them.
    """

    task: str
    characteristics: Characteristics
    answer: str
    difference: Expectation | None
    kinds: tuple
    gaps: tuple
    neighbours: tuple
    uncertainty: str
    start: tuple


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What an advice was worth.

    Args:
        right: whether its answer was the verdict's kind; None if it had none, or the search has none.
        inside: whether the difference that was found lies in the interval; None if there is none.
        words: the same for people.
    """

    right: bool | None
    inside: bool | None
    words: str


@dataclasses.dataclass(frozen=True)
class Tried:
    """What the advice would have been on a past task, had there been only the others.

    Args:
        task: its name.
        expected: the `Expectation` of explicit less implicit, in scores; None if the others were too few.
        answer: as `Advice.answer`.
        difference: what it was.
        right: whether the answer was right; None if it was "open".
        inside: whether the difference lies in the interval; None if there is none.
    """

    task: str
    expected: Expectation | None
    answer: str
    difference: float
    right: bool | None
    inside: bool | None


def advise(task, record=None, seed=0, data=None):
    """A first guess at which kind of attention serves a task, in about a minute, before any search.

    Args:
        task: a name from `tuning.tasks.names()`, or a `tuning.task.Task`.
        record: what to draw it from, a list of `tuning.record.Past`; None for those that come with the package.
        seed: the master seed, at least 0.
        data: the task's `tuning.task.Data`, if it is there already; else it is made from the seed.

    Returns:
        An `Advice`.

    Raises:
        ValueError: for an unknown task, or one whose model has no vectors of positions.
        FileNotFoundError: if the task's data is not there; it says how to get it.

    Example:
    ```python
    advice = tuning.advise("digits")
    print(advice.answer, advice.uncertainty)
    ```
    """
    whole_number("seed", seed, 0)
    task = tasks.get(task)
    record = load() if record is None else record
    data = task.data(seed) if data is None else data
    return draw(task, describe(task, data, seed), record)


def too_few(record):
    """Why nothing can be drawn from a record, in words; empty if it holds enough."""
    count = len({one.task for one in record})
    if count >= LEAST:
        return ""
    there = f"{count} past task{'s' * (count > 1)}" if count else "no past task"
    return f"No advice: the record holds {there}, and with fewer than {LEAST} no error tells how far off it is."


def draw(task, characteristics, record):
    """The `Advice` on a task of which it is known what it is like. A pure function.

    Args:
        task: a `tuning.task.Task`.
        characteristics: a `tuning.characteristics.Characteristics`.
        record: a list of `tuning.record.Past`.
    """
    chosen = families.make_all(task.mixers)
    most = 1.0 - characteristics.constant
    look = _Look(record, characteristics)
    difference = _difference(look, most)
    if difference is None:
        start = tuple(Start(family.name, task.trials) for family in chosen)
        return Advice(task.name, characteristics, OPEN, None, (), (), look.neighbours(), look.say(), start)
    kinds = [look.expect(kind, [one.gap(one.of_kind(kind)) for one in record], most, high=0.0) for kind in KINDS]
    gaps = [look.expect(one.name, [past.gap([one.name]) for past in record], most, high=0.0) for one in chosen]
    kinds, gaps = (tuple(one for one in found if one is not None) for found in (kinds, gaps))
    return Advice(
        task=task.name,
        characteristics=characteristics,
        answer=_answer(difference, task.margin, look.is_strange),
        difference=difference,
        kinds=kinds,
        gaps=gaps,
        neighbours=look.neighbours(difference.width),
        uncertainty=look.say(difference.width),
        start=_start(chosen, kinds, gaps, task, look.is_strange),
    )


def judge(advice, result):
    """Whether an advice was right, now that a search has found out. A pure function.

    Args:
        advice: an `Advice`.
        result: the `tuning.result.Result` of a search on the same task.

    Returns:
        A `Judgement`.

    Raises:
        ValueError: if the search was on another task.
    """
    if advice.task != result.search["task"]:
        raise ValueError(
            f"An advice is judged by a search on its own task. Received: {advice.task} and {result.search['task']}"
        )
    if advice.difference is None:
        return Judgement(None, None, "There was no advice, so that it was neither right nor wrong.")
    candidates = [family.as_candidate() for family in result.families if family.finished]
    explicit, implicit = (decide.best_of(candidates, kind) for kind in ("explicit", "implicit"))
    if explicit is None or implicit is None:
        return Judgement(None, None, "The search compared no two kinds, so that the advice was not put to the test.")
    found = _compared(explicit, implicit, result)
    inside = advice.difference.low <= found.mean <= advice.difference.high
    right = _was_right(advice.answer, found.outcome)
    if right is None:
        worth = "named no kind" if advice.answer == OPEN else "was not put to the test by this many seeds"
    else:
        worth = "was right" if right else "was wrong"
    expected = f"{advice.difference.low:+.3f} to {advice.difference.high:+.3f}"
    words = (
        f"The advice {worth}: {advice.answer}, explicit less implicit {expected}. "
        f"It came to {found.mean:+.3f}, {'inside' if inside else 'outside'} that.{_say_short(advice, result)}"
    )
    return Judgement(right, inside, words)


def _compared(explicit, implicit, result):
    """The comparison that the verdict rests on, which is corrected for all that were made."""
    names = (explicit.name, implicit.name)
    of_verdict = [each for each in result.verdict.comparisons if (each.first, each.second) == names]
    return of_verdict[0] if of_verdict else decide.compare(explicit, implicit, result.task["margin"])


def leave_one_out(record):
    """What the advice would have been on each past verdict, from those on other tasks only.

    Args:
        record: a list of `tuning.record.Past`.

    Returns:
        A list of `Tried`.
    """
    return [_try(one, [other for other in record if other.task != one.task]) for one in record]


def _try(one, others):
    look = _Look(others, one.characteristics)
    expected = _difference(look, 1.0 - one.characteristics.constant)
    if expected is None:
        return Tried(one.task, None, OPEN, one.difference, None, None)
    answer = _answer(expected, one.margin, look.is_strange)
    true = "explicit" if one.difference > one.margin else "implicit" if one.difference < -one.margin else None
    inside = expected.low <= one.difference <= expected.high
    return Tried(one.task, expected, answer, one.difference, None if answer == OPEN else answer == true, inside)


def _difference(look, most):
    advantages = [one.advantage for one in look.record]
    return look.expect("explicit less implicit", advantages, most, low=-most, high=most)


class _Look:
    """Past tasks as seen from one.

    Args:
        record: a list of `tuning.record.Past`.
        characteristics: what the one is like.
    """

    def __init__(self, record, characteristics):
        self.record = list(record)
        self.groups = np.array([one.task for one in self.record], str)
        points = np.array([_point(one.characteristics) for one in self.record]).reshape(-1, len(FEATURES))
        scale = points.std(axis=0) if len(points) else np.ones(len(FEATURES))
        # What is alike in all that is past tells no task from another, and a deviation of zero would be all there is.
        scale = np.where(scale > 1e-9, scale, 1.0)
        self.distances = _distances(_point(characteristics)[None] / scale, points / scale)[0]
        self.among = _distances(points / scale, points / scale)

    @property
    def tasks(self):
        """The names of the past tasks."""
        return sorted(set(self.groups.tolist()))

    @property
    def is_strange(self):
        """Whether the task is further from all past ones than any of those is from the next."""
        nearest = [self.among[np.ix_(self.groups == name, self.groups != name)].min() for name in self.tasks]
        return bool(self.distances.min() > max(nearest))

    def expect(self, name, targets, most, low=-math.inf, high=math.inf):
        """The `Expectation` of what is known of past tasks, None where it is not; None if of too few.

        Args:
            name: of what.
            targets: a share for each past verdict of what a constant answer leaves to be gained, or None.
            most: what it leaves here.
            low, high: no difference of scores can be beyond.
        """
        known = np.array([target is not None for target in targets], bool)
        groups = self.groups[known]
        count = len(set(groups.tolist()))
        if count < LEAST:
            return None
        targets = np.array([target for target in targets if target is not None], "float64")
        errors = {width: _errors(self.among[np.ix_(known, known)], groups, targets, width) for width in WIDTHS}
        # Of equals the widest: where likeness tells nothing, it shall count for nothing.
        width = min(reversed(WIDTHS), key=lambda width: errors[width].mean())
        mean = float(_weights(self.distances[None, known], groups, width)[0] @ targets)
        half = _bound(errors[width])
        ends = (min(max(most * end, low), high) for end in (mean - half, mean + half))
        return Expectation(name, most * mean, *ends, count, width)

    def neighbours(self, width=math.inf):
        """The past tasks, the nearest first, with their shares of a guess with a kernel of that width."""
        weights = _weights(self.distances[None], self.groups, width)[0] if self.record else ()
        found = []
        for name in self.tasks:
            mine = self.groups == name
            difference = float(np.mean([one.advantage for one in self.record if one.task == name]))
            found.append(Neighbour(name, float(self.distances[mine].min()), float(weights[mine].sum()), difference))
        return tuple(sorted(found, key=lambda one: (one.distance, one.task)))

    def say(self, width=math.inf):
        """How far to believe what is drawn from them, in words."""
        if too_few(self.record):
            return too_few(self.record)
        nearest = self.neighbours()[0]
        count = len(self.tasks)
        said = f"Drawn from {count} past tasks, the nearest {nearest.task}, {nearest.distance:.2f} deviations away."
        if self.is_strange:
            said += " None of those is as far from the next as this one is from all: no more than a guess."
        if math.isinf(width):
            said += " Likeness did not help among them, so that this is their plain mean."
        return said


def _point(characteristics):
    return np.array([feature(characteristics) for feature in FEATURES.values()])


def _distances(first, second):
    """The root of the mean square over characteristics, `(len(first), len(second))`."""
    return np.sqrt(np.square(first[:, None] - second[None]).mean(axis=-1))


def _weights(distances, groups, width):
    """Shares that fall with distance like a bell, `(B, N)`, each row with a sum of 1.

    All verdicts on one task count together as one.
    """
    exponents = -0.5 * np.square(distances / width)
    # From the nearest on, so that where all are far not all are zero.
    weights = np.exp(exponents - exponents.max(axis=-1, keepdims=True))
    weights = weights / np.array([np.sum(groups == group) for group in groups])
    return weights / weights.sum(axis=-1, keepdims=True)


def _errors(among, groups, targets, width):
    """How far off the guess at each past task is that is drawn from the others: one error a task."""
    errors = []
    for group in sorted(set(groups.tolist())):
        mine = groups == group
        guesses = _weights(among[np.ix_(mine, ~mine)], groups[~mine], width) @ targets[~mine]
        errors.append(np.abs(guesses - targets[mine]).mean())
    return np.array(errors)


def _bound(errors):
    """What a share of `COVERAGE` of new errors stay below, if they are like these: the conformal quantile."""
    rank = math.ceil(COVERAGE * (len(errors) + 1))
    return float(np.sort(errors)[min(rank, len(errors)) - 1])


def _answer(difference, margin, is_strange):
    if is_strange:
        return OPEN
    if difference.low > margin:
        return "explicit"
    return "implicit" if difference.high < -margin else OPEN


def _start(chosen, kinds, gaps, task, is_strange):
    """The order of families, and a short start for those that are not expected to win."""
    by_name = {one.name: one for one in (*kinds, *gaps)}

    def order(family):
        # Of a family that is not known its kind is the best guess.
        gap = by_name.get(family.name) or by_name.get(family.kind)
        return family.kind == "control", -gap.mean if gap else 0.0

    def trials(family):
        gap = by_name.get(family.name)
        return 1 if gap and gap.high < -task.margin and not is_strange else task.trials

    return tuple(Start(family.name, trials(family)) for family in sorted(chosen, key=order))


def _was_right(answer, outcome):
    """None if nothing was claimed, or nothing shown."""
    if answer == OPEN or outcome == "not shown":
        return None
    return {"first": "explicit", "second": "implicit"}.get(outcome) == answer


def _say_short(advice, result):
    """What is said of a winner for which a short start was advised."""
    longest = max(start.trials for start in advice.start)
    short = [start.family for start in advice.start if start.trials < longest]
    winner = result.verdict.winner
    return f" {winner} won, for which it advised a short start, which was wrong." if winner in short else ""
