"""The runs of one search: each is done once, whatever happens in between."""

import dataclasses
import gc
import math
import os
import threading
from concurrent import futures

import keras

from tuning import isolation, oracle, spaces
from tuning.engine import SearchFailed
from tuning.journal import Run, SearchFolderError, load_run
from tuning.progress import Event
from tuning.racing import FINALISTS, RETRAINING, TRIAL, Race, Rules
from tuning.result import FamilyResult
from tuning.seeds import derive

#: The first rung is so much of a whole run. At a quarter what plateaus before it learns was told by chance: in replays
#: (`benchmarks/replay.py`) running parity was decided wrongly in 6 of 100, and at three eighths in none.
FIRST_RUNG = 3 / 8
OPENERS = 3
#: What processes of their own print, tracebacks among it.
LOG = "workers.log"


class Session:
    """Searches and retrains families on one task.

    Args:
        task: a `tuning.task.Task`.
        journal: a `tuning.journal.Journal`.
        budget: a `tuning.budget.Budget`.
        run: what does the runs: the `do` of a `tuning.runner.Runner`, in this process.
        seed: the master seed.
        step: the smallest difference that two validation scores can have.
        families: the `tuning.families.Family` that take part.
        proposer: what proposes within a family: see `tuning.proposals.propose`.
        progress: what is told of each run, such as `tuning.progress.Silent`.
        order: the families' names, those that begin first; None for the given order.
        **kwargs: `lease`, `attempts` and `in_a_row` of `tuning.engine.SafeOracle`.
    """

    def __init__(self, task, journal, budget, run, seed, step, families, proposer, progress, order=None, **kwargs):
        self.task = task
        self.journal = journal
        self.budget = budget
        self.run = run
        self.seed = seed
        self.families = {family.name: family for family in families}
        self.race = Race({family.name: family.kind for family in families}, rules(task, len(families), step))
        source = derive(seed, "proposals")
        self.oracle = oracle.FamilyOracle(self.race, families, task, proposer, source, order, **kwargs)
        self.progress = progress
        self.runs = {}
        self.lock = threading.Lock()
        self.at_once = 1
        self.one_of_many = False

    def here(self):
        """Runs the race and its finals in this process, one run after another."""
        tuner = self._tuner(self.run)
        self._begin_again()
        self._search(tuner)
        # Over many searches the memory of their graphs would grow.
        keras.utils.clear_session(free_memory=True)
        gc.collect()
        return self.collect()

    def aside(self, workers, limits):
        """Runs the race and its finals in so many processes of their own.

        Args:
            workers: how many, at least 1.
            limits: an `isolation.Limits` for each run.
        """
        self.at_once = workers
        log, cores = self.journal.folder / LOG, _share_of_cores(workers)
        hands = [Hand(self.journal.folder, limits, log, cores) for _ in range(workers)]
        tuners = [self._tuner(hand, f"worker{number}") for number, hand in enumerate(hands)]
        self._begin_again()
        with futures.ThreadPoolExecutor(workers) as pool:
            running = [pool.submit(self._search, tuner) for tuner in tuners]
            try:
                ended, _ = futures.wait(running, return_when=futures.FIRST_EXCEPTION)
                for one in ended:
                    one.result()
            except BaseException:
                # Whoever waits for a run of another would wait for ever.
                self.oracle.failure = "another process stopped the search"
                raise
            finally:
                for hand in hands:
                    hand.close()
        return self.collect()

    def apart(self):
        """Runs as keras-tuner's chief or worker, as its variables of the environment say."""
        self.one_of_many = True
        tuner = self._tuner(self.run)
        if not tuner.is_worker:
            self.oracle.run_again(self._lost_trials())
        self._search(tuner)
        return self.collect()

    def _search(self, tuner):
        try:
            tuner.search()
        except SearchFailed:
            # That nobody came to the end is a result too, and the report says why.
            if self.oracle.failure is None:
                raise

    def _begin_again(self):
        """Sends for another run what was running when the search was interrupted, and what has lost its file."""
        for trial in self.oracle.begin_again():
            lost = self._lost(self._blank(*oracle.read(trial.hyperparameters.values)), trial)
            self._tell(lost, lost.failure)
        self.oracle.run_again(self._lost_trials())

    def _lost_trials(self):
        return [
            trial_id
            for trial_id, trial in self.oracle.trials.items()
            if trial.status == "COMPLETED"
            and self.journal.find(self._blank(*oracle.read(trial.hyperparameters.values))) is None
        ]

    def _tuner(self, run, name=None):
        def run_leg(leg, values):
            self.race.note(leg)
            return self._do(self._blank(leg, values), run)

        return oracle.FamilyTuner(run_leg, self.oracle, self.journal.folder, name)

    def collect(self):
        """A tuple with a `tuning.result.FamilyResult` for each family."""
        runs = self._in_order()
        return tuple(self._collect(family, runs) for family in self.families.values())

    def _blank(self, leg, values):
        # The seed is the same for all families, so that scores are paired; never the same for trials and retrainings.
        seed = derive(self.seed, leg.stage, leg.round)
        return Run(leg.family, leg.stage, leg.number, leg.round, leg.epochs, seed, values)

    def _do(self, blank, run):
        """The run from the journal, or done now and written there."""
        self._tell(blank)
        done = self.journal.find(blank)
        if done is None:
            done = self._attempt(blank, run)
            self.journal.add(done)
        if done.stage == TRIAL and (done.epochs == self.task.epochs or done.solved):
            self.journal.drop_states(done.family, done.round)
        with self.lock:
            self.runs[done.key] = done
        self._tell(blank, done.failure or f"{done.valid:.3f}")
        return done

    def _attempt(self, blank, run):
        mixer = spaces.realise(self.families[blank.family], blank.values)
        try:
            with self.lock:
                # A configuration keeps its width, also if another machine found it, and by time another one.
                width, parameters = self.journal.width(blank) or self.budget.solve(mixer)
        except ValueError as error:
            return dataclasses.replace(blank, failure=isolation.cause(error))
        sized = dataclasses.replace(blank, mixer=mixer, width=width, parameters=parameters)
        return run(sized, self._before(blank))

    def _before(self, blank):
        """The same configuration's runs up to lower rungs, on the same seed."""
        if blank.stage == RETRAINING:
            return []
        lower = [dataclasses.replace(blank, epochs=rung) for rung in self.race.rules.rungs if rung < blank.epochs]
        return [run for run in map(self.journal.find, lower) if run is not None]

    def _collect(self, family, runs):
        trials, retrainings = (
            tuple(run for run in runs if (run.family, run.stage) == (family.name, stage))
            for stage in (TRIAL, RETRAINING)
        )
        return FamilyResult(family.name, family.kind, trials, retrainings, fate=self._fate(family.name))

    def _in_order(self):
        """The runs, as the oracle gave them out, whoever did them."""
        found = []
        for trial_id in self.oracle.start_order:
            trial = self.oracle.trials[trial_id]
            leg, values = oracle.read(trial.hyperparameters.values)
            blank = self._blank(leg, values)
            found.append(self.runs.get(blank.key) or self.journal.find(blank) or self._lost(blank, trial))
        return found

    def _lost(self, blank, trial):
        """A run that never ended, with what is known of its end."""
        return dataclasses.replace(blank, failure=oracle.describe_failure(trial.message or "it did not end"))

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
        with self.lock:
            runs = list(self.runs.values())
        whole, seeds = self.task.epochs, self.task.seeds
        retraining = sum(other.stage == RETRAINING for other in runs)
        # A worker knows of its own runs only.
        known = run.stage == RETRAINING and not self.one_of_many
        spent, finalists = self.oracle.standing()
        coming = finalists if known else self._most_finalists()
        spent = self.race.rules.budget if known else spent
        done = spent + retraining * whole
        total = max(self.race.rules.budget, spent) + coming * seeds * whole
        wall = math.fsum(other.wall for other in runs)
        left = (total - done) * wall / done / self.at_once if wall and done else None
        scores = [(other.valid, other.family) for other in runs if other.valid is not None]
        best = max(scores, default=None, key=lambda pair: pair[0])
        self.progress.update(Event(done, total, run.family, _describe(run, self.task), best, left, outcome))

    def _most_finalists(self):
        kinds = [family.kind for family in self.families.values()]
        real = sum(min(FINALISTS, kinds.count(kind)) for kind in {*kinds} - {"control"})
        return real + kinds.count("control")


