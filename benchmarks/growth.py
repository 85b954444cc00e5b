"""How the memory of a search's process grows over trials, with and without `keras.utils.clear_session`.

    python benchmarks/growth.py [--trials 30] [--epochs 1] [--recycle MIB] [--only with|without]

The trials are the digits task's: each another mixer or learning rate, in a process of their own (`tuning.isolation`).
Each line is the process's resident memory in MiB after a trial: as a search does it, which forgets a family's graphs
and then calls `clear_session(free_memory=True)` after each trial; and without that call. With --recycle a process that
has grown by so much is followed by a new one. At the end, what the process that asks has grown by.
"""

import argparse
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tuning import isolation

MIXERS = ("multi_head", "gru", "gated_conv", "additive", "linear_recurrence")


def trial(number, epochs, clear):
    """One trial in the worker's process; the task's data is read once."""
    import dataclasses
    import gc

    import keras

    from tuning import tasks
    from tuning.training import Recipe, Workbench

    task = dataclasses.replace(tasks.get("digits"), epochs=epochs)
    if not DATA:
        DATA.append(task.data(0))
    mixer = {"mixer": MIXERS[number % len(MIXERS)]}
    bench = Workbench(task, DATA[0])
    # The curve only: the model must not outlive its workbench.
    curve = bench.train(Recipe(mixer, 32, 0.1, 1e-3 * (1 + number), number)).curve
    bench.close()
    if clear:
        keras.utils.clear_session(free_memory=True)
        gc.collect()
    return {"pid": os.getpid(), "resident": isolation.resident(os.getpid()), "score": curve[-1]}


DATA = []


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--recycle", type=int, metavar="MIB")
    parser.add_argument("--only", choices=("with", "without"))
    options = parser.parse_args()
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    limits = isolation.Limits(growth=options.recycle and options.recycle * isolation.MIB)
    first = isolation.resident(os.getpid())
    for way in [options.only] if options.only else ["with", "without"]:
        print(f"{way} clear_session:", end="", flush=True)
        sizes, pids = [], set()
        with isolation.Worker("growth:trial", limits) as worker:
            for number in range(options.trials):
                outcome = worker.run(number, options.epochs, way == "with")
                if outcome.failure:
                    raise SystemExit(outcome.failure)
                sizes.append(outcome.answer["resident"] / isolation.MIB)
                pids.add(outcome.answer["pid"])
                print(f" {sizes[-1]:.0f}", end="", flush=True)
        print(f"\nprocesses: {len(pids)}")
        # The first of each mixer pays for what is loaded once.
        warm = len(MIXERS) - 1
        if options.trials > warm:
            since = f"{sizes[-1] - sizes[warm]:+.0f} MiB since the first trial of each mixer"
            print(f"{since}, {sizes[-1] - sizes[0]:+.0f} in all")
    print(f"this process: {(isolation.resident(os.getpid()) - first) / isolation.MIB:+.1f} MiB")


if __name__ == "__main__":
    main()
