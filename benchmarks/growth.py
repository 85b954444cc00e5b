"""How the memory of a search's process grows over trials.

    python benchmarks/growth.py [--trials 30] [--epochs 1] [--recycle MIB]

The trials are the digits task's, done as a search's worker does them: in a process of their own (`tuning.isolation`),
by one workbench, which keeps the graphs of the last twelve kinds of models; here there are fourteen. Each number is the
process's resident memory in MiB after a trial. With --recycle a process that has grown by so much is followed by a new
one. At the end, what the process that asks has grown by.
"""

import argparse
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tuning import isolation

MIXERS = (
    *({"mixer": "multi_head", "num_heads": heads} for heads in (4, 2)),
    *({"mixer": "additive", "units": units} for units in (32, 64)),
    *({"mixer": "gated_conv", "kernel_size": size} for size in (7, 3)),
    *({"mixer": name, "bidirectional": both} for name in ("gru", "linear_recurrence") for both in (True, False)),
    *({"mixer": name} for name in ("identity", "multiplicative", "fourier", "s4d")),
)
BENCH = []


def trial(number, epochs):
    """One trial in the worker's process; its workbench is made once."""
    import dataclasses

    from tuning import tasks
    from tuning.training import Recipe, Workbench

    if not BENCH:
        task = dataclasses.replace(tasks.get("digits"), epochs=epochs)
        BENCH.append(Workbench(task, task.data(0)))
    curve = BENCH[0].train(Recipe(MIXERS[number % len(MIXERS)], 32, 0.1, 1e-3 * (1 + number), number)).curve
    return {"pid": os.getpid(), "resident": isolation.resident(os.getpid()), "score": curve[-1]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--recycle", type=int, metavar="MIB")
    options = parser.parse_args()
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    limits = isolation.Limits(growth=options.recycle and options.recycle * isolation.MIB)
    first = isolation.resident(os.getpid())
    sizes, pids = [], set()
    with isolation.Worker("growth:trial", limits) as worker:
        for number in range(options.trials):
            outcome = worker.run(number, options.epochs)
            if outcome.failure:
                raise SystemExit(outcome.failure)
            sizes.append(outcome.answer["resident"] / isolation.MIB)
            pids.add(outcome.answer["pid"])
            print(f"{sizes[-1]:.0f}", end=" ", flush=True)
    print(f"\nprocesses: {len(pids)}")
    for warm in (0, len(MIXERS) - 1):
        if options.trials > warm:
            print(f"{sizes[-1] - sizes[warm]:+.0f} MiB since trial {warm + 1}")
    print(f"this process: {(isolation.resident(os.getpid()) - first) / isolation.MIB:+.1f} MiB")


if __name__ == "__main__":
    main()
