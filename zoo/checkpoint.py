"""The state of a training run in one file, written so that a kill at any moment leaves the old or the new one."""

import json
import os

import numpy as np


def save(path, model, progress, best=()):
    """Writes weights, random states, optimizer state, the best weights so far and `progress`, a dict of plain data."""
    arrays = {f"variable_{i}": np.asarray(v.numpy()) for i, v in enumerate(_variables(model))}
    arrays.update({f"best_{i}": weight for i, weight in enumerate(best)})
    arrays["progress"] = np.frombuffer(json.dumps(progress).encode("utf-8"), dtype="uint8")
    part = f"{path}.part"
    with open(part, "wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def read(path):
    """`progress` and the best weights, a list of arrays; None and an empty list if there is no file."""
    if not os.path.exists(path):
        return None, []
    with np.load(path, allow_pickle=False) as arrays:
        best = [arrays[f"best_{i}"] for i in range(sum(name.startswith("best_") for name in arrays))]
        return json.loads(arrays["progress"].tobytes().decode("utf-8")), best


def restore(path, model):
    """Puts the model, which is compiled, where the file left it; without a file it stays as it is."""
    if os.path.exists(path):
        with np.load(path, allow_pickle=False) as arrays:
            for i, variable in enumerate(_variables(model)):
                variable.assign(arrays[f"variable_{i}"])


def _variables(model):
    model.optimizer.build(model.trainable_variables)
    return [*model.trainable_variables, *model.non_trainable_variables, *model.optimizer.variables]
