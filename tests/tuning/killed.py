"""Small whole searches, to be killed: each a process of its own, forked from this one, which has imported everything.

It says that it is ready, and for each line of the input, a folder, the number of the process that searches there, and
how that ended.
"""

import dataclasses
import json
import os
import sys
import traceback
from pathlib import Path

from tests.tuning.standins import DIGITS

#: Two families of one graph each, that race: three configurations to a first rung, later rounds, and finals.
TASK = dataclasses.replace(
    DIGITS,
    epochs=2,
    trials=3,
    mixers=({"mixer": "multi_head", "num_heads": 2}, {"mixer": "gated_conv", "kernel_size": 3}),
)
#: What time makes different.
OF_TIME = ("seconds", "epoch_seconds", "wall", "latency")


def found(folder):
    """What a search found, but for times."""
    return _timeless(json.loads((folder / "results.json").read_text(encoding="utf-8")))


def _timeless(content):
    if isinstance(content, dict):
        return {name: _timeless(value) for name, value in content.items() if name not in OF_TIME}
    return [_timeless(value) for value in content] if isinstance(content, list) else content


def search(folder):
    """Searches, or goes on, and returns the status to end with."""
    import tuning
    from tuning import runner

    # Of equals the cheaper is taken, and on a busy machine that is another one each time.
    runner.latency = lambda model, split: {"1": 1e-3, "64": 1e-3}
    # What a killed process has written the system has: only of a machine that stops it would be lost.
    os.fsync = lambda handle: None
    try:
        tuning.compare(TASK, width=8, out=folder, factors=False, record=())
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    import tuning.comparison  # noqa: F401

    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            os._exit(search(Path(line.strip())))
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
