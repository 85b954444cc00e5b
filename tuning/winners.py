"""The best model of each kind, as presets that `zoo.load` takes."""

import os
import shutil

import zoo
from tuning import decide, measures
from tuning.factors import families as measured
from tuning.isolation import MIB
from tuning.reporting import words

MODELS = "models"
#: Of each of these the best model is saved; of controls none is.
KINDS = ("implicit", "explicit", "hybrid")
#: Bytes that must be free for a model beside twice its weights: vocabularies, and what HDF5 needs of its own.
ROOM = 16 * MIB


def save(task, data, journal, found, candidates):
    """Saves the best model of each kind.

    Args:
        task: a `tuning.task.Task`.
        data: its `tuning.task.Data`.
        journal: the `tuning.journal.Journal` that has the weights.
        found: a `tuning.result.FamilyResult` for each family.
        candidates: those of them that finished, as `tuning.decide.Candidate`.

    Returns:
        The models' folders under the journal's, by kind.
    """
    by_name = {family.name: family for family in found}
    models = {}
    for kind in KINDS:
        best = decide.best_of(candidates, kind)
        if best is not None:
            models[kind] = f"{MODELS}/{kind}"
            _save_model(task, data, journal, measured.best(by_name[best.name]), by_name[best.name])
    return models


def _save_model(task, data, journal, run, family):
    model = measured.model(task, journal, run)
    model.preprocessor = data.preprocessor
    folder = journal.folder / MODELS / family.kind
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(exist_ok=True)
    _check_room(folder.parent, model)
    zoo.save(model, folder, card=_card(task, data, run, family, journal.description))


def _check_room(folder, model):
    """Raises `OSError` if a model would fill the disk: HDF5 may end the process then, without a word.

    The room is really taken, for a moment: what a system says is free need not be this user's to fill.
    """
    path = folder / ".part.room"
    # What no file system can make smaller.
    block = os.urandom(MIB)
    try:
        with open(path, "wb") as file:
            for _ in range((2 * 4 * model.count_params() + ROOM) // MIB):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
    finally:
        path.unlink(missing_ok=True)


def _card(task, data, run, family, search):
    return {
        **({} if data.form is None else {"form": data.form}),
        "name": f"{task.name}: {family.name}",
        "summary": task.description,
        "kind": family.kind,
        "mixer": run.mixer,
        "recipe": {**run.values, "epochs": len(run.curve), "batch_size": task.batch_size},
        "seeds": [run.seed for run in family.retrainings],
        "test_score": run.test,
        "test_score_by_seed": family.test,
        "score_is": measures.get(task.measure).says,
        "parameters": run.parameters,
        "trained_with": search["versions"],
        "command": words.command(search),
    }
