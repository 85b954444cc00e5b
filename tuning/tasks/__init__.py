"""The tasks that come with the project, by name: synthetic ones whose answer is published, and real ones."""

from tuning.tasks.digits import DIGITS
from tuning.tasks.parity import PARITY
from tuning.tasks.recall import RECALL
from tuning.tasks.sst2 import SST2

TASKS = {task.name: task for task in (DIGITS, SST2, RECALL, PARITY)}


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
