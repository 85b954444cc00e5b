"""How many patterns a modern Hopfield layer stores: retrieval against their number N and their width d.

    KERAS_BACKEND=tensorflow python benchmarks/hopfield.py

Patterns are drawn evenly on the sphere of radius K sqrt(d - 1). For them Ramsauer et al., 2020,
https://arxiv.org/abs/2008.02217, theorem 3, promise that with probability 1 - p at least

    N = sqrt(p) c^((d - 1) / 4),  c = b / W(exp(a + ln b)),  a = 2 / (d - 1) (1 + ln(2 β K² p (d - 1))),  b = 2 K² β / 5

are stored: each has a ball of its own, disjoint from the others', with a fixed point in it. (W is Lambert's function.
For β = 1, p = 0.001 it gives c = 3.1546 at K = 3, d = 20 and 1.3718 at K = 1, d = 75, the examples of the paper.) The
table has this N, many times this N, and what comes back from a stored pattern as it is, with Gaussian noise of half its
size, and with half of its entries at zero: the share of states that end nearer to their own pattern than to any other,
after one update and after five, and the median distance to it then, over its length.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import ops
from scipy.special import lambertw

from keras_attn import Hopfield

BETA, CHANCE, ASKED, MOST = 1.0, 0.001, 256, 2**17
CASES = ((3, 20), (3, 30), (3, 40), (3, 50), (1, 75), (1, 150), (1, 200))


def promised(radius, width):
    """The paper's N for patterns of width d on the sphere of radius K sqrt(d - 1)."""
    a = 2.0 / (width - 1) * (1.0 + np.log(2.0 * BETA * radius**2 * CHANCE * (width - 1)))
    b = 2.0 * radius**2 * BETA / 5.0
    c = b / lambertw(np.exp(a + np.log(b))).real
    return int(np.sqrt(CHANCE) * c ** ((width - 1) / 4))


def association(width, updates):
    """A layer without projections: what goes in is stored, and what comes out is a state."""
    layer = Hopfield(updates=updates, beta=BETA)
    layer.build((None, None, width))
    layer.set_weights([np.eye(width)] * 4)
    return layer


def damaged(patterns, how, rng):
    if how == "stored":
        return patterns
    if how == "noisy":
        return patterns + 0.5 * patterns.std() * rng.normal(size=patterns.shape).astype("float32")
    kept = np.argsort(rng.random(patterns.shape), axis=-1) < patterns.shape[-1] // 2
    return np.where(kept, patterns, 0.0).astype("float32")


def retrieved(found, patterns, own):
    """The share that ended nearest to their own pattern, and the median distance to it over its length."""
    # All patterns have one length: the nearest has the largest product.
    nearest = np.concatenate([np.argmax(part @ patterns.T, axis=-1) for part in np.array_split(found, 8)])
    off = np.linalg.norm(found - patterns[own], axis=-1) / np.linalg.norm(patterns[own], axis=-1)
    return np.mean(nearest == own), np.median(off)


def measure(radius, width, count, seed=0):
    """For each way of damage, what one update and five make of it."""
    rng = np.random.default_rng(seed)
    patterns = rng.normal(size=(count, width))
    patterns = patterns / np.linalg.norm(patterns, axis=-1, keepdims=True) * radius * np.sqrt(width - 1)
    patterns = patterns.astype("float32")
    own = rng.choice(count, size=min(ASKED, count), replace=False)
    results = {}
    for how in ("stored", "noisy", "half at zero"):
        states = damaged(patterns[own], how, rng)
        found = (association(width, updates)(states[None], patterns[None]) for updates in (1, 5))
        results[how] = [retrieved(ops.convert_to_numpy(x)[0], patterns, own) for x in found]
    return results


def main():
    start = time.perf_counter()
    print(f"{keras.config.backend()}, β = {BETA:g}, {ASKED} states asked at most")
    print("| K | d | N | N / promised | stored: right, off | noisy: right, off | half at zero: right, off |")
    print("|---|---|---|---|---|---|---|")
    for radius, width in CASES:
        least = promised(radius, width)
        for times in (1, 16, 256, 4096):
            if least * times > MOST:
                break
            cells = [
                f"{right:.3f}, {right_5:.3f}; {off:.3f}, {off_5:.3f}"
                for (right, off), (right_5, off_5) in measure(radius, width, least * times).values()
            ]
            print(f"| {radius} | {width} | {least * times:,} | {times} | {' | '.join(cells)} |", flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
