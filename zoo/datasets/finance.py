"""Daily prices of oil, and of insurance against falls of American shares (VIX).

The last price is hard to beat: a forecast that claims to should be mistrusted.

- Source: github.com/datasets/oil-prices at 2d75ce3a792c2f152619c10272e86052be3a8390, `data/{wti,brent}-daily.csv`;
  github.com/datasets/finance-vix at 6f56e2760520824b787cf6b85945c62186d38bc6, `data/vix-daily.csv`.
- Licence: oil: public domain (the EIA), packed as PDDL; VIX: PDDL as those say who packed it, Cboe states nothing.
- Paper: none.
"""

import dataclasses

import numpy as np

from keras_attn.lookup import choose
from zoo.datasets import arrays, files, windows

SOURCE = "github.com/datasets/oil-prices and datasets/finance-vix (data/*-daily.csv)"
LICENCE = "public domain (EIA) and PDDL"
SPLITS = windows.SPLITS
#: The columns of each: dollars a barrel, once below 0; points.
SETS = {"wti": ("price",), "brent": ("price",), "vix": ("open", "high", "low", "close")}
#: Of a price: by how much it changed in a day, in percent (100 log p_t / p_t-1), and the logarithm of its volatility.
MOVES = ("change", "log volatility")
#: Volatility in percent a day at least: where a price stands still, its logarithm must not fall without end.
LEAST_VOLATILITY = 0.1


def load(name, split, inputs=60, horizon=5, raw=False):
    """Windows of a set's split: 70, 10 and 20 % of its days of trade.

    Args:
        name: "wti" (10,226 days from 1986 on), "brent" (9,958 from 1987 on) or "vix" (9,235 from 1990 on).
        split: "train", "dev" or "test".
        inputs: days seen.
        horizon: days forecast.
        raw: whether the units stay those of the source, rather than mean 0 and deviation 1 over the training part.

    Returns:
        `Windows`, one channel, or four of vix.
    """
    columns = SETS[choose("set of finance", name, SETS)]
    choose("split of finance", split, SPLITS)
    values = _read(name, columns)
    return windows.cut(values, columns, windows.end_by_share(len(values)), split, inputs, horizon, raw)


def load_volatility(split, inputs=66, horizon=5):
    """How strongly the price of Brent moves: windows of a split, 70, 10 and 20 % of its days of trade.

    The volatility of some days is the root of the mean of their squared changes. Other than a price, it can be foretold
    in part: quiet days follow quiet ones, as is known since Engle, 1982.

    Args:
        split: "train", "dev" or "test". Of 66 and 5 days there are 6,897, 992 and 1,986.
        inputs: days seen, each with its change and with the volatility of the `horizon` days that end with it.
        horizon: the days ahead whose volatility is to be foretold.

    Returns:
        `Windows` of two channels, `MOVES`; `y` is `(N, 1, 2)`, of the last day ahead, whose volatility is that of all.
    """
    choose("split of finance", split, SPLITS)
    values = moves(_read("brent", SETS["brent"])[:, 0], horizon)
    found = windows.cut(values, MOVES, windows.end_by_share(len(values)), split, inputs, horizon, raw=True)
    return dataclasses.replace(found, y=found.y[:, -1:])


def moves(prices, days):
    """Of each day its change, and the logarithm of the volatility of so many days that end with it.

    Args:
        prices: `(T,)`, above 0.
        days: at least 1.

    Returns:
        `(T - days, 2)`.
    """
    changes = 100.0 * np.diff(np.log(prices))
    squares = np.lib.stride_tricks.sliding_window_view(np.square(changes), days)
    volatility = np.maximum(np.sqrt(squares.mean(axis=1)), LEAST_VOLATILITY)
    return np.stack([changes[days - 1 :], np.log(volatility)], axis=1)


def _read(name, columns):
    return arrays.read_table(files.find("finance", f"{name}-daily.csv.gz", SOURCE), columns)[1]
