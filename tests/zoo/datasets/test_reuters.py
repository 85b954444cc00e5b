import os

import numpy as np
import pytest

from tests.zoo.datasets.texts import lay
from zoo.datasets import reuters

real = pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")
HEADER = "\t".join(reuters.FIELDS)


def table(folder, monkeypatch, *rows):
    lay(folder, monkeypatch, "reuters21578", {reuters.FILE: "\n".join([HEADER, *rows]) + "\n"})


def row(number, modapte="train", r52="", r8="", headline="", title="A TITLE", body="A text."):
    return "\t".join([str(number), "TRAIN", modapte, r52, r52, r8, headline, title, body])


def test_a_collection_has_its_own_documents_and_the_last_tenth_in_training_is_dev(tmp_path, monkeypatch):
    table(
        tmp_path,
        monkeypatch,
        *(row(number, r52="zinc") for number in range(3)),
        *(row(number, r52="earn", r8="earn", title=f"TITLE {number}") for number in range(23)),
        row(31, "test", "ship", "ship", title="", body="None but a text."),
        row(37, "test", "ship", "ship", body=""),
        row(41, "", "ship", "ship"),
    )
    texts, labels = reuters.load("r8", "train")
    assert len(texts) == 21 and texts[-1] == "TITLE 20 A text." and labels.dtype == "int32"
    assert reuters.load("r8", "dev")[0] == ["TITLE 21 A text.", "TITLE 22 A text."]
    texts, labels = reuters.load("r8", "test")
    assert (
        texts == ["None but a text.", "A TITLE"] and [reuters.CLASSES["r8"][label] for label in labels] == ["ship"] * 2
    )
    texts, labels = reuters.load("r52", "train")
    assert len(texts) == 24 and set(labels) == {reuters.CLASSES["r52"].index(name) for name in ("zinc", "earn")}


def test_headlines_stand_beside_their_texts(tmp_path, monkeypatch):
    table(
        tmp_path,
        monkeypatch,
        row(1, headline="train", title="ONE", body="The first."),
        row(2, title="TWO"),
        row(3, headline="valid", title='"THREE', body="The  third."),
    )
    assert reuters.load_headlines("train") == (["The first."], ["ONE"])
    assert reuters.load_headlines("dev") == (["The  third."], ['"THREE'])
    assert reuters.load_headlines("test") == ([], [])


@pytest.mark.parametrize(
    "line, said",
    [
        (row(2) + "\tmore", "Line 3 of .* must have 9 fields .* Received 10"),
        (row(2, r8="zinc"), "Line 3 of .* must have one of acq, crude.* as r8. Received: 'zinc'"),
    ],
)
def test_a_line_that_is_none_is_named(line, said, tmp_path, monkeypatch):
    table(tmp_path, monkeypatch, row(1), line)
    with pytest.raises(ValueError, match=said):
        reuters.load("r52", "train")


@pytest.mark.parametrize("text", ["", row(1) + "\n"])
def test_a_table_without_its_header_is_refused(text, tmp_path, monkeypatch):
    lay(tmp_path, monkeypatch, "reuters21578", {reuters.FILE: text})
    with pytest.raises(ValueError, match=r"Line 1 of .* must name newid, lewissplit"):
        reuters.load_headlines("test")


def test_what_there_is_not_is_refused():
    with pytest.raises(ValueError, match="Unknown collection of reuters 'r90'"):
        reuters.load("r90", "train")
    with pytest.raises(ValueError, match="Unknown split of reuters 'valid'"):
        reuters.load("r8", "valid")
    with pytest.raises(ValueError, match="Unknown split of reuters 'all'"):
        reuters.load_headlines("all")


@real
@pytest.mark.parametrize("collection, counts", [("r8", (4937, 548, 2190)), ("r52", (5879, 653, 2569))])
def test_there_are_as_many_documents_as_the_source_says(collection, counts):
    labels = [reuters.load(collection, split)[1] for split in reuters.SPLITS]
    assert tuple(map(len, labels)) == counts
    assert set(np.concatenate(labels)) == set(range(len(reuters.CLASSES[collection])))
    # What the docstring says of the one class that training does not see.
    unseen = set(labels[2]) - set(labels[0])
    assert {reuters.CLASSES[collection][label] for label in unseen} == ({"tea"} if collection == "r52" else set())


@real
def test_there_are_as_many_headlines_as_the_source_says():
    assert [len(reuters.load_headlines(split)[0]) for split in reuters.SPLITS] == [11003, 1000, 5034]
    bodies, titles = reuters.load_headlines("dev")
    assert min(len(body.split()) for body in bodies) >= 25
    assert {len(title.split()) for title in titles} <= set(range(3, 21))
