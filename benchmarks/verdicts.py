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
import io
import os
import time
import zlib
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from tuning import decide, families, ledger, tasks
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
            ledger.append(options.out, line)
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
    from tuning.training import Recipe, answers, latency

    task, data = bench.task, bench.data
    try:
        mixer = spaces.realise(family, spaces.defaults(family, task))
        # One for a bench: models are built to find a width, which takes as long as a short run.
        bench.budget = getattr(bench, "budget", None) or Budget(task.model, task.parameters)
        width, parameters = bench.budget.solve(mixer)
        seed = derive(line["seed"], "verdict")
        trained = bench.train(Recipe(mixer, width, task.dropouts[0], line["learning_rate"], seed))
        outputs = answers(trained.model, data.test)
        return {
            "width": width,
            "parameters": parameters,
            "valid": trained.curve[-1],
            "test": measures.score(task.measure, data.test, outputs),
            "redrawn": measures.redrawn(task.measure, data.test, outputs),
            "units": measures.units(data.test),
            "curve": [round(point, 4) for point in trained.curve],
            "step": measures.step(data.test, task.measure),
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
    """The lines of a file of runs."""
    return ledger.read(path, _key)


@dataclasses.dataclass(frozen=True)
class Found:
    """What is known of a task at a point.

    Args:
        task: the `tuning.Task`.
        point: see `points`.
        there: a `tuning.decide.Candidate` for each family that is through with all seeds.
        runs: the lines behind them, by family.
        missing: names of families that are not through, or have failed.
        count: how many runs there are in all.
    """

    task: object
    point: dict
    there: tuple
    runs: dict
    missing: tuple
    count: int

    @property
    def complete(self):
        """Whether there is a verdict: every family of both kinds had its chance."""
        return bool(self.there) and not self.missing

    @property
    def best(self):
        return {kind: decide.best_of(self.there, kind) for kind in KINDS}

    @property
    def comparison(self):
        """Explicit less implicit, the best of each by validation, corrected for all that could have been compared."""
        return decide.decide(list(self.there), self.task.margin).comparisons[0]

    @property
    def seeds(self):
        return len(self.there[0].test)


def find(lines, name, point):
    """The `Found` of a task at a point: of the lines there those of the last version."""
    task = vary(tasks.get(name), point)
    mine = [line for line in lines if line["task"] == name and all(line[key] == point[key] for key in WHOLE)]
    mine = [line for line in mine if line["version"] == mine[-1]["version"]]
    wanted = [family.name for family in families.make_all(task.mixers) if family.kind in KINDS]
    runs = {name: _chosen([line for line in mine if line["family"] == name], task) for name in wanted}
    most = max(map(len, runs.values()))
    through = {name: chosen for name, chosen in runs.items() if chosen and len(chosen) == most}
    missing = tuple(name for name in wanted if name not in through)
    return Found(task, point, tuple(map(_candidate, through.values())), through, missing, len(mine))


def _chosen(lines, task):
    """The runs of a family at the learning rate that was chosen; none if not all rates were tried, or one failed."""
    tried = {line["learning_rate"] for line in lines if line["seed"] == 0}
    rate = choose_rate(lines) if tried == set(task.learning_rates) else None
    runs = sorted((line for line in lines if line["learning_rate"] == rate), key=lambda line: line["seed"])
    whole = [line["seed"] for line in runs] == list(range(len(runs)))
    return runs if whole and not any("failure" in line for line in runs) else []


def _candidate(runs):
    valid, test = (tuple(line[name] for line in runs) for name in ("valid", "test"))
    first = runs[0]
    cost, known = _median([line["latency"] for line in runs]), {"step": first["step"]}
    # Older lines do not say.
    if all(line.get("redrawn") for line in runs):
        known |= {"redrawn": tuple(tuple(line["redrawn"]) for line in runs), "units": first["units"]}
    return decide.Candidate(first["family"], first["kind"], valid, test, first["parameters"], cost, **known)


def report(options):
    """Writes the page and its drawings."""
    lines = read(options.out)
    drawings = {varied: draw(varied, moves(lines, varied)) for varied in VARIED}
    folder = options.page.parent / "images"
    for varied, drawing in drawings.items():
        if drawing is not None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"verdicts_{varied}.svg").write_text(drawing, encoding="utf-8")
    options.page.write_text(page(lines), encoding="utf-8")


def page(lines):
    """The page, from lines alone: Markdown."""
    found = [find(lines, name, WHOLE) for name in NAMES]
    whole = [each for each in found if each.complete]
    parts = [HEAD, *_verdicts(whole), *_claims(whole), *_costs(whole)]
    for varied in VARIED:
        parts += _moves(varied, moves(lines, varied))
    return "\n\n".join([*parts, *_not_run(lines, found)]) + "\n"


