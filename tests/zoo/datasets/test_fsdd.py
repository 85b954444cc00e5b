import os

import numpy as np
import pytest

from zoo.datasets import fsdd

real = pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")


@pytest.fixture
def archives(put):
    """Two speakers who say one digit: takes 0 and 1 to test, 5, 10 and 11 to train; a clip is `take + 1` samples."""
    for part, takes in (("train", [5, 10, 11]), ("test", [0, 1])):
        takes = np.array(takes * 2, "uint8")
        lengths = takes + 1
        put(
            "fsdd",
            f"{part}.npz",
            pcm=np.repeat(np.arange(len(takes), dtype="int16") * 2**13, lengths),
            offset=np.cumsum([0, *lengths], dtype="uint32"),
            y=np.full(len(takes), 7, "uint8"),
            speaker=np.repeat([2, 4], len(takes) // 2).astype("uint8"),
            take=takes,
            speakers=np.array(fsdd.SPEAKERS),
            sample_rate=8000,
        )


def who_and_take(*asked):
    clips = fsdd.load(*asked)
    assert [len(pcm) for pcm in clips.pcm] == (clips.take + 1).tolist() and set(clips.y) == {7}
    return list(zip(clips.speaker.tolist(), clips.take.tolist(), strict=True))


def test_takes_divide_the_clips_of_all_speakers(archives):
    assert who_and_take("train") == [(2, 10), (2, 11), (4, 10), (4, 11)]
    assert who_and_take("dev") == [(2, 5), (4, 5)]
    assert who_and_take("test") == [(2, 0), (2, 1), (4, 0), (4, 1)]


def test_a_speaker_who_is_left_out_is_in_the_test_alone(archives):
    assert who_and_take("train", "theo") == [(2, 5), (2, 10), (2, 11)]
    assert who_and_take("dev", "theo") == [(2, 0), (2, 1)]
    assert who_and_take("test", "theo") == [(4, 5), (4, 10), (4, 11), (4, 0), (4, 1)]


def test_clips_are_padded_with_silence(archives):
    x, lengths = fsdd.load("test").pad()
    assert x.dtype == "float32" and x.tolist() == [[0, 0], [0.25, 0.25], [0.5, 0], [0.75, 0.75]]
    assert lengths.tolist() == [1, 2, 1, 2]
    assert fsdd.load("test").pad(3)[0].shape == (4, 3)


def test_what_there_is_not_is_refused(archives, put):
    with pytest.raises(ValueError, match="split of fsdd 'valid'"):
        fsdd.load("valid")
    with pytest.raises(ValueError, match="speaker of fsdd 'Theo'"):
        fsdd.load("train", "Theo")
    known = {key: [] for key in ("pcm", "offset", "y", "speaker", "take")}
    put("fsdd", "test.npz", speakers=np.array(["theo"]), **known)
    with pytest.raises(ValueError, match=f"must be .*{fsdd.SPEAKERS[0]}"):
        fsdd.load("test")


@real
def test_there_are_as_many_clips_as_are_published():
    train, dev, test = (fsdd.load(split) for split in fsdd.SPLITS)
    assert [len(clips.pcm) for clips in (train, dev, test)] == [2400, 300, 300]
    for clips, takes in ((train, range(10, 50)), (dev, range(5, 10)), (test, range(5))):
        assert set(clips.take) == set(takes) and np.bincount(clips.y).tolist() == [len(takes) * 6] * 10
    lengths = np.array([len(pcm) for clips in (train, dev, test) for pcm in clips.pcm]) / fsdd.RATE
    assert (lengths.min(), lengths.max(), lengths.mean()) == pytest.approx((0.14, 2.28, 0.437), abs=0.005)


@real
def test_nobody_in_the_test_was_heard_before_if_left_out():
    train, dev, test = (fsdd.load(split, "lucas") for split in fsdd.SPLITS)
    assert [len(clips.pcm) for clips in (train, dev, test)] == [2250, 250, 500]
    assert set(test.speaker) == {2} and 2 not in {*train.speaker, *dev.speaker}
