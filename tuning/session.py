"""The runs of one search, one after another: each is done once, whatever happens in between."""

import dataclasses
import gc
import time

import keras
import numpy as np

from tuning import search, spaces
from tuning.journal import Run, write_whole
from tuning.progress import Event
from tuning.result import FamilyResult
from tuning.seeds import derive
from tuning.training import Recipe, Workbench, latency, score

TRIAL, RETRAINING = "trial", "retraining"


class Session:
    """Searches and retrains families on one task.

    Args:
        task: a `tuning.task.Task`.
        data: its `tuning.task.Data`.
        journal: a `tuning.journal.Journal`.
        budget: a `tuning.budget.Budget`.
        seed: the master seed.
        counts: how many runs each family has, by stage.
        families: how many families there are.
        progress: what is told of each run, such as `tuning.progress.Silent`.
    """

    def __init__(self, task, data, journal, budget, seed, counts, families, progress):
        self.task = task
        self.data = data
        self.journal = journal
        self.budget = budget
        self.seed = seed
        self.counts = counts
        self.total = families * sum(counts.values())
        self.progress = progress
        self.runs = []

    def run_family(self, family):
        """A family's search, then its best trial on fresh seeds.

        Returns:
            A `tuning.result.FamilyResult`.
        """
        bench = Workbench(self.task, self.data)
        trials = []

        def run_trial(number, values):
            trials.append(self._run(bench, family, TRIAL, number, values))
            return trials[-1]

        # Every family draws from the same seed.
        search.search(family, self.task, self.counts[TRIAL], derive(self.seed, "proposals"), run_trial)
        best = search.best(trials)
        retrainings = []
        if best is None:
            # They will not come: without this the count of what is left would be wrong.
            self.total -= self.counts[RETRAINING]
        else:
            for number in range(self.counts[RETRAINING]):
                retrainings.append(self._run(bench, family, RETRAINING, number, best.values))
        _free(bench)
        return FamilyResult(family.name, family.kind, tuple(trials), tuple(retrainings))

    def _run(self, bench, family, stage, number, values):
        """The run from the journal, or done now and written there."""
        self._tell(family, stage, number)
        run = self.journal.find(family.name, stage, number, values)
        if run is None:
            run = self._attempt(bench, family, Run(family.name, stage, number, self._seed(stage, number), values))
            self.journal.add(run)
        self.runs.append(run)
        self._tell(family, stage, number, run.failure or f"{run.valid:.3f}")
        return run

    def _attempt(self, bench, family, run):
        """The run with its scores, or with the cause why there are none."""
        start = time.perf_counter()
        try:
            run = self._train(bench, family, run)
        except Exception as error:
            # Whatever it is, it is this trial's: the others go on.
            cause = " ".join(f"{type(error).__name__}: {error}".split())
            run = dataclasses.replace(run, failure=cause[:500])
        return dataclasses.replace(run, wall=time.perf_counter() - start)

    def _train(self, bench, family, run):
        mixer = spaces.realise(family, run.values)
        width, parameters = self.budget.solve(mixer)
        made = Recipe(mixer, width, run.values["dropout"], run.values["learning_rate"], run.seed)
        trained = bench.train(made)
        run = dataclasses.replace(
            run,
            mixer=mixer,
            width=width,
            parameters=parameters,
            valid=trained.curve[-1],
            curve=trained.curve,
            seconds=trained.seconds,
            solved=trained.solved,
        )
        return run if run.stage == TRIAL else self._judge(trained.model, run)

    def _judge(self, model, run):
        """A retraining's test score and latency; its weights are kept."""
        with write_whole(self.journal.weights(run.family, run.number)) as part:
            np.savez(part, *model.get_weights())
        test = score(model, self.data.test, self.task.measure)
        return dataclasses.replace(run, test=test, latency=latency(model, self.data.test))

    def _seed(self, stage, number):
        # The same for all families, so that scores are paired; never the same for trials and retrainings.
        return derive(self.seed, stage, number)

    def _tell(self, family, stage, number, outcome=None):
        scores = [(run.valid, run.family) for run in self.runs if run.valid is not None]
        walls = [run.wall for run in self.runs]
        left = (self.total - len(walls)) * sum(walls) / len(walls) if walls else None
        count = self.counts[stage]
        best = max(scores, default=None, key=lambda pair: pair[0])
        self.progress.update(Event(len(walls), self.total, family.name, stage, number + 1, count, best, left, outcome))


def _free(bench):
    """Gives back the memory of a family's graphs; over many trials it would grow."""
    bench.close()
    keras.utils.clear_session(free_memory=True)
    gc.collect()
