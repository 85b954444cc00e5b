"""Who wins on the tasks with known answers? Every family at two sizes and three learning rates, and a table of it.

    KERAS_BACKEND=tensorflow python benchmarks/known_answers.py run [--tasks recall parity ...] [--part 0/2]
    python benchmarks/known_answers.py report [--tasks recall parity ...]

A run is one model trained by one recipe, as searches train it: the same data, the same epochs. Learning rates are the
task's three. At the task's number of parameters all of them run on five seeds: from that grid `benchmarks/replay.py`
replays searches, two of whose seeds are for rounds and three for finals. At a quarter of it all run on the first seed,
and the one with the best validation score there on two more. Of each family at each size the learning rate is chosen
by the mean validation score over the seeds, and judged by the test.

Each run is a line of JSON in a file (`--out FILE`), written whole; one that is there is not done again, so that the
same command goes on where it was killed. A task whose data or epochs have changed is another one and is run anew. Two
processes share the work: `--part 0/2` in one, `--part 1/2` in the other, with the same file. One task is finished after
another, those with a published answer first, at the task's size and only then all of them at a quarter, so that a part
of the table is of use.

The whole is 2,500 runs: 1,875 at the task's size, 825 of them of tasks with a published answer, and 625 at a quarter.
Seven that were timed (attention on copy, recall_4 and needle, GRU on flip_flop, gated_conv on moving_average;
tensorflow, most with compiling, on a core shared with a dozen other processes) took 5 to 39 s of a core, 22 s on
average: 11 hours of a core for the task's size at that. Seven in a row of one family, attention on adding_16, compile
once and took 6 to 9 s. `report` says what was done, what it took and what is missing.
"""

import argparse
import gc
import itertools
import os
import time
import zlib
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from verdicts import choose_rate

from tuning import decide, families, ledger, spaces, tasks
from tuning.budget import Budget
from tuning.seeds import derive
from tuning.training import Recipe, Workbench, latency, score

FILE = Path(__file__).with_suffix(".jsonl")
#: By size, as a share of a task's number of parameters: how many seeds, and on how many all learning rates are tried.
PLAN = {1.0: (5, 5), 0.25: (3, 1)}
#: Those whose answer is published come first.
NAMES = tuple(sorted(tasks.SYNTHETIC, key=lambda name: tasks.get(name).answer is None))
KINDS = ("implicit", "explicit", "hybrid")


def run(options):
    """Does what is not done yet of this part of the work."""
    part, parts = options.part
    done = {_key(line): line for line in read(options.out)}
    for (column, size), (number, name) in itertools.product(enumerate(PLAN), enumerate(options.tasks)):
        task = tasks.get(name)
        data = task.data(0)
        version = fingerprint(task, data)
        for row, family in enumerate(families.make_all(task.mixers)):
            # Like the fields of a chessboard, so that each part has its share of every task, family and size.
            if (number + row + column) % parts == part:
                _run_unit(task, data, version, family, size, done, options)


def _run_unit(task, data, version, family, size, done, options):
    """All learning rates and seeds of a family at a size: one graph, compiled once."""
    bench, budget = Workbench(task, data), Budget(task.model, round(size * task.parameters))
    for line in _units(task, version, family, size, done):
        start = time.perf_counter(), time.process_time()
        line |= _attempt(bench, budget, family, line["learning_rate"], line["seed"])
        line |= {"wall": time.perf_counter() - start[0], "cpu": time.process_time() - start[1]}
        ledger.append(options.out, line)
        done[_key(line)] = line
        print(_describe(line), flush=True)
    bench.close()
    keras.utils.clear_session(free_memory=True)
    gc.collect()


def _units(task, version, family, size, done):
    """The runs of a family that are not done, one after another: which rate goes on depends on those before."""
    common = {"task": task.name, "version": version, "family": family.name, "kind": family.kind, "size": size}
    seeds, tried = PLAN[size]
    low, first, high = task.learning_rates
    begun = [{**common, "learning_rate": rate, "seed": seed} for seed in range(tried) for rate in (first, low, high)]
    yield from (line for line in begun if _key(line) not in done)
    rate = choose_rate([done[_key(line)] for line in begun])
    others = [{**common, "learning_rate": rate, "seed": seed} for seed in range(tried, seeds) if rate is not None]
    yield from (line for line in others if _key(line) not in done)


def _attempt(bench, budget, family, rate, seed):
    """What came of a run: its scores, or the cause why there are none."""
    task, data = bench.task, bench.data
    try:
        mixer = spaces.realise(family, {})
        width, parameters = budget.solve(mixer)
        trained = bench.train(Recipe(mixer, width, task.dropouts[0], rate, derive(seed, "known answers")))
        return {
            "width": width,
            "parameters": parameters,
            "valid": trained.curve[-1],
            "test": score(trained.model, data.test, task.measure),
            "curve": [round(point, 6) for point in trained.curve],
            "cost": latency(trained.model, data.test)["64"],
        }
    except Exception as error:
        # Whatever it is, it is this run's: the others go on.
        return {"failure": f"{type(error).__name__}: {error}"[:500]}


