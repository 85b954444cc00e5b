"""Times of several things in one run, each in turn, so that what else the machine does falls on all alike."""

import time

import numpy as np


def times(steps, repeats, before=2, clock=time.perf_counter):
    """Seconds of each repeat of each step, a dictionary of functions; so many calls `before` are not counted.

    With the clock `time.process_time`, seconds of all cores together that this process had.
    """
    for _ in range(before):
        for step in steps.values():
            step()
    taken = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            start = clock()
            step()
            taken[name].append(clock() - start)
    return taken


def spread(seconds, digits=3):
    """The median, with the quickest and the slowest."""
    return f"{np.median(seconds):.{digits}f} ({min(seconds):.{digits}f}-{max(seconds):.{digits}f})"
