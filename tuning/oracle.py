"""The race as a keras-tuner oracle, and the tuner that runs its legs: keras-tuner's own loop, chief and workers.

What keras-tuner keeps of trials is one state that a kill cannot break (`tuning.engine`); the race is made from it.
"""

import uuid

import keras_tuner
from keras_tuner.engine import base_tuner
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.src import config

from tuning import proposals
from tuning.engine import SafeOracle, SafeTuner, SearchFailed, synchronized
from tuning.racing import OVER, WAIT, Leg

#: The folder of the state, under a search's own.
STATE = "race"
#: What a leg is called among a trial's values.
LEG = ("tuning/number", "tuning/round", "tuning/epochs", "tuning/stage")


class FamilyOracle(SafeOracle, keras_tuner.Oracle):
    """Shares trials out among families as a race says.

    Args:
        race: a `tuning.racing.Race`.
        families: the `tuning.families.Family` that take part.
        task: a `tuning.task.Task`.
        proposer: what proposes within a family: see `tuning.proposals.propose`.
        seed: what the proposals are drawn from.
        order: the families' names, those that begin first; None for the given order.
        **kwargs: `lease`, `attempts` and `in_a_row` of `tuning.engine.SafeOracle`.
    """

    def __init__(self, race, families, task, proposer, seed, order=None, **kwargs):
        super().__init__(
            objective=proposals.OBJECTIVE,
            hyperparameters=_space(families),
            seed=seed + 1,
            # A failure is recorded; it does not end the search: a race that nobody finishes does.
            max_consecutive_failed_trials=None,
            **kwargs,
        )
        self.verbose = 0
        self.race = race
        self.families = {family.name: family for family in families}
        self.order = tuple(order or self.families)
        self.task = task
        self.proposer = proposer
        self.proposed = {}
        self._asking = None
        self._last = {}

    @synchronized
    def create_trial(self, tuner_id):
        self._asking = tuner_id
        trial = super().create_trial(tuner_id)
        if trial.status == TrialStatus.RUNNING:
            self._last[tuner_id] = trial.hyperparameters.values["mixer"]
        return trial

    def populate_space(self, trial_id):
        leg = self.race.next(self._preferred())
        if leg == OVER and not self.race.finalists():
            self.failure = f"No family came to the end of a run. The last failure: {self._last_failure()}"
        if leg in (OVER, WAIT):
            return {"status": TrialStatus.STOPPED if leg == OVER else TrialStatus.IDLE}
        values = {**self._propose(leg), **write(leg)}
        self.race.start(leg)
        return {"status": TrialStatus.RUNNING, "values": values}

    @synchronized
    def end_trial(self, trial):
        super().end_trial(trial)
        self._tell(self.trials[trial.trial_id])

    @synchronized
    def begin_again(self):
        """Gives back what was running when the search's process died, if all of it ran here.

        Returns:
            Those trials that began too often, and so have failed.
        """
        trials = list(self.ongoing_trials.values())
        for tuner_id in list(self.ongoing_trials):
            self._give_back(tuner_id, "its process died each time")
        return [trial for trial in trials if trial.status == TrialStatus.FAILED]

    @synchronized
    def run_again(self, lost):
        """Gives back trials whose results are lost."""
        for trial_id in lost:
            trial = self.trials[trial_id]
            trial.status, trial.metrics = TrialStatus.INVALID, Trial(trial.hyperparameters).metrics
            self.end_order.remove(trial_id)
            self._retry_queue.append(trial_id)
            self.race.start(read(trial.hyperparameters.values)[0])

    @synchronized
    def standing(self):
        """Epochs that were spent, and how many finalists there are so far."""
        return self.race.spent(), len(self.race.finalists())

    @synchronized
    def is_over(self):
        return self.failure is not None or self.race.next() == OVER

    def set_state(self, state):
        super().set_state(state)
        for trial_id in self.start_order:
            trial = self.trials[trial_id]
            leg, values = read(trial.hyperparameters.values)
            self.proposed[leg.family, leg.number] = values
            self.race.start(leg)
            self._tell(trial)

    def _preferred(self):
        """First the family that who asks ran last, whose graphs it has; then those that nobody else ran last."""
        others = {family for tuner_id, family in self._last.items() if tuner_id != self._asking}
        own = self._last.get(self._asking)
        return [own, *(family for family in self.order if family not in others)]

    def _give_back(self, tuner_id, why):
        trial = self.ongoing_trials[tuner_id]
        super()._give_back(tuner_id, why)
        self._tell(trial)

    def _tell(self, trial):
        """Tells the race of a trial that has ended."""
        leg, _ = read(trial.hyperparameters.values)
        if trial.status == TrialStatus.COMPLETED:
            self.race.end(leg, trial.score)
        elif trial.status == TrialStatus.FAILED:
            self.race.end(leg, None)

    def _propose(self, leg):
        """The leg's values: proposed once for a configuration."""
        key = leg.family, leg.number
        if key not in self.proposed:
            scores = self.race.best_by_number(leg.family)
            past = [(self.proposed[leg.family, number], scores.get(number)) for number in range(leg.number)]
            family, seed = self.families[leg.family], self.seed - 1
            self.proposed[key] = proposals.propose(self.proposer, family, self.task, seed, leg.number, past)
        return self.proposed[key]

    def _last_failure(self):
        failed = [self.trials[trial_id] for trial_id in self.end_order]
        messages = [trial.message for trial in failed if trial.status == TrialStatus.FAILED and trial.message]
        return describe_failure(messages[-1]) if messages else "none was told"


