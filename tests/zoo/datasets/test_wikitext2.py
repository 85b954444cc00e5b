import os

import pytest

from tests.zoo.datasets.texts import lay
from zoo.datasets import wikitext2

real = pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")


def test_each_line_ends_with_a_mark_also_one_without_words(tmp_path, monkeypatch):
    lay(tmp_path, monkeypatch, "wikitext2", {"valid.txt.gz": " \n = Cats = \n A <unk> @-@ cat . \n"})
    assert wikitext2.load("dev") == ["<eos>", "=", "Cats", "=", "<eos>", "A", "<unk>", "@-@", "cat", ".", "<eos>"]


def test_splits_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="Unknown split of wikitext2 'valid'"):
        wikitext2.load("valid")


@real
def test_there_are_as_many_words_as_are_published():
    words = [wikitext2.load(split) for split in wikitext2.SPLITS]
    assert list(map(len, words)) == [2088628, 217646, 245569]
    known = set(words[0])
    assert len(known) == 33278 and known >= set(words[1]) | set(words[2]) | {wikitext2.UNKNOWN, wikitext2.END}