HEAD = """# Implicit or explicit, on real data

This page is written by `python benchmarks/verdicts.py report` from the results in `benchmarks/verdicts.jsonl`, a line
for each run; `KERAS_ATTN_DATA=DIRECTORY python benchmarks/verdicts.py run` makes those, and goes on where it was.

For each task every family is trained at equal parameters, within 10 %, with the same epochs, on the same seeds, at the
best of the same three learning rates by validation. The best explicit and the best implicit one, by validation, are
compared on the test part, seed by seed. The interval is that of the mean difference, 95 %, over seeds and test
examples; where it is marked with a star the examples were not kept, and it is of seeds alone. Differences below the
margin do not matter; what counts as shown is corrected for all the pairs that could have been compared
(`tuning/decide.py`).
Models are small, and some tasks train on a part of their data (`tuning/tasks/real.py`): what larger ones would do is
not said here."""


def _verdicts(found):
    if not found:
        return ["## Verdicts", "None yet."]
    head = ("task", "score", "best explicit", "best implicit", "explicit less implicit", "seeds", "margin", "verdict")
    return ["## Verdicts", _table(head, [_verdict_row(each) for each in found]), _sum_up(found), *_notes(found)]


def _verdict_row(found):
    best, compared = found.best, found.comparison
    cells = [f"{best[kind].name} {_mean(best[kind].test):.3f}" for kind in ("explicit", "implicit")]
    task = found.task
    return (
        f"`{task.name}`",
        task.measure,
        *cells,
        _difference(compared),
        str(found.seeds),
        f"{task.margin:g}",
        OUTCOMES[compared.outcome],
    )


#: What an outcome of `tuning.decide` says of explicit (first) and implicit.
OUTCOMES = {
    "first": "**explicit**",
    "second": "**implicit**",
    "equivalent": "a tie: the whole interval is inside the margin",
    "inside the margin": "no difference that matters, on average; the interval allows more",
    "not shown": "open: beyond the margin, and not shown with so many seeds",
}


def _difference(compared):
    star = "*" * (compared.method == decide.SEEDS)
    between = "" if compared.low is None else f" ({compared.low:+.3f} to {compared.high:+.3f}{star})"
    return f"{compared.mean:+.3f}{between}"


def _sum_up(found):
    counts = {outcome: sum(each.comparison.outcome == outcome for each in found) for outcome in OUTCOMES}
    near = counts["equivalent"] + counts["inside the margin"]
    return (
        f"Of {len(found)} task{'s' * (len(found) != 1)}: explicit {counts['first']}, implicit {counts['second']}, "
        f"no difference that matters {near}, open {counts['not shown']}."
    )


def _notes(found):
    """Where a control does as well as the better of both kinds, nothing was learnt about kinds."""
    controls = [(each.task.name, each.best["control"]) for each in found if is_no_better_than_control(each)]
    names = [f"`{name}` ({control.name} {_mean(control.test):.3f})" for name, control in controls]
    if not names:
        return []
    return [
        "Not shown to be better there than a control, in which nothing is moved between positions but by a short "
        f"convolution: {', '.join(names)}. So either what lies near is enough there, or so small a model learns in so "
        "few steps to use no more: there the verdict says little about kinds."
    ]


def is_no_better_than_control(found):
    """Whether the better of both kinds is not shown to be better than the control."""
    best = found.best
    winner = max((best["explicit"], best["implicit"]), key=lambda candidate: _mean(candidate.valid))
    compared = best["control"] and decide.compare(winner, best["control"], found.task.margin)
    return bool(compared) and compared.outcome != "first"


def _claims(found):
    """Each common claim, and what came of it."""
    by_claim = {claim: [] for claim in real.CLAIMS}
    for each in found:
        row = real.ROWS.get(each.task.name)
        if row is not None and row.claim:
            said = held(
                row.claim, each.comparison
            ) + "; a control is not shown to be worse" * is_no_better_than_control(each)
            by_claim[row.claim].append(f"`{each.task.name}`, as {row.why}: {said}")
    rows = [
        (claim, kind, "<br>".join(by_claim[claim]) or f"not tested: {_why_not(claim)}")
        for claim, kind in real.CLAIMS.items()
    ]
    said = "What is commonly said of the other tasks names no kind."
    return ["## What is commonly said", _table(("of", "better", "and here"), rows), said]


def held(claim, compared):
    """Whether a claim held, in words, by the comparison of explicit with implicit."""
    if compared.outcome in ("first", "second"):
        better = {"first": "explicit", "second": "implicit"}[compared.outcome]
        return "it held" if better == real.CLAIMS[claim] else f"it did not: {better} was better"
    if compared.outcome == "not shown":
        return f"open after {len(compared.differences)} seeds"
    return "it did not: a tie" if compared.outcome == "equivalent" else "it did not show: no difference that matters"


def _why_not(claim):
    about = [f"`{name}`" for name, row in real.ROWS.items() if row.claim == claim]
    return f"{', '.join(about)} not run to the end"


