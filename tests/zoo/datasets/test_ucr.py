import os

import numpy as np
import pytest

from zoo.datasets import ucr

real = pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")


def put_set(put, steps=24, name="ItalyPowerDemand"):
    """Seven series to train and three to test on; each is its number at all steps."""
    made = {}
    for part, count in (("train", 7), ("test", 3)):
        made[f"x_{part}"] = np.repeat(np.arange(count, dtype="float32"), steps)[:, None]
        made[f"len_{part}"] = np.full(count, steps, "uint16")
        made[f"y_{part}"] = np.array([0, 0, 1, 0, 1, 0, 1][:count], "uint8")
    put("ucr_small", f"{name}.npz", classes=np.array(["1", "2"]), **made)


def test_series_come_with_their_classes(put):
    put_set(put)
    x, y, classes = ucr.load("ItalyPowerDemand", "test")
    assert x.shape == (3, 24, 1) and x.dtype == "float32" and classes == ("1", "2")
    assert x[:, 0, 0].tolist() == x[:, 23, 0].tolist() == [0, 1, 2] and y.tolist() == [0, 0, 1]


def test_dev_is_cut_from_train_by_class(put):
    put_set(put)
    parts = {split: ucr.load("ItalyPowerDemand", split, every=2)[0][:, 0, 0].tolist() for split in ucr.SPLITS}
    assert parts == {"train": [0, 2, 3, 6], "dev": [1, 4, 5], "test": [0, 1, 2]}
    assert len(ucr.load("ItalyPowerDemand", "train")[0]) == 7


def test_what_there_is_not_is_refused(put):
    with pytest.raises(ValueError, match="Did you mean 'GunPoint'"):
        ucr.load("GunPiont", "train")
    with pytest.raises(ValueError, match="split of ucr"):
        ucr.load("GunPoint", "validation")
    with pytest.raises(ValueError, match="say `every`"):
        ucr.load("GunPoint", "dev")
    put_set(put, steps=23)
    with pytest.raises(ValueError, match=r"must have 24 steps each. Received: \[23\]"):
        ucr.load("ItalyPowerDemand", "train")


@real
@pytest.mark.parametrize("name", ucr.SETS)
def test_there_are_as_many_series_as_are_published(name):
    steps, classes, train, test = ucr.SETS[name]
    for split, count in (("train", train), ("test", test)):
        x, y, names = ucr.load(name, split)
        assert x.shape == (count, steps, 1) and np.isfinite(x).all() and np.abs(x.mean(axis=1)).max() < 0.01
        assert len(names) == classes and set(y.tolist()) == set(range(classes))
    fit, dev = (ucr.load(name, split, every=4)[1] for split in ("train", "dev"))
    assert len(fit) + len(dev) == train and set(dev.tolist()) == set(range(classes))
    assert 0.2 <= len(dev) / train <= 0.25
