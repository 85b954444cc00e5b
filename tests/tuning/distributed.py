"""A chief or a worker, by keras-tuner's variables of the environment, for tests. Arguments: folder, what it does."""

import os
import sys
import time
from pathlib import Path

import keras_tuner
from keras_tuner.engine import base_tuner

from tuning.engine import SafeOracle, SafeTuner


class Oracle(SafeOracle, keras_tuner.oracles.RandomSearchOracle):
    pass


class Tuner(SafeTuner, base_tuner.BaseTuner):
    def run_trial(self, trial):
        """Writes down that it began, and takes a while, or fails, or dies for good."""
        begun = folder / f"{trial.trial_id}.{self.tuner_id}.{os.getpid()}.begun"
        begun.write_text("")
        if job == "fail":
            raise ValueError("nothing works here")
        if job == "die":
            os.kill(os.getpid(), 9)
        time.sleep(float(job))
        return {"score": trial.hyperparameters.values["gru/rate"]}


def space():
    hp = keras_tuner.HyperParameters()
    hp.Choice("mixer", ["gru"])
    with hp.conditional_scope("mixer", ["gru"]):
        hp.Float("gru/rate", 0.0, 1.0)
    return hp


if __name__ == "__main__":
    folder, job, trials = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    oracle = Oracle(
        objective=keras_tuner.Objective("score", "max"), max_trials=trials, hyperparameters=space(), seed=7, lease=3.0
    )
    oracle.verbose = 0
    Tuner(oracle=oracle, directory=folder, project_name="search", patience=180.0).search()
