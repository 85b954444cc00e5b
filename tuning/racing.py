"""Who trains next? A race of families, as a pure function of what has been run: no clock, no dice, no files.

A family's round has a seed of its own, the same for all families. In it some configurations start together, are held
against each other at every rung (a number of epochs), and the better third goes on; the last rung is a whole run. In
the first round a family opens with several configurations; in a later one its champion, the best so far, meets a new
one on a new seed. So whoever goes to the end was compared on equal terms, and champions are seen on several seeds.

1. The start is fair: every family runs its first round to the end, one whole run at least. Nobody is dropped on early
   rungs, for some plateau before they learn.
2. Then kinds take turns, the one on which less was spent first, so that neither side is tuned harder than the other.
   Within a kind the most promising family goes on: the one whose champion could be the best.
3. A family is dropped when paired evidence says that it cannot be the best of its kind: the 95 % interval of its
   differences from the leader, round by round, lies below zero.
4. The race ends when the budget is spent, or when nothing is open: when every kind's leader was seen on three seeds or
   more and the best of them is ahead beyond doubt.
5. Then the finalists are retrained: champions of the best two of each kind, and of the controls, on fresh seeds.

Controls run the first round only: they are there to be beaten.

Who is the better of two, champions of families or configurations of one, is asked on the seeds on which both made a
whole run: one of them may have met harder seeds besides. Of several the best is who beats most of the others. Two that
share no such seed are compared by their means. So it mostly is within a family, where of those that meet on a seed only
the better goes on to the end: a challenger has beaten the champion on their common seed up to the rung, and must have
the better mean of whole runs besides. Running both to the end would cost the race every other round.
"""

import dataclasses
import functools
import math

from tuning.decide import CONFIDENCE, least_spread, spread

#: What `Race.next` answers when the race is over, and when others must end first.
OVER, WAIT = "over", "wait"
RUNNING = "running"
TRIAL, RETRAINING = "trial", "retraining"
#: Of those that meet at a rung one in so many goes on.
THIRD = 3
#: On so many seeds a leader must be ahead before nothing is open.
CERTAIN = 3
#: How many of a kind are retrained on fresh seeds.
FINALISTS = 2


@dataclasses.dataclass(frozen=True)
class Rules:
    """How a race is run.

    Args:
        rungs: numbers of epochs, growing; the last is a whole run.
        openers: configurations in a family's first round, at least 1.
        budget: epochs that may be spent in all. The fair start is made whatever it costs.
        solved: a score beyond which there is nothing to learn; None if there is no such score.
        seeds: fresh seeds on which each finalist is retrained.
        step: the smallest difference that two scores can have; two that are alike by chance are no certainty.
        only_start: whether the race is over with the fair start.
    """

    rungs: tuple
    openers: int
    budget: int
    solved: float | None = None
    seeds: int = 0
    step: float = 1e-3
    only_start: bool = False

    @property
    def whole(self):
        """Epochs of a whole run."""
        return self.rungs[-1]


@dataclasses.dataclass(frozen=True)
class Leg:
    """What is to be trained: a configuration of a family, on a round's seed, up to a rung.

    Args:
        family: its name.
        number: which of its configurations, from 0.
        round: which seed, from 0.
        epochs: the rung. It goes on from the rung before, if there is one.
        stage: `TRIAL` or `RETRAINING`; rounds of the one have other seeds than those of the other.
    """

    family: str
    number: int
    round: int
    epochs: int
    stage: str = TRIAL


def _remembered(method):
    """What is asked for again and again is found once, until a leg starts or ends."""

    @functools.wraps(method)
    def remembered(self, *args):
        key = method.__name__, *args
        if key not in self._memory:
            self._memory[key] = method(self, *args)
        return self._memory[key]

    return remembered


