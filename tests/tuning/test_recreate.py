"""A task that another process makes again is the same task."""

import dataclasses
import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.tuning import standins
from tuning import recreate, tasks
from tuning.task import Data, Split

ROOT = Path(__file__).parents[2]


def plain(task):
    """A task's fields; functions with keywords filled in, which are never equal, by what they are made of."""
    fields = {field.name: getattr(task, field.name) for field in dataclasses.fields(task)}
    return {name: (getattr(value, "func", value), getattr(value, "keywords", None)) for name, value in fields.items()}


@pytest.mark.parametrize(
    "task", [*map(tasks.get, tasks.names()), standins.BLOBS, standins.DIGITS], ids=lambda t: t.name
)
def test_a_task_comes_back_from_plain_data(task):
    assert plain(recreate.make(json.loads(json.dumps(recreate.describe(task))))) == plain(task)


def test_functions_with_keywords_filled_in_come_back():
    task = dataclasses.replace(standins.BLOBS, data=functools.partial(standins.blobs, count=83))
    again = recreate.make(recreate.describe(task))
    assert again.data(0).checksum() == task.data(0).checksum() != standins.blobs(0).checksum()


@pytest.mark.parametrize("function", [lambda seed: None, functools.partial(standins.blobs, 3)])
def test_functions_without_a_name_are_refused(function):
    with pytest.raises(ValueError, match="finds a task's functions by name, at the top of a module"):
        recreate.describe(dataclasses.replace(standins.BLOBS, data=function))


def test_only_plain_data_is_filled_in():
    function = functools.partial(standins.blobs, count=np.arange(3))
    with pytest.raises(ValueError, match=r"standins:blobs must be plain data"):
        recreate.describe(dataclasses.replace(standins.BLOBS, data=function))


@pytest.mark.slow
def test_functions_of_a_script_are_found_by_a_process_of_its_own(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(
        "import dataclasses\n"
        "from beside import COUNT\n"
        "from tests.tuning import standins\n"
        "def data(seed): return standins.blobs(seed, COUNT)\n"
        "if __name__ == '__main__':\n"
        "    from tuning import isolation, recreate\n"
        "    task = dataclasses.replace(standins.BLOBS, data=data)\n"
        "    with isolation.Worker('tests.tuning.test_recreate:remade') as worker:\n"
        "        outcome = worker.run(recreate.describe(task))\n"
        "    print(outcome.answer == task.data(0).checksum(), outcome.failure)\n"
    )
    (tmp_path / "beside.py").write_text("COUNT = 89\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["True", "None"], done.stderr


def remade(description):
    return recreate.make(description).data(0).checksum()


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_arrays_come_back_from_a_file(named, weighted, tmp_path):
    numbers = np.random.default_rng(0)

    def split(count):
        x = numbers.normal(size=(count, 3, 2)).astype("float32")
        x = {"token_ids": numbers.integers(7, size=(count, 5)), "padding_mask": x > 0} if named else x
        weight = numbers.random(count).astype("float32") if weighted else None
        return Split(x, numbers.integers(2, size=count).astype("int32"), weight, np.arange(count) if weighted else None)

    data = Data(split(13), split(11), split(17))
    recreate.save_arrays(data, tmp_path / "data.npz")
    again = recreate.load_arrays(tmp_path / "data.npz")
    assert again.checksum() == data.checksum()
    assert (again.train.weight is not None) == weighted and isinstance(again.train.x, dict) == named
    assert (again.test.group is not None) == weighted and (not weighted or again.test.group[-1] == 16)


def test_objects_are_not_pickled(tmp_path):
    split = Split(np.array([None, "text"]), np.array([0, 1]))
    with pytest.raises(ValueError, match=r"Python objects in: train/x/"):
        recreate.save_arrays(Data(split, split, split), tmp_path / "data.npz")
    assert list(tmp_path.iterdir()) == []
