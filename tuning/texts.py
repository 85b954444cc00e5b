"""Texts as models of words take them: a vocabulary that is learnt by counting, and the arrays of a preprocessor."""

import collections
import re

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
#: Where the tokenizer cuts: between words, at each mark, and at each Chinese, Japanese or Korean character.
_CJK = "\u3400-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+|[^\w\s]|_")


def count_words(texts):
    """How often each lower-cased word stands in some texts, a `Counter`.

    Example:
    >>> count_words(["Not bad, not good"]).most_common(1)
    [('not', 2)]
    """
    return collections.Counter(word for text in texts for word in WORD.findall(text.lower()))


def vocabulary(texts, size, least=1):
    """The pieces for a tokenizer: every character, so that a rare word can be spelt, then the most frequent words.

    Args:
        texts: a list of strings: those to train on, never those to judge by.
        size: how many pieces at most, above 4. Half of them may be characters.
        least: how often a word must stand there to be a piece, at least 1. Of 2, words that come once are spelt, so
            that to spell is learnt too.

    Example:
    >>> vocabulary(["ab ab c"], size=20)
    ['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'a', 'b', 'c', '##a', '##b', '##c', 'ab']
    """
    words = count_words(texts)
    counts = collections.Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    characters = sorted(_frequent(counts)[: max(0, (size // 2 - len(SPECIAL)) // 2)])
    pieces = [*SPECIAL, *characters, *(f"##{character}" for character in characters)]
    whole = {word: count for word, count in words.items() if len(word) > 1 and count >= least}
    return pieces + _frequent(whole)[: size - len(pieces)]


def as_arrays(inputs):
    """What a preprocessor made of texts, as arrays: once for all runs, as in every step it would cost more than it."""
    import keras

    return {name: keras.ops.convert_to_numpy(array).astype("int32") for name, array in inputs.items()}


def _frequent(counts):
    return sorted(counts, key=lambda each: (-counts[each], each))