def fingerprint(task, data):
    """Eight digits that change with whatever could change a task's scores, but the code of its model."""
    row = (task.epochs, task.epoch_size, task.batch_size, task.parameters, task.dropouts, task.solved, task.measure)
    return f"{zlib.crc32(repr((*row, data.checksum())).encode()):08x}"


def _key(line):
    return tuple(line[name] for name in ("task", "version", "family", "size", "learning_rate", "seed"))


def _describe(line):
    outcome = line.get("failure") or f"valid {line['valid']:.3f}, test {line['test']:.3f}"
    what = "{task} {family} size {size:g} rate {learning_rate:g} seed {seed}".format(**line)
    return f"{what}: {outcome}, {line['cpu']:.0f} s of a core"


def read(path):
    """The lines of a file of runs."""
    return ledger.read(path, _key)


def candidates(lines, size):
    """Each family at a size, at the learning rate with the best mean validation score, as `decide.Candidate`."""
    found = []
    for family in dict.fromkeys(line["family"] for line in lines):
        mine = [line for line in lines if (line["family"], line["size"]) == (family, size)]
        rates = [candidate([line for line in mine if line["learning_rate"] == rate]) for rate in _rates(mine)]
        best = max(filter(None, rates), key=lambda each: (len(each.valid), _mean(each.valid)), default=None)
        found += [best] if best else []
    # A comparison is paired: who failed on a seed, or is not through with all of them, does not take part.
    most = max((len(each.test) for each in found), default=0)
    return [each for each in found if len(each.test) == most]


def _rates(lines):
    return sorted({line["learning_rate"] for line in lines})


def candidate(runs):
    """The runs of one family, size and learning rate; None if one of them failed."""
    if any("failure" in line for line in runs):
        return None
    runs = sorted(runs, key=lambda line: line["seed"])
    valid, test = (tuple(line[name] for line in runs) for name in ("valid", "test"))
    cost = sorted(line["cost"] for line in runs)[len(runs) // 2]
    return decide.Candidate(runs[0]["family"], runs[0]["kind"], valid, test, runs[0]["parameters"], cost)


def report(options):
    """For each task and size who wins by how much, then every family's score, then what it took and what is missing."""
    lines = read(options.out)
    found = {name: of_task(lines, tasks.get(name)) for name in options.tasks}
    rows = [(tasks.get(name), size, candidates(found[name], size)) for name in options.tasks for size in PLAN]
    rows = [row for row in rows if row[2]]
    head = ("task", "parameters", *KINDS, "explicit less implicit", "winner", "published")
    print_table(head, [_winner_row(*row) for row in rows])
    names = list(dict.fromkeys(each.name for _, _, there in rows for each in there))
    print_table(("task", "parameters", *names), [_family_row(*row, names) for row in rows])
    counted = [line for mine in found.values() for line in mine]
    wanted = sum(count(tasks.get(name), size) for name in options.tasks for size in PLAN)
    failed, hours = sum("failure" in line for line in counted), sum(line["cpu"] for line in counted) / 3600
    print(f"{len(counted)} of {wanted} runs, {failed} failed, {hours:.2f} hours of a core.")
    for size in PLAN:
        _print_missing(found, size)


def _print_missing(found, size):
    """What is not there of the tasks at a size: a winner in the table above may be one of few so far."""
    begun, never = [], []
    for name, lines in found.items():
        task = tasks.get(name)
        there, wanted = sum(line["size"] == size for line in lines), count(task, size)
        if not there:
            never.append(name)
        elif there < wanted:
            begun.append(f"{name} ({there} of {wanted} runs)")
    for said, names in (("begun", begun), ("not begun", never)):
        if names:
            print(f"At {size:g} of the parameters, {said}: {', '.join(names)}.")


def of_task(lines, task):
    """The lines of a task as it is now."""
    version = fingerprint(task, task.data(0))
    return [line for line in lines if (line["task"], line["version"]) == (task.name, version)]


def print_table(head, rows):
    for row in (head, ["---"] * len(head), *rows):
        print(f"| {' | '.join(row)} |")
    print()


def count(task, size):
    """How many runs there are of a task at a size."""
    seeds, tried = PLAN[size]
    return len(task.mixers) * (tried * len(task.learning_rates) + seeds - tried)


def _winner_row(task, size, there):
    best = {kind: decide.best_of(there, kind) for kind in KINDS}
    cells = [f"{each.name} {_mean(each.test):.3f}" if each else "" for each in best.values()]
    winner = decide.decide(there, task.margin).answer
    return [*_where(task, size), *cells, _difference(best, task.margin), winner, task.answer or ""]


def _difference(best, margin):
    if not (best["explicit"] and best["implicit"]):
        return ""
    found = decide.compare(best["explicit"], best["implicit"], margin)
    between = "" if found.low is None else f" ({found.low:+.3f} to {found.high:+.3f})"
    return f"{found.mean:+.3f}{between}"


def _family_row(task, size, there, names):
    scores = {each.name: f"{_mean(each.test):.3f}" for each in there}
    return [*_where(task, size), *(scores.get(name, "") for name in names)]


def _where(task, size):
    return task.name, f"{round(size * task.parameters):,}"


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
    parser.add_argument("--part", type=_part, default=(0, 1), help="which part of how many, such as 0/2")
    options = parser.parse_args()
    {"run": run, "report": report}[options.what](options)


if __name__ == "__main__":
    main()
