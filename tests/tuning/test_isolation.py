"""A run that dies takes nothing with it, and says why it died."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tuning.isolation import MIB, Limits, Outcome, Worker, describe_end, resident

ROOT = Path(__file__).parents[2]
JOBS = "tests.tuning.jobs:"


def worker(name, **limits):
    return Worker(JOBS + name, Limits(**limits))


def alive(pid):
    """Whether a process is there; one that is dead and not yet buried is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_one_process_does_run_after_run_beside_this_one():
    with worker("add") as working:
        first, second = working.run(2, 3), working.run(5, 7)
    assert (first.answer["sum"], second.answer["sum"]) == (5, 12)
    assert first.answer["pid"] == second.answer["pid"] != os.getpid()
    assert first.failure is None and first.attempts == 1 and first.memory > MIB
    assert not alive(first.answer["pid"])


def test_an_exception_is_told_in_one_line_is_not_tried_again_and_costs_no_new_process(tmp_path):
    log = tmp_path / "worker.log"
    with Worker(JOBS + "fail", log=log) as working:
        outcome = working.run("no\n  number")
        assert outcome == Outcome(None, "ArithmeticError: no number", 1, outcome.memory)
        pid = working.pid
        working.run("again")
        assert working.pid == pid
    assert "Traceback" in log.read_text() and "in fail" in log.read_text()


@pytest.mark.parametrize(
    ("job", "argument", "said"),
    [
        ("die", "SIGKILL", "killed by signal 9 (perhaps out of memory)"),
        ("die", "SIGSEGV", "killed by signal 11 (segmentation fault)"),
        ("leave_at_once", 3, "ended its process with status 3"),
    ],
)
def test_a_run_that_kills_its_process_is_tried_twice_and_told(job, argument, said):
    with worker(job) as working:
        outcome = working.run(argument)
    assert (outcome.failure, outcome.attempts) == (said, 2)


def test_attempts_are_the_caller_s():
    with worker("die", attempts=1) as working:
        assert working.run("SIGKILL").attempts == 1


def test_what_kills_its_process_once_may_do_well_the_second_time(tmp_path):
    with worker("die_unless") as working:
        outcome = working.run(str(tmp_path / "was"))
    assert (outcome.answer, outcome.failure, outcome.attempts) == ("well", None, 2)


def test_a_run_that_hangs_is_ended_in_time_and_not_tried_again():
    with worker("hang", seconds=0.3) as working:
        start = time.monotonic()
        outcome = working.run()
        assert (outcome.failure, outcome.attempts) == ("took longer than 0.3 s", 1)
        assert time.monotonic() - start < 30
        assert working.pid is None


def test_a_run_that_swells_is_ended_and_one_that_does_not_is_left_alone():
    with worker("swell", memory=205 * MIB) as working:
        assert working.run(17).answer == 17 * MIB
        outcome = working.run(307)
    assert (outcome.failure, outcome.attempts) == ("used more than 0.2 GiB of memory", 1)
    assert outcome.memory > 205 * MIB


def test_a_process_that_keeps_more_and_more_is_followed_by_a_new_one():
    with worker("keep", growth=40 * MIB) as working:
        pids = [working.run(17).answer for _ in range(7)]
    # The first leaves 17; with two more it has grown by 34, with three by 51.
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [4, 3]


def test_a_process_may_not_end_itself_without_a_cause():
    with worker("leave") as working:
        assert working.run(5).failure == "SystemExit: 5"


def test_an_answer_must_be_plain_data():
    with worker("no_data") as working:
        assert "TypeError: Object of type module is not JSON serializable" in working.run().failure


def test_what_a_run_prints_goes_to_the_log_and_not_between_the_answers(tmp_path):
    log = tmp_path / "worker.log"
    with Worker(JOBS + "chatter", log=log) as working:
        assert working.run('{"answer": 1}').answer == '{"answer": 1}'
    assert {"from a library", '{"answer": 1}'} <= set(log.read_text().splitlines())


@pytest.mark.parametrize("name", ["tests.tuning.jobs:nothing", "no_such_module:add"])
def test_a_name_that_leads_nowhere_is_told(name):
    with Worker(name) as working:
        outcome = working.run()
    assert "Error" in outcome.failure and outcome.attempts == 1


def test_a_worker_has_no_workers():
    with worker("begin_another") as working:
        assert 'must do so under `if __name__ == "__main__":`' in working.run().failure


@pytest.mark.parametrize(
    "limits", [{"seconds": 0}, {"memory": -1}, {"growth": 0.0}, {"attempts": 0}, {"attempts": 1.5}]
)
def test_limits_that_cannot_be_are_refused(limits):
    (name,) = limits
    with pytest.raises(ValueError, match=f"Received: {name}={limits[name]}"):
        Limits(**limits)


def test_a_function_is_named_by_module_and_name():
    with pytest.raises(ValueError, match=r'"module:function"\. Received: \'add\''):
        Worker("add")


def test_how_processes_end_in_words():
    assert describe_end(0) == "ended its process with status 0"
    assert describe_end(-15) == "killed by signal 15 (SIGTERM)"
    assert describe_end(-97) == "killed by signal 97 (unknown)"


def test_memory_of_this_process_is_read_and_of_none_is_nothing():
    before = resident(os.getpid())
    import numpy as np

    whole = np.ones((53, MIB), "uint8")
    assert 40 * MIB < resident(os.getpid()) - before < 90 * MIB and whole.any()
    assert resident(2**22 + 1) == 0


def test_ctrl_c_ends_the_process(tmp_path):
    path = tmp_path / "pid"
    with worker("hang") as working:

        def interrupt():
            wait_until(lambda: path.exists() and path.read_text())
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Thread(target=interrupt)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            working.run(str(path))
        timer.join()
        assert working.pid is None
    assert not alive(int(path.read_text()))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_parent_that_dies_leaves_no_orphan(number, tmp_path):
    path = tmp_path / "pid"
    code = f"from tuning.isolation import Worker; Worker('{JOBS}hang').run({str(path)!r})"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    wait_until(lambda: path.exists() and path.read_text())
    child = int(path.read_text())
    assert alive(child)
    parent.send_signal(number)
    parent.wait()
    wait_until(lambda: not alive(child))


def test_this_process_does_not_grow_over_many_runs():
    with worker("add") as working:
        working.run(0, 0)
        before = resident(os.getpid())
        for number in range(103):
            working.run(number, number)
        assert resident(os.getpid()) - before < 4 * MIB
