"""Do searches decide rightly? Thousands of them, replayed: the race asks, and the table of known answers tells.

    python benchmarks/replay.py [--table FILE] [--tasks recall parity ...] [--seeds 100]

The table, which `benchmarks/known_answers.py run` computes, has for each family and each of three learning rates a run
on each of five seeds, with its validation score after every epoch and its test score. A search over that grid needs no
training. What `tuning.racing` wants to run is read from there, up to its rung; the champions' runs on other seeds are
its finals, and `tuning.decide` says the verdict. It is the code that searches run, with the task's own budget, rungs
and finals.

**What is right** is what `tuning.decide` says of the whole grid, each family at the rate that is best by validation on
all five seeds, as `known_answers.py report` does. Where that says nothing, as the difference is beyond the margin and
not shown, the task is open: of it only compute and regret are told. *Right* is a search that says the same; *right or
fair* also one that chose a kind where the truth is that no difference matters, if that kind's best is no more than the
margin behind. A search may say nothing (*no verdict*); what is neither is *wrong*.

**A master seed** shuffles the five seeds, two for rounds and three for finals, so that no final was seen in a round,
and the order in which a family's rates are tried, the task's first one always first. More does not vary: there are
twenty ways to take two of five seeds in order, so that a hundred master seeds are about twenty different races.

**The others** are keras-tuner's oracles for random search, Hyperband (factor 3) and Bayesian optimisation, over one
flat space of family and learning rate. They go on until they have spent the epochs that the race spent in its rounds,
the last run to its end. Then they get the same finals: the best two families of each kind that they saw run to the
end, and the controls, on the same three seeds. Once they have tried the whole grid on a seed they begin anew on the
next. The Bayesian one has keras-tuner's Gaussian process and bound, maximised over the points that are not tried yet
instead of by fifty climbs, and two restarts of the fit instead of twenty: it repeats nothing and takes less time.

**Regret** is the mean test score, over all five seeds, of the best of the grid by just that score, less the same of
what the search would hand over. It is never below zero.

**What replays leave out.** All that is searched besides the learning rate (options of mixers, dropout), and rates
between the three. A race's later configurations are rates that it knows, on new seeds: what the champion meets is one
of the two others. There are two seeds for rounds: a third round, which only races come to whose families are done at
the first rung, sees the first seed again (*seeds again* says how often). The seeds are of weights and of the order of
examples: the data are the same for all five, while searches with other master seeds draw other data. Truth and finals
share runs: of the five seeds that tell the truth three judge the finals, so that searches agree with it more than with
fresh runs. A run that failed counts as failed from its first rung on, and as long as a whole one. Wall time is not
told, epochs are.
"""

import argparse
import collections
import dataclasses
import functools
import itertools
import os
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_tuner
import known_answers
import numpy as np
from keras_tuner.engine.trial import TrialStatus
from sklearn.exceptions import ConvergenceWarning

from tuning import decide, families, measures, proposals, session, tasks
from tuning.racing import FINALISTS, OVER, Race
from tuning.seeds import derive

SIZE = 1.0
SEEDS, _ = known_answers.PLAN[SIZE]


@dataclasses.dataclass(frozen=True)
class Grid:
    """The runs of a task at its size: see `grid`.

    Args:
        task: a `tuning.Task`.
        kinds: the kind of each family, by name, in the task's order.
        runs: the lines of the table by family, learning rate and seed.
        step: the smallest difference that two validation scores can have.
    """

    task: object
    kinds: dict
    runs: dict
    step: float

    def score(self, family, rate, seed, epochs):
        """The validation score after so many epochs, or where the run stopped before; None if it failed."""
        line = self.runs[family, rate, seed]
        if "failure" in line:
            return None
        return line["valid"] if epochs >= len(line["curve"]) else line["curve"][epochs - 1]

    def epochs(self, family, rate, seed, until=None, since=0):
        """How many epochs were run between two of them; a run that stopped early has no more."""
        line = self.runs[family, rate, seed]
        last = self.task.epochs if "failure" in line else len(line["curve"])
        return min(last, until or last) - min(last, since)

    def candidate(self, family, rate, seeds=range(SEEDS)):
        """A `tuning.decide.Candidate` of a family at a rate; None if one of its runs failed."""
        return known_answers.candidate([self.runs[family, rate, seed] for seed in seeds])

    @functools.cached_property
    def truth(self):
        """What `tuning.decide` says of all runs."""
        return decide.decide(self._best, self.task.margin)

    @functools.cached_property
    def _best(self):
        return known_answers.candidates(list(self.runs.values()), SIZE)

    def loss(self, kind):
        """How far the best of a kind is behind the best of all kinds in the test; None if it has none."""
        best = {each: decide.best_of(self._best, each) for each in known_answers.KINDS}
        means = {each: np.mean(candidate.test) for each, candidate in best.items() if candidate}
        return max(means.values()) - means[kind] if kind in means else None

    @functools.cached_property
    def whole(self):
        """The epochs of all runs."""
        return sum(self.epochs(*key) for key in self.runs)

    @functools.cached_property
    def quality(self):
        """The mean test score of each family at each rate, the best first; of one that failed on a seed none."""
        found = {pair: self.candidate(*pair) for pair in dict.fromkeys(key[:2] for key in self.runs)}
        means = {key: float(np.mean(candidate.test)) for key, candidate in found.items() if candidate}
        return dict(sorted(means.items(), key=lambda pair: -pair[1]))

    def regret(self, choice):
        """How much worse than the best a family at a rate is; as much as the worst, if nothing was chosen."""
        scores = list(self.quality.values())
        return scores[0] - self.quality.get(choice, scores[-1])


