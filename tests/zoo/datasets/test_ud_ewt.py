import os

import pytest

from tests.zoo.datasets.texts import lay
from zoo.datasets import ud_ewt

DOGS = "Dogs\tNOUN\tNNS\t2\tnsubj\nbark\tVERB\tVBP\t0\troot\n"
HELLO = "Hello\tINTJ\tUH\t0\troot\n"


@pytest.mark.parametrize("text", [f"{DOGS}\n{HELLO}", f"\n{DOGS}\n\n{HELLO}\n"], ids=["one blank", "more"])
def test_blank_lines_end_sentences(text, tmp_path, monkeypatch):
    lay(tmp_path, monkeypatch, "ud_ewt", {"dev.tsv.gz": text})
    assert ud_ewt.load("dev") == ([["Dogs", "bark"], ["Hello"]], [["NOUN", "VERB"], ["INTJ"]])


@pytest.mark.parametrize(
    "line",
    ["Dogs\tNOUN\tNNS\t2", "Dogs\tNOUNS\tNNS\t2\tnsubj", "\tNOUN\tNNS\t2\tnsubj"],
    ids=["too short", "no tag", "no word"],
)
def test_a_line_that_is_none_is_named(line, tmp_path, monkeypatch):
    lay(tmp_path, monkeypatch, "ud_ewt", {"train.tsv.gz": f"{HELLO}\n{line}\n"})
    with pytest.raises(ValueError, match=r"Line 3 of .*train.tsv.gz must be '<word>TAB<UPOS>"):
        ud_ewt.load("train")


def test_a_damaged_file_is_named_and_how_far_it_could_be_read(tmp_path, monkeypatch):
    lay(tmp_path, monkeypatch, "ud_ewt", {"test.tsv.gz": HELLO})
    path = tmp_path / "ud_ewt" / "test.tsv.gz"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"test.tsv.gz is damaged behind line 1: .* Get it again"):
        ud_ewt.load("test")


def test_splits_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="Unknown split of ud_ewt 'valid'"):
        ud_ewt.load("valid")


@pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")
@pytest.mark.parametrize(
    "split, sentences, words", [("train", 12544, 204577), ("dev", 2001, 25147), ("test", 2077, 25094)]
)
def test_there_are_as_many_sentences_and_words_as_are_published(split, sentences, words):
    found, tags = ud_ewt.load(split)
    assert len(found) == sentences and sum(map(len, found)) == words
    assert [len(sentence) for sentence in found] == [len(row) for row in tags]
    assert {tag for row in tags for tag in row} == set(ud_ewt.TAGS)
