"""Texts to the ids of their characters or of what stands between blanks, and back."""

import os

import keras
import keras_hub
import numpy as np

PADDING, UNKNOWN, START, END = "[PAD]", "[UNK]", "[START]", "[END]"


@keras.saving.register_keras_serializable(package="zoo")
class SymbolTokenizer(keras_hub.tokenizers.Tokenizer):
    """Strings to the ids of symbols: of single characters, or of what a separator stands between.

    Args:
        vocabulary: a list of symbols, `"[PAD]"` first; None until they are read from a preset. With `"[UNK]"` in it any
            text has ids; without, one with other symbols is an error.
        separator: what stands between two symbols, such as a blank; "" if each character is one.

    Call arguments:
        inputs: a string, or a list of them.

    Returns:
        A list of ids, or a list of such lists.

    Example:
    >>> tokenizer = SymbolTokenizer(["[PAD]", " ", "a", "b"])
    >>> tokenizer("ab a"), tokenizer.detokenize([2, 3, 1, 2, 0])
    ([2, 3, 1, 2], 'ab a')
    """

    backbone_cls = None

    def __init__(self, vocabulary=None, separator="", **kwargs):
        super().__init__(**kwargs)
        self.separator = separator
        self._add_special_token(PADDING, "pad_token")
        self.file_assets = ["vocabulary.txt"]
        self.set_vocabulary(vocabulary)
        self.built = True

    @classmethod
    def of(cls, texts, special=(), separator="", **kwargs):
        """A tokenizer that knows every symbol of these texts, and special ones."""
        known = {symbol for text in texts for symbol in _split(text, separator)}
        return cls([PADDING, *special, *sorted(known - {PADDING, *special})], separator, **kwargs)

    def set_vocabulary(self, vocabulary):
        """Makes a list of symbols the vocabulary; None for none yet."""
        self.vocabulary = self._ids = None
        if vocabulary is None:
            return
        vocabulary = [str(symbol) for symbol in vocabulary]
        if vocabulary[:1] != [PADDING] or len(set(vocabulary)) < len(vocabulary):
            raise ValueError(f"A vocabulary starts with {PADDING!r}, and no symbol comes twice. Received: {vocabulary}")
        if any("\n" in symbol or not symbol for symbol in vocabulary):
            raise ValueError(f"A symbol is neither empty nor has it a line break. Received: {vocabulary}")
        self.vocabulary = vocabulary
        self._ids = {symbol: index for index, symbol in enumerate(vocabulary)}
        self._update_special_token_ids()

    def get_vocabulary(self):
        self._check_vocabulary()
        return list(self.vocabulary)

    def vocabulary_size(self):
        return len(self.get_vocabulary())

    def id_to_token(self, id):
        return self.get_vocabulary()[id]

    def token_to_id(self, token):
        self._check_vocabulary()
        if token not in self._ids and UNKNOWN not in self._ids:
            raise ValueError(f"The tokenizer knows no symbol {token!r}. Known: {', '.join(map(repr, self.vocabulary))}")
        return self._ids.get(token, self._ids.get(UNKNOWN))

    def _check_vocabulary(self):
        if self.vocabulary is None:
            raise ValueError(f"{type(self).__name__} {self.name!r} has no vocabulary yet: give it one.")

    def call(self, inputs):
        return self.tokenize(inputs)

    def tokenize(self, inputs):
        if isinstance(inputs, str):
            return [self.token_to_id(symbol) for symbol in _split(inputs, self.separator)]
        return [self.tokenize(text) for text in inputs]

    def detokenize(self, inputs):
        """The string of a list of ids, or a list of strings; what is special is left out."""
        if len(inputs) and isinstance(inputs[0], (list, tuple, np.ndarray)):
            return [self.detokenize(ids) for ids in inputs]
        silent = set(self.special_tokens)
        symbols = (self.id_to_token(int(index)) for index in inputs)
        return self.separator.join(symbol for symbol in symbols if symbol not in silent)

    def save_assets(self, dir_path):
        text = "\n".join(self.get_vocabulary()) + "\n"
        # Written as it is: a vocabulary may hold any character but a line break.
        with open(os.path.join(dir_path, "vocabulary.txt"), "w", encoding="utf-8", newline="") as file:
            file.write(text)

    def load_assets(self, dir_path):
        with open(os.path.join(dir_path, "vocabulary.txt"), encoding="utf-8", newline="") as file:
            self.set_vocabulary(file.read().removesuffix("\n").split("\n"))

    def get_config(self):
        # The vocabulary is an asset.
        return {**super().get_config(), "vocabulary": None, "separator": self.separator}


def _split(text, separator):
    return list(text) if not separator else [symbol for symbol in text.split(separator) if symbol]
