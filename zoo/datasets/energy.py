"""PJM: how much electricity ten zones of an American grid take, hour by hour for five years.

- Source: github.com/panambY/Hourly_Energy_Consumption at 3d9359d970ce534e3d3a81bf70a4d3abc7008b8c,
  `data/<ZONE>_hourly.csv`; hours that came twice in autumn averaged, the 6 or 7 missing ones of each zone interpolated.
- Licence: CC0 (Kaggle's robikscube/hourly-energy-consumption).
- Paper: none.
"""

from keras_attn.lookup import choose
from zoo.datasets import arrays, files, windows

SOURCE = "github.com/panambY/Hourly_Energy_Consumption (data/*_hourly.csv)"
LICENCE = "CC0"
SPLITS = windows.SPLITS
#: The zones' loads, in megawatts.
CHANNELS = ("AEP", "COMED", "DAYTON", "DEOK", "DOM", "DUQ", "EKPC", "FE", "PJME", "PJMW")


def load(split, inputs=168, horizon=24, raw=False):
    """Windows of a split: 70, 10 and 20 % of 45,312 hours, from 2 June 2013 on.

    Args:
        split: "train", "dev" or "test". Of 168 and 24 hours there are 31,527, 4,509 and 9,039.
        inputs: hours seen.
        horizon: hours forecast.
        raw: whether the units stay megawatts, rather than mean 0 and deviation 1 over the training part.

    Returns:
        `Windows`, ten channels.
    """
    choose("split of pjm_hourly", split, SPLITS)
    _, values = arrays.read_table(files.find("pjm_hourly", "pjm10.csv.gz", SOURCE), CHANNELS)
    return windows.cut(values, CHANNELS, windows.end_by_share(len(values)), split, inputs, horizon, raw)
