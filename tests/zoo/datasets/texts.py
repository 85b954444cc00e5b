"""Data directories for tests, with files written by hand."""

import gzip

from zoo.datasets import files


def lay(folder, monkeypatch, dataset, texts):
    """Makes `folder` the data directory, with gzipped texts of a data set, by the name of their file."""
    (folder / dataset).mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / dataset / name).write_bytes(gzip.compress(text.encode()))
    monkeypatch.setenv(files.VARIABLE, str(folder))
