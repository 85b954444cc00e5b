"""Implicit or explicit, on real data? Every family at equal parameters on fresh seeds, and docs/verdicts.md of it.

    KERAS_BACKEND=tensorflow python benchmarks/verdicts.py run [--tasks ud_ewt etth1 ...] [--seeds 5] [--part 0/2]
    KERAS_BACKEND=tensorflow python benchmarks/verdicts.py run --vary length|data|size [--tasks ...] [--seeds 5]
    python benchmarks/verdicts.py report

No search: a race of `tuning.compare` saves trials by dropping losers, and here losers are half of the answer. Each
family, two of each kind and a control, gets the same: the task's parameters, its epochs, its three learning rates. A
seed is a master seed: it draws what is trained on and the first weights, for all families alike, so that scores are
paired. All rates are tried on the first two seeds; the one with the best mean validation score runs on the others too.
The test part says who is better, and has no say in what is chosen.

`--vary` does the same at a quarter and a half of each example's length, at a quarter and a half of the training
examples (with as many steps), or at a quarter and at four times the parameters.

Each run is a line of JSON in a file, written whole; one that is there is not done again, so that the same command goes
on where it was killed. A task whose data or effort has changed is another one and is run anew. Two processes share the
work: `--part 0/2` in one, `--part 1/2` in the other, with the same file. `--minutes` begins no run after so many.
`report` needs no data: it writes the page and its drawings from the lines alone.
"""

import argparse
import dataclasses
import gc
import json
import os
import time
import zlib
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from tuning import decide, families, tasks
from tuning.seeds import derive
from tuning.tasks import real

FILE = Path(__file__).with_suffix(".jsonl")
PAGE = Path(__file__).parents[1] / "docs" / "verdicts.md"
SEEDS, TRIED = 5, 2
#: Shares of what a task has as it stands, which is 1 of each.
VARIED = {"length": (0.25, 0.5), "data": (0.25, 0.5), "size": (0.25, 4.0)}
WHOLE = {"length": 1.0, "data": 1.0, "size": 1.0}
NAMES = (tasks.SST2.name, *tasks.REAL)
KINDS = ("explicit", "implicit", "control")


def run(options):
    """Does what is not done yet of this part of the work."""
    part, parts = options.part
    done = {_key(line): line for line in read(options.out)}
    deadline = time.monotonic() + 60 * options.minutes if options.minutes else None
    for number, name in enumerate(options.tasks):
        for column, point in enumerate(points(options.vary)):
            task = vary(tasks.get(name), point)
            mine = [family for family in families.make_all(task.mixers) if family.kind in KINDS]
            # Like the fields of a chessboard, so that each part has its share of every task, family and point.
            mine = [family for row, family in enumerate(mine) if (number + column + row) % parts == part]
            _run_point(task, point, mine, done, options, deadline)


def points(varied):
    """What is run: the task as it stands, or shares of one thing."""
    return [WHOLE] if varied is None else [{**WHOLE, varied: share} for share in VARIED[varied]]


def vary(task, point):
    """A task with shares of its length and its parameters; of its data see `part_of`."""
    if point["length"] != 1.0:
        task = real.task(task.name, point["length"])
    return dataclasses.replace(task, parameters=round(point["size"] * task.parameters))


def part_of(data, share, seed):
    """The data with a share of the examples to train on, drawn by the seed; a smaller share is part of a larger one."""
    if share == 1.0:
        return data
    order = np.random.default_rng(derive(seed, "part")).permutation(len(data.train))
    return dataclasses.replace(data, train=data.train.take(order[: max(1, round(share * len(order)))]))


def _run_point(task, point, mine, done, options, deadline):
    """Some families of a task at a point, on all seeds."""
    from tuning.training import Workbench

    whole = [task.data(seed) for seed in range(options.seeds)]
    version = fingerprint(task, whole[0])
    # As many steps, however few examples: what is varied is what there is to see, not how long one looks.
    task = dataclasses.replace(task, epoch_size=task.epoch_size or len(whole[0].train))
    data = [part_of(each, point["data"], seed) for seed, each in enumerate(whole)]
    for family in mine:
        bench = Workbench(task, data[0])
        for line in _units(task, point, version, family, done, options.seeds):
            if deadline is not None and time.monotonic() > deadline:
                raise SystemExit("The time is over; the same command goes on.")
            bench.data = data[line["seed"]]
            start = time.perf_counter(), time.process_time()
            line |= _attempt(bench, family, line)
            line |= {"wall": time.perf_counter() - start[0], "cpu": time.process_time() - start[1]}
            append(options.out, line)
            done[_key(line)] = line
            print(_describe(line), flush=True)
        bench.close()
        _forget()


