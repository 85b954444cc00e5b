"""The runs of one search, one after another: each is done once, whatever happens in between."""

import dataclasses
import gc
import math
import time

import keras
import numpy as np

from tuning import oracle, spaces
from tuning.journal import Run, write_whole
from tuning.progress import Event
from tuning.racing import FINALISTS, Race, Rules
from tuning.result import FamilyResult
from tuning.seeds import derive
from tuning.training import Paused, Recipe, Workbench, latency, score

TRIAL, RETRAINING = "trial", "retraining"
#: The first rung is so much of a whole run.
FIRST_RUNG = 1 / 4
OPENERS = 3


class Session:
    """Searches and retrains families on one task.

    Args:
        task: a `tuning.task.Task`.
        data: its `tuning.task.Data`.
        journal: a `tuning.journal.Journal`.
        budget: a `tuning.budget.Budget`.
        seed: the master seed.
        families: the `tuning.families.Family` that take part.
        proposer: what proposes within a family: see `tuning.proposals.propose`.
        progress: what is told of each run, such as `tuning.progress.Silent`.
    """

    def __init__(self, task, data, journal, budget, seed, families, proposer, progress):
        self.task = task
        self.data = data
        self.journal = journal
        self.budget = budget
        self.seed = seed
        self.families = {family.name: family for family in families}
        self.race = Race({family.name: family.kind for family in families}, rules(task, len(families)))
        self.oracle = oracle.FamilyOracle(self.race, families, task, proposer, derive(seed, "proposals"))
        self.progress = progress
        self.bench = Workbench(task, data)
        self.runs = []

    def run(self):
        """The race, then its finalists on fresh seeds.

        Returns:
            A tuple with a `tuning.result.FamilyResult` for each family.
        """
        oracle.search(self.oracle, self._run_leg)
        finalists = self.race.finalists()
        for name in finalists:
            for number in range(self.task.seeds):
                self._do(self._blank(name, RETRAINING, number, number, self.task.epochs, self._champion_values(name)))
        self.bench.close()
        # Over many searches the memory of their graphs would grow.
        keras.utils.clear_session(free_memory=True)
        gc.collect()
        return tuple(self._collect(family) for family in self.families.values())

    def _run_leg(self, leg, values):
        run = self._do(self._blank(leg.family, TRIAL, leg.number, leg.round, leg.epochs, values))
        if leg.epochs == self.race.rules.whole or run.solved:
            self.journal.drop_states(leg.family, leg.round)
        return run

    def _blank(self, family, stage, number, round, epochs, values):
        # The seed is the same for all families, so that scores are paired; never the same for trials and retrainings.
        return Run(family, stage, number, round, epochs, derive(self.seed, stage, round), values)

    def _champion_values(self, name):
        number, _ = self.race.champion(name)
        return next(run.values for run in self.runs if (run.family, run.stage, run.number) == (name, TRIAL, number))

    def _do(self, blank):
        """The run from the journal, or done now and written there."""
        self._tell(blank)
        run = self.journal.find(blank)
        if run is None:
            run = self._attempt(blank)
            self.journal.add(run)
        self.runs.append(run)
        self._tell(blank, run.failure or f"{run.valid:.3f}")
        return run

    def _attempt(self, run):
        """The run with its scores, or with the cause why there are none."""
        start = time.perf_counter()
        try:
            run = self._train(run)
        except Exception as error:
            # Whatever it is, it is this trial's: the others go on.
            cause = " ".join(f"{type(error).__name__}: {error}".split())
            run = dataclasses.replace(run, failure=cause[:500])
        return dataclasses.replace(run, wall=time.perf_counter() - start)

    def _train(self, run):
        mixer = spaces.realise(self.families[run.family], run.values)
        width, parameters = self.budget.solve(mixer)
        made = Recipe(mixer, width, run.values["dropout"], run.values["learning_rate"], run.seed)
        trained = self.bench.train(made, run.epochs, self._paused(run))
        run = dataclasses.replace(
            run,
            mixer=mixer,
            width=width,
            parameters=parameters,
            valid=trained.curve[-1],
            curve=trained.curve,
            seconds=trained.seconds,
            epoch_seconds=trained.epoch_seconds,
            solved=trained.solved,
        )
        if run.stage == RETRAINING:
            return self._judge(trained.model, run)
        if run.epochs < self.task.epochs and not run.solved:
            self.journal.keep_state(run, trained.state)
        return run

    def _paused(self, run):
        """Where the run's configuration stopped at the rung before; None to begin."""
        before = [
            other
            for other in self.runs
            if (*other.key[:4], other.seed) == (*run.key[:4], run.seed) and other.epochs < run.epochs
        ]
        for other in sorted(before, key=lambda other: -other.epochs):
            state = self.journal.state(other)
            if state is not None:
                return Paused(other.curve, other.epoch_seconds, state)
        return None

    def _judge(self, model, run):
        """A retraining's test score and latency; its weights are kept."""
        with write_whole(self.journal.weights(run)) as part, open(part, "wb") as file:
            np.savez(file, *model.get_weights())
        test = score(model, self.data.test, self.task.measure)
        return dataclasses.replace(run, test=test, latency=latency(model, self.data.test))

    def _collect(self, family):
        runs = {
            stage: tuple(run for run in self.runs if (run.family, run.stage) == (family.name, stage))
            for stage in (TRIAL, RETRAINING)
        }
        return FamilyResult(family.name, family.kind, runs[TRIAL], runs[RETRAINING], self._fate(family.name))

    def _fate(self, name):
        """What became of a family that was not retrained, in words; empty for the others."""
        if name in self.race.finalists():
            return ""
        if not self.race.champion(name):
            return "no run came to its end"
        if name in self.race.dropped():
            leader, upper = self.race.dropped()[name]
            return f"dropped: behind {leader} on the same seeds, by {-upper:.3f} at least"
        return "not retrained: others of its kind did better in validation"

    def _tell(self, run, outcome=None):
        scores = [(other.valid, other.family) for other in self.runs if other.valid is not None]
        retraining = [other for other in self.runs if other.stage == RETRAINING]
        coming = len(self.race.finalists()) if run.stage == RETRAINING else self._most_finalists()
        spent = self.race.spent() if run.stage == TRIAL else self.race.rules.budget
        done = spent + len(retraining) * self.task.epochs
        total = max(self.race.rules.budget, spent) + coming * self.task.seeds * self.task.epochs
        wall = math.fsum(other.wall for other in self.runs)
        left = (total - done) * wall / done if wall else None
        best = max(scores, default=None, key=lambda pair: pair[0])
        self.progress.update(Event(done, total, run.family, _describe(run, self.task), best, left, outcome))

    def _most_finalists(self):
        kinds = [family.kind for family in self.families.values()]
        real = sum(min(FINALISTS, kinds.count(kind)) for kind in {*kinds} - {"control"})
        return real + kinds.count("control")


def rules(task, families):
    """The `Rules` of a task's race: on average so many whole runs for each family as the task has trials."""
    first = max(1, math.floor(task.epochs * FIRST_RUNG))
    rungs = (first, task.epochs) if first < task.epochs else (task.epochs,)
    openers = OPENERS if task.trials > 1 and len(rungs) > 1 else 1
    return Rules(rungs, openers, task.trials * families * task.epochs, task.solved)


def _describe(run, task):
    if run.stage == RETRAINING:
        return f"retraining {run.number + 1} of {task.seeds}"
    return f"trial {run.number + 1}, seed {run.round + 1}, epoch {run.epochs} of {task.epochs}"
