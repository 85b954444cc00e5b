"""A task as plain data, so that a process of its own can make it again: functions by name, arrays in a file.

No object is pickled: what is read here may run nothing but functions that are named in the person's own modules.
"""

import dataclasses
import functools
import importlib
import json
import runpy
import sys
from pathlib import Path

import numpy as np

from tuning.task import Data, Split, Task

FUNCTIONS = ("data", "model", "truth")
SPLITS = ("train", "valid", "test")
#: A script is loaded under this name, so that what it does under `if __name__ == "__main__":` is not done again.
SCRIPT = "__keras_attn_script__"


def describe(task):
    """The plain data that `make` makes the task from again.

    Args:
        task: a `tuning.task.Task`.

    Raises:
        ValueError: if its functions cannot be found by name, as those that were made within another cannot, nor those
            that were typed into a session.
    """
    fields = {field.name: getattr(task, field.name) for field in dataclasses.fields(task)}
    fields.update({name: _describe_function(fields[name]) for name in FUNCTIONS if fields[name] is not None})
    return json.loads(json.dumps(fields))


def make(description):
    """The `tuning.task.Task` that was described."""
    fields = {name: _as_tuples(value) for name, value in description.items()}
    fields.update({name: _make_function(description[name]) for name in FUNCTIONS if description[name] is not None})
    return Task(**fields)


def save_arrays(data, path):
    """Writes the splits of a `tuning.task.Data` to an .npz file; what prepares raw inputs stays behind.

    Raises:
        ValueError: if an array holds objects, which only a pickle could keep.
    """
    arrays = {}
    for name in SPLITS:
        split = getattr(data, name)
        inputs = split.x if isinstance(split.x, dict) else {"": split.x}
        arrays.update({f"{name}/x/{key}": array for key, array in inputs.items()})
        arrays[f"{name}/y"] = split.y
        beside = {key: getattr(split, key) for key in ("weight", "group")}
        arrays.update({f"{name}/{key}": array for key, array in beside.items() if array is not None})
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    objects = [name for name, array in arrays.items() if array.dtype.hasobject]
    if objects:
        raise ValueError(f"Arrays must hold numbers or text of one type. Received Python objects in: {objects[0]}")
    with open(path, "wb") as file:
        np.savez(file, **arrays)


def load_arrays(path):
    """The `tuning.task.Data` in an .npz file of `save_arrays`."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    return Data(*(_load_split(arrays, name) for name in SPLITS))


def _load_split(arrays, name):
    start = f"{name}/x/"
    inputs = {key.removeprefix(start): array for key, array in arrays.items() if key.startswith(start)}
    x = inputs[""] if set(inputs) == {""} else inputs
    return Split(x, arrays[f"{name}/y"], arrays.get(f"{name}/weight"), arrays.get(f"{name}/group"))


def _describe_function(function):
    """A function's name and the keywords that are filled in already."""
    keywords = {}
    if isinstance(function, functools.partial) and not function.args:
        function, keywords = function.func, function.keywords
    name = _name(function)
    try:
        return {"function": name, "keywords": json.loads(json.dumps(keywords))}
    except TypeError as error:
        raise ValueError(f"What is filled in for {name} must be plain data, as JSON has it: {error}") from None


def _make_function(description):
    function, keywords = _find(description["function"]), description["keywords"]
    return functools.partial(function, **keywords) if keywords else function


def _name(function):
    module, attribute = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    place = _main() if module == "__main__" else module
    if place is None or attribute is None or _attribute(sys.modules.get(module), attribute) is not function:
        raise ValueError(
            "A process of its own finds a task's functions by name, at the top of a module or a script. "
            f"Received: {function!r}"
        )
    return f"{place}:{attribute}"


def _main():
    """Where another process finds what runs here as the main program; None if nowhere."""
    main = sys.modules["__main__"]
    if getattr(main, "__spec__", None) is not None:
        return main.__spec__.name
    file = getattr(main, "__file__", None)
    return str(Path(file).resolve()) if file and Path(file).suffix == ".py" and Path(file).exists() else None


def _find(name):
    place, _, attribute = name.rpartition(":")
    return _attribute(_load(place), attribute)


@functools.cache
def _load(place):
    if not place.endswith(".py"):
        return importlib.import_module(place)
    # As the modules beside the script would find each other.
    sys.path.insert(0, str(Path(place).parent))
    script = type(sys)(SCRIPT)
    sys.modules[SCRIPT] = script
    script.__dict__.update(runpy.run_path(place, run_name=SCRIPT))
    return script


def _attribute(owner, dotted):
    return functools.reduce(lambda found, name: getattr(found, name, None), dotted.split("."), owner)


def _as_tuples(value):
    """JSON has no tuples, and a task's lists are tuples, so that it stays as it is."""
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
