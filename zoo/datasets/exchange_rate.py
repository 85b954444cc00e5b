"""What eight currencies cost in dollars, day by day from 1990 to 2016.

Nobody is expected to do better than the last day's rate: a forecast that claims to should be mistrusted.

- Source: github.com/laiguokun/multivariate-time-series-data at 7f402f185cc2435b5e66aed13a3b560ed142e023,
  `exchange_rate/exchange_rate.txt.gz`.
- Licence: unclear, facts without a named source: to measure with, not to publish what was trained on it.
- Papers: Lai et al., 2018, https://arxiv.org/abs/1703.07015; Zeng et al., 2022, https://arxiv.org/abs/2205.13504.
"""

from keras_attn.lookup import choose
from zoo.datasets import arrays, files, windows

SOURCE = "github.com/laiguokun/multivariate-time-series-data (exchange_rate)"
LICENCE = "unclear; to measure with only"
SPLITS = windows.SPLITS
CHANNELS = ("Australia", "Britain", "Canada", "Switzerland", "China", "Japan", "New Zealand", "Singapore")


def load(split, inputs=336, horizon=96, raw=False):
    """Windows of a split: 70, 10 and 20 % of 7,588 days.

    Args:
        split: "train", "dev" or "test". Of 336 and 96 days there are 4,880, 665 and 1,422.
        inputs: days seen.
        horizon: days forecast.
        raw: whether the units stay dollars, rather than mean 0 and deviation 1 over the training part. Errors are
            published for the latter.

    Returns:
        `Windows`, eight channels.
    """
    choose("split of exchange_rate", split, SPLITS)
    path = files.find("exchange_rate", "exchange_rate.txt.gz", SOURCE)
    _, values = arrays.read_table(path, CHANNELS, dated=False)
    return windows.cut(values, CHANNELS, windows.end_by_share(len(values)), split, inputs, horizon, raw)