def grid(task, lines, step):
    """The `Grid` of a task.

    Args:
        task: a `tuning.Task`.
        lines: those of the table that are about it.
        step: the smallest difference that two validation scores can have.

    Raises:
        ValueError: if a run is missing, with how many are.
    """
    kinds = {family.name: family.kind for family in families.make_all(task.mixers)}
    wanted = list(itertools.product(kinds, task.learning_rates, range(SEEDS)))
    there = {(line["family"], line["learning_rate"], line["seed"]): line for line in lines if line["size"] == SIZE}
    missing = [key for key in wanted if key not in there]
    if missing:
        family, rate, seed = missing[0]
        raise ValueError(
            f"A replay needs all {len(wanted)} runs of {task.name} at its size: every family, rate and seed. "
            f"Received: {len(wanted) - len(missing)}; missing is {family} at {rate:g} on seed {seed}"
            + (f" and {len(missing) - 1} more" if missing[1:] else "")
        )
    return Grid(task, kinds, {key: there[key] for key in wanted}, step)


@dataclasses.dataclass(frozen=True)
class Seeds:
    """Which of the table's seeds are for what: see `shuffle`."""

    rounds: tuple
    finals: tuple


def shuffle(task, numbers):
    """The table's seeds in an order of their own: as many for finals as the task has, the others for rounds."""
    order = numbers.permutation(SEEDS).tolist()
    return Seeds(tuple(order[task.seeds :]), tuple(order[: task.seeds]))


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What came of the rounds of a search.

    Args:
        finalists: the learning rate of each family that comes to the finals, by name.
        spent: epochs.
        again: whether a round saw a seed that an earlier one had seen.
    """

    finalists: dict
    spent: int
    again: bool = False


def race(grid, seeds, numbers):
    """The rounds of `tuning.racing`.

    Args:
        grid: a `Grid`.
        seeds: a `Seeds`.
        numbers: a `numpy.random.Generator`.

    Returns:
        A `Chosen`.
    """
    # Finals are held by `finish`, for all searches alike.
    rules = dataclasses.replace(session.rules(grid.task, len(grid.kinds), grid.step), seeds=0)
    search, rates, spent, last = Race(grid.kinds, rules), _Rates(grid, numbers), 0, 0
    while (leg := search.next()) != OVER:
        run = leg.family, rates.get(leg, search), seeds.rounds[leg.round % len(seeds.rounds)]
        before = max((rung for rung in rules.rungs if rung < leg.epochs), default=0)
        spent += grid.epochs(*run, leg.epochs, before)
        last = max(last, leg.round)
        search.end(leg, grid.score(*run, leg.epochs))
    finalists = {family: rates.of[family, search.champion(family)[0]] for family in search.finalists()}
    return Chosen(finalists, spent, last >= len(seeds.rounds))


class _Rates:
    """The learning rate of each configuration of a race: `of`, by family and number."""

    def __init__(self, grid, numbers):
        self.all = grid.task.learning_rates
        self.numbers = numbers
        low, first, high = self.all
        openings = {family: [first, *numbers.permutation([low, high]).tolist()] for family in grid.kinds}
        self.of = {(family, number): rate for family, row in openings.items() for number, rate in enumerate(row)}

    def get(self, leg, search):
        if (leg.family, leg.number) not in self.of:
            champion, _ = search.champion(leg.family)
            others = [rate for rate in self.all if rate != self.of[leg.family, champion]]
            self.of[leg.family, leg.number] = others[self.numbers.integers(len(others))]
        return self.of[leg.family, leg.number]


def flat(oracle_class, grid, seeds, numbers, budget, **options):
    """The trials of a keras-tuner oracle over one space of family and learning rate.

    Args:
        oracle_class: its class.
        grid, seeds, numbers: as for `race`.
        budget: epochs; the run in which they are spent comes to its end.
        **options: of the oracle.

    Returns:
        A `Chosen`.
    """
    scores, spent = collections.defaultdict(list), 0
    for seed in seeds.rounds:
        if spent >= budget:
            break
        # A failure is told; it does not end the search.
        options = {**options, "max_consecutive_failed_trials": None}
        oracle = proposals.make_oracle(oracle_class, _space(grid), int(numbers.integers(2**31)), **options)
        for number in itertools.count():
            trial = oracle.create_trial(str(number)) if spent < budget else None
            if trial is None or trial.status != TrialStatus.RUNNING:
                break
            values = trial.hyperparameters.values
            run = values["family"], values["learning_rate"], seed
            # A Hyperband says so; the others run to the end.
            until, since = values.get("tuner/epochs", grid.task.epochs), values.get("tuner/initial_epoch", 0)
            spent += grid.epochs(*run, until, since)
            score = grid.score(*run, until)
            if score is not None and until == grid.task.epochs:
                scores[run[:2]].append(score)
            _end(oracle, trial, score)
    return Chosen(_best_of_kinds(grid, scores), spent)


def _space(grid):
    hp = keras_tuner.HyperParameters()
    hp.Choice("family", list(grid.kinds))
    hp.Choice("learning_rate", list(grid.task.learning_rates))
    return hp


def _end(oracle, trial, score):
    if score is not None:
        oracle.update_trial(trial.trial_id, {proposals.OBJECTIVE.name: score})
    trial.status = TrialStatus.FAILED if score is None else TrialStatus.COMPLETED
    oracle.end_trial(trial)


def _best_of_kinds(grid, scores):
    """The best rate of each family that is among the best of its kind, by mean score, and of each control."""
    means = {run: np.mean(found) for run, found in scores.items()}
    ranked = sorted(means, key=means.get, reverse=True)
    rates = {}
    for family, rate in ranked:
        rates.setdefault(family, rate)
    of_kind = {kind: [family for family in rates if grid.kinds[family] == kind] for kind in families.KINDS}
    most = {kind: None if kind == "control" else FINALISTS for kind in of_kind}
    return {family: rates[family] for kind, row in of_kind.items() for family in row[: most[kind]]}


class OnGrid(keras_tuner.oracles.BayesianOptimizationOracle):
    """keras-tuner's Gaussian process and bound, over the points of a small grid that are not tried yet."""

    def populate_space(self, trial_id):
        self.gpr.n_restarts_optimizer = 2
        new = [values for values in self._points() if not self._duplicate(values)]
        done = sum(trial.status == TrialStatus.COMPLETED for trial in self.trials.values())
        if not new or done < 3 * len(self.hyperparameters.space):
            return self._random_populate_space()
        with warnings.catch_warnings():
            # A length that lies at its bound, which in so small a space it often does.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.gpr.fit(*self._vectorize_trials())
        space = self.hyperparameters.space
        mean, deviation = self.gpr.predict(
            np.array([[hp.value_to_prob(values[hp.name]) for hp in space] for values in new]), return_std=True
        )
        # The lower the better: keras-tuner turns scores around.
        return {"status": TrialStatus.RUNNING, "values": new[int(np.argmin(mean - self.beta * deviation))]}

    def _points(self):
        space = self.hyperparameters.space
        return [
            dict(zip([hp.name for hp in space], point)) for point in itertools.product(*(hp.values for hp in space))
        ]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a search.

    Args:
        answer: of its verdict.
        right, fair: whether that is the truth; whether it is, or a choice that costs no more than the margin.
        spent: epochs in rounds, as a share of those of the whole grid.
        finals: the same of the finals.
        regret: see `Grid.regret`.
        again: see `Chosen`.
    """

    answer: str
    right: bool
    fair: bool
    spent: float
    finals: float
    regret: float
    again: bool


def finish(grid, seeds, chosen):
    """The `Outcome` of the finals of what was `Chosen`."""
    found = [grid.candidate(family, rate, seeds.finals) for family, rate in chosen.finalists.items()]
    epochs = sum(grid.epochs(*run, seed) for run in chosen.finalists.items() for seed in seeds.finals)
    verdict = decide.decide([each for each in found if each], grid.task.margin)
    choice = verdict.winner, chosen.finalists.get(verdict.winner)
    right = verdict.answer == grid.truth.answer
    loss = grid.loss(verdict.answer)
    fair = right or (grid.truth.answer == decide.NO_DIFFERENCE and loss is not None and loss <= grid.task.margin)
    shares = chosen.spent / grid.whole, epochs / grid.whole
    return Outcome(verdict.answer, right, fair, *shares, grid.regret(choice), chosen.again)


#: What the race is compared with: an oracle and its options, which may depend on the task.
OTHERS = {
    "random": lambda task: (keras_tuner.oracles.RandomSearchOracle, {}),
    "hyperband": lambda task: (
        keras_tuner.oracles.HyperbandOracle,
        # It has no end of its own.
        {"max_epochs": task.epochs, "hyperband_iterations": None},
    ),
    "bayesian": lambda task: (OnGrid, {}),
}
SEARCHES = ("race", *OTHERS)


def replay(grid, master):
    """The `Outcome` of each of `SEARCHES`, by name, with a master seed."""
    seeds = shuffle(grid.task, np.random.default_rng(derive(master, "seeds")))
    chosen = {"race": race(grid, seeds, np.random.default_rng(derive(master, "race")))}
    for name, make in OTHERS.items():
        oracle_class, options = make(grid.task)
        numbers = np.random.default_rng(derive(master, name))
        chosen[name] = flat(oracle_class, grid, seeds, numbers, chosen["race"].spent, **options)
    return {name: finish(grid, seeds, each) for name, each in chosen.items()}


def report(grids, masters):
    """Replays and prints: all tasks together, then each.

    Args:
        grids: a list of `Grid`.
        masters: how many master seeds.
    """
    found = {}
    for each in grids:
        outcomes = [replay(each, master) for master in range(masters)]
        found[each.task.name] = {name: [outcome[name] for outcome in outcomes] for name in SEARCHES}
    closed = [each.task.name for each in grids if each.truth.answer != decide.NO_VERDICT]
    print(f"Master seeds: {masters}. Tasks: {len(grids)}, open: {len(grids) - len(closed)}.\n")
    known_answers.print_table(HEAD[1:], [_row(found, list(found), closed, name)[1:] for name in SEARCHES])
    known_answers.print_table(("task", "truth", "because", "published"), map(_truth_row, grids))
    rows = [_row(found, [task], closed, name) for task in found for name in SEARCHES]
    known_answers.print_table(HEAD, rows)


HEAD = (
    "task",
    "search",
    "right",
    "right or fair",
    "no verdict",
    "wrong",
    "compute of rounds",
    "with finals",
    "mean regret",
    "worst regret",
    "seeds again",
)


def _row(found, names, closed, search):
    """What came of a search on some tasks, as cells; of right and wrong only where there is a truth."""
    mine = [outcome for name in names for outcome in found[name][search]]
    judged = [outcome for name in names if name in closed for outcome in found[name][search]]
    silent = [outcome.answer == decide.NO_VERDICT for outcome in judged]
    wrong = [not (outcome.fair or outcome.answer == decide.NO_VERDICT) for outcome in judged]
    shares = [[outcome.right for outcome in judged], [outcome.fair for outcome in judged], silent, wrong]
    shares += [[outcome.spent for outcome in mine], [outcome.spent + outcome.finals for outcome in mine]]
    regrets = [outcome.regret for outcome in mine]
    last = _percent([outcome.again for outcome in mine])
    return [", ".join(names), search, *map(_percent, shares), f"{np.mean(regrets):.3f}", f"{max(regrets):.3f}", last]


def _percent(values):
    return f"{100 * np.mean(values):.1f} %" if values else "open"


def _truth_row(grid):
    answer = "open" if grid.truth.answer == decide.NO_VERDICT else grid.truth.answer
    return grid.task.name, answer, grid.truth.reason, grid.task.answer or ""


def load(path, names):
    """The grids of the tasks that are whole, a list, and of the others why they are not, a list of texts."""
    lines, found, out = known_answers.read(path), [], []
    for name in names:
        task = tasks.get(name)
        mine, step = known_answers.of_task(lines, task), measures.step(task.data(0).valid, task.measure)
        try:
            found.append(grid(task, mine, step))
        except ValueError as error:
            out.append(str(error))
    return found, out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, default=known_answers.FILE, help="the file of runs")
    parser.add_argument("--tasks", nargs="+", choices=known_answers.NAMES, default=list(known_answers.NAMES))
    parser.add_argument("--seeds", type=int, default=100, help="how many master seeds, from 0")
    options = parser.parse_args()
    grids, out = load(options.table, options.tasks)
    if grids:
        report(grids, options.seeds)
    for why in out:
        print(f"Left out. {why}")


if __name__ == "__main__":
    main()
