"""Six sets of the UCR archive: series to be classified, from 24 to 1,460 steps long.

- Source: github.com/aeon-toolkit/aeon at a101ddc8b35a65441609b45c9bcce5aeafa0c131, `aeon/datasets/data`; ECG200 from
  github.com/bvm84/ANN_ecg200 at 09651092a0fdb66b3dda2cb83e6d7cf365a6206f, `ECG200`.
- Licence: none stated; free for research that cites the archive.
- Paper: Dau et al., 2019, The UCR time series archive, https://arxiv.org/abs/1810.07758.
"""

from keras_attn.lookup import choose
from zoo.datasets import arrays, files

SOURCE = "github.com/aeon-toolkit/aeon (aeon/datasets/data) and bvm84/ANN_ecg200 (ECG200)"
LICENCE = "none stated; research use that cites the archive"
SPLITS = ("train", "dev", "test")
#: Steps, classes, series to train and to test on.
SETS = {
    "ACSF1": (1460, 10, 100, 100),
    "ArrowHead": (251, 3, 36, 175),
    "ECG200": (96, 2, 100, 100),
    "GunPoint": (150, 2, 50, 150),
    "ItalyPowerDemand": (24, 2, 67, 1029),
    "OSULeaf": (427, 6, 200, 242),
}


def load(name, split, every=None):
    """The series of a set, as the archive divides them. They come standardised, each by itself.

    Args:
        name: one of `SETS`, which says how many there are.
        split: "train", "test" or, cut from the training series, "dev".
        every: dev is the last of every so many training series of each class, and they are not in train then. None:
            there is no dev, and train is what is published.

    Returns:
        `(N, T, 1)`, float32; `(N,)`, int32, the number of each series' class; and the names of the classes.
    """
    name, split = choose("set of ucr", name, SETS), choose("split of ucr", split, SPLITS)
    if split == "dev" and every is None:
        raise ValueError("The dev split is cut from train: say `every` how many of a class a series goes into it.")
    path, part = files.find("ucr_small", f"{name}.npz", SOURCE), "test" if split == "test" else "train"
    x, lengths, y, classes = arrays.read(path, f"x_{part}", f"len_{part}", f"y_{part}", "classes")
    steps = SETS[name][0]
    if set(lengths.tolist()) != {steps}:
        raise ValueError(
            f"The series of {path} must have {steps} steps each. Received: {sorted(set(lengths.tolist()))}"
        )
    x, y = x.reshape(len(lengths), steps, 1).astype("float32"), y.astype("int32")
    if split != "test" and every is not None:
        held = arrays.hold_out(y, every)
        kept = held if split == "dev" else ~held
        x, y = x[kept], y[kept]
    return x, y, tuple(classes.tolist())
