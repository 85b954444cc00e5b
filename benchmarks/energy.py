"""How well is the use of electricity foretold by yesterday's and by a linear model? What pjm_hourly's presets meet.

    KERAS_ATTN_DATA=DIRECTORY python benchmarks/energy.py

The hours ahead are those of a day or of a week before; or a ridge regression of them on the 168 hours before, one for
all zones, of which each is less its last hour, as the presets forecast changes.
"""

import numpy as np
import ridge

from zoo.datasets import energy

AGO = {"a day": 24, "a week": 168}


def read(split):
    """Each zone by itself, standardised: the hours seen `(N, 168)` and those ahead `(N, 24)`, float64."""
    windows = energy.load(split)
    return [x.swapaxes(1, 2).reshape(-1, x.shape[1]).astype("float64") for x in (windows.x, windows.y)]


def error(found, answers):
    return float(np.mean(np.square(found - answers)))


def main():
    parts = {split: read(split) for split in ("train", "dev", "test")}
    seen, ahead = parts["test"]
    for name, hours in AGO.items():
        first = seen.shape[1] - hours
        print(f"the same hours {name} before: {error(seen[:, first : first + ahead.shape[1]], ahead):.3f} on test")
    changes = {split: (seen - seen[:, -1:], ahead - seen[:, -1:]) for split, (seen, ahead) in parts.items()}
    print(ridge.say(changes, error, digits=3))


if __name__ == "__main__":
    main()
