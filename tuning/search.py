"""A family's search: keras-tuner proposes, the journal remembers."""

import tempfile

import keras_tuner
from keras_tuner.engine import base_tuner

from tuning import spaces

OBJECTIVE = keras_tuner.Objective("score", "max")


class DefaultFirst(keras_tuner.oracles.RandomSearchOracle):
    """Random search whose first trial takes the defaults, so that few trials are not all unlucky.

    It keeps no files: what keras-tuner writes in place a kill can break, and the journal has it already.
    """

    def populate_space(self, trial_id):
        if self.trials:
            return super().populate_space(trial_id)
        values = dict(self.hyperparameters.values)
        self._tried_so_far.add(self._compute_values_hash(values))
        return {"status": "RUNNING", "values": values}

    def save(self):
        pass

    def _save_trial(self, trial):
        pass


class FamilyTuner(base_tuner.BaseTuner):
    """Runs the trials of one family.

    Args:
        run: a function from a trial's number and values to a `tuning.journal.Run`, which may be an old one.
    """

    def __init__(self, run, **kwargs):
        super().__init__(**kwargs)
        self.run = run

    def run_trial(self, trial):
        run = self.run(int(trial.trial_id), dict(trial.hyperparameters.values))
        if run.failure is not None:
            raise keras_tuner.errors.FailedTrialError(run.failure)
        return {OBJECTIVE.name: run.valid}

    def save(self):
        pass


def search(family, task, trials, seed, run):
    """Runs a family's trials.

    Args:
        family: a `tuning.families.Family`.
        task: a `tuning.task.Task`.
        trials: how many.
        seed: what the proposals are drawn from. The same seed gives the same trials.
        run: see `FamilyTuner`.
    """
    hp = keras_tuner.HyperParameters()
    spaces.declare(hp, family, task)
    oracle = DefaultFirst(
        objective=OBJECTIVE,
        max_trials=trials,
        hyperparameters=hp,
        seed=seed,
        # A failure is recorded; it neither comes again nor ends the search.
        max_retries_per_trial=0,
        max_consecutive_failed_trials=trials + 1,
    )
    oracle.verbose = 0
    with tempfile.TemporaryDirectory() as directory:
        FamilyTuner(run, oracle=oracle, directory=directory, project_name="search").search()


def best(runs):
    """The best of a family's trials: by validation score, then the fewer parameters, then the earlier; or None."""
    finished = [run for run in runs if run.failure is None]
    return max(finished, key=lambda run: (run.valid, -run.parameters, -run.number), default=None)
