"""Of all who claim a run one has it, and while that one lives nobody else."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tuning.journal import SearchFolderError
from tuning.leases import Leases

ROOT = Path(__file__).parents[2]
#: Claims a run, says so, and holds it until it is killed or its input ends.
HOLD = """
import sys
from tuning.leases import Leases
lease = Leases(sys.argv[1], float(sys.argv[2]), owner="other").claim("run")
print("claimed" if lease else "taken", flush=True)
sys.stdin.read()
"""


def hold(folder, seconds):
    command = [sys.executable, "-c", HOLD, str(folder), str(seconds)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def claim_within(leases, name, seconds):
    """The claim as soon as it can be had, and after how long."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        lease = leases.claim(name)
        if lease:
            return lease, time.monotonic() - start
        time.sleep(0.02)
    raise AssertionError(f"no claim within {seconds} s")


def expire(folder):
    """As if nobody had renewed any claim for an hour."""
    for path in folder.glob("*.lease"):
        os.utime(path, (time.time() - 3600, time.time() - 3600))


def test_a_claim_is_one_s_own_until_it_is_released(tmp_path):
    mine, yours = Leases(tmp_path, owner="me"), Leases(tmp_path, owner="you")
    with mine.claim("a run") as lease:
        assert lease.held
        assert yours.claim("a run") is None and mine.claim("a run") is None
        assert yours.claim("another run").held
        assert yours.holder("a run")["owner"] == "me" and yours.holder("a run")["pid"] == os.getpid()
    assert not lease.held
    assert yours.holder("a run") is None
    assert yours.claim("a run").held


def test_a_claim_is_a_file_that_people_can_read(tmp_path):
    lease = Leases(tmp_path).claim("multi_head(num_heads=2) trial/3")
    assert set(json.loads(lease.path.read_text())) == {"owner", "host", "pid", "time"}
    assert lease.path.parent == tmp_path


def test_names_that_start_alike_are_different_claims(tmp_path):
    leases = Leases(tmp_path)
    assert leases.claim("gru") and leases.claim("gru+multi_head") and leases.claim("gru-1") and leases.claim("gru.1")


def test_a_claim_that_is_renewed_outlives_its_time(tmp_path):
    with Leases(tmp_path, 0.5).claim("run") as lease:
        time.sleep(1.3)
        assert Leases(tmp_path, 0.5).claim("run") is None
        assert lease.held


@pytest.mark.parametrize("start", ["fresh", "expired", "released"])
def test_of_fifty_who_claim_at_once_one_wins(start, tmp_path):
    runs = [f"run-{number}" for number in range(7)]
    for run in runs:
        if start != "fresh":
            lease = Leases(tmp_path).claim(run)
            lease._ended.set() if start == "expired" else lease.release()
    expire(tmp_path)
    begin, won = threading.Barrier(50), []

    def race(number):
        leases = Leases(tmp_path, owner=str(number))
        begin.wait()
        won.extend((run, lease) for run in runs if (lease := leases.claim(run)))

    threads = [threading.Thread(target=race, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(run for run, _ in won) == runs
    assert all(lease.held for _, lease in won)
    for _, lease in won:
        lease.release()


def test_a_killed_holder_s_claim_is_another_s_within_its_time(tmp_path):
    seconds = 1.5
    process, said = hold(tmp_path, seconds)
    assert said == "claimed"
    leases = Leases(tmp_path, seconds)
    time.sleep(seconds * 1.3)
    assert leases.claim("run") is None and leases.holder("run")["pid"] == process.pid
    process.kill()
    process.wait()
    lease, waited = claim_within(leases, "run", 20)
    assert lease.held and waited <= seconds + 0.5
    lease.release()


def test_another_process_gets_no_claim_that_is_held(tmp_path):
    with Leases(tmp_path).claim("run"):
        process, said = hold(tmp_path, 60)
        process.communicate()
        assert said == "taken"


def test_who_slept_too_long_learns_that_the_claim_is_another_s(tmp_path):
    sleeper = Leases(tmp_path, 0.5).claim("run")
    sleeper._ended.set()  # its thread stands still, as in a process that was stopped
    expire(tmp_path)
    lease = Leases(tmp_path).claim("run")
    sleeper._ended.clear()
    assert lease.held and not sleeper.held
    sleeper.release()
    assert lease.held


def test_who_looked_long_ago_takes_nothing_from_who_came_since(tmp_path, monkeypatch):
    leases = Leases(tmp_path)
    first = leases.claim("run")
    first._ended.set()
    expire(tmp_path)
    looked = leases._newest("run")
    second = leases.claim("run")
    second._ended.set()
    expire(tmp_path)
    third = leases.claim("run")
    late = Leases(tmp_path)
    # It saw the first claim, expired; since then two others have had it.
    newest, seen = late._newest, [looked]
    monkeypatch.setattr(late, "_newest", lambda name: seen.pop() if seen else newest(name))
    assert late.claim("run") is None
    assert third.held
    assert [path.name for path in tmp_path.glob("*.lease")] == [third.path.name]


def test_no_two_clocks_are_compared(tmp_path, monkeypatch):
    with Leases(tmp_path, 7).claim("run"):
        monkeypatch.setattr(time, "time", lambda: 0.0)
        assert Leases(tmp_path, 7).claim("run") is None
        monkeypatch.setattr(time, "time", lambda: 1e10)
        assert Leases(tmp_path, 7).claim("run") is None


def test_a_full_disk_or_a_read_only_folder_is_said(tmp_path, monkeypatch):
    leases = Leases(tmp_path)
    opened = os.open

    def refuse(path, flags, *rest):
        if str(path).endswith(".lease"):
            raise OSError(number, os.strerror(number))
        return opened(path, flags, *rest)

    monkeypatch.setattr("tuning.leases.os.open", refuse)
    number = errno.ENOSPC
    with pytest.raises(SearchFolderError, match=r"run\.0\.lease cannot be written .*The disk is full"):
        leases.claim("run")
    number = errno.EROFS
    with pytest.raises(SearchFolderError, match="The file system is read-only"):
        leases.claim("run")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "leases").write_text("")
    with pytest.raises(SearchFolderError, match="leases cannot be written"):
        Leases(tmp_path / "leases")


def test_a_lease_has_some_time():
    with pytest.raises(ValueError, match="Received: seconds=0"):
        Leases(".", 0)
