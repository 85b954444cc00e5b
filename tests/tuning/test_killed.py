"""kill -9 at any moment, again and again: the search goes on, and finds what it finds if nobody kills it."""

import importlib.util
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import keras
import pytest

from tests.tuning.killed import found

ROOT = Path(__file__).parents[2]
KILLS = 50
LIMIT = 300
KILLED = -signal.SIGKILL


class Nursery:
    """A process that forks searches. Use it in a `with`."""

    def __enter__(self):
        # Torch compiles nothing; which backend trains is nothing to what is killed here.
        backend = "torch" if importlib.util.find_spec("torch") else keras.config.backend()
        environment = {**os.environ, "KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-W", "ignore", "-m", "tests.tuning.killed"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.said = queue.SimpleQueue()
        threading.Thread(target=lambda: [*map(self.said.put, self.process.stdout)], daemon=True).start()
        assert self.said.get(timeout=LIMIT) == "ready\n"
        return self

    def __exit__(self, *exception):
        self.process.stdin.close()
        self.process.wait(LIMIT)

    def search(self, folder, seconds=LIMIT):
        """The status of a search that is killed after so many seconds, unless it ends before."""
        print(folder, file=self.process.stdin, flush=True)
        pid = int(self.said.get(timeout=LIMIT))
        try:
            return int(self.said.get(timeout=seconds))
        except queue.Empty:
            os.kill(pid, signal.SIGKILL)
            return int(self.said.get(timeout=LIMIT))


def written(folder):
    """The finished runs, as they were written."""
    return {path.name: path.read_bytes() for path in folder.glob("runs/[!.]*.json")}


def kill_often(folder, kills=KILLS, seconds=float("inf")):
    """Kills searches at random moments, so many times or for so many seconds.

    Returns:
        How many runs were finished at each kill, and how many searches came to their end.
    """
    moments, whole_ones, numbers = [], 0, random.Random(7)
    with Nursery() as nursery:
        start = time.monotonic()
        assert nursery.search(folder / "whole") == 0
        whole, took = found(folder / "whole"), time.monotonic() - start
        while len(moments) < kills and time.monotonic() - start < seconds:
            place, kept, status = folder / str(whole_ones), {}, KILLED
            while status == KILLED:
                more = len(moments) < kills and time.monotonic() - start < seconds
                status = nursery.search(place, numbers.uniform(0, took) if more else LIMIT)
                if status == KILLED:
                    kept |= written(place)
                    moments.append(len(kept))
            assert status == 0
            assert found(place) == whole
            # No run that was finished was done again: it would have taken another time.
            assert kept.items() <= written(place).items()
            whole_ones += 1
    return moments, whole_ones


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks, so that nothing is imported fifty times")
def test_killed_at_fifty_random_moments_searches_go_on_and_find_the_same(tmp_path):
    moments, _ = kill_often(tmp_path)
    assert len(moments) == KILLS
    # At moments that differ: before the first run was finished, and among the last.
    assert 0 in moments and max(moments) >= 8
