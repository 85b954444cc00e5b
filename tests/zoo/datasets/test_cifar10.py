import io
import os

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from zoo.datasets import cifar10

real = pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")


def encode(colour, size=(32, 32), form="JPEG"):
    """The bytes of a file with an image of one colour."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, form)
    return np.frombuffer(file.getvalue(), "uint8")


def put_images(put, name, encoded, y):
    offset = np.cumsum([0, *map(len, encoded)], dtype="uint32")
    put("cifar10_jpeg", f"{name}.npz", jpeg=np.concatenate(encoded), offset=offset, y=np.array(y, "uint8"))


@pytest.fixture
def images(put, monkeypatch):
    monkeypatch.setattr(cifar10, "DEV", 2)
    put_images(put, "train", [encode((20 * number, 0, 100)) for number in range(7)], [2, 0, 9, 2, 4, 2, 1])
    put_images(put, "test", [encode((0, 150, 0)), encode((0, 0, 150))], [5, 2])


def test_images_are_decoded_and_the_last_training_ones_are_dev(images):
    for split, reds, classes in (("train", [0, 20, 40, 60, 80], [2, 0, 9, 2, 4]), ("dev", [100, 120], [2, 1])):
        x, y = cifar10.load(split)
        assert x.shape == (len(reds), 32, 32, 3) and x.dtype == "uint8" and y.tolist() == classes
        np.testing.assert_allclose(x[:, 13, 17], [(red, 0, 100) for red in reds], atol=3)
    x, _ = cifar10.load("test")
    np.testing.assert_allclose(x[:, 0, 0], [(0, 150, 0), (0, 0, 150)], atol=3)


def test_one_can_ask_for_birds_and_for_few_images(images):
    assert cifar10.load("train", "bird")[1].tolist() == [1, 0, 0, 1, 0]
    x, y = cifar10.load("dev", "bird", count=1)
    assert len(x) == 1 and y.tolist() == [1]


def test_what_is_no_such_image_is_refused(images, put):
    put_images(put, "test", [encode((7, 7, 7), size=(32, 31))], [5])
    with pytest.raises(ValueError, match=r"\(32, 32, 3\). Received: \(31, 32\), RGB"):
        cifar10.load("test")
    put_images(put, "test", [encode((7, 7, 7), form="PNG")], [5])
    with pytest.raises(UnidentifiedImageError):
        cifar10.load("test")
    with pytest.raises(ValueError, match="Did you mean 'bird'"):
        cifar10.load("test", "birds")
    with pytest.raises(ValueError, match="split of cifar10 'valid'"):
        cifar10.load("valid")


@real
def test_there_are_as_many_images_as_are_published(monkeypatch):
    # To decode them all would take seconds.
    monkeypatch.setattr(cifar10, "decode", len)
    y = {split: cifar10.load(split)[1] for split in cifar10.SPLITS}
    assert {split: len(labels) for split, labels in y.items()} == {"train": 45000, "dev": 5000, "test": 10000}
    assert np.bincount(np.concatenate([y["train"], y["dev"]])).tolist() == [5000] * 10
    assert np.bincount(y["test"]).tolist() == [1000] * 10


@real
def test_colours_are_as_bright_as_is_published():
    x, y = cifar10.load("test", count=500)
    assert x.shape == (500, 32, 32, 3) and len(y) == 500
    np.testing.assert_allclose(x.mean(axis=(0, 1, 2)) / 255, [0.4914, 0.4822, 0.4465], atol=0.02)
