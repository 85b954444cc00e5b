"""What a summary shares with one that a person wrote."""

import collections
import re

import numpy as np


def rouge(references, found):
    """ROUGE-L, ROUGE-1 and ROUGE-2: words in the same order, words, and pairs of neighbours that both texts have.

    Of each two texts the F-measure `2 s / (r + f)`, with s how many they share, r and f how many each has; then the
    mean over texts. Words are runs of a to z and 0 to 9, in any case and unstemmed, as in the package rouge-score.

    Args:
        references: a list of strings, what is right.
        found: as many strings, of which any may be empty.

    Returns:
        A dict of three floats in [0, 1].

    Reference:
        Lin, 2004, ROUGE: a package for automatic evaluation of summaries, 2 and 3.1.

    Example:
    >>> rouge(["Police killed the gunman"], ["the gunman police killed"])
    {'ROUGE-L': 0.5, 'ROUGE-1': 1.0, 'ROUGE-2': 0.6666666666666666}
    """
    pairs = [(_words(right), _words(said)) for right, said in zip(references, found, strict=True)]
    if not pairs:
        raise ValueError("There must be at least one text to be judged. Received: []")
    measures = {"ROUGE-L": _in_order, "ROUGE-1": _shared(1), "ROUGE-2": _shared(2)}
    return {name: float(np.mean([measure(*pair) for pair in pairs])) for name, measure in measures.items()}


def _words(text):
    return re.findall("[a-z0-9]+", text.lower())


def _shared(size):
    """The F-measure of runs of so many words, each counted as often as both texts have it."""

    def measure(right, said):
        runs = [collections.Counter(zip(*(words[start:] for start in range(size)))) for words in (right, said)]
        return _f_measure((runs[0] & runs[1]).total(), *(each.total() for each in runs))

    return measure


def _in_order(right, said):
    """The F-measure of the longest list of words that both texts have in its order, not always side by side."""
    longest = [0] * (len(said) + 1)
    for word in right:
        before = longest
        longest = [0]
        for place, other in enumerate(said):
            longest.append(before[place] + 1 if word == other else max(before[place + 1], longest[place]))
    return _f_measure(longest[-1], len(right), len(said))


def _f_measure(shared, right, said):
    return 2 * shared / (right + said) if shared else 0.0
