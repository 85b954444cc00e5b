"""Texts whose words or whose letters are the symbols of a list."""

import keras
import numpy as np

from zoo.text import MixerTokenizer

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
UNITS = ("words", "characters")
#: Stands for a blank among characters: tokens are parted by blanks.
BLANK = "▁"


@keras.saving.register_keras_serializable(package="zoo")
class SymbolTokenizer(MixerTokenizer):
    """Strings to ids of symbols: words between white space, such as phonemes, or characters.

    Args:
        vocabulary: a list of symbols, with `"[PAD]"`, `"[UNK]"`, `"[CLS]"` and `"[SEP]"` among them; of characters a
            blank is written `"▁"`.
        unit: what a symbol is, "words" or "characters".
        lowercase: whether to lower-case first.

    Example:
    >>> tokenizer = SymbolTokenizer.of(["HH AH0 L OW1"])
    >>> [int(token) for token in tokenizer("OW1 HH EH")]
    [7, 5, 1]
    >>> letters = SymbolTokenizer.of(["a cat"], unit="characters")
    >>> letters.detokenize(letters(["at a", "cat"]))
    ['at a', 'cat']
    """

    def __init__(self, vocabulary=None, unit="words", lowercase=False, **kwargs):
        if unit not in UNITS:
            raise ValueError(f"`unit` must be one of {UNITS}. Received: unit={unit!r}")
        # What stands between blanks is a symbol, whatever it is made of.
        super().__init__(vocabulary=vocabulary, lowercase=lowercase, **{**kwargs, "split": True})
        self.unit = unit

    @classmethod
    def of(cls, texts, unit="words", lowercase=False, **kwargs):
        """A tokenizer that knows every symbol of these texts, in the order of their code."""
        texts = [text.lower() for text in texts] if lowercase else texts
        symbols = {symbol for text in texts for symbol in _spaced(text, unit).split()}
        return cls([*SPECIAL_TOKENS, *sorted(symbols - set(SPECIAL_TOKENS))], unit, lowercase, **kwargs)

    def tokenize(self, inputs):
        return super().tokenize(_each(lambda text: _spaced(text, self.unit), self._spaced_tensor, inputs))

    def detokenize(self, inputs):
        found = super().detokenize(inputs)
        return found if self.unit == "words" else _each(_joined, _joined_tensor, found)

    def _spaced_tensor(self, texts):
        import tensorflow as tf  # Only KerasHub hands such tensors over.

        if self.unit == "words":
            return texts
        return tf.strings.regex_replace(tf.strings.regex_replace(texts, " ", BLANK), "(.)", r"\1 ")

    def get_config(self):
        return {**super().get_config(), "unit": self.unit}
