"""Tiny Shakespeare: 40,000 lines of the plays, character by character.

- Source: github.com/karpathy/char-rnn at 6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e, `data/tinyshakespeare/input.txt`.
- Licence: the text is in the public domain; the repository is MIT.
- Reference: Karpathy, 2015, The unreasonable effectiveness of recurrent neural networks.
"""

from keras_attn.lookup import choose
from zoo.datasets import files

SOURCE = "github.com/karpathy/char-rnn (data/tinyshakespeare/input.txt)"
LICENCE = "public domain"
FILE = "input.txt.gz"
SPLITS = ("train", "dev")


def load(split):
    """The text of a split. There is no test split: what is published is the loss on what is "dev" here.

    Args:
        split: "train" (the first 90 % of all 1,115,394 characters: 1,003,854) or "dev" (the other 111,540).

    Returns:
        A string, of 65 different characters in all.
    """
    choose("split of tinyshakespeare", split, SPLITS)
    lines = files.read_lines(files.find("tinyshakespeare", FILE, SOURCE))
    text = "".join(f"{line}\n" for _, line in lines)
    first = len(text) * 9 // 10
    return text[:first] if split == "train" else text[first:]
