"""ETT: the oil temperature of two electricity transformers and six loads, hour by hour for two years.

- Source: github.com/zhouhaoyi/ETDataset at 1d16c8f4f943005d613b5bc962e9eeb06058cf07, `ETT-small/ETTh{1,2}.csv`.
- Licence: CC BY-ND 4.0: the files stay as they are.
- Papers: Zhou et al., 2021, https://arxiv.org/abs/2012.07436; Zeng et al., 2022, https://arxiv.org/abs/2205.13504
  (DLinear; its benchmark divides the series as here).
"""

from keras_attn.lookup import choose
from zoo.datasets import arrays, files, windows

SOURCE = "github.com/zhouhaoyi/ETDataset (ETT-small)"
LICENCE = "CC BY-ND 4.0"
SPLITS = windows.SPLITS
SETS = ("ETTh1", "ETTh2")
#: Loads, useful and useless, high, middle and low; the oil's temperature, in degrees Celsius.
CHANNELS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
#: Where train, dev and test end: behind 12, 4 and 4 months of 30 days. Of 17,420 hours the last 3,020 are not used.
ENDS = (8640, 11520, 14400)


def load(name, split, inputs=336, horizon=96, raw=False):
    """Windows of a set.

    Args:
        name: "ETTh1" or "ETTh2".
        split: "train", "dev" or "test". Of 336 and 96 hours there are 8,209, 2,785 and 2,785.
        inputs: hours seen; the benchmark has 336 for DLinear and 96 for the models before it.
        horizon: hours forecast.
        raw: whether the units stay those of the source, rather than mean 0 and deviation 1 over the training part.
            Errors are published for the latter.

    Returns:
        `Windows`, seven channels.
    """
    path = files.find("ett", f"{choose('set of ett', name, SETS)}.csv.gz", SOURCE)
    _, values = arrays.read_table(path, CHANNELS)
    return windows.cut(values, CHANNELS, ENDS, choose("split of ett", split, SPLITS), inputs, horizon, raw)
