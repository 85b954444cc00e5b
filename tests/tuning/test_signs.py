"""Who waits for a chief that measures and writes waits as long as it lives."""

import threading
import time

import pytest

from tuning import signs
from tuning.engine import SearchFailed

PATIENCE, LOOK = 0.7, 0.02


def begin(folder, seconds, every=0.05, last=lambda: None):
    """A chief in a thread that works for so long, and in the end does what comes last."""

    def work():
        try:
            with signs.given(folder, every):
                time.sleep(seconds)
                last()
        except OSError:
            return

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_one_waits_longer_than_one_s_patience_for_a_chief_that_gives_signs(tmp_path):
    chief = begin(tmp_path, 3 * PATIENCE, last=(tmp_path / "results.json").touch)
    start = time.monotonic()
    signs.await_file(tmp_path / "results.json", PATIENCE, LOOK)
    assert time.monotonic() - start > 2 * PATIENCE
    chief.join()
    # Nothing is left behind.
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_one_does_not_wait_for_a_chief_that_gives_none(tmp_path):
    with pytest.raises(SearchFailed, match=r"no results.json in .*, and gave no sign of life for 0.7 s"):
        signs.await_file(tmp_path / "results.json", PATIENCE, LOOK)


def test_a_sign_that_stays_the_same_is_none(tmp_path):
    (tmp_path / signs.SIGNS).write_text('{"sign": 7}')
    with pytest.raises(SearchFailed, match="gave no sign of life"):
        signs.await_file(tmp_path / "results.json", PATIENCE, LOOK)


def test_a_chief_that_is_away_for_less_than_one_s_patience_and_starts_again_is_waited_for(tmp_path):
    (tmp_path / signs.SIGNS).write_text('{"sign": 7}')
    starting = threading.Timer(0.5 * PATIENCE, begin, (tmp_path, PATIENCE), {"last": (tmp_path / "results.json").touch})
    starting.start()
    signs.await_file(tmp_path / "results.json", PATIENCE, LOOK)
    starting.join()


def test_a_chief_that_fails_says_why(tmp_path):
    def fail():
        raise OSError("the disk is full")

    chief = begin(tmp_path, 0.1, last=fail)
    with pytest.raises(SearchFailed, match=r"The chief gave up\. the disk is full"):
        signs.await_file(tmp_path / "results.json", 7 * PATIENCE, LOOK)
    chief.join()


def test_a_full_disk_costs_a_sign_and_not_the_search(tmp_path):
    (tmp_path / f".part.{signs.SIGNS}").symlink_to("/dev/full")
    with signs.given(tmp_path, 0.01):
        time.sleep(0.1)
