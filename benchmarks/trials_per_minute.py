"""Trials a minute of our search, beside a plain keras-tuner RandomSearch of the same models.

    KERAS_BACKEND=tensorflow python benchmarks/trials_per_minute.py [--trials 2] [--epochs 12] [--repeats 3] [mixer ...]

The models are the digits task's: of each family the configurations that our search proposes first, each trained for so
many epochs of 15 steps from the start to the end, without rungs. Ours does it in one process (`workers=0`) and in two
beside each other (`workers=2`); the plain one is `keras_tuner.RandomSearch` over that list, with a build function that
makes and compiles the model and `fit` with validation data, as its tutorial has it. Each takes its turn in a process of
its own, the clock running from when Keras is imported and the data there until the last trial has ended; with two
workers the start of theirs is in it, with us the search for widths too, which the plain one is told.

Where the time goes, for a trial: building (and compiling in Keras's sense), tracing (how much longer the first epoch
takes than the median one), training, scoring on the validation split (with its tracing), saving, starting processes.
"""

import argparse
import contextlib
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

KINDS = ("ours, workers=0", "ours, workers=2", "plain")
PARTS = ("building", "tracing", "training", "scoring", "saving", "starting", "rest")
GOAL = 1.5


class Stopwatch:
    """Seconds by part; within a part that is timed another one stops it."""

    def __init__(self):
        self.spent = dict.fromkeys(PARTS, 0.0)
        self._running = []

    @contextlib.contextmanager
    def part(self, name):
        start, within = time.perf_counter(), [0.0]
        self._running.append(within)
        try:
            yield
        finally:
            self._running.pop()
            taken = time.perf_counter() - start
            self.spent[name] += taken - within[0]
            if self._running:
                self._running[-1][0] += taken

    def listen(self, owner, name, part):
        """From here on what the function of that name takes is counted to the part."""
        function = getattr(owner, name)

        @functools.wraps(function)
        def timed(*args, **kwargs):
            with self.part(part):
                return function(*args, **kwargs)

        setattr(owner, name, timed)

    def add_epochs(self, seconds):
        """Of a trial's epochs, training steps alone: what the first takes longer is tracing."""
        usual = statistics.median(seconds[1:] or seconds)
        self.spent["tracing"] += max(0.0, seconds[0] - usual)
        self.spent["training"] += sum(seconds) - max(0.0, seconds[0] - usual)


def make_task(options):
    import dataclasses

    from tuning import tasks

    task = tasks.get("digits")
    return dataclasses.replace(task, epochs=options.epochs, mixers=tuple(options.mixers or task.mixers))


def run_ours(options, task, data, folder, workers):
    """Our search of the first configurations of each family, all of them to the end."""
    from tuning import budget, families, isolation, journal, measures, progress, runner, session, state, training
    from tuning.racing import Rules

    watch = Stopwatch()
    watch.listen(training, "_compile", "building")
    watch.listen(training, "score", "scoring")
    watch.listen(journal.Journal, "add", "saving")
    watch.listen(state, "write", "saving")
    model = task.model

    def timed_model(*arguments):
        with watch.part("building"):
            return model(*arguments)

    here = task if workers else replace(task, model=timed_model)
    # No rungs and no finals: whole trials, as the plain search has them.
    session.rules = lambda task, count, step: Rules((task.epochs,), options.trials, budget=0, step=step)
    start = time.perf_counter()
    chosen = families.make_all(task.mixers)
    kept = journal.Journal(folder, {})
    do = runner.Runner(here, data, kept).do
    sizes, step = budget.make(here, data), measures.step(data.valid)
    search = session.Session(task, kept, sizes, do, 0, step, chosen, "random", progress.Silent())
    if workers:
        runner.hand_over(task, data, folder)
        found = search.aside(workers, isolation.Limits())
    else:
        found = search.here()
    wall = time.perf_counter() - start
    runs = [run for family in found for run in family.trials]
    for run in runs:
        if run.failure:
            raise SystemExit(run.failure)
        watch.add_epochs(run.epoch_seconds)
    if workers:
        # What the other processes do is seen from their runs only.
        inside = sum(run.wall for run in runs)
        watch.spent["scoring"] = inside - watch.spent["tracing"] - watch.spent["training"]
    return {"seconds": wall, "trials": len(runs), "parts": finish(watch, wall * max(1, workers))}


