"""How well is the volatility of oil foretold by the last days' and by HAR? What brent_volatility's presets meet.

    KERAS_ATTN_DATA=DIRECTORY python benchmarks/volatility.py

The next 5 days move as the last 5 did; or the logarithm of their volatility is linear in those of the last day, week
and month (the heterogeneous autoregressive model of Corsi, 2009, https://doi.org/10.1093/jjfinec/nbp001).
"""

import numpy as np
import ridge

from zoo.datasets import finance
from zoo.subjects.forecasts import BRENT_VOLATILITY

#: Days of trade: one, a week, a month.
DAYS = (1, 5, 22)


def read(split):
    """The logarithms of how the last day, week and month moved, `(N, 3)`, and of how the week ahead does, `(N, 1)`."""
    inputs, answers = BRENT_VOLATILITY.load(split)
    squares = np.square(inputs[:, :, finance.MOVES.index("change")].astype("float64"))
    moved = np.stack([np.sqrt(squares[:, -days:].mean(axis=1)) for days in DAYS], axis=1)
    return np.log(np.maximum(moved, finance.LEAST_VOLATILITY)), answers[:, 0].astype("float64")


def error(found, answers):
    return float(np.mean(np.abs(found - answers)))


def main():
    parts = {split: read(split) for split in ("train", "dev", "test")}
    moved, ahead = parts["test"]
    print(f"as in the last 5 days: {error(moved[:, [1]], ahead):.4f} on test")
    print(f"always as on average in training: {error(parts['train'][1].mean(), ahead):.4f} on test")
    print(ridge.say(parts, error, digits=4))


if __name__ == "__main__":
    main()
