import io
import os

import numpy as np
import PIL.Image
import pytest

from tests.zoo.datasets.texts import lay
from zoo.datasets import emoji_captions

real = pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")
NAMES = ("red", "green: dark", "blue")
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def pictures(sizes=(64, 64, 64)):
    files = []
    for colour, size in zip(COLOURS, sizes):
        files.append(io.BytesIO())
        PIL.Image.new("RGB", (size, size), colour).save(files[-1], "JPEG", quality=95)
    return [file.getvalue() for file in files]


def data(folder, monkeypatch, images, names=NAMES, splits=(0, 2, 0)):
    """A data directory with an image and a line for each name."""
    text = "".join(f"?\t{name}\t\t\t\n" for name in names)
    lay(folder, monkeypatch, "emoji_captions", {"captions.tsv.gz": text})
    np.savez(
        folder / "emoji_captions" / "images.npz",
        jpeg=np.frombuffer(b"".join(images), "uint8"),
        offset=np.cumsum([0, *map(len, images)]).astype("uint32"),
        split=np.array(splits, "uint8"),
    )


def test_each_picture_comes_with_its_caption(tmp_path, monkeypatch):
    data(tmp_path, monkeypatch, pictures())
    images, names = emoji_captions.load("train")
    assert images.shape == (2, 64, 64, 3) and images.dtype == "uint8" and names == ["red", "blue"]
    np.testing.assert_allclose(images[:, 31, 37], [COLOURS[0], COLOURS[2]], atol=3)
    images, names = emoji_captions.load("test")
    assert names == ["green: dark"] and images[0, 0, 0].argmax() == 1
    assert emoji_captions.load("dev")[0].shape == (0, 64, 64, 3)


def test_a_line_that_is_none_is_named(tmp_path, monkeypatch):
    data(tmp_path, monkeypatch, pictures(), names=("red", "green\tmore", "blue"))
    with pytest.raises(ValueError, match=r"Line 2 of .* must have emoji, name, keywords"):
        emoji_captions.load("train")


def test_a_picture_that_is_none_is_named(tmp_path, monkeypatch):
    red, green, _ = pictures()
    data(tmp_path, monkeypatch, [red, green, b"GIF89a"])
    with pytest.raises(ValueError, match=r"Image 2 of .*images.npz is no JPEG"):
        emoji_captions.load("train")
    data(tmp_path, monkeypatch, pictures((64, 61, 64)))
    with pytest.raises(ValueError, match=r"Image 1 of .* must be 64 x 64 pixels. Received: \(61, 61\)"):
        emoji_captions.load("test")


def test_as_many_lines_as_pictures_are_asked_for(tmp_path, monkeypatch):
    data(tmp_path, monkeypatch, pictures(), names=NAMES[:2])
    with pytest.raises(ValueError, match="Received: 2 lines, 3 images, 3 splits"):
        emoji_captions.load("train")


def test_splits_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="Unknown split of emoji_captions 'valid'"):
        emoji_captions.load("valid")


@real
def test_there_are_as_many_pictures_as_the_source_says_and_no_new_words():
    found = {split: emoji_captions.load(split) for split in emoji_captions.SPLITS}
    assert [images.shape for images, _ in found.values()] == [(count, 64, 64, 3) for count in (2970, 184, 376)]
    words = {split: {word for name in names for word in name.split()} for split, (_, names) in found.items()}
    assert words["train"] >= words["dev"] | words["test"]
    assert max(len(name.split()) for _, names in found.values() for name in names) == 11
    # What is asked for is new: no caption of dev and test is one of train.
    assert not set(found["train"][1]) & (set(found["dev"][1]) | set(found["test"][1]))
