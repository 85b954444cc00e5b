"""Every seed of a search comes from one master seed and a purpose, so that no two purposes share one."""

import zlib

import numpy as np


def derive(master, purpose, number=0):
    """The seed of that number for a purpose, in [0, 2^32).

    Args:
        master: the search's seed, at least 0.
        purpose: a word.
        number: which of them, at least 0.

    Example:
    >>> derive(0, "trial", 1) == derive(0, "trial", 1), derive(0, "trial", 1) == derive(0, "retraining", 1)
    (True, False)
    """
    return int(np.random.SeedSequence([master, zlib.crc32(purpose.encode()), number]).generate_state(1)[0])
