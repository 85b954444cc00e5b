import os

import pytest

from tests.zoo.datasets.texts import lay
from zoo.datasets import cmudict

real = pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")
TEXT = "READ  R IY D\n'EM  AH M\nREAD  R EH D\nREAD  R IY D\n"


def test_a_line_is_a_word_and_a_pronunciation(tmp_path, monkeypatch):
    lay(tmp_path, monkeypatch, "cmudict", {"g2p_dev.txt.gz": TEXT})
    words, pronunciations = cmudict.load("dev")
    assert words == ["READ", "'EM", "READ", "READ"]
    assert pronunciations[:2] == [("R", "IY", "D"), ("AH", "M")]
    assert cmudict.by_word(words, pronunciations) == {
        "READ": [("R", "IY", "D"), ("R", "EH", "D")],
        "'EM": [("AH", "M")],
    }


@pytest.mark.parametrize(
    "line",
    ["READ R IY D", "READ", "Read  R IY D", "READ  R IY1 D", "READ  R  IY", "  R"],
    ids=["one space", "no phonemes", "a small letter", "stress", "an empty phoneme", "no word"],
)
def test_a_line_that_is_none_is_named(line, tmp_path, monkeypatch):
    lay(tmp_path, monkeypatch, "cmudict", {"g2p_test.txt.gz": f"{TEXT}{line}\n"})
    with pytest.raises(ValueError, match=r"Line 5 of .*g2p_test.txt.gz must be '<word>', two spaces"):
        cmudict.load("test")


def test_words_without_pronunciations_are_refused():
    with pytest.raises(ValueError):
        cmudict.by_word(["A", "B"], [("AH",)])


def test_splits_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="Unknown split of cmudict 'valid'"):
        cmudict.load("valid")


@real
@pytest.mark.parametrize(
    "split, pairs, words", [("train", 108926, 102045), ("dev", 5447, 5447), ("test", 12855, 11994)]
)
def test_there_are_as_many_pairs_and_words_as_the_source_says(split, pairs, words):
    found, pronunciations = cmudict.load(split)
    assert len(found) == len(pronunciations) == pairs and len(cmudict.by_word(found, pronunciations)) == words
    assert set("".join(found)) == set(cmudict.LETTERS)
    assert {phoneme for phonemes in pronunciations for phoneme in phonemes} == set(cmudict.PHONEMES)


@real
def test_words_of_the_test_were_not_in_training():
    train, dev, test = (set(cmudict.load(split)[0]) for split in cmudict.SPLITS)
    assert not test & (train | dev) and len(train & dev) == 698
