"""Implicit or explicit, for a task: search each family, retrain the best on fresh seeds, decide."""

import contextlib
import dataclasses
import importlib.metadata
import math
import os
import platform
import tempfile
from pathlib import Path

import keras

import keras_attn
from keras_attn.lookup import whole_number
from tuning import budget as budgets
from tuning import decide, families, looks, measures, prior, proposals, result, signs, spaces, state, tasks, winners
from tuning import record as records
from tuning.budget import LIMIT
from tuning.engine import SearchFailed
from tuning.factors import families as measured
from tuning.isolation import Limits
from tuning.journal import Files, Journal, alone, check_folder
from tuning.progress import Silent
from tuning.reporting import report
from tuning.runner import Runner, hand_over
from tuning.session import Session
from zoo import store

#: Seconds for which a worker waits for a sign of life of the chief that measures and writes results.
PATIENCE = 600.0
#: A run has failed during which the search's own process died so often, with no other run ended in between. Kills from
#: outside at random moments hardly ever add up to it.
DEATHS = 5


def compare(
    task,
    mixers=None,
    trials=None,
    seeds=None,
    seed=0,
    out=None,
    parameters=None,
    width=None,
    epochs=None,
    proposer="random",
    workers=0,
    limits=None,
    progress=None,
    budget="parameters",
    factors=True,
    record=None,
):
    """Says with evidence which kind of attention serves a task best.

    Families race for trials (`tuning.racing` says how): a fair start for all, then the kinds take turns and the most
    promising families go on, until the budget is spent or nothing is open. The best of each kind and the controls are
    trained again on fresh seeds, the same for all, and judged on examples that no search has seen. With the same
    arguments a search that was interrupted goes on.

    Args:
        task: a name from `tuning.tasks.names()`, or a `tuning.task.Task`.
        mixers: a list of specs from `keras_attn.mixers`; a list among them is a hybrid. None for the task's.
        trials: whole runs for each family, on average, at least 1. With one there is no choice and no race: each family
            runs its defaults. None for the task's.
        seeds: fresh seeds for each finalist, at least 1; one shows nothing. None for the task's.
        seed: the master seed, at least 0, that all others come from.
        out: the folder for results, reports and models. None keeps nothing but what is returned.
        parameters: how many parameters each model has, within 10 %. None for the task's.
        width: one width for all models; their parameters differ then. None for equal parameters.
        epochs: epochs of a whole run, at least 1. None for the task's.
        proposer: what proposes within a family: "random", "bayesian", "hyperband", or any class of keras-tuner oracles
            that takes `objective`, `hyperparameters` and `seed`. It proposes values; epochs and rungs are the race's.
        workers: how many processes of their own do the runs, side by side: one that dies or swells costs its run only.
            0 does them in this process, which needs the least memory. The task's functions must be found by name.
        limits: a `tuning.isolation.Limits` of time and memory for each run of a worker; None for none.
        progress: what is told of each run, such as `tuning.progress.Lines()`; None for silence.
        budget: what is the same for all models: "parameters"; "flops", of a training step and example; or "time", the
            seconds of a training step. With a number, "flops=2e6", so much of it; without, what the first mixer costs
            that has the task's parameters.
        factors: whether the five factors are measured, and maps drawn of the winner: some seconds for each family.
        record: past verdicts, a list of `tuning.record.Past`, that an advice is drawn from: the order in which families
            begin, and nothing else (see `tuning.prior`). None for those that come with the package; an empty list for
            no advice. With too few of them there is none, which takes no time; else it takes about a minute.

    Returns:
        A `tuning.result.Result`.

    Raises:
        ValueError: for an unknown task, mixer or option, or a number that is not possible, before any training.
        FileNotFoundError: if the task's data is not there; it says how to get it.
        SearchFolderError: if `out` holds another search, or anything else.

    Example:
    ```python
    result = tuning.compare("digits", mixers=["multi_head", "gru"], trials=1, seeds=2, out="digits")
    print(result.verdict.answer)
    model = zoo.load("digits/" + result.preset)
    ```
    """
    given = dict(locals())
    if out is None:
        with tempfile.TemporaryDirectory() as folder:
            return compare(**{**given, "out": folder})
    task = _adjust(tasks.get(task), trials=trials, seeds=seeds, parameters=parameters, epochs=epochs, mixers=mixers)
    _check_number("seed", seed, 0)
    _check_number("workers", workers, 0)
    _check_chief()
    if workers and "KERASTUNER_ORACLE_IP" in os.environ:
        raise ValueError(
            f"A chief or worker of several machines does its runs itself. Received: workers={workers} with "
            "KERASTUNER_ORACLE_IP set"
        )
    if limits is not None and not workers:
        raise ValueError("Limits are for runs in processes of their own. Received: limits with workers=0")
    if width is not None:
        _check_number("width", width, 1, LIMIT)
    measures.get(task.measure)
    _check_one_size(parameters, width, *budgets.parse(budget))
    chosen = families.make_all(task.mixers)
    data = task.data(seed)
    _check_batch(task, data)
    search = {**describe(task, data, seed, width, budget), "proposer": proposals.check(proposer)}
    search["record"] = records.name(record)
    out = Path(out)
    check_folder(out, search)
    if (out / result.RESULTS).exists():
        # A kill may have come between the results and this.
        Files(out).clear()
        report(out)
        return result.load(out)
    past = records.load() if record is None else record
    limits, progress = limits or Limits(), progress or Silent()
    return _search(task, data, chosen, search, out, workers, limits, progress, factors, past, proposer)