class FamilyTuner(SafeTuner, base_tuner.BaseTuner):
    """Runs the legs of a race.

    Args:
        run: a function from a `Leg` and its values to a `tuning.journal.Run`, which may be an old one.
        oracle: a `FamilyOracle`.
        directory: where the state is kept.
        name: what tells the tuners of one process apart; None for the only one.
    """

    def __init__(self, run, oracle, directory, name=None):
        super().__init__(oracle=oracle, directory=directory, project_name=STATE)
        self.run = run
        if name is not None:
            self.identity = f"{name}@{uuid.uuid4().hex}"

    def _try_run_and_update_trial(self, *args, **kwargs):
        # Of a failed trial keras-tuner would print the traceback; here it is told in a line, and is in the report.
        printing, config.DEBUG = config.DEBUG, False
        try:
            super()._try_run_and_update_trial(*args, **kwargs)
        finally:
            config.DEBUG = printing

    def run_trial(self, trial):
        try:
            run = self.run(*read(trial.hyperparameters.values))
        except Exception as error:
            # What a model does wrong is in its run. This is the folder's fault or ours: the trial is not over.
            raise SearchFailed(str(error) or type(error).__name__) from error
        if run.failure is not None:
            raise keras_tuner.errors.FailedTrialError(run.failure)
        return {proposals.OBJECTIVE.name: run.valid}


def describe_failure(message):
    """Of what keras-tuner keeps of a failure, a traceback, what was raised.

    Example:
    >>> describe_failure("keras_tuner.src.errors.FailedTrialError: ValueError: no")
    'ValueError: no'
    """
    last = message.strip().splitlines()[-1]
    return last.removeprefix("keras_tuner.src.errors.FailedTrialError: ")[:500]


def write(leg):
    """A leg as values of a trial."""
    return dict(zip(LEG, (leg.number, leg.round, leg.epochs, leg.stage), strict=True))


def read(values):
    """The leg that a trial's values stand for, and the rest of them."""
    leg = Leg(values["mixer"], *(values[name] for name in LEG))
    return leg, {name: value for name, value in values.items() if name not in LEG}


def _space(families):
    """What keras-tuner knows of the space: who takes part.

    Of names that stand in several scopes, such as `learning_rate`, it would forget the values; `tuning.proposals`
    declares a family's on their own.
    """
    hp = keras_tuner.HyperParameters()
    hp.Choice("mixer", [family.name for family in families])
    return hp
