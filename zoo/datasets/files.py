"""Where the data lies: the directory that `$KERAS_ATTN_DATA` names."""

import gzip
import os
import zlib
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


def read_lines(path):
    """The lines of a gzipped text in UTF-8: pairs of number, from 1, and line, without its end.

    Lines end with a line feed alone: what else may end one, such as a separator of paragraphs, is text.
    """
    number = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                yield number, line.removesuffix("\n")
    except (gzip.BadGzipFile, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged behind line {number}: {error}. Get it again.") from error
