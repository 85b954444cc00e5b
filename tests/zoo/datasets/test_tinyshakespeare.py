import os

import pytest

from tests.zoo.datasets.texts import lay
from zoo.datasets import tinyshakespeare


def test_the_last_tenth_is_dev_and_nothing_is_lost(tmp_path, monkeypatch):
    text = "First Citizen:\n\nSpeak, \u2028speak.\n"
    lay(tmp_path, monkeypatch, "tinyshakespeare", {tinyshakespeare.FILE: text})
    train, dev = (tinyshakespeare.load(split) for split in tinyshakespeare.SPLITS)
    assert train + dev == text and len(dev) == 4


def test_splits_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="Unknown split of tinyshakespeare 'test'"):
        tinyshakespeare.load("test")


@pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")
def test_there_are_as_many_characters_as_are_published():
    train, dev = (tinyshakespeare.load(split) for split in tinyshakespeare.SPLITS)
    assert (len(train), len(dev)) == (1003854, 111540) and len(set(train + dev)) == 65
    assert train.startswith("First Citizen:\nBefore we") and dev.endswith("thou art waking.\n")