def _check_chief():
    """Refuses some of keras-tuner's variables for a chief and workers without the others."""
    names = [f"KERASTUNER_{name}" for name in ("TUNER_ID", "ORACLE_IP", "ORACLE_PORT")]
    missing = [name for name in names if not os.environ.get(name)]
    if 0 < len(missing) < len(names):
        raise ValueError(
            "A chief or worker of several machines is told three variables of the environment: "
            f"{', '.join(names)}; alone one is told none. Received: without {', '.join(missing)}"
        )


def describe(task, data, seed, width, budget="parameters"):
    """Which search it is, as plain data: whatever could change its scores, but the code of the task's model."""
    plain = {
        field.name: getattr(task, field.name)
        for field in dataclasses.fields(task)
        if field.name not in ("data", "model", "description", "answer", "needs", "truth")
    }
    identity = {"model": _name(task.model), "data": data.checksum(), "seed": seed, "width": width}
    search = {"task": plain.pop("name"), **plain, **identity}
    backend = keras.backend.backend()
    names = ("keras", "keras-hub", "keras-tuner", "numpy", backend)
    packages = {name: importlib.metadata.version(name) for name in names}
    versions = {"python": platform.python_version(), "keras-attn": keras_attn.__version__, **packages}
    return _as_json({**search, "budget": budget, "backend": backend, "versions": versions})


def _search(task, data, chosen, search, out, workers, limits, progress, factors, past, proposer):
    kind, amount = budgets.parse(search["budget"])
    budget = budgets.make(task, data, kind, amount or budgets.remembered(out), search["width"])
    budget.recall(out)
    for family in chosen:
        _try_out(family, task, data, budget)
    with contextlib.nullcontext() if "KERASTUNER_ORACLE_IP" in os.environ else alone(out):
        return _carry_out(task, data, chosen, search, out, budget, workers, limits, progress, factors, past, proposer)


def _carry_out(task, data, chosen, search, out, budget, workers, limits, progress, factors, past, proposer):
    apart = "KERASTUNER_ORACLE_IP" in os.environ
    leads = not apart or "chief" in os.environ["KERASTUNER_TUNER_ID"]
    journal = Journal(out, search, progress.warn, alone=not apart)
    budget.remember(journal.folder)
    do, step = Runner(task, data, journal).do, measures.step(data.valid, task.measure)
    attempts = {"attempts": None if workers else DEATHS, "in_a_row": True}
    leases = {} if apart else {"lease": math.inf, **attempts}
    # The workers of several machines wait for who leads until results are written.
    with signs.given(out) if apart and leads else contextlib.nullcontext():
        # Who leads gives trials out, and so has an order.
        advised = _advise(task, data, past, search["seed"], out, progress) if leads else None
        order = advised and advised.order
        session = Session(task, journal, budget, do, search["seed"], step, chosen, proposer, progress, order, **leases)
        if workers:
            hand_over(task, data, out)
            found = session.aside(workers, limits)
        else:
            found = session.apart() if apart else session.here()
        if not leads:
            signs.await_file(out / result.RESULTS, PATIENCE)
            return result.load(out)
        with state.told(out):
            return _conclude(task, data, journal, found, advised, progress, factors)


