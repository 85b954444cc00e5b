"""What there is of the data sets on this machine, and getting the rest: what `keras-attn data` says."""

import dataclasses
from pathlib import Path

from keras_attn.lookup import choose
from zoo.datasets import catalog, checksums, files


@dataclasses.dataclass(frozen=True)
class Holding:
    """A data set, and where its files lie.

    Attributes:
        name: the data set's.
        about: its `zoo.datasets.catalog.DataSet`.
        paths: a dict from the name of each file to where it lies, or None.
    """

    name: str
    about: catalog.DataSet
    paths: dict[str, Path | None]

    @property
    def missing(self):
        """The names of files that are not there."""
        return [name for name, path in self.paths.items() if path is None]

    @property
    def folders(self):
        """Where those lie that are there."""
        return sorted({path.parent for path in self.paths.values() if path is not None})


def look(name):
    """The `Holding` of a data set."""
    about = catalog.DATASETS[choose("data set", name, catalog.DATASETS)]
    return Holding(name, about, {file: files.locate(name, file) for file in catalog.files(name)})


def look_at_all():
    """The `Holding` of each data set, by name."""
    return [look(name) for name in sorted(catalog.DATASETS)]


def fetch(name, progress=None):
    """Fetches into the cache what is missing of a data set.

    Args:
        name: a data set's, as `catalog.DATASETS` has it.
        progress: a `rich.progress.Progress` to show bars in; None for one on standard error where that is a terminal.

    Returns:
        The names of the files that were fetched.

    Raises:
        ValueError: if something is missing that is not fetched automatically; it says where to get it and what to do.
    """
    missing = look(name).missing
    by_hand = [file for file in missing if catalog.origin(name, file) is None]
    if by_hand:
        raise ValueError(
            f"{name} is not fetched automatically. Lay {', '.join(by_hand)} into a folder {name} of the directory that "
            f"${files.VARIABLE} names. Made from {catalog.DATASETS[name].by_hand}"
        )
    for file in missing:
        files.fetch(name, file, progress)
    return missing


def verify(name):
    """Compares what lies here of a data set with the checksums of what the zoo's models were trained on.

    Returns:
        A dict from the name of each file that is there to whether its content is right.
    """
    found = {file: path for file, path in look(name).paths.items() if path is not None}
    return {file: checksums.content(path, path.suffix) == catalog.checksum(name, file) for file, path in found.items()}