def _costs(found):
    if not found:
        return []
    head = ("task", "family", "kind", "test score", "parameters", "a run, s of a core", "an example, ms")
    rows = [row for each in found for row in _cost_rows(each)]
    said = (
        "Seconds of a core are those of a whole run, building and scoring included, and milliseconds those of one "
        "example in a batch of 64; both are medians over the seeds. The machine did other things beside: take the "
        "latter for an order of magnitude."
    )
    return ["## Costs", _table(head, rows), said]


def _cost_rows(found):
    for each in sorted(found.there, key=lambda candidate: (KINDS.index(candidate.kind), -_mean(candidate.test))):
        cpu = _median([line["cpu"] for line in found.runs[each.name]])
        score = f"{_mean(each.test):.3f} ± {decide.spread(each.test):.3f}"
        parameters, latency = f"{each.parameters:,}", f"{1e3 * each.cost:.2f}"
        yield f"`{found.task.name}`", each.name, each.kind, score, parameters, f"{cpu:.1f}", latency


def moves(lines, varied):
    """For each task that was run at all shares of a thing, its `Found` by share, 1 among them."""
    shares = sorted({1.0, *VARIED[varied]})
    rows = {name: [find(lines, name, {**WHOLE, varied: share}) for share in shares] for name in _varied(lines, varied)}
    return {name: row for name, row in rows.items() if all(each.complete for each in row)}


def _varied(lines, varied):
    there = {line["task"] for line in lines if line[varied] != 1.0}
    return [name for name in NAMES if name in there]


#: What is varied, in words: of a heading, and of an axis.
THINGS = {
    "length": ("sequence length", "share of each example that is read"),
    "data": ("data size", "share of the examples to train on"),
    "size": ("model size", "parameters, as multiples of the task's"),
}


def _moves(varied, found):
    heading, axis = THINGS[varied]
    parts = [f"## With {heading}"]
    if not found:
        return [*parts, "Not run."]
    rows = [
        (f"`{name}`", f"{each.point[varied]:g}", *_verdict_row(each)[2:6]) for name in found for each in found[name]
    ]
    parts.append(f"![Explicit less implicit by {heading}](images/verdicts_{varied}.svg)")
    return [*parts, _table(("task", axis, "best explicit", "best implicit", "explicit less implicit", "seeds"), rows)]


def draw(varied, found):
    """The differences by share, a line for each task, as SVG text; None if there are none."""
    if not found:
        return None
    import matplotlib
    from matplotlib.figure import Figure

    heading, label = THINGS[varied]
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0.0, color="#555555", linewidth=1)
    for row, (name, points_) in enumerate(found.items()):
        compared = [each.comparison for each in points_]
        # A little beside each other, so that bars can be told apart.
        shares = [each.point[varied] * 1.02**row for each in points_]
        means = [each.mean for each in compared]
        bars = [[mean - (mean if one.low is None else one.low) for mean, one in zip(means, compared)]]
        bars += [[(mean if one.high is None else one.high) - mean for mean, one in zip(means, compared)]]
        axes.errorbar(shares, means, yerr=bars, marker="osD^vP*X"[row % 8], capsize=3, label=name)
    axes.set_xscale("log", base=2)
    axes.set(xlabel=label, ylabel="explicit less implicit", title=f"The verdict and {heading}")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    stream = io.StringIO()
    # Without a date and with fixed names of its parts the same lines draw the same file.
    with matplotlib.rc_context({"svg.hashsalt": "verdicts"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def _not_run(lines, found):
    begun = [f"- `{each.task.name}`: begun, {_say_missing(each)}" for each in found if each.count and not each.complete]
    never = [f"`{each.task.name}`" for each in found if not each.count]
    parts = ["## Not run", *(["\n".join(begun)] if begun else [])]
    if never:
        parts.append(f"Tasks that wait for their runs: {', '.join(never)}.")
    for varied in VARIED:
        done = moves(lines, varied)
        left = [f"`{name}`" for name in _varied(lines, varied) if name not in done]
        if left:
            parts.append(f"With {THINGS[varied][0]}, begun: {', '.join(left)}.")
    return parts if len(parts) > 1 else [*parts, "Nothing: every task has its verdict."]


def _say_missing(found):
    return f"{found.count} run{'s' * (found.count != 1)}; not through: {', '.join(found.missing)}."


def _table(head, rows):
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def _median(values):
    return sorted(values)[len(values) // 2]


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
    parser.add_argument("--page", type=Path, default=PAGE, help="what `report` writes, with images/ beside it")
    parser.add_argument("--tasks", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--vary", choices=VARIED, help="shares of what: nothing, unless it is said")
    parser.add_argument("--part", type=_part, default=(0, 1), help="which part of how many, such as 0/2")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--minutes", type=float, help="how long runs are begun")
    options = parser.parse_args()
    {"run": run, "report": report}[options.what](options)


if __name__ == "__main__":
    main()
