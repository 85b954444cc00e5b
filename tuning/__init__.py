"""Implicit or explicit attention for a task? Searches that compare them fairly, and say so in words.

`advise` guesses before any search, `compare` searches, `report` writes a search's reports again, `tasks` lists what
comes with the project, `task_from` makes a task of your own data, and `predict` asks a winner. Nothing heavy is
imported before it is asked for, so that a command can choose the backend first.
"""

import importlib

from tuning import tasks
from tuning.task import Data, Split, Task

_LATER = {
    "advise": "tuning.advice",
    "compare": "tuning.comparison",
    "predict": "tuning.own.predictions",
    "report": "tuning.reporting",
    "task_from": "tuning.own.making",
}

__all__ = ["Data", "Split", "Task", "advise", "compare", "predict", "report", "task_from", "tasks"]


def __getattr__(name):
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)
