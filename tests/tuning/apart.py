"""A whole search as a chief or a worker, for tests. Arguments: folder, how long measuring takes, how long one waits."""

import sys
import time
from pathlib import Path

import tuning
from tests.tuning.standins import BLOBS
from tuning import comparison, looks
from tuning.factors import families as measured

if __name__ == "__main__":
    folder, seconds, patience = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])

    def measure(task, data, journal, found, progress):
        (folder / "measuring").touch()
        time.sleep(seconds)
        return found

    measured.of_all, looks.save = measure, lambda *_: None
    comparison.PATIENCE = patience
    found = tuning.compare(BLOBS, mixers=["identity"], trials=1, seeds=1, epochs=1, out=folder)
    print(found.verdict.answer)
