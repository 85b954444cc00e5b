"""Signs of life of one process in a folder that others share: who waits for it waits as long as it lives."""

import contextlib
import itertools
import json
import threading
import time

from tuning.engine import SearchFailed
from tuning.journal import write_json

#: The file in a search's folder; gone when the search is done.
SIGNS = "chief.json"
#: Seconds between two signs, and between two looks at them.
EVERY, LOOK = 5.0, 1.0


@contextlib.contextmanager
def given(folder, every=EVERY):
    """Gives signs of life while what is within runs; if it fails, the last sign says why.

    Args:
        folder: a search's.
        every: seconds between two signs.
    """
    path, ended = folder / SIGNS, threading.Event()
    thread = threading.Thread(target=_beat, args=(path, every, ended), daemon=True)
    thread.start()
    try:
        yield
    except Exception as error:
        _end(thread, ended)
        _write(path, {"failure": str(error) or type(error).__name__})
        raise
    finally:
        _end(thread, ended)
    path.unlink(missing_ok=True)


def await_file(path, patience, look=LOOK):
    """Waits for a file beside the signs, as long as those change.

    Args:
        path: of the file.
        patience: seconds that a sign may take.
        look: seconds between two looks.

    Raises:
        SearchFailed: if the other process failed, or gave no sign for so long.
    """
    deadline, last = time.monotonic() + patience, None
    while not path.exists():
        sign = _read(path.parent / SIGNS)
        if sign and "failure" in sign:
            raise SearchFailed(f"The chief gave up. {sign['failure']}")
        # What its clock says is not compared with ours: that the sign is another one is enough.
        if sign != last:
            deadline, last = time.monotonic() + patience, sign
        if time.monotonic() > deadline:
            raise SearchFailed(
                f"The chief has written no {path.name} in {path.parent}, and gave no sign of life for {patience:g} s."
            )
        time.sleep(look)


def _beat(path, every, ended):
    # Not from 0: a chief that starts again shall not look like one that stands still.
    for number in itertools.count(time.time_ns()):
        _write(path, {"sign": number})
        if ended.wait(every):
            return


def _end(thread, ended):
    ended.set()
    thread.join()


def _write(path, sign):
    # A disk that is full for a moment costs a sign and not the search.
    with contextlib.suppress(OSError):
        write_json(path, sign)


def _read(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