class Race:
    """The race of some families.

    Args:
        kinds: the kind of each family, by name: "implicit", "explicit", "hybrid" or "control".
        rules: a `Rules`.
    """

    def __init__(self, kinds, rules):
        self.kinds = dict(kinds)
        self.rules = rules
        self.scores = {}
        self.finals = {}
        self._memory = {}

    def start(self, leg):
        """A leg is being run."""
        self._set(leg, RUNNING)

    def note(self, leg):
        """A leg is being run that perhaps another race gave out: a worker's is the chief's."""
        if leg not in self._of_stage(leg):
            self._set(leg, RUNNING)

    def end(self, leg, score):
        """A leg was run to its score; None if it failed."""
        self._set(leg, score)

    def forget(self, leg):
        """A leg that was started will not end: it may be run again."""
        if self._of_stage(leg).get(leg) is RUNNING:
            del self._of_stage(leg)[leg]
            self._memory.clear()

    def _set(self, leg, score):
        self._of_stage(leg)[leg] = score
        self._memory.clear()

    def next(self, prefer=()):
        """The `Leg` to run next, `WAIT` while others must end first, `OVER` when the race is over.

        Args:
            prefer: families whose legs come first where the order is open, so that who asks need not compile another's.
        """
        order = sorted(self.kinds, key=lambda family: prefer.index(family) if family in prefer else len(prefer))
        openings = [self._next_of_round(family, 0) for family in order]
        for leg in openings:
            if isinstance(leg, Leg):
                return leg
        if RUNNING in openings:
            return WAIT
        leg = self._next_of_race()
        if leg != OVER:
            return leg
        return WAIT if RUNNING in self.scores.values() else self._next_of_finals(order)

    def _next_of_finals(self, order):
        for family in sorted(self.finalists(), key=order.index):
            number, _ = self.champion(family)
            for round in range(self.rules.seeds):
                leg = Leg(family, number, round, self.rules.whole, RETRAINING)
                if leg not in self.finals:
                    return leg
        return WAIT if RUNNING in self.finals.values() else OVER

    def _of_stage(self, leg):
        return self.scores if leg.stage == TRIAL else self.finals

    @_remembered
    def rounds(self, family):
        """The scores of a family's whole runs by round; None for a round that brought none."""
        found = {}
        for leg, score in self.scores.items():
            if leg.family == family and score is not RUNNING and self._is_whole(leg, score):
                found[leg.round] = score
        return found

    def best_by_number(self, family):
        """What each configuration of a family scored, at the highest rung that it came to, the mean over rounds."""
        found = {}
        for leg, score in self.scores.items():
            if leg.family == family and score not in (RUNNING, None):
                found.setdefault(leg.number, {}).setdefault(leg.epochs, []).append(score)
        return {number: _mean(by[max(by)]) for number, by in found.items()}

    @_remembered
    def champion(self, family):
        """The number of a family's best configuration and its mean score over whole runs; None if there is none."""
        whole = self._whole_runs(family)
        best = max(whole, key=lambda number: (*_standing(number, whole), len(whole[number]), -number), default=None)
        return None if best is None else (best, _mean(whole[best].values()))

    @_remembered
    def _whole_runs(self, family):
        """Of each configuration of a family the scores of its whole runs by round."""
        found = {}
        for leg, score in self.scores.items():
            if leg.family == family and score not in (RUNNING, None) and self._is_whole(leg, score):
                found.setdefault(leg.number, {})[leg.round] = score
        return found

    def _champions_runs(self, families):
        """Of each family the scores of its champion's whole runs by round."""
        return {family: self._whole_runs(family)[self.champion(family)[0]] for family in families}

    @_remembered
    def dropped(self):
        """Whom paired evidence has put out of the race: for each the leader and the interval's upper end."""
        out = {}
        for kind in self._contested():
            leader, *others = self._by_promise(kind)
            pairs = {family: self._pairs(family, leader) for family in others}
            noise, freedom = self._noise()
            for family, differences in pairs.items():
                if len(differences) < 2 or not freedom:
                    continue
                # As many comparisons as there are rivals share the risk.
                factor = _t_factor(freedom, comparisons=len(others))
                upper = _mean(differences) + factor * noise / math.sqrt(len(differences))
                if upper < 0:
                    out[family] = (leader, upper)
        return out

    def finalists(self):
        """The families to be retrained: of each kind the most promising two, and the controls; in the given order."""
        chosen = {family for family, kind in self.kinds.items() if kind == "control" and self.champion(family)}
        out = self.dropped()
        for kind in self._contested():
            chosen.update([family for family in self._by_promise(kind) if family not in out][:FINALISTS])
        return [family for family in self.kinds if family in chosen]

    def spent(self):
        """Epochs that were run, or are running."""
        return self._epochs(self.scores)

    def _next_of_race(self):
        turns = [kind for kind in self._contested() if self._alive(kind)]
        if self.rules.only_start or not turns or self._nothing_is_open(turns):
            return OVER
        open_rounds = [self._next_of_round(family, self._last_round(family)) for family in self.kinds]
        for leg in open_rounds:
            if isinstance(leg, Leg):
                return leg
        # What is running will go on to the end of its round.
        promised = sum(self._cost_of_round() for leg in open_rounds if leg is RUNNING)
        if self._spent_in_ended_rounds() + promised + self._cost_of_round() <= self.rules.budget:
            for kind in sorted(turns, key=lambda kind: (self._spent_on(kind), turns.index(kind))):
                for family in sorted(self._alive(kind), key=self._hope, reverse=True):
                    if self._next_of_round(family, self._last_round(family)) is None:
                        return self._next_of_round(family, self._last_round(family) + 1)
        return WAIT if RUNNING in open_rounds else OVER

    def _next_of_round(self, family, number):
        """The next leg of a family's round; `RUNNING` while legs must end first; None when the round is over."""
        entrants = self._entrants(family, number)
        for rung in self.rules.rungs:
            legs = [Leg(family, entrant, number, rung) for entrant in entrants]
            for leg in legs:
                if leg not in self.scores:
                    return leg
            if any(self.scores[leg] is RUNNING for leg in legs):
                return RUNNING
            standing = [leg for leg in legs if self.scores[leg] is not None]
            if not standing or self._solved(max(self.scores[leg] for leg in standing)):
                return None
            standing.sort(key=lambda leg: -self.scores[leg])
            entrants = [leg.number for leg in standing[: math.ceil(len(legs) / THIRD)]]
        return None

    def _entrants(self, family, number):
        if number == 0:
            return list(range(self.rules.openers))
        already = [leg.number for leg in self.scores if leg.family == family and leg.round == number]
        if already:
            return sorted(set(already), key=already.index) if len(set(already)) > 1 else self._pair(family, already[0])
        return self._pair(family, self.champion(family)[0])

    def _pair(self, family, first):
        """A champion and the next configuration that has not been tried."""
        tried = [leg.number for leg in self.scores if leg.family == family]
        return [first, max(tried) + 1]

    def _is_whole(self, leg, score):
        return leg.epochs == self.rules.whole or self._solved(score)

    def _solved(self, score):
        return score is not None and self.rules.solved is not None and score >= self.rules.solved

    def _last_round(self, family):
        return max(leg.round for leg in self.scores if leg.family == family)

    def _contested(self):
        """Kinds with a family that finished a whole run, but for controls."""
        kinds = [kind for family, kind in self.kinds.items() if kind != "control" and self.champion(family)]
        return sorted(set(kinds), key=kinds.index)

    @_remembered
    def _by_promise(self, kind):
        """A kind's families that have a champion, the best first; of equals the one that is named first."""
        return self._ranked([family for family, own in self.kinds.items() if own == kind and self.champion(family)])

    def _ranked(self, families):
        runs = self._champions_runs(families)
        return sorted(families, key=lambda family: _standing(family, runs), reverse=True)

    def _alive(self, kind):
        out = self.dropped()
        return [family for family in self._by_promise(kind) if family not in out]

    def _pairs(self, family, leader):
        """Differences of whole runs on the same seed."""
        own, other = self.rounds(family), self.rounds(leader)
        both = [number for number in sorted(own) if own[number] is not None and other.get(number) is not None]
        return [own[number] - other[number] for number in both]

    @_remembered
    def _noise(self):
        """The spread of paired differences from a leader, pooled over all families, and its degrees of freedom."""
        squares = freedom = 0
        for kind in self._contested():
            leader, *others = self._by_promise(kind)
            for family in others:
                differences = self._pairs(family, leader)
                squares += spread(differences) ** 2 * (len(differences) - 1) if differences else 0
                freedom += max(0, len(differences) - 1)
        return max(math.sqrt(squares / freedom) if freedom else 0.0, self._least_noise), freedom

    @property
    def _least_noise(self):
        """The spread that rounding alone gives to a difference of two scores."""
        return least_spread(self.rules.step)

    def _hope(self, family):
        """How far a family's champion could be ahead of its kind's leader: less is known of one seen less often."""
        scores = [score for score in self.rounds(family).values() if score is not None]
        noise, _ = self._noise()
        leader, *_ = self._by_promise(self.kinds[family])
        runs = self._champions_runs({family, leader})
        return _lead(runs[family], runs[leader]) + noise / math.sqrt(len(scores))

    def _spent_in_ended_rounds(self):
        ended = {family for family in self.kinds if self._next_of_round(family, self._last_round(family)) is None}
        legs = [leg for leg in self.scores if leg.family in ended or leg.round < self._last_round(leg.family)]
        return self._epochs(legs)

    def _epochs(self, legs):
        """Epochs of some legs: each goes on from the rung before."""
        return sum(
            leg.epochs - max((rung for rung in self.rules.rungs if rung < leg.epochs), default=0) for leg in legs
        )

    def _spent_on(self, kind):
        """Epochs that a kind had after the start."""
        return self._epochs(leg for leg in self.scores if self.kinds[leg.family] == kind and leg.round > 0)

    def _cost_of_round(self):
        first, *later = self.rules.rungs
        return 2 * first + (later[-1] - first if later else 0)

    def _nothing_is_open(self, kinds):
        """Whether the best kind's leader is ahead of every other's beyond doubt."""
        best, *others = self._ranked([self._by_promise(kind)[0] for kind in kinds])
        for other in others:
            differences = self._pairs(other, best)
            if len(differences) < CERTAIN:
                return False
            noise = max(spread(differences), self._least_noise)
            factor = _t_factor(len(differences) - 1, comparisons=len(others))
            if _mean(differences) + factor * noise / math.sqrt(len(differences)) >= 0:
                return False
        return bool(others)


def _lead(own, other):
    """How far one's whole runs, scores by round, are ahead of another's: on the seeds of both, if there are any."""
    both = own.keys() & other.keys()
    if both:
        return math.fsum(own[number] - other[number] for number in both) / len(both)
    return _mean(own.values()) - _mean(other.values())


def _standing(name, runs):
    """How many of the others one beats, and of equals the mean of its whole runs. `runs`: scores by round, by name."""
    beaten = sum(_lead(runs[name], runs[other]) > 0 for other in runs if other != name)
    return beaten, _mean(runs[name].values())


def _mean(values):
    return math.fsum(values) / len(values)


@functools.lru_cache
def _t_factor(freedom, comparisons):
    """How many standard errors reach from a mean to the ends of its 95 % interval, if so many share the risk."""
    from scipy import stats

    return float(stats.t.ppf(0.5 + CONFIDENCE / 2 + (1 - CONFIDENCE) / 2 * (1 - 1 / comparisons), freedom))
