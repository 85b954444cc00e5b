"""English Web Treebank: sentences of blogs, letters, reviews, answers and news groups, with a part of speech a word.

- Source: github.com/UniversalDependencies/UD_English-EWT at 15d613d8447b3478787d4c278730a1e48a945efb,
  `en_ewt-ud-{train,dev,test}.conllu`, of each word its form, UPOS, XPOS, head and relation; the lines of words that are
  written as one (`1-2`) and of words that are not written (`1.1`) are left out.
- Licence: CC BY-SA 4.0.
- Paper: Silveira et al., 2014, A gold standard dependency corpus for English.
"""

from keras_attn.lookup import choose
from zoo.datasets import files

SOURCE = "github.com/UniversalDependencies/UD_English-EWT (en_ewt-ud-*.conllu)"
LICENCE = "CC BY-SA 4.0"
SPLITS = {"train": "train.tsv.gz", "dev": "dev.tsv.gz", "test": "test.tsv.gz"}
#: The universal parts of speech, https://universaldependencies.org/u/pos.
TAGS = (
    *("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART"),
    *("PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X"),
)


def load(split):
    """Sentences and tags of a split.

    Args:
        split: "train" (12,544 sentences, 204,577 words), "dev" (2,001 and 25,147) or "test" (2,077 and 25,094).

    Returns:
        A list of sentences, each a list of words as they are written, and a list of as many lists of as many tags, each
        of `TAGS`.
    """
    path = files.find("ud_ewt", SPLITS[choose("split of ud_ewt", split, SPLITS)], SOURCE)
    sentences, behind_blank = [], True
    for number, line in files.read_lines(path):
        if line and behind_blank:
            sentences.append([])
        if line:
            sentences[-1].append(_read_line(line, number, path))
        behind_blank = not line
    words, tags = ([[pair[i] for pair in sentence] for sentence in sentences] for i in (0, 1))
    return words, tags


def _read_line(line, number, path):
    fields = line.split("\t")
    if len(fields) != 5 or not fields[0] or fields[1] not in TAGS:
        raise ValueError(
            f"Line {number} of {path} must be '<word>TAB<UPOS>TAB<XPOS>TAB<head>TAB<relation>' or blank, UPOS one of "
            f"{', '.join(TAGS)}. Received: {line!r}"
        )
    return fields[0], fields[1]
