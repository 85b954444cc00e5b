"""Reuters-21578: news of 1987, for classes of documents (R8, R52) and for headlines.

- Source: github.com/pankajksharma/classfication-based-on-ptm-and-bayes at 8dab1d849a4b081fef58355cc7068ff2e8e43103,
  `data/reut2-000.sgm` to `reut2-021.sgm`, in one table of a line a document.
- Licence: Reuters-21578, Distribution 1.0: copyright Reuters, for research purposes only.
- Papers: Lewis, 1997, Reuters-21578 text categorization test collection; Cardoso-Cachopo, 2007 (R8 and R52: documents
  of the ModApte division that have one topic).

R8 and R52 have one test document, of class trade, more than is published; in training they are as published. There is
no published division for headlines: documents with a title of 3 to 20 words and a body of 25 or more, divided as Lewis
did (LEWISSPLIT).
"""

import numpy as np

from keras_attn.lookup import choose
from zoo.datasets import files

SOURCE = "github.com/pankajksharma/classfication-based-on-ptm-and-bayes (data/reut2-*.sgm)"
LICENCE = "Reuters-21578 Distribution 1.0: research only"
FILE = "reuters21578.tsv.gz"
SPLITS = ("train", "dev", "test")
FIELDS = ("newid", "lewissplit", "modapte", "topics", "r52", "r8", "headline_split", "title", "body")
#: Of the training documents of R8 and R52 the last in so many are "dev".
DEV_SHARE = 10
#: What the labels stand for.
CLASSES = {
    "r8": ("acq", "crude", "earn", "grain", "interest", "money-fx", "ship", "trade"),
    "r52": (
        *("acq", "alum", "bop", "carcass", "cocoa", "coffee", "copper", "cotton", "cpi", "cpu", "crude", "dlr"),
        *("earn", "fuel", "gas", "gnp", "gold", "grain", "heat", "housing", "income", "instal-debt", "interest", "ipi"),
        *("iron-steel", "jet", "jobs", "lead", "lei", "livestock", "lumber", "meal-feed", "money-fx", "money-supply"),
        *("nat-gas", "nickel", "orange", "pet-chem", "platinum", "potato", "reserves", "retail", "rubber", "ship"),
        *("strategic-metal", "sugar", "tea", "tin", "trade", "veg-oil", "wpi", "zinc"),
    ),
}


def load(collection, split):
    """Texts and labels of a split of R8 or R52.

    There is no published dev split: it is the last tenth of the training documents, rounded down, by number, which is
    by time. So R52's class tea is in dev and test, and not in train.

    Args:
        collection: "r8" or "r52".
        split: "train" (R8: 4,937 documents, R52: 5,879), "dev" (548 and 653) or "test" (2,190 and 2,569).

    Returns:
        A list of strings, each a document's title and text with a space between them, of up to 1,500 words, and an
        int32 array of as many labels, indices into `CLASSES[collection]`.
    """
    choose("collection of reuters", collection, CLASSES)
    split = choose("split of reuters", split, SPLITS)
    part = "test" if split == "test" else "train"
    rows = [row for row in _read() if row[collection] and row["modapte"] == part]
    if split != "test":
        dev = len(rows) // DEV_SHARE
        rows = rows[len(rows) - dev :] if split == "dev" else rows[: len(rows) - dev]
    labels = [CLASSES[collection].index(row[collection]) for row in rows]
    return [f"{row['title']} {row['body']}".strip() for row in rows], np.array(labels, dtype="int32")


def load_headlines(split):
    """Texts and their headlines.

    Args:
        split: "train" (11,003 documents), "dev" (the 1,000 behind them in time) or "test" (5,034).

    Returns:
        A list of texts and a list of as many headlines, which most are in capitals: take both in small letters.
    """
    # The file's word for "dev" is another.
    part = {"dev": "valid"}.get(choose("split of reuters", split, SPLITS), split)
    rows = [row for row in _read() if row["headline_split"] == part]
    return [row["body"] for row in rows], [row["title"] for row in rows]


def _read():
    """The documents in their order, which is by number: a dict each."""
    path = files.find("reuters21578", FILE, SOURCE)
    lines = files.read_lines(path)
    _, header = next(lines, (1, ""))
    if tuple(header.split("\t")) != FIELDS:
        raise ValueError(
            f"Line 1 of {path} must name {', '.join(FIELDS)}, with TAB between. Received: {header[:200]!r}"
        )
    return [_read_line(line, number, path) for number, line in lines]


def _read_line(line, number, path):
    row = dict(zip(FIELDS, line.split("\t")))
    if line.count("\t") != len(FIELDS) - 1:
        raise ValueError(
            f"Line {number} of {path} must have {len(FIELDS)} fields with TAB between. "
            f"Received {line.count('	') + 1}: {line[:200]!r}"
        )
    for collection, classes in CLASSES.items():
        if row[collection] not in ("", *classes):
            raise ValueError(
                f"Line {number} of {path} must have one of {', '.join(classes)}, or nothing, as {collection}. "
                f"Received: {row[collection]!r}"
            )
    return row
