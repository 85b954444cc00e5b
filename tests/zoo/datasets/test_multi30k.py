import os

import pytest

from tests.zoo.datasets.texts import lay
from zoo.datasets import multi30k

ENGLISH, GERMAN = "A dog runs.\nTwo men.\n", "Ein Hund läuft. \nZwei Männer.\n"


def test_lines_of_two_languages_belong_together(tmp_path, monkeypatch):
    french = {"val.fr.gz": "Un chien\u00a0!\nDeux hommes.\n"}
    lay(tmp_path, monkeypatch, "multi30k", {"val.en.gz": ENGLISH, "val.de.gz": GERMAN, **french})
    assert multi30k.load("dev") == (["A dog runs.", "Two men."], ["Ein Hund läuft.", "Zwei Männer."])
    assert multi30k.load("dev", source="fr", target="en") == (
        ["Un chien\u00a0!", "Deux hommes."],
        ["A dog runs.", "Two men."],
    )


def test_files_of_other_lengths_are_named(tmp_path, monkeypatch):
    lay(tmp_path, monkeypatch, "multi30k", {"train.en.gz": ENGLISH + "Three.\n", "train.de.gz": GERMAN})
    with pytest.raises(ValueError, match=r"train.en.gz and .*train.de.gz must have as many lines .* 3 and 2"):
        multi30k.load("train")


def test_a_line_without_a_sentence_is_named(tmp_path, monkeypatch):
    lay(tmp_path, monkeypatch, "multi30k", {"train.en.gz": ENGLISH, "train.de.gz": "Ein Hund läuft.\n \n"})
    with pytest.raises(ValueError, match=r"Line 2 of .*train.de.gz must be a sentence. Received: ' '"):
        multi30k.load("train")


def test_what_there_is_not_is_refused():
    with pytest.raises(ValueError, match="Unknown split of multi30k 'test_2018'"):
        multi30k.load("test_2018")
    with pytest.raises(ValueError, match="Unknown language of multi30k 'cs'"):
        multi30k.load("train", target="cs")


@pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")
def test_there_are_as_many_sentences_as_are_published():
    for target in ("de", "fr"):
        counts = [len(multi30k.load(split, target=target)[1]) for split in multi30k.SPLITS]
        assert counts == [29000, 1014, 1000, 1000, 461]
    sources, targets = multi30k.load("test")
    assert sources[0] == "A man in an orange hat starring at something."
    assert targets[0] == "Ein Mann mit einem orangefarbenen Hut, der etwas anstarrt."
