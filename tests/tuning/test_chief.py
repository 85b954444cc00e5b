"""A chief and two workers on this machine: whoever is killed, all ends by itself, and no trial is lost or run twice."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
TRIALS = 7
LIMIT = 240


class Search:
    """The processes of a search; those that still run are ended when the test does."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def start(self, tuner_id, job="0"):
        # No model is trained there, and this is imported quickest.
        return self.run("distributed.py", tuner_id, job, str(TRIALS), KERAS_BACKEND="numpy")

    def start_whole(self, tuner_id, seconds, patience):
        """A whole `compare`: in the end its chief measures for so many seconds, and its worker has so much patience."""
        return self.run("apart.py", tuner_id, str(seconds), str(patience))

    def run(self, script, tuner_id, *arguments, **variables):
        environment = {
            **os.environ,
            "KERASTUNER_TUNER_ID": tuner_id,
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(self.port),
            "PYTHONPATH": str(ROOT),
            **variables,
        }
        command = [sys.executable, str(ROOT / "tests/tuning" / script), str(self.folder), *arguments]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.processes.append(process)
        return process

    def begun(self):
        """Trials, in the order of their numbers, as often as they began."""
        return sorted(path.name.split(".")[0] for path in self.folder.glob("*.begun"))

    def state(self):
        return json.loads((self.folder / "search" / "oracle.json").read_text())["state"]


@pytest.fixture
def search(tmp_path):
    found = Search(tmp_path)
    yield found
    for process in found.processes:
        process.kill()


def ended(process):
    """The status and the last line of a process that ends by itself."""
    said, _ = process.communicate(timeout=LIMIT)
    return process.returncode, (said.splitlines() or [""])[-1]


def wait_until(condition):
    deadline = time.monotonic() + LIMIT
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def statuses(state):
    return [trial["status"] for trial in state["trials"]]


def test_two_workers_share_the_trials_and_all_end(search):
    chief, *workers = [search.start(name, "0.3") for name in ("chief", "worker-1", "worker-2")]
    assert [ended(process)[0] for process in (chief, *workers)] == [0, 0, 0]
    assert search.begun() == [str(number) for number in range(TRIALS)]
    state = search.state()
    assert statuses(state) == ["COMPLETED"] * TRIALS
    for trial in state["trials"]:
        assert trial["score"] == trial["hyperparameters"]["values"]["gru/rate"]


def test_a_worker_that_is_killed_for_good_leaves_its_trial_to_the_other(search):
    chief, dying = search.start("chief"), search.start("worker-1", "die")
    wait_until(lambda: dying.poll() is not None)
    (lost,) = search.begun()
    other = search.start("worker-2")
    assert [ended(process)[0] for process in (chief, other)] == [0, 0]
    assert statuses(search.state()) == ["COMPLETED"] * TRIALS
    assert search.begun() == sorted([lost, *map(str, range(TRIALS))])


def test_a_chief_that_is_killed_and_started_again_loses_nothing_and_repeats_nothing(search):
    first, *workers = [search.start(name, "2") for name in ("chief", "worker-1", "worker-2")]
    wait_until(lambda: len(search.begun()) == 3)
    first.kill()
    first.wait()
    # As long as it may take to notice, and to start it again.
    time.sleep(40)
    chief = search.start("chief")
    assert [ended(process)[0] for process in (chief, *workers)] == [0, 0, 0]
    assert search.begun() == [str(number) for number in range(TRIALS)]
    assert statuses(search.state()) == ["COMPLETED"] * TRIALS


def test_over_the_failure_limit_every_process_ends_and_says_why(search):
    processes = [search.start(name, "fail") for name in ("chief", "worker-1", "worker-2")]
    for process in processes:
        status, said = ended(process)
        assert status == 1
        assert "3 trials in a row failed. The last one: ValueError: nothing works here" in said


def test_a_second_chief_at_one_address_is_refused(search, tmp_path):
    search.start("chief")
    wait_until(lambda: (tmp_path / "search" / "oracle.json").exists())
    time.sleep(3)
    status, said = ended(search.start("chief"))
    assert status == 1 and "Name another port" in said


def test_workers_wait_for_a_chief_that_measures_longer_than_they_have_patience(search):
    chief, worker = (search.start_whole(name, seconds=25, patience=12) for name in ("chief", "worker-1"))
    assert [ended(process) for process in (worker, chief)] == [(0, "no verdict")] * 2


def test_a_chief_that_is_killed_while_it_measures_and_started_again_is_waited_for(search, tmp_path):
    first, worker = (search.start_whole(name, seconds=120, patience=200) for name in ("chief", "worker-1"))
    wait_until((tmp_path / "measuring").exists)
    first.kill()
    first.wait()
    time.sleep(40)
    # Its workers all know that there are no more trials: it does not wait ten minutes to hear of one.
    chief = search.start_whole("chief", seconds=1, patience=200)
    assert [ended(process) for process in (chief, worker)] == [(0, "no verdict")] * 2
