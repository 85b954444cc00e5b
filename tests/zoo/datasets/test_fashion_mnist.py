import os

import numpy as np
import pytest

from zoo.datasets import fashion_mnist

real = pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")


def test_the_last_training_images_are_dev(put, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "DEV", 3)
    for name, count in (("train", 11), ("test", 5)):
        images = np.arange(count, dtype="uint8")[:, None, None] * np.ones((28, 28), "uint8")
        put("fashion_mnist", f"{name}.npz", x=images, y=np.arange(count, dtype="uint8") % 10)
    for split, shown in (("train", range(8)), ("dev", range(8, 11)), ("test", range(5))):
        x, y = fashion_mnist.load(split)
        assert x.shape == (len(shown), 28, 28, 1) and x.dtype == "uint8" and y.dtype == "int32"
        assert x[:, 13, 17, 0].tolist() == list(shown) and y.tolist() == [number % 10 for number in shown]
    with pytest.raises(ValueError, match="split of fashion_mnist 'val'"):
        fashion_mnist.load("val")


@real
def test_there_are_as_many_images_as_are_published():
    (_, train), (x, dev), (_, test) = (fashion_mnist.load(split) for split in fashion_mnist.SPLITS)
    assert np.bincount(np.concatenate([train, dev])).tolist() == [6000] * 10
    assert np.bincount(test).tolist() == [1000] * 10 and x.shape == (5000, 28, 28, 1)
    assert x.mean() / 255 == pytest.approx(0.286, abs=0.005)
    # An ankle boot is the first of both.
    assert train[0] == test[0] == fashion_mnist.CLASSES.index("ankle boot")
