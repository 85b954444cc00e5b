"""Where the data lies: the directory that `$KERAS_ATTN_DATA` names."""

import os
from pathlib import Path

VARIABLE = "KERAS_ATTN_DATA"


def find(dataset, name, source):
    """The path of a file of a data set.

    Args:
        dataset: the folder's name.
        name: the file's name.
        source: where the data comes from, for the error.

    Raises:
        FileNotFoundError: if the variable is not set or the file is not there; it says what to set and get.
    """
    root = os.environ.get(VARIABLE)
    if not root:
        raise FileNotFoundError(
            f"Set ${VARIABLE} to the directory that holds {dataset}/{name}. The data comes from {source}."
        )
    path = Path(root) / dataset / name
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path} (${VARIABLE}={root}). The data comes from {source}.")
    return path
