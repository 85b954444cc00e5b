"""Texts whose words or whose characters are the symbols of a list."""

import json
from pathlib import Path

import keras
import keras_hub
import numpy as np

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
UNITS = ("words", "characters")
VOCABULARY = "vocabulary.json"


@keras.saving.register_keras_serializable(package="zoo")
class SymbolTokenizer(keras_hub.tokenizers.Tokenizer):
    """Strings to ids of symbols: words between white space, such as phonemes, or characters.

    Args:
        vocabulary: a list of symbols, with `"[PAD]"`, `"[UNK]"`, `"[CLS]"` and `"[SEP]"` among them.
        unit: what a symbol is, "words" or "characters".
        lowercase: whether to lower-case first.

    Example:
    >>> tokenizer = SymbolTokenizer.of(["HH AH0 L OW1"])
    >>> tokenizer(["OW1 HH EH1"])
    [[7, 5, 1]]
    >>> letters = SymbolTokenizer.of(["a cat"], unit="characters")
    >>> letters.detokenize(letters(["at a", "cat"]))
    ['at a', 'cat']
    """

    def __init__(self, vocabulary=None, unit="words", lowercase=False, **kwargs):
        if unit not in UNITS:
            raise ValueError(f"`unit` must be one of {UNITS}. Received: unit={unit!r}")
        self._add_special_token("[PAD]", "pad_token")
        self._add_special_token("[CLS]", "start_token")
        self._add_special_token("[SEP]", "end_token")
        super().__init__(**kwargs)
        self.unit = unit
        self.lowercase = lowercase
        self.file_assets = [VOCABULARY]
        self.set_vocabulary(vocabulary)

    @classmethod
    def of(cls, texts, unit="words", lowercase=False, **kwargs):
        """A tokenizer that knows every symbol of these texts, in the order of their codes."""
        known = {symbol for text in texts for symbol in _split(text, unit, lowercase)}
        return cls([*SPECIAL_TOKENS, *sorted(known.difference(SPECIAL_TOKENS))], unit, lowercase, **kwargs)

    def set_vocabulary(self, vocabulary):
        """Gives it the symbols, a list of strings; None for none yet."""
        self._table = None
        self.vocabulary = None if vocabulary is None else list(vocabulary)
        self._ids = {symbol: index for index, symbol in enumerate(self.vocabulary or ())}
        if vocabulary is not None:
            self._update_special_token_ids()
            self._unknown = self.token_to_id("[UNK]")

    def get_vocabulary(self):
        return self.vocabulary

    def vocabulary_size(self):
        return len(self.vocabulary)

    def id_to_token(self, id):
        return self.vocabulary[id]

    def token_to_id(self, token):
        if token not in self._ids:
            raise ValueError(f"{token!r} is not one of the {len(self._ids)} symbols of this tokenizer.")
        return self._ids[token]

    def tokenize(self, inputs):
        if isinstance(inputs, str):
            return [self._ids.get(symbol, self._unknown) for symbol in self._split(inputs)]
        if isinstance(inputs, (list, tuple, np.ndarray)):
            return [self.tokenize(str(text)) for text in inputs]
        return self._tokenize_tensor(inputs)

    def _split(self, text):
        return _split(text, self.unit, self.lowercase)

    def _tokenize_tensor(self, texts):
        """The ids of a tensor of strings, as KerasHub's pipelines of TensorFlow have them, on every backend."""
        import tensorflow as tf

        if self._table is None:
            with tf.init_scope():
                ids = tf.range(len(self.vocabulary), dtype="int32")
                pairs = tf.lookup.KeyValueTensorInitializer(tf.constant(self.vocabulary), ids)
                self._table = tf.lookup.StaticHashTable(pairs, default_value=self._unknown)
        texts = tf.strings.lower(texts, encoding="utf-8") if self.lowercase else texts
        symbols = tf.strings.split(texts) if self.unit == "words" else tf.strings.unicode_split(texts, "UTF-8")
        return tf.ragged.map_flat_values(self._table.lookup, symbols)

    def detokenize(self, inputs):
        """Texts of ids: a string of one row, a list of strings of several."""
        rows = inputs.to_list() if hasattr(inputs, "to_list") else inputs
        rows = rows if isinstance(rows, (list, tuple)) else np.asarray(rows)
        if len(rows) and not np.ndim(rows[0]):
            return (" " if self.unit == "words" else "").join(self.vocabulary[int(index)] for index in rows)
        return [self.detokenize(row) if len(row) else "" for row in rows]

    def save_assets(self, dir_path):
        symbols = json.dumps(self.vocabulary, ensure_ascii=False)
        (Path(dir_path) / VOCABULARY).write_text(symbols, encoding="utf-8")

    def load_assets(self, dir_path):
        self.set_vocabulary(json.loads((Path(dir_path) / VOCABULARY).read_text(encoding="utf-8")))

    def get_config(self):
        # The symbols are an asset.
        return {**super().get_config(), "vocabulary": None, "unit": self.unit, "lowercase": self.lowercase}


def _split(text, unit, lowercase):
    text = text.lower() if lowercase else text
    return text.split() if unit == "words" else list(text)
