"""The race as a keras-tuner oracle, and the tuner that runs its legs: keras-tuner's own loop, chief and workers.

The oracle keeps no files: what keras-tuner writes in place a kill can break. The journal has every finished leg, and
the race is a function of them.
"""

import math
import tempfile

import keras_tuner
from keras_tuner.engine import base_tuner
from keras_tuner.engine.trial import TrialStatus

from tuning import proposals
from tuning.racing import OVER, WAIT, Leg

#: What a leg is called among a trial's values.
LEG = ("tuning/number", "tuning/round", "tuning/epochs")
IDLE_SECONDS = 0.5


class FamilyOracle(keras_tuner.Oracle):
    """Shares trials out among families as a race says.

    Args:
        race: a `tuning.racing.Race`.
        families: the `tuning.families.Family` that take part.
        task: a `tuning.task.Task`.
        proposer: what proposes within a family: see `tuning.proposals.propose`.
        seed: what the proposals are drawn from.
    """

    def __init__(self, race, families, task, proposer, seed):
        super().__init__(
            objective=proposals.OBJECTIVE,
            hyperparameters=_space(families),
            seed=seed + 1,
            # A failure is recorded; it neither comes again nor ends the search.
            max_consecutive_failed_trials=math.inf,
        )
        self.verbose = 0
        self.race = race
        self.families = {family.name: family for family in families}
        self.task = task
        self.proposer = proposer
        self.proposed = {}

    def populate_space(self, trial_id):
        leg = self.race.next()
        if leg in (OVER, WAIT):
            return {"status": TrialStatus.STOPPED if leg == OVER else TrialStatus.IDLE}
        self.race.start(leg)
        values = {**self._propose(leg), **dict(zip(LEG, (leg.number, leg.round, leg.epochs), strict=True))}
        return {"status": TrialStatus.RUNNING, "values": values}

    @keras_tuner.synchronized
    def end_trial(self, trial):
        super().end_trial(trial)
        ended = self.trials[trial.trial_id]
        if ended.status in (TrialStatus.COMPLETED, TrialStatus.FAILED):
            leg, _ = read(ended.hyperparameters.values)
            self.race.end(leg, ended.score if ended.status == TrialStatus.COMPLETED else None)

    def save(self):
        pass

    def _save_trial(self, trial):
        pass

    def _propose(self, leg):
        """The leg's values: proposed once for a configuration."""
        key = leg.family, leg.number
        if key not in self.proposed:
            scored = [
                (self.proposed[leg.family, number], score)
                for number, score in self.race.best_by_number(leg.family).items()
                if (leg.family, number) in self.proposed
            ]
            family = self.families[leg.family]
            self.proposed[key] = proposals.propose(self.proposer, family, self.task, self.seed - 1, leg.number, scored)
        return self.proposed[key]


class FamilyTuner(base_tuner.BaseTuner):
    """Runs the legs of a race.

    Args:
        run: a function from a `Leg` and its values to a `tuning.journal.Run`, which may be an old one.
        oracle: a `FamilyOracle`.
    """

    def __init__(self, run, oracle, **kwargs):
        super().__init__(oracle=oracle, **kwargs)
        self.run = run

    def run_trial(self, trial):
        run = self.run(*read(trial.hyperparameters.values))
        if run.failure is not None:
            raise keras_tuner.errors.FailedTrialError(run.failure)
        return {proposals.OBJECTIVE.name: run.valid}

    def save(self):
        pass


def _space(families):
    """What keras-tuner knows of the space: who takes part. Of names that stand in several scopes, such as
    `learning_rate`, it would forget the values; `tuning.proposals` declares a family's on their own.
    """
    hp = keras_tuner.HyperParameters()
    hp.Choice("mixer", [family.name for family in families])
    return hp


def read(values):
    """The leg that a trial's values stand for, and the rest of them."""
    leg = Leg(values["mixer"], *(values[name] for name in LEG))
    return leg, {name: value for name, value in values.items() if name not in LEG}


def search(oracle, run):
    """Runs a race to its end. `run`: see `FamilyTuner`."""
    with tempfile.TemporaryDirectory() as directory:
        FamilyTuner(run, oracle, directory=directory, project_name="search").search()