def _advise(*arguments):
    """The advice to begin with. What goes wrong here is the folder's fault or ours, as in a trial."""
    try:
        return prior.form(*arguments)
    except Exception as error:
        raise SearchFailed(str(error) or type(error).__name__) from error


def _conclude(task, data, journal, found, advised, progress, factors):
    """What follows from the runs: a verdict, what is measured of each family, models, results and reports."""
    search, out = journal.description, journal.folder
    known = {"step": measures.step(data.test, task.measure), "units": measures.units(data.test)}
    found = tuple(dataclasses.replace(family, **known) for family in found)
    candidates = [family.as_candidate() for family in found if family.finished]
    verdict = _with_failed(decide.decide(candidates, task.margin), found)
    found = measured.of_all(task, data, journal, found, progress=progress) if factors else found
    models = winners.save(task, data, journal, found, candidates)
    if factors:
        looks.save(task, data, journal, found, verdict)
    about = {name: getattr(task, name) for name in ("description", "margin", "answer", "measure")}
    wall = sum(run.wall for family in found for run in (*family.trials, *family.retrainings))
    whole = result.Result(search, about, found, verdict, models, wall)
    whole = dataclasses.replace(whole, advice=prior.judge(advised, whole))
    whole.save(out)
    journal.clear()
    report(out)
    return whole


def _with_failed(verdict, found):
    """The verdict, which also says whom it leaves out because of a run that failed."""
    notes = []
    for family in found:
        causes = [run.failure for run in family.retrainings if run.failure is not None]
        if causes:
            notes.append(
                f"{family.name} failed in {len(causes)} of {len(family.retrainings)} retrainings ({causes[0]}) and has "
                "no part in this."
            )
    return dataclasses.replace(verdict, notes=(*verdict.notes, *notes))


def _try_out(family, task, data, budget):
    """Sizes that cannot be met, mixers that cannot do it, and models that cannot be saved show before any training."""
    mixer = spaces.realise(family, spaces.defaults(family, task))
    width, _ = budget.solve(mixer)
    try:
        model = task.model(mixer, width, 0.0)
        model(data.valid.take(slice(1)).x)
    except Exception as error:
        raise ValueError(f"{family.name} cannot do the task {task.name}: {error}") from error
    if family.kind in winners.KINDS:
        _check_model(task, model)


def _check_model(task, model):
    try:
        store.check_class(model)
    except TypeError as error:
        raise ValueError(
            f"The best models of the task {task.name} could not be saved: its `model` must make a task model of the "
            f"zoo. {error}"
        ) from None


def _check_batch(task, data):
    size = task.epoch_size or len(data.train)
    if task.batch_size > size:
        raise ValueError(f"An epoch of {size} examples must fill a batch. Received: batch_size={task.batch_size}")


def _adjust(task, mixers, **numbers):
    """The task with what was asked for instead of its own."""
    for name, value in numbers.items():
        if value is not None:
            _check_number(name, value, 1)
    given = {name: value for name, value in numbers.items() if value is not None}
    if mixers is not None:
        given["mixers"] = (mixers,) if isinstance(mixers, (str, dict)) else tuple(mixers)
    return dataclasses.replace(task, **given)


def _check_one_size(parameters, width, kind, amount):
    """Raises if models are told their size twice: one of the two would be passed over."""
    told = {"parameters": parameters, "width": width, "budget": amount}
    said = ", ".join(f"{name}={value!r}" for name, value in told.items() if value is not None)
    if sum(value is not None for value in told.values()) > 1 or (width is not None and kind != "parameters"):
        raise ValueError(
            "The size of models is said once: by `parameters`, by `width`, or by `budget` with a number. "
            f"Received: {said}, with a budget of {kind}"
        )


def _check_number(name, value, least, most=None):
    whole_number(name, value, least)
    if most is not None and value > most:
        raise ValueError(f"`{name}` must be at most {most}. Received: {name}={value!r}")


def _name(function):
    """Where a function comes from, and what is filled in already if it is a `functools.partial`."""
    filled = ", ".join(f"{name}={value!r}" for name, value in getattr(function, "keywords", {}).items())
    function = getattr(function, "func", function)
    return f"{function.__module__}.{function.__qualname__}" + (f"({filled})" if filled else "")


def _as_json(content):
    """As it comes back from a JSON file: tuples are lists."""
    if isinstance(content, dict):
        return {name: _as_json(value) for name, value in content.items()}
    return [_as_json(value) for value in content] if isinstance(content, (list, tuple)) else content
