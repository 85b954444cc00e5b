"""Where data lies: in the directory that `$KERAS_ATTN_DATA` names, else in a cache, else where it is fetched from."""

import gzip
import os
import zlib
from pathlib import Path

from zoo.datasets import catalog, fetching

VARIABLE = "KERAS_ATTN_DATA"
#: Where what is fetched is kept, if not in Keras's own directory; and whether nothing may be fetched unasked.
CACHE, OFFLINE = "KERAS_ATTN_CACHE", "KERAS_ATTN_OFFLINE"


def find(dataset, name, source):
    """The path of a file of a data set: from `$KERAS_ATTN_DATA`, from the cache, or fetched into the cache.

    Args:
        dataset: the folder's name.
        name: the file's name.
        source: where the data comes from, for the error.

    Raises:
        FileNotFoundError: if it is in neither place and is not fetched automatically, or cannot be; it says what to do.
    """
    path = locate(dataset, name)
    if path is not None:
        return path
    root = os.environ.get(VARIABLE)
    said = f"There is no {Path(root) / dataset / name} (${VARIABLE}={root}). " if root else ""
    said += f"{advice(dataset, name)} The data comes from {source}."
    if catalog.origin(dataset, name) is None or os.environ.get(OFFLINE, "0") != "0":
        raise FileNotFoundError(said)
    try:
        return fetch(dataset, name)
    except fetching.FetchError as error:
        raise fetching.FetchError(f"{error} {said}") from error


def locate(dataset, name):
    """The path of a file where it lies, or None."""
    root = os.environ.get(VARIABLE)
    if root and not os.path.isdir(root):
        raise FileNotFoundError(f"${VARIABLE} must be a directory. Received: {root}")
    places = [Path(root) / dataset / name] if root else []
    return next((path for path in [*places, cache() / dataset / name] if path.is_file()), None)


def cache():
    """The directory of what was fetched: `$KERAS_ATTN_CACHE`, or `keras_attn/data` in Keras's own (`~/.keras`)."""
    chosen = os.environ.get(CACHE)
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras_attn" / "data"


def fetch(dataset, name, progress=None):
    """Fetches a file into the cache, and returns its path. See `zoo.datasets.fetching.fetch`."""
    path = cache() / dataset / name
    others = (catalog.origin(dataset, other) for other in catalog.files(dataset) if not (path.parent / other).is_file())
    keep = {url for other in others if other and other is not catalog.origin(dataset, name) for url in other.urls}
    fetching.fetch(catalog.origin(dataset, name), path, catalog.checksum(dataset, name), progress, keep)
    return path


def advice(dataset, name):
    """What to do about a file that is not there, in words."""
    other = f", or fetch it: `keras-attn data fetch {dataset}`" if catalog.origin(dataset, name) else ""
    return f"Set ${VARIABLE} to the directory that holds {dataset}/{name}{other}."


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
