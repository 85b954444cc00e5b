"""WikiText-2: good and featured articles of Wikipedia, word by word.

- Source: github.com/pytorch/examples at 77f55b912142e11fcfdf5b530231fb9c52f181e8,
  `word_language_model/data/wikitext-2/{train,valid,test}.txt`.
- Licence: CC BY-SA 3.0 (Wikipedia's text).
- Paper: Merity et al., 2016, https://arxiv.org/abs/1609.07843.
"""

import sys

from keras_attn.lookup import choose
from zoo.datasets import files

SOURCE = "github.com/pytorch/examples (word_language_model/data/wikitext-2)"
LICENCE = "CC BY-SA 3.0"
SPLITS = {"train": "train.txt.gz", "dev": "valid.txt.gz", "test": "test.txt.gz"}
#: What stands at the end of each line, and for words that came fewer than three times in training.
END, UNKNOWN = "<eos>", "<unk>"


def load(split):
    """The words of a split, one after another, as the published perplexities count them: an `END` for each line.

    Args:
        split: "train" (2,088,628 words of 33,278 different ones), "dev" (217,646) or "test" (245,569); no other words
            occur in these two. It is called valid where it comes from.

    Returns:
        A list of strings. Headings are lines ` = Heading = `, and `@-@` is a hyphen inside a word.
    """
    path = files.find("wikitext2", SPLITS[choose("split of wikitext2", split, SPLITS)], SOURCE)
    words = []
    for _, line in files.read_lines(path):
        # Each word is kept once, however often it comes.
        words.extend(map(sys.intern, line.split()))
        words.append(END)
    return words
