"""keras-tuner's oracle and tuner without their known faults: two classes to put before its own.

    class Mine(SafeOracle, keras_tuner.oracles.BayesianOptimizationOracle): ...
    class Tuner(SafeTuner, keras_tuner.engine.base_tuner.BaseTuner): ...

Written against keras-tuner 1.4.8; each fault that is mended has a test that shows it in keras-tuner's own classes.
"""

import collections
import contextlib
import functools
import os
import threading
import time
import uuid

import keras_tuner
import numpy as np
from keras_tuner.engine import trial as trial_module

# Private, but there is no other way to give back a lock that keras-tuner keeps, nor to restore a grid.
from keras_tuner.src.engine import oracle as locks
from keras_tuner.src.tuners import gridsearch

from tuning import state
from tuning.journal import SearchFolderError

Status = trial_module.TrialStatus
#: Seconds until a process asks again, if there is no trial for it now.
WAIT = 1.0
#: How many signs of life a worker gives within a lease.
BEATS = 5


class SearchFailed(keras_tuner.errors.FatalError):
    """A search that cannot go on, with the reason; raised in every process that takes part."""


def synchronized(method):
    """As `keras_tuner.synchronized`, but an error gives the oracle's lock back, where keras-tuner keeps it for ever."""

    @functools.wraps(method)
    def locked(self, *args, **kwargs):
        name = threading.current_thread().name
        if locks.THREADS[self] == name:
            return method(self, *args, **kwargs)
        with locks.LOCKS[self]:
            locks.THREADS[self] = name
            try:
                return method(self, *args, **kwargs)
            finally:
                locks.THREADS[self] = None

    return locked


