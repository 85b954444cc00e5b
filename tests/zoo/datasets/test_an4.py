import os

import numpy as np
import pytest

from zoo.datasets import an4

real = pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")


def put_utterances(put, name="train", speakers="bcabd", width=13):
    """An utterance of each of these speakers, in this order: the first of two frames, the next of three ..."""
    lengths = np.arange(len(speakers)) + 2
    put(
        "an4_mfcc",
        f"{name}.npz",
        mfcc=np.repeat(np.arange(len(speakers), dtype="float16") / 4, lengths)[:, None] * np.ones(width, "float16"),
        offset=np.cumsum([0, *lengths], dtype="uint32"),
        text=np.array([f"SAID {speaker}" for speaker in speakers]),
        speaker=np.array(list(speakers)),
        utt=np.array([f"an{number}" for number in range(len(speakers))]),
    )


def test_some_speakers_are_dev(put, monkeypatch):
    monkeypatch.setattr(an4, "EVERY", 2)
    put_utterances(put)
    train, dev = (an4.load(split) for split in ("train", "dev"))
    assert train.text == ["SAID c", "SAID a"] and dev.text == ["SAID b", "SAID b", "SAID d"]
    assert dev.speaker.tolist() == ["b", "b", "d"] and dev.name.tolist() == ["an0", "an3", "an4"]
    assert [frames.shape for frames in dev.mfcc] == [(2, 13), (5, 13), (6, 13)]
    assert dev.mfcc[1].dtype == "float32" and dev.mfcc[1].tolist() == [[0.75] * 13] * 5


def test_utterances_are_padded_behind(put):
    put_utterances(put, "test", "ab")
    x, lengths = an4.load("test").pad()
    assert x.shape == (2, 3, 13) and x[:, :, 7].tolist() == [[0, 0, 0], [0.25, 0.25, 0.25]]
    assert lengths.tolist() == [2, 3]


def test_what_there_is_not_is_refused(put):
    with pytest.raises(ValueError, match="split of an4 'valid'"):
        an4.load("valid")
    put_utterances(put, "test", width=12)
    with pytest.raises(ValueError, match=r"must have 13 numbers each\. Received: \(20, 12"):
        an4.load("test")


@real
def test_there_are_as_many_utterances_as_are_published():
    train, dev, test = (an4.load(split) for split in an4.SPLITS)
    assert [len(part.mfcc) for part in (train, dev, test)] == [857, 91, 130]
    assert [len(set(part.speaker)) for part in (train, dev, test)] == [67, 7, 10]
    assert len({*train.speaker, *dev.speaker, *test.speaker}) == 84
    assert sum(len(text.split()) for text in test.text) == 773
    assert len({word for part in (train, dev, test) for text in part.text for word in text.split()}) == 101
    minutes = sum(len(frames) for part in (train, dev) for frames in part.mfcc) / an4.RATE / 60
    assert minutes == pytest.approx(42.3, abs=0.05) and np.isfinite(train.pad()[0]).all()