class Hand:
    """Does runs in a process of its own, as a function.

    Args:
        folder: a search's, where `tuning.runner.hand_over` left the task.
        limits, log, environment: see `isolation.Worker`.
    """

    def __init__(self, folder, limits, log, environment):
        self.folder = str(folder)
        self.worker = isolation.Worker("tuning.runner:run_here", limits, log, environment)
        self.closed = False

    def __call__(self, wanted, before):
        self._stop()
        plain = [dataclasses.asdict(one) for one in (wanted, *before)]
        try:
            outcome = self.worker.run(self.folder, plain[0], plain[1:])
        except Exception:
            self._stop()
            raise
        self._stop()
        if outcome.failure is not None:
            return dataclasses.replace(wanted, failure=outcome.failure)
        if "stop" in outcome.answer:
            raise SearchFolderError(outcome.answer["stop"])
        return load_run(outcome.answer)

    def close(self):
        """Ends the process, at once."""
        self.closed = True
        self.worker.close()

    def _stop(self):
        """What is ended from outside was interrupted; it did not fail."""
        if self.closed:
            raise KeyboardInterrupt


def rules(task, families, step):
    """The `Rules` of a task's race: on average so many whole runs for each family as the task has trials."""
    first = max(1, round(task.epochs * FIRST_RUNG))
    rungs = (first, task.epochs) if first < task.epochs else (task.epochs,)
    openers = OPENERS if task.trials > 1 and len(rungs) > 1 else 1
    return Rules(
        rungs,
        openers,
        budget=task.trials * families * task.epochs,
        solved=task.solved,
        seeds=task.seeds,
        step=step,
        only_start=task.trials == 1,
    )


def _share_of_cores(workers):
    """So that processes beside each other do not fight for cores: variables for each."""
    cores = str(max(1, (os.cpu_count() or 1) // workers))
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    return {name: cores for name in names if name not in os.environ}


def _describe(run, task):
    if run.stage == RETRAINING:
        return f"retraining {run.round + 1} of {task.seeds}"
    return f"trial {run.number + 1}, seed {run.round + 1}, epoch {run.epochs} of {task.epochs}"