class SafeOracle:
    """An oracle that survives: put it before a `keras_tuner.Oracle`.

    - All of its state, the trials and the random numbers among it, is one file that is written whole, with a backup.
    - Who runs a trial must give a sign of life within its lease, or another gets it. After a restart of the chief the
      trials that were running still are.
    - A trial that began `attempts` times and never ended has failed; it does not come back for ever.
    - Failures in a row are counted for each family; when they are too many in every one, all processes are told why.
    - What comes of a trial that has ended already, from one who was thought dead, is left aside.

    Args:
        lease: seconds, above 0, within which a worker must give a sign of life.
        attempts: how often a trial may begin, at least 1; None for any number, where what kills a process is kept from
            this one.
        in_a_row: whether of a trial's beginnings only those count since another ended. Where one process runs all, a
            kill from outside mostly meets another trial than the one before; a trial that kills is met each time.
        family: the name of the hyperparameter, a `Choice`, whose values fail apart; None for all together.
        clock: a function that returns seconds, for tests.
        **kwargs: the oracle's; `max_consecutive_failed_trials` is the limit of each family.
    """

    def __init__(self, *args, lease=60.0, attempts=2, in_a_row=False, family=None, clock=time.monotonic, **kwargs):
        super().__init__(*args, **kwargs)
        self.lease = lease
        self.attempts = attempts
        self.in_a_row = in_a_row
        self.family = family
        self.clock = clock
        #: Why the search cannot go on; None if it can.
        self.failure = None
        #: Whether all workers of a chief know that it is over: one that starts again need not wait for them.
        self.told = False
        self._starts = collections.Counter()
        self._seen = {}
        self._write = _OneWrite(self)

    # Giving trials out

    @synchronized
    def create_trial(self, tuner_id):
        """A trial for a process: the `tuner_id` it was given, "@", and what no other process has."""
        self.reclaim()
        for other in [other for other in self.ongoing_trials if _is_earlier(other, tuner_id)]:
            self._give_back(other, "its process ended before it did")
        self._seen[tuner_id] = self.clock()
        if self.failure:
            return self._stop(tuner_id)
        # What was asked for before and never arrived: the chief may have died in between.
        known = tuner_id in self.ongoing_trials
        with self._write:
            trial = super().create_trial(tuner_id)
            if trial.status == Status.RUNNING and not known:
                self._starts[trial.trial_id] += 1
                self.save()
        if trial.status == Status.STOPPED:
            return self._stop(tuner_id, wait=bool(self.ongoing_trials))
        return trial

    @synchronized
    def update_trial(self, trial_id, metrics, step=0):
        """Takes what was measured. Without any metrics it is a sign of life."""
        trial = self.trials[trial_id]
        for tuner_id, ongoing in self.ongoing_trials.items():
            if ongoing is trial:
                self._seen[tuner_id] = self.clock()
        if metrics and self._is_ongoing(trial_id):
            super().update_trial(trial_id, metrics, step=step)
            self.save()
        return trial

    @synchronized
    def end_trial(self, trial):
        """Takes the end of a trial, the first time it ends."""
        if not self._is_ongoing(trial.trial_id) or not self._is_measured(trial):
            return
        trial.hyperparameters = _active(trial.hyperparameters)
        with self._write:
            super().end_trial(trial)
            if self.in_a_row:
                self._starts.clear()
            # Once more, now that it is no longer among those that run.
            self.save()

    @synchronized
    def release(self, trial_id):
        """Gives a trial back that was interrupted through no fault of its own."""
        for tuner_id, trial in list(self.ongoing_trials.items()):
            if trial.trial_id == trial_id:
                self._starts[trial_id] -= 1
                self._give_back(tuner_id, "it was interrupted")

    @synchronized
    def reclaim(self):
        """Gives back the trials of processes that gave no sign of life for a lease."""
        late = {tuner_id for tuner_id, seen in self._seen.items() if self.clock() - seen > self.lease}
        for tuner_id in late:
            del self._seen[tuner_id]
            self.tuner_ids.discard(tuner_id)
            if tuner_id in self.ongoing_trials:
                self._give_back(tuner_id, f"its process gave no sign of life for {self.lease:g} s")

    def living(self):
        """The processes that gave a sign of life within a lease and were not told yet that the search is over."""
        return set(self._seen)

    def is_over(self):
        """Whether there will be no more trials."""
        whole = self.max_trials is not None and len(self.trials) >= self.max_trials
        return self.failure is not None or (whole and not self.ongoing_trials and not self._retry_queue)

    def _stop(self, tuner_id, wait=False):
        """A trial that says that there is none, or none yet: a running one may still come back."""
        if wait:
            self.tuner_ids.add(tuner_id)
        else:
            self.tuner_ids.discard(tuner_id)
            self._seen.pop(tuner_id, None)
        status = Status.IDLE if wait else Status.STOPPED
        return trial_module.Trial(self.get_space(), trial_id="", status=status, message=self.failure)

    def _give_back(self, tuner_id, why):
        trial = self.ongoing_trials.pop(tuner_id)
        self._seen.pop(tuner_id, None)
        self.tuner_ids.discard(tuner_id)
        trial.message = f"Tried {self._starts[trial.trial_id]} times, and {why}."
        # What the next attempt measures must not be averaged with this one's.
        trial.metrics = trial_module.Trial(trial.hyperparameters).metrics
        if self.attempts is not None and self._starts[trial.trial_id] >= self.attempts:
            trial.status = Status.FAILED
            self.end_order.append(trial.trial_id)
            if hasattr(self, "_populate_next"):
                # A grid goes on from what has ended, however it did.
                self._populate_next.append(trial.trial_id)
            self._check_consecutive_failures()
        else:
            # Not running: the Bayesian oracle would look for a score.
            trial.status = Status.INVALID
            self._retry_queue.append(trial.trial_id)
        self.save()

    def _is_ongoing(self, trial_id):
        return any(trial.trial_id == trial_id for trial in self.ongoing_trials.values())

    def _is_measured(self, trial):
        """Whether a trial has what it needs to be complete; not, if it was given to another in between."""
        if trial.status != Status.COMPLETED:
            return True
        try:
            self._check_objective_found(self.trials[trial.trial_id].metrics.metrics)
        except ValueError:
            return False
        return True

    def _record_values(self, trial):
        # keras-tuner would drop a value whose name stands in two scopes, and draw a missing one from no seed.
        new, old = self._compute_values_hash(_active(trial.hyperparameters).values), self._id_to_hash[trial.trial_id]
        if new != old:
            self._tried_so_far.discard(old)
        self._tried_so_far.add(new)
        self._id_to_hash[trial.trial_id] = new

    def _check_consecutive_failures(self):
        """Instead of raising in whatever process happens to call: says why, and all are told."""
        in_a_row, last = collections.Counter(), None
        for trial in (self.trials[trial_id] for trial_id in self.end_order):
            name = trial.hyperparameters.values.get(self.family)
            failed = trial.status == Status.FAILED
            in_a_row[name] = in_a_row[name] + 1 if failed else 0
            last = trial if failed else last
        limit = self.max_consecutive_failed_trials
        if limit is not None and all(in_a_row[name] >= limit for name in self._families()):
            where = f" in each family of {self.family}" if self.family else ""
            self.failure = f"{limit} trials in a row failed{where}. The last one: {_last_line(last.message)}"

    def _families(self):
        return next((hp.values for hp in self.hyperparameters.space if hp.name == self.family), (None,))

    def get_best_trials(self, num_trials=1):
        """The best of those that were completed: keras-tuner fills up with failed ones."""
        return [trial for trial in super().get_best_trials(num_trials) if trial.status == Status.COMPLETED]

    # State

    def get_state(self):
        return {
            **super().get_state(),
            "trials": [trial.get_state() for trial in self.trials.values()],
            "starts": dict(self._starts),
            "told": self.told,
            "grid": _grid(self),
            "random_states": {name: _random_state(value) for name, value in self._random_states().items()},
        }

    def set_state(self, state):
        trials = [trial_module.Trial.from_state(trial) for trial in state["trials"]]
        self.trials = {trial.trial_id: trial for trial in trials}
        super().set_state(state)
        self._starts = collections.Counter(state["starts"])
        self.told = state.get("told", False)
        if state.get("grid") is not None:
            self._ordered_ids, self._populate_next = _linked(state["grid"]["order"]), state["grid"]["next"]
        # Who is at work now has a whole lease to be heard of.
        self._seen = dict.fromkeys(self.ongoing_trials, self.clock())
        self.tuner_ids = set(self.ongoing_trials)
        for name, value in self._random_states().items():
            kind, keys, *rest = state["random_states"][name]
            value.set_state((kind, np.array(keys, "uint32"), *rest))

    @synchronized
    def save(self):
        # Tuners save too, each from its thread, and there is one file.
        if not self._write.put_off():
            state.write(self._get_oracle_fname(), self.get_state())

    def reload(self):
        # keras-tuner would send all that is running for another run.
        self.set_state(state.read(self._get_oracle_fname()))

    def exists(self):
        """Whether there is a state to go on from."""
        return state.exists(self._get_oracle_fname())

    def _save_trial(self, trial):
        """Trials are part of the one state, so that both always agree."""

    def _random_states(self):
        return {name: value for name, value in vars(self).items() if isinstance(value, np.random.RandomState)}