def _forget():
    import keras

    keras.utils.clear_session(free_memory=True)
    gc.collect()


def _units(task, point, version, family, done, seeds):
    """The runs of a family that are not done, one after another: which rate goes on depends on those before."""
    common = {"task": task.name, "version": version, **point, "family": family.name, "kind": family.kind}
    low, first, high = task.learning_rates
    tried = [
        {**common, "learning_rate": rate, "seed": seed}
        for rate in (first, low, high)
        for seed in range(min(TRIED, seeds))
    ]
    yield from (line for line in tried if _key(line) not in done)
    rate = choose_rate([done[_key(line)] for line in tried])
    others = [{**common, "learning_rate": rate, "seed": seed} for seed in range(TRIED, seeds) if rate is not None]
    yield from (line for line in others if _key(line) not in done)


def choose_rate(lines):
    """The learning rate with the best mean validation score on the first seeds, the first of equals; None for none."""
    rates = dict.fromkeys(line["learning_rate"] for line in lines)
    found = {rate: [line for line in lines if line["learning_rate"] == rate and line["seed"] < TRIED] for rate in rates}
    whole = {rate: mine for rate, mine in found.items() if not any("failure" in line for line in mine)}
    return max(whole, key=lambda rate: _mean([line["valid"] for line in whole[rate]]), default=None)


def _attempt(bench, family, line):
    """What came of a run: its scores and costs, or the cause why there are none."""
    import keras

    from tuning import measures, spaces
    from tuning.budget import Budget
    from tuning.training import Recipe, latency, score

    task, data = bench.task, bench.data
    try:
        mixer = spaces.realise(family, spaces.defaults(family, task))
        # One for a bench: models are built to find a width, which takes as long as a short run.
        bench.budget = getattr(bench, "budget", None) or Budget(task.model, task.parameters)
        width, parameters = bench.budget.solve(mixer)
        seed = derive(line["seed"], "verdict")
        trained = bench.train(Recipe(mixer, width, task.dropouts[0], line["learning_rate"], seed))
        return {
            "width": width,
            "parameters": parameters,
            "valid": trained.curve[-1],
            "test": score(trained.model, data.test, task.measure),
            "curve": [round(point, 4) for point in trained.curve],
            "step": measures.step(data.test),
            "training": trained.seconds,
            "latency": latency(trained.model, data.test)["64"],
            "backend": keras.backend.backend(),
        }
    except Exception as error:
        # Whatever it is, it is this run's: the others go on.
        return {"failure": f"{type(error).__name__}: {error}"[:500]}


def fingerprint(task, data):
    """Eight digits that change with whatever could change a task's scores, but the code of its model."""
    row = (task.epochs, task.epoch_size, task.batch_size, task.parameters, task.dropouts, task.measure)
    return f"{zlib.crc32(repr((*row, data.checksum())).encode()):08x}"


def _key(line):
    names = ("task", "version", *WHOLE, "family", "learning_rate", "seed")
    return tuple(line[name] for name in names)


def _describe(line):
    outcome = line.get("failure") or f"valid {line['valid']:.3f}, test {line['test']:.3f}"
    what = "{task} length {length:g} data {data:g} size {size:g} {family} rate {learning_rate:g} seed {seed}"
    return f"{what.format(**line)}: {outcome}, {line['cpu']:.0f} s of a core"


def read(path):
    """The lines of a file of runs, of those of one run the last; what a kill left unfinished is no line."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = [line for line in map(_parse, lines) if line is not None]
    return list({_key(line): line for line in found}.values())


def _parse(line):
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None


def append(path, line):
    """Adds a line in one write, so that two processes may share a file; behind half a line, on a line of its own."""
    text = (json.dumps(line) + "\n").encode()
    with open(path, "ab+", buffering=0) as file:
        if file.tell() and _last_byte(file) != b"\n":
            text = b"\n" + text
        file.write(text)
        os.fsync(file.fileno())


def _last_byte(file):
    file.seek(-1, os.SEEK_END)
    return file.read(1)


def report(options):
    raise SystemExit("not yet")


def _mean(values):
    return sum(values) / len(values)


def _part(text):
    """`0/2`: the first of two parts."""
    part, parts = map(int, text.split("/"))
    if not 0 <= part < parts:
        raise ValueError(text)
    return part, parts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("--out", type=Path, default=FILE, help="the file of runs, a line of JSON each")
    parser.add_argument("--tasks", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--vary", choices=VARIED, help="shares of what: nothing, unless it is said")
    parser.add_argument("--part", type=_part, default=(0, 1), help="which part of how many, such as 0/2")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--minutes", type=float, help="how long runs are begun")
    options = parser.parse_args()
    {"run": run, "report": report}[options.what](options)


if __name__ == "__main__":
    main()
