import gzip

import numpy as np
import pytest

from zoo.datasets import files


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Writes a file of a data set, arrays or a text that is compressed, to where data is then looked for."""
    monkeypatch.setenv(files.VARIABLE, str(tmp_path))

    def write(dataset, name, text=None, /, **arrays):
        path = tmp_path / dataset / name
        path.parent.mkdir(exist_ok=True)
        if text is None:
            np.savez(path, **arrays)
        else:
            path.write_bytes(gzip.compress(text.encode()))

    return write
