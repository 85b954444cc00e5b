"""Implicit or explicit, for a task: search each family, retrain the best on fresh seeds, decide."""

import dataclasses
import importlib.metadata
import platform
import tempfile
from pathlib import Path

import keras

import keras_attn
from keras_attn.lookup import whole_number
from tuning import decide, families, measures, result, spaces, tasks, winners
from tuning.budget import LIMIT, Budget
from tuning.journal import Journal, check_folder
from tuning.progress import Silent
from tuning.reporting import report
from tuning.session import RETRAINING, TRIAL, Session


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
    progress=None,
):
    """Says with evidence which kind of attention serves a task best.

    For each family one search of equal budget; then its best trial is trained again on fresh seeds, the same for all,
    and judged on examples that no search has seen. With the same arguments a search that was interrupted goes on.

    Args:
        task: a name from `tuning.tasks.names()`, or a `tuning.task.Task`.
        mixers: a list of specs from `keras_attn.mixers`; a list among them is a hybrid. None for the task's.
        trials: trials for each family, at least 1. None for the task's.
        seeds: fresh seeds for each family's best, at least 1; one shows nothing. None for the task's.
        seed: the master seed, at least 0, that all others come from.
        out: the folder for results, reports and models. None keeps nothing but what is returned.
        parameters: how many parameters each model has, within 10 %. None for the task's.
        width: one width for all models; their parameters differ then. None for equal parameters.
        epochs: epochs of each run, at least 1. None for the task's.
        progress: what is told of each run, such as `tuning.progress.Lines()`; None for silence.

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
    if out is None:
        with tempfile.TemporaryDirectory() as folder:
            return compare(task, mixers, trials, seeds, seed, folder, parameters, width, epochs, progress)
    task = _adjust(tasks.get(task), trials=trials, seeds=seeds, parameters=parameters, epochs=epochs, mixers=mixers)
    _check_number("seed", seed, 0)
    if width is not None:
        _check_number("width", width, 1, LIMIT)
    measures.get(task.measure)
    chosen = families.make_all(task.mixers)
    data = task.data(seed)
    _check_batch(task, data)
    search = describe(task, data, seed, width)
    out = Path(out)
    check_folder(out, search)
    if (out / result.RESULTS).exists():
        report(out)
        return result.load(out)
    return _search(task, data, chosen, search, out, progress or Silent())


def describe(task, data, seed, width):
    """Which search it is, as plain data: whatever could change its scores, but the code of the task's model."""
    plain = {
        field.name: getattr(task, field.name)
        for field in dataclasses.fields(task)
        if field.name not in ("data", "model", "description", "answer", "needs")
    }
    identity = {"model": _name(task.model), "data": data.checksum(), "seed": seed, "width": width}
    search = {"task": plain.pop("name"), **plain, **identity}
    backend = keras.backend.backend()
    names = ("keras", "keras-hub", "keras-tuner", "numpy", backend)
    packages = {name: importlib.metadata.version(name) for name in names}
    versions = {"python": platform.python_version(), "keras-attn": keras_attn.__version__, **packages}
    return _as_json({**search, "backend": backend, "versions": versions})


def _search(task, data, chosen, search, out, progress):
    budget = Budget(task.model, task.parameters, search["width"])
    for family in chosen:
        _try_out(family, task, data, budget)
    journal = Journal(out, search, progress.warn)
    counts = {TRIAL: task.trials, RETRAINING: task.seeds}
    session = Session(task, data, journal, budget, search["seed"], counts, len(chosen), progress)
    found = tuple(session.run_family(family) for family in chosen)
    candidates = [family.as_candidate() for family in found if family.finished]
    verdict = decide.decide(candidates, task.margin)
    models = winners.save(task, data, journal, found, candidates)
    about = {name: getattr(task, name) for name in ("description", "margin", "answer", "measure")}
    whole = result.Result(search, about, found, verdict, models, sum(run.wall for run in session.runs))
    whole.save(out)
    journal.drop_weights()
    report(out)
    return whole


def _try_out(family, task, data, budget):
    """Sizes that cannot be met, and mixers that cannot do the task, show before any training."""
    mixer = spaces.realise(family, spaces.defaults(family, task))
    width, _ = budget.solve(mixer)
    try:
        task.model(mixer, width, 0.0)(data.valid.take(slice(1)).x)
    except Exception as error:
        raise ValueError(f"{family.name} cannot do the task {task.name}: {error}") from error


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
