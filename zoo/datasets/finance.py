"""Daily prices of oil, and of insurance against falls of American shares (VIX).

The last price is hard to beat: a forecast that claims to should be mistrusted.

- Source: github.com/datasets/oil-prices at 2d75ce3a792c2f152619c10272e86052be3a8390, `data/{wti,brent}-daily.csv`;
  github.com/datasets/finance-vix at 6f56e2760520824b787cf6b85945c62186d38bc6, `data/vix-daily.csv`.
- Licence: oil: public domain (the EIA), packed as PDDL; VIX: PDDL as those say who packed it, Cboe states nothing.
- Paper: none.
"""

from keras_attn.lookup import choose
from zoo.datasets import arrays, files, windows

SOURCE = "github.com/datasets/oil-prices and datasets/finance-vix (data/*-daily.csv)"
LICENCE = "public domain (EIA) and PDDL"
SPLITS = windows.SPLITS
#: The columns of each: dollars a barrel, once below 0; points.
SETS = {"wti": ("price",), "brent": ("price",), "vix": ("open", "high", "low", "close")}


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
    _, values = arrays.read_table(files.find("finance", f"{name}-daily.csv.gz", SOURCE), columns)
    return windows.cut(values, columns, windows.end_by_share(len(values)), split, inputs, horizon, raw)
