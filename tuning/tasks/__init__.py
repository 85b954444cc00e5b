"""The tasks that come with the project, by name: synthetic ones made by a rule, and real ones."""

from tuning.tasks.adding import ADDING
from tuning.tasks.brackets import BRACKETS
from tuning.tasks.copy import COPY
from tuning.tasks.digits import DIGITS
from tuning.tasks.flip_flop import FLIP_FLOP
from tuning.tasks.induction import INDUCTION
from tuning.tasks.listops import LISTOPS
from tuning.tasks.moving_average import MOVING_AVERAGE
from tuning.tasks.needle import NEEDLE
from tuning.tasks.parity import PARITY
from tuning.tasks.real import REAL
from tuning.tasks.recall import RECALL
from tuning.tasks.repeat_copy import REPEAT_COPY
from tuning.tasks.reverse import REVERSE
from tuning.tasks.selective_copy import SELECTIVE_COPY
from tuning.tasks.sort import SORT
from tuning.tasks.sst2 import SST2

#: Made by a rule, so that who wins can be established once and for all: see docs/known_answers.md.
SYNTHETIC = {
    task.name: task
    for task in (
        COPY,
        REPEAT_COPY,
        SELECTIVE_COPY,
        REVERSE,
        SORT,
        *RECALL,
        INDUCTION,
        NEEDLE,
        PARITY,
        FLIP_FLOP,
        BRACKETS,
        LISTOPS,
        MOVING_AVERAGE,
        *ADDING,
    )
}
TASKS = {DIGITS.name: DIGITS, SST2.name: SST2, **REAL, **SYNTHETIC}


def names():
    """The names in the table."""
    return tuple(TASKS)


def get(task):
    """The `Task` of that name; a `Task` of your own is returned as it is.

    Raises:
        ValueError: if there is no such task; near names are shown.
    """
    if hasattr(task, "data"):
        return task
    if not isinstance(task, str) or task not in TASKS:
        # Its import brings Keras along, and the list of tasks must come without.
        from keras_attn.lookup import choose

        choose("task", task, TASKS)
    return TASKS[task]
