"""How well is traffic foretold by last week's and by a linear model? What the presets of metro_traffic stand beside.

    KERAS_ATTN_DATA=DIRECTORY python benchmarks/traffic.py

The hours ahead are those of a week before; or a ridge regression of them on the traffic of the 168 hours before and on
the calendar ahead, which the presets are told as well. Its strength of regularisation is chosen on dev.
"""

import numpy as np
import ridge

from zoo.subjects.forecasts import METRO_TRAFFIC

WEEK = 168


def read(split):
    """The traffic seen `(N, 168)`, the calendar ahead `(N, 24 x 5)` and the traffic ahead `(N, 24)`."""
    inputs, answers = METRO_TRAFFIC.load(split)
    return inputs["series"][:, :, 0].astype("float64"), inputs["ahead"].reshape(len(answers), -1), answers[:, :, 0]


def error(found, answers):
    return float(np.mean(np.abs(found - answers)))


def main():
    seen, _, answers = read("test")
    first = seen.shape[1] - WEEK
    print(f"the same hours a week before: {error(seen[:, first : first + answers.shape[1]], answers):.1f} on test")
    parts = {}
    for split in ("train", "dev", "test"):
        seen, calendar, answers = read(split)
        parts[split] = np.concatenate([seen, calendar], axis=1), answers
    print(ridge.say(parts, error, digits=1))


if __name__ == "__main__":
    main()