def run_plain(options, task, data, folder):
    """A plain random search over the same configurations."""
    import keras
    import keras_tuner
    from keras_tuner.src.engine import tuner_utils

    from tuning import budget, families, proposals, spaces
    from tuning.seeds import derive

    sizes = budget.make(task, data)
    configurations = []
    for family in families.make_all(task.mixers):
        for number in range(options.trials):
            values = proposals.propose("random", family, task, derive(0, "proposals"), number, [])
            mixer = spaces.realise(family, values)
            width, _ = sizes.solve(mixer)
            configurations.append((mixer, width, values["dropout"], values["learning_rate"]))
    watch = Stopwatch()
    steps = len(data.train) // task.batch_size

    def build(hp):
        mixer, width, dropout, rate = configurations[hp.Choice("number", list(range(len(configurations))))]
        with watch.part("building"):
            model = task.model(mixer, width, dropout)
            model.preprocessor = None
            falling = keras.optimizers.schedules.CosineDecay(rate, steps * task.epochs)
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(keras.optimizers.Adam(falling, global_clipnorm=1.0), loss, metrics=["accuracy"])
        return model

    seconds = []

    class Epochs(keras.callbacks.Callback):
        """Times epochs, without what follows them. It is copied for each trial."""

        def on_train_begin(self, logs=None):
            seconds.append([])

        def on_epoch_begin(self, epoch, logs=None):
            self.start = time.perf_counter()

        def on_test_begin(self, logs=None):
            self.middle = time.perf_counter()
            seconds[-1].append(self.middle - self.start)

        def on_test_end(self, logs=None):
            watch.spent["scoring"] += time.perf_counter() - self.middle

    watch.listen(tuner_utils.SaveBestEpoch, "_save_model", "saving")
    start = time.perf_counter()
    tuner = keras_tuner.RandomSearch(build, "val_accuracy", max_trials=len(configurations), seed=1, directory=folder)
    # So that it comes to every number of the list before it gives up.
    tuner.oracle._max_collisions = 10_000
    watch.listen(tuner.oracle, "save", "saving")
    watch.listen(tuner.oracle, "_save_trial", "saving")
    examples, valid = data.train.take(slice(steps * task.batch_size)), data.valid
    tuner.search(
        examples.x,
        examples.y,
        validation_data=(valid.x, valid.y),
        epochs=task.epochs,
        batch_size=task.batch_size,
        callbacks=[Epochs()],
        shuffle=False,
        verbose=0,
    )
    wall = time.perf_counter() - start
    for each in seconds:
        watch.add_epochs(each)
    return {"seconds": wall, "trials": len(seconds), "parts": finish(watch, wall)}


def replace(task, **changes):
    import dataclasses

    return dataclasses.replace(task, **changes)


def finish(watch, wall):
    return {**watch.spent, "rest": wall - sum(watch.spent.values())}


def one(options):
    """One measurement, in this process."""
    import keras_tuner  # noqa: F401

    import zoo  # noqa: F401

    task = make_task(options)
    data = task.data(0)
    with tempfile.TemporaryDirectory() as folder:
        if options.one == "plain":
            found = run_plain(options, task, data, folder)
        else:
            found = run_ours(options, task, data, Path(folder), int(options.one[-1]))
    print(json.dumps(found))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mixers", nargs="*", help="the families; else the task's")
    parser.add_argument("--trials", type=int, default=2, help="of each family")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options)
        return
    found = {kind: [] for kind in KINDS}
    for repeat in range(options.repeats):
        # Whoever is first in one round is last in the next.
        for kind in KINDS[repeat % 3 :] + KINDS[: repeat % 3]:
            command = [sys.executable, __file__, *sys.argv[1:], "--one", kind]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[kind].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{kind}: {_rate(found[kind][-1]):.2f} a minute", file=sys.stderr, flush=True)
    show(found)


def show(found):
    """Two tables: trials a minute, and where the time goes."""
    print(
        f"\n{found['plain'][0]['trials']} trials each; {len(found['plain'])} repeats; load {os.getloadavg()[1]:.1f}\n"
    )
    print("| search | trials a minute | times plain |\n|---|---|---|")
    for kind, runs in found.items():
        ratios = [_rate(run) / _rate(plain) for run, plain in zip(runs, found["plain"], strict=True)]
        met = "" if kind == "plain" else f" (goal {GOAL}: {'met' if statistics.median(ratios) >= GOAL else 'missed'})"
        print(f"| {kind} | {_spread(map(_rate, runs))} | {_spread(ratios)}{met} |")
    print(f"\n| seconds of a process for a trial | {' | '.join(PARTS)} |\n|---|{'---|' * len(PARTS)}")
    for kind, runs in found.items():
        cells = [statistics.median(run["parts"][part] / run["trials"] for run in runs) for part in PARTS]
        print(f"| {kind} | {' | '.join(f'{cell:.2f}' for cell in cells)} |")


def _rate(run):
    return run["trials"] / run["seconds"] * 60


def _spread(values):
    values = list(values)
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


if __name__ == "__main__":
    main()
