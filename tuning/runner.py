"""Runs done one by one, wherever: in the process of the search, or in another that shares its folder."""

import dataclasses
import functools
import json
import time
from pathlib import Path

import numpy as np

from tuning import measures, recreate
from tuning.isolation import cause
from tuning.journal import DATA, TASK, Files, SearchFolderError, load_run, write_json, write_whole
from tuning.racing import RETRAINING
from tuning.state import told
from tuning.training import Paused, Recipe, Workbench, answers, latency


class Runner:
    """Does the runs of one task.

    Args:
        task: a `tuning.task.Task`.
        data: its `tuning.task.Data`.
        files: a `tuning.journal.Files`, for weights and states of paused runs.
    """

    def __init__(self, task, data, files):
        self.task = task
        self.data = data
        self.files = files
        self.bench = Workbench(task, data)

    def do(self, run, before=()):
        """A run with its scores, or with the cause why there are none.

        Args:
            run: a `Run` that says what is to be done: its mixer, width, values, seed and epochs.
            before: the same configuration's runs up to lower rungs, on the same seed.
        """
        start = time.perf_counter()
        paused = self._paused(before)
        try:
            run, trained = self._train(run, paused)
        except Exception as error:
            # Whatever it is, it is this trial's: the others go on.
            return dataclasses.replace(run, failure=cause(error), wall=time.perf_counter() - start)
        # What the disk does is not: the search stops, and goes on when there is room.
        with told(self.files.folder):
            self._keep(run, trained)
        return dataclasses.replace(run, wall=time.perf_counter() - start)

    def _train(self, run, paused):
        made = Recipe(run.mixer, run.width, run.values["dropout"], run.values["learning_rate"], run.seed)
        trained = self.bench.train(made, run.epochs, paused)
        run = dataclasses.replace(
            run,
            valid=trained.curve[-1],
            curve=trained.curve,
            seconds=trained.seconds,
            epoch_seconds=trained.epoch_seconds,
            solved=trained.solved,
        )
        return (self._judge(trained.model, run) if run.stage == RETRAINING else run), trained

    def _keep(self, run, trained):
        """A retraining's weights, or what a trial needs to go on."""
        if run.stage == RETRAINING:
            with write_whole(self.files.weights(run)) as part, open(part, "wb") as file:
                np.savez(file, *trained.model.get_weights())
        elif run.epochs < self.task.epochs and not run.solved:
            self.files.keep_state(run, trained.state)

    def _paused(self, before):
        """Where a configuration stopped at the highest rung whose state is there; None to begin."""
        for run in sorted(before, key=lambda run: -run.epochs):
            state = self.files.state(run)
            if state is not None:
                return Paused(run.curve, run.epoch_seconds, state)
        return None

    def _judge(self, model, run):
        """A retraining's test score and latency."""
        measure, test = self.task.measure, self.data.test
        outputs = answers(model, test)
        return dataclasses.replace(
            run,
            test=measures.score(measure, test, outputs),
            redrawn=measures.redrawn(measure, test, outputs),
            latency=latency(model, test),
        )


def hand_over(task, data, folder):
    """Writes what other processes make a task from.

    Raises:
        ValueError: if they could not: see `tuning.recreate.describe`.
    """
    # The data goes as arrays; how it was made stays here.
    description = recreate.describe(dataclasses.replace(task, data=_handed_over, truth=None, needs=""))
    recreate.save_arrays(data, folder / DATA)
    write_json(folder / TASK, description)


def _handed_over(seed):
    raise RuntimeError(f"The data lies in {DATA}; it is not made again.")


def run_here(folder, wanted, before):
    """Does one run in a process of its own, which keeps what it made for the next one.

    Args:
        folder: a search's, after `hand_over`.
        wanted: what is to be done, a `Run` as plain data.
        before: such runs that it may go on from.

    Returns:
        The `Run` as plain data; or, under "stop", why the search cannot go on.
    """
    try:
        return dataclasses.asdict(_runner(folder).do(load_run(wanted), [load_run(run) for run in before]))
    except SearchFolderError as error:
        return {"stop": str(error)}


@functools.cache
def _runner(folder):
    folder = Path(folder)
    task = recreate.make(json.loads((folder / TASK).read_text(encoding="utf-8")))
    data = recreate.load_arrays(folder / DATA)
    return Runner(task, data, Files(folder))
