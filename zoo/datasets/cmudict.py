"""The CMU pronouncing dictionary: words in letters, and how they sound, in phonemes without stress.

- Source: github.com/bkumardevan07/Transformer-Grapheme-to-Phoneme-Conversion at
  b0087c17d9161e2b666adf4e945c966c4390b325, `CMU_DATA/cmudict-0.7b.{train,train-dev-1-21,test}`; of train without each
  line that dev has too.
- Licence: BSD, 2 clauses (Carnegie Mellon University).
- Papers: Rao et al., 2015, https://doi.org/10.1109/ICASSP.2015.7178767; Toshniwal and Livescu, 2016,
  https://arxiv.org/abs/1610.06540 (word errors of models with and without attention, on another division).
"""

from keras_attn.lookup import choose
from zoo.datasets import files

SOURCE = "github.com/bkumardevan07/Transformer-Grapheme-to-Phoneme-Conversion (CMU_DATA/cmudict-0.7b.*)"
LICENCE = "BSD-2-Clause"
SPLITS = {"train": "g2p_train.txt.gz", "dev": "g2p_dev.txt.gz", "test": "g2p_test.txt.gz"}
LETTERS = "'ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: ARPAbet: vowels, then consonants.
PHONEMES = (
    *("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"),
    *("B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG"),
    *("P", "R", "S", "SH", "T", "TH", "V", "W", "Y", "Z", "ZH"),
)


def load(split):
    """Words and pronunciations of a split, one of each a line of the file; `by_word` brings those of a word together.

    No word of "test" is in the other two. Of the words of "dev" 698 have another pronunciation in "train".

    Args:
        split: "train" (108,926 pairs of 102,045 words), "dev" (5,447 pairs, each of its own word) or "test" (12,855
            pairs of 11,994 words).

    Returns:
        A list of words, strings of `LETTERS`, and a list of as many pronunciations, each a tuple of `PHONEMES`.
    """
    path = files.find("cmudict", SPLITS[choose("split of cmudict", split, SPLITS)], SOURCE)
    rows = [_read_line(line, number, path) for number, line in files.read_lines(path)]
    return [word for word, _ in rows], [phonemes for _, phonemes in rows]


def by_word(words, pronunciations):
    """Each word once, with all its pronunciations: an answer is right if it is any of them.

    Returns:
        A dict from word to a list of different pronunciations, in the order in which they first came.

    Example:
    >>> by_word(["A", "TO", "A"], [("AH",), ("T", "UW"), ("EY",)])
    {'A': [('AH',), ('EY',)], 'TO': [('T', 'UW')]}
    """
    found = {}
    for word, pronunciation in zip(words, pronunciations, strict=True):
        # A dict without values is a set that keeps its order.
        found.setdefault(word, {})[pronunciation] = None
    return {word: list(known) for word, known in found.items()}


def _read_line(line, number, path):
    word, _, sounds = line.partition("  ")
    phonemes = tuple(sounds.split(" "))
    if not word or set(word) - set(LETTERS) or set(phonemes) - set(PHONEMES):
        raise ValueError(
            f"Line {number} of {path} must be '<word>', two spaces, '<phoneme> <phoneme> ...', the word of {LETTERS} "
            f"and phonemes of {', '.join(PHONEMES)}. Received: {line!r}"
        )
    return word, phonemes