class _OneWrite:
    """Within it, an oracle that is saved several times is written once, at the end and only if nothing went wrong."""

    def __init__(self, oracle):
        self.oracle = oracle
        self.inside = False
        self.waiting = False

    def put_off(self):
        """Whether saving waits for the end."""
        self.waiting = self.inside
        return self.inside

    def __enter__(self):
        self.inside, self.waiting = True, False

    def __exit__(self, kind, *rest):
        self.inside = False
        if kind is None and self.waiting:
            self.oracle.save()


class SafeTuner:
    """A tuner that survives: put it before a `keras_tuner.engine.base_tuner.BaseTuner`, and give it a `SafeOracle`.

    With keras-tuner's own variables of the environment (`KERASTUNER_TUNER_ID`, `KERASTUNER_ORACLE_IP`,
    `KERASTUNER_ORACLE_PORT`) it is a chief or a worker.

    Args:
        patience: seconds for which a worker waits for its chief, and a chief for any worker.
        **kwargs: the tuner's.
    """

    def __init__(self, *args, patience=600.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.patience = patience
        self.identity = f"{self.tuner_id}@{uuid.uuid4().hex}"
        if self._is_worker():
            from tuning import chief

            self.oracle = chief.RemoteOracle(self.oracle, patience)
        elif not kwargs.get("overwrite") and self.oracle.exists():
            # Not, as in keras-tuner, only if a trial has ended.
            self.oracle.reload()

    def search(self, *fit_args, **fit_kwargs):
        """Runs trials until there are none left.

        Raises:
            SearchFailed: if the search cannot go on, in every process that takes part.
        """
        if "verbose" in fit_kwargs and not self._is_worker():
            self.oracle.verbose = fit_kwargs["verbose"]
        if _is_chief():
            self._lead()
            failure = self.oracle.failure
        else:
            self.on_search_begin()
            failure = self._run_trials(*fit_args, **fit_kwargs)
            self.on_search_end()
        if failure:
            raise SearchFailed(failure)

    def _lead(self):
        """Gives trials to workers until all of them know that there are none left."""
        from tuning import chief

        if self.oracle.told and self.oracle.is_over():
            return
        self.oracle.told = False
        self.save()
        chief.serve(self.oracle, self.patience)
        self.oracle.told = True
        self.save()

    def _run_trials(self, *fit_args, **fit_kwargs):
        """Runs trials; returns why there are no more, or None if they are done."""
        while True:
            self.pre_create_trial()
            trial = self.oracle.create_trial(self.identity)
            if trial.status == Status.STOPPED:
                return trial.message
            if trial.status == Status.IDLE:
                time.sleep(WAIT)
                continue
            self.on_trial_begin(trial)
            with _Alive(self, trial):
                self._try_run_and_update_trial(trial, *fit_args, **fit_kwargs)
            self.on_trial_end(trial)

    def _try_run_and_update_trial(self, trial, *fit_args, **fit_kwargs):
        try:
            super()._try_run_and_update_trial(trial, *fit_args, **fit_kwargs)
        except (KeyboardInterrupt, SearchFailed):
            if not self._is_worker():
                # Where the disk is full it may not be written; what stopped the search is to be told all the same.
                with contextlib.suppress(SearchFolderError):
                    self.oracle.release(trial.trial_id)
            raise

    def _configure_tensorboard_dir(self, callbacks, trial, execution=0):
        # On TensorFlow, keras-tuner imports TensorBoard whether it is used or not.
        if any(type(callback).__name__ == "TensorBoard" for callback in callbacks):
            super()._configure_tensorboard_dir(callbacks, trial, execution)

    @property
    def is_worker(self):
        """Whether the oracle is a chief's, in another process."""
        return self._is_worker()

    def save(self):
        if not self._is_worker():
            self.oracle.save()

    def _get_tuner_fname(self):
        # A tuner has no state of its own, and its oracle's is loaded in `__init__`.
        return os.path.join(str(self.project_dir), "there is no such file")


class _Alive:
    """Gives signs of life for a trial, from a thread, while a worker runs it."""

    def __init__(self, tuner, trial):
        self.oracle = tuner.oracle
        self.trial_id = trial.trial_id
        self.every = tuner.oracle.lease / BEATS if tuner._is_worker() else None
        self.ended = threading.Event()

    def __enter__(self):
        if self.every is not None:
            threading.Thread(target=self._beat, daemon=True).start()

    def __exit__(self, *exception):
        self.ended.set()

    def _beat(self):
        while not self.ended.wait(self.every):
            try:
                self.oracle.update_trial(self.trial_id, {})
            except SearchFailed:
                # The worker learns it with its next call.
                return


def _is_chief():
    return "KERASTUNER_ORACLE_IP" in os.environ and "chief" in os.environ["KERASTUNER_TUNER_ID"]


def _is_earlier(other, tuner_id):
    """Whether it is an earlier process of the same name."""
    return other != tuner_id and "@" in tuner_id and other.split("@")[0] == tuner_id.split("@")[0]


def _active(hyperparameters):
    """Without the values whose condition is not met, which workers would add; a name may stand in several scopes."""
    names = {hp.name for hp in hyperparameters.space}
    active = {hp.name for hp in hyperparameters.space if hyperparameters.is_active(hp)}
    for name in (names - active) & hyperparameters.values.keys():
        del hyperparameters.values[name]
    return hyperparameters


def _grid(oracle):
    """Of a grid search, which keeps neither: its trials, ordered by their values, and those that it goes on from."""
    if not hasattr(oracle, "_ordered_ids"):
        return None
    linked = oracle._ordered_ids
    order, index = [], linked._next_index[None]
    while index is not None:
        order.append(linked._memory[index])
        index = linked._next_index[index]
    return {"order": order, "next": list(oracle._populate_next)}


def _linked(order):
    """What keeps a grid's trials in order."""
    linked = gridsearch.LinkedList()
    for trial_id in order:
        linked.insert(trial_id)
    return linked


def _random_state(value):
    kind, keys, *rest = value.get_state()
    return [kind, keys.tolist(), *rest]


def _last_line(message):
    """Of a traceback, what was raised."""
    lines = (message or "no cause was given").strip().splitlines()
    return lines[-1][:500]
