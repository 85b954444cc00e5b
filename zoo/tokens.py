"""A tokenizer whose vocabulary is a list of symbols: words between white space, or single characters.

KerasHub's tokenizers of characters and bytes have neither padding nor start nor end, and no assets, without which it
cannot save them in a preset. For words it has none.
"""

import collections
import json
import os
import re

import keras
import keras_hub

from keras_attn.lookup import choose, whole_number

PADDING, UNKNOWN, START, END = SPECIAL = ("[PAD]", "[UNK]", "[START]", "[END]")
#: The asset that holds the vocabulary. JSON, for a symbol may be a line break.
VOCABULARY = "vocabulary.json"
#: How a text falls into symbols, and what stands between them when they are put together again. White space is that of
#: ASCII alone, as in TensorFlow, so that a text has the same words in a pipeline and out of it.
SPLITS = {"words": (re.compile(r"[^ \t\n\r\f\v]+"), " "), "characters": (re.compile(r"[\s\S]"), "")}


def listed_texts(texts):
    """Raises for one text where several are to be learned from: its letters would count as texts."""
    if isinstance(texts, (str, bytes)):
        raise ValueError(f"Texts are a list of strings. Received: one string, {texts[:40]!r}")


@keras.saving.register_keras_serializable(package="zoo")
class SymbolTokenizer(keras_hub.tokenizers.Tokenizer):
    """Strings to ids of symbols, and back: the id of a symbol is its place in the vocabulary.

    A symbol that is not in the vocabulary becomes `"[UNK]"`. Symbols are taken as they are written, in upper or lower
    case; a special one that stands in a text as a word of its own is that one.

    Args:
        vocabulary: a list of symbols that are all different, the first four `"[PAD]"`, `"[UNK]"`, `"[START]"` and
            `"[END]"`; None if it will be loaded.
        split: "words", between white space, or "characters".

    Call arguments:
        inputs: a string, or a list of strings.

    Returns:
        A list of ids for each string.

    Example:
    >>> tokenizer = SymbolTokenizer(["[PAD]", "[UNK]", "[START]", "[END]", "to", "be"])
    >>> tokenizer(["to be", "be or"])
    [[4, 5], [5, 1]]
    >>> tokenizer.detokenize([4, 5])
    'to be'
    >>> SymbolTokenizer.of(["aab"], split="characters").get_vocabulary()
    ['[PAD]', '[UNK]', '[START]', '[END]', 'a', 'b']
    """

    def __init__(self, vocabulary=None, split="words", **kwargs):
        super().__init__(**{"dtype": "int32", **kwargs})
        self.split = choose("split", split, SPLITS)
        self._add_special_token(PADDING, "pad_token")
        self._add_special_token(START, "start_token")
        self._add_special_token(END, "end_token")
        self.set_vocabulary(vocabulary)
        self.file_assets = [VOCABULARY]

    @classmethod
    def of(cls, texts, split="words", size=None, **kwargs):
        """A tokenizer that knows the symbols of these texts, the most frequent first.

        Args:
            texts: strings.
            split: "words" or "characters".
            size: how many symbols at most, the special ones counted, at least 5; None for all there are.
            **kwargs: what any tokenizer takes.
        """
        listed_texts(texts)
        whole_number("size", size, least=len(SPECIAL) + 1, optional=True)
        find, _ = SPLITS[choose("split", split, SPLITS)]
        counts = collections.Counter(symbol for text in texts for symbol in find.findall(text))
        found = sorted(set(counts) - set(SPECIAL), key=lambda symbol: (-counts[symbol], symbol))
        return cls([*SPECIAL, *found][:size], split=split, **kwargs)

    def set_vocabulary(self, vocabulary):
        """Sets the vocabulary to a list of symbols; None for none yet."""
        self._ids = self._table = self.vocabulary = None
        if vocabulary is None:
            return
        if isinstance(vocabulary, str) or tuple(vocabulary[: len(SPECIAL)]) != SPECIAL:
            raise ValueError(
                f"`vocabulary` must be a list of symbols that starts with {SPECIAL}. Received: {vocabulary!r:.80}"
            )
        self.vocabulary = [str(symbol) for symbol in vocabulary]
        self._ids = {symbol: index for index, symbol in enumerate(self.vocabulary)}
        if len(self._ids) < len(self.vocabulary):
            twice = [symbol for symbol, count in collections.Counter(self.vocabulary).items() if count > 1]
            raise ValueError(
                f"The symbols of a `vocabulary` must all be different. Received several times: {twice[:5]}"
            )
        self._update_special_token_ids()

    def save_assets(self, dir_path):
        with open(os.path.join(dir_path, VOCABULARY), "w", encoding="utf-8") as file:
            json.dump(self.get_vocabulary(), file, ensure_ascii=False)

    def load_assets(self, dir_path):
        with open(os.path.join(dir_path, VOCABULARY), encoding="utf-8") as file:
            self.set_vocabulary(json.load(file))

    def get_vocabulary(self):
        """The symbols, in the order of their ids."""
        self._check_vocabulary()
        return list(self.vocabulary)

    def vocabulary_size(self):
        """How many symbols there are."""
        self._check_vocabulary()
        return len(self.vocabulary)

    def id_to_token(self, id):
        """The symbol of an id."""
        size = self.vocabulary_size()
        if not 0 <= id < size:
            raise ValueError(f"`id` must be in [0, {size}). Received: {id}")
        return self.vocabulary[id]

    def token_to_id(self, token):
        """The id of a symbol that is known."""
        if self.vocabulary is None or token not in self._ids:
            raise ValueError(f"The symbol {token!r} is not in the vocabulary.")
        return self._ids[token]

    def _check_vocabulary(self):
        if self.vocabulary is None:
            raise ValueError("The tokenizer has no vocabulary yet: give one when it is made, or load it from a preset.")

    def call(self, inputs, *args, training=None, **kwargs):
        # Not that of the base class, which makes TensorFlow's tensors of strings.
        return self.tokenize(inputs)

    def tokenize(self, inputs):
        self._check_vocabulary()
        if self._use_tf_workflow():
            return self._tokenize_graph(inputs)
        if isinstance(inputs, (str, bytes)):
            return self._tokenize_one(inputs)
        return [self._tokenize_one(text) for text in (inputs.tolist() if hasattr(inputs, "tolist") else inputs)]

    def _tokenize_one(self, text):
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        if not isinstance(text, str):
            raise ValueError(f"A string or a list of strings is taken apart. Received: {text!r:.80}")
        unknown = self._ids[UNKNOWN]
        return [self._ids.get(symbol, unknown) for symbol in SPLITS[self.split][0].findall(text)]

    def _tokenize_graph(self, inputs):
        """The same in a pipeline of `tf.data`, through which KerasHub's `fit` sends raw texts on all backends."""
        import tensorflow as tf

        inputs = tf.convert_to_tensor(inputs)
        symbols = tf.strings.split(inputs) if self.split == "words" else tf.strings.unicode_split(inputs, "UTF-8")
        if self._table is None:
            with tf.init_scope():
                pairs = tf.lookup.KeyValueTensorInitializer(
                    tf.constant(self.vocabulary), tf.range(len(self.vocabulary), dtype="int32")
                )
                self._table = tf.lookup.StaticHashTable(pairs, default_value=self._ids[UNKNOWN])
        return self._table[symbols]

    def detokenize(self, inputs):
        """The string of ids `(T,)`, or the strings of several rows of them, with a blank between words."""
        rows = inputs if isinstance(inputs, (list, tuple)) else keras.ops.convert_to_numpy(inputs).tolist()
        if len(rows) and hasattr(rows[0], "__len__"):
            return [self.detokenize(row) for row in rows]
        return SPLITS[self.split][1].join(self.id_to_token(int(each)) for each in rows)

    def get_config(self):
        # The vocabulary is an asset.
        return {**super().get_config(), "vocabulary": None, "split": self.split}
