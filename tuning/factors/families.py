"""Measures the best model of each family, once: what was measured lies in the search's folder."""

import dataclasses

import keras
import numpy as np

from tuning import factors
from tuning.journal import SearchFolderError, file_name, read_json, write_json
from tuning.progress import Event, Silent

FOLDER = "factors"


def of_all(task, data, journal, found, seconds=factors.SECONDS, progress=None):
    """The families with their factors.

    Args:
        task: a `tuning.task.Task`.
        data: its `tuning.task.Data`.
        journal: the `tuning.journal.Journal` that still has the weights.
        found: a `tuning.result.FamilyResult` for each.
        seconds: the limit of each factor of each family.
        progress: what is told of each family, such as `tuning.progress.Silent`; None for silence.

    Returns:
        A tuple of `tuning.result.FamilyResult`; families that did not finish are as before.
    """
    finished = [each.name for each in found if each.finished]
    progress = progress or Silent()

    def with_factors(each):
        if not each.finished:
            return each
        done = finished.index(each.name)
        progress.update(Event(done, len(finished), each.name, "factors", None, None))
        each = dataclasses.replace(each, factors=_of_one(task, data, journal, each, seconds))
        progress.update(Event(done + 1, len(finished), each.name, "factors", None, None, "measured"))
        return each

    return tuple(map(with_factors, found))


def _of_one(task, data, journal, family, seconds):
    run = best(family)
    path = journal.folder / FOLDER / f"{file_name(family.name)}.json"
    measured = _remembered(path, run)
    if measured is None:
        measured = factors.measure(task, data, model(task, journal, run), run, seconds)
        # Each measurement leaves graphs behind.
        keras.utils.clear_session(free_memory=True)
        path.parent.mkdir(exist_ok=True)
        write_json(path, dataclasses.asdict(measured))
    return measured


def best(family):
    """Of a family's retrainings the one with the best validation score: the test has no say."""
    return max(family.retrainings, key=lambda run: (run.valid, -run.round))


def model(task, journal, run):
    """The trained model of a retraining, whose weights the journal still has."""
    made = task.model(run.mixer, run.width, run.values["dropout"])
    with np.load(journal.weights(run)) as arrays:
        made.set_weights([arrays[name] for name in arrays.files])
    # KerasHub's tasks would wait for raw inputs otherwise.
    made.preprocessor = None
    return made


def _remembered(path, run):
    """What was measured of this very run before; None if nothing was, or it cannot be read."""
    if not path.exists():
        return None
    try:
        found = factors.Factors(**read_json(path))
    except (SearchFolderError, TypeError):
        return None
    return found if found.number == run.number else None
