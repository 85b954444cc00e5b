import io
import struct

import numpy as np
import pytest

from tests.zoo.datasets import unpacking
from zoo.datasets import packing


def read(content):
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def test_files_of_idx_become_arrays():
    pixels, labels = np.arange(2 * 3 * 5, dtype="uint8").reshape(2, 3, 5), np.array([7, 1], "uint8")
    found = read(packing.images(unpacking.idx(pixels), unpacking.idx(labels)))
    np.testing.assert_array_equal(found["x"], pixels)
    np.testing.assert_array_equal(found["y"], labels)
    with pytest.raises(ValueError, match="3 dimensions"):
        packing.images(unpacking.idx(labels), unpacking.idx(labels))


def test_recordings_stand_in_the_order_of_their_names():
    sounds = {name: np.arange(length, dtype="int16") for length, name in enumerate(("0_theo_10", "0_theo_2"), start=3)}
    sounds |= {"1_ann_5": np.array([-7], "int16"), "1_ann_49": np.array([11, 13], "int16")}
    (content,) = unpacking.zipped({f"recordings/{name}.wav": unpacking.wav(sound) for name, sound in sounds.items()})
    found = read(packing.recordings(5, 49)(content))
    assert found["offset"].tolist() == [0, 3, 5, 6] and found["pcm"].tolist() == [0, 1, 2, 11, 13, -7]
    assert found["take"].tolist() == [10, 49, 5] and found["y"].tolist() == [0, 1, 1]
    assert found["speakers"].tolist() == ["ann", "theo"] and found["speaker"].tolist() == [1, 0, 0]
    assert read(packing.recordings(0, 4)(content))["pcm"].tolist() == [0, 1, 2, 3]


def test_photographs_that_are_not_all_there_are_refused():
    (content,) = unpacking.zipped({"test/bird/0001.jpg": b"jpeg"})
    with pytest.raises(ValueError, match=r"There must be 10000 images in test. There are 1\."):
        packing.photographs("test")(content)


@pytest.mark.parametrize("order", "><")
def test_utterances_stand_in_the_order_of_their_texts(order):
    frames = {"b-ann-x": np.arange(26), "a-bob-x": np.arange(13)}
    files = {
        f"an4/feat/{name}.mfc": struct.pack(f"{order}i", len(numbers)) + numbers.astype(f"{order}f4").tobytes()
        for name, numbers in frames.items()
    }
    text = "<s> GO </s> (b-ann-x)\n<s> U M N </s> (a-bob-x)"
    (content,) = unpacking.zipped(
        {"an4/etc/an4_test.transcription": text, "an4/etc/an4_train.transcription": ""} | files
    )
    found = read(packing.utterances("test")(content))
    assert found["offset"].tolist() == [0, 2, 3] and found["mfcc"].dtype == "float16"
    np.testing.assert_array_equal(found["mfcc"][:, 12], [12, 25, 12])
    assert found["text"].tolist() == ["GO", "U M N"] and found["speaker"].tolist() == ["ann", "bob"]


def test_series_are_read_with_their_class_behind_or_before():
    behind = b"# @data is below\n@classLabel true a b\n@data\n1.5,-2:b\n3:a\n"
    found = read(packing.series(("a", "b"))(behind, b"@data\n5:b\n"))
    assert found["x_train"].tolist() == [[1.5], [-2.0], [3.0]] and found["len_train"].tolist() == [2, 1]
    assert found["y_train"].tolist() == [1, 0] and found["y_test"].tolist() == [1]
    before = b"  -1.0000000e+00   5.5e-01   7\n   1.0000000e+00 2 3\n"
    found = read(packing.series(("1", "-1"))(before, before))
    np.testing.assert_allclose(found["x_test"][:, 0], [0.55, 7, 2, 3])
    assert found["y_train"].tolist() == [1, 0] and found["classes"].tolist() == ["1", "-1"]
