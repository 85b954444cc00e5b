import keras
from keras import ops

from keras_attn.lookup import choose, flag, whole_number


def bag(words, mask):
    """Σ_j x_j: the sum over the words of a sentence, whatever their order.

    Args:
        words: `(..., J, R, d)`, R encodings side by side.
        mask: boolean `(..., J)`, True for real words.

    Returns:
        `(..., R, d)`, zero for a sentence without words.
    """
    return _sums(ops.cast(mask, "float32")[..., None, :], words)[..., 0, :, :]


def position_encoding(words, mask):
    """Σ_j l_j * x_j with l_kj = (1 - j/J) - (k/d) (1 - 2j/J): a sum that knows the order of the words.

    j counts the real words of a sentence from 1 to J, k the channels from 1 to d (Sukhbaatar et al., 2015,
    https://arxiv.org/abs/1503.08895, section 4.1).

    Args:
        words: `(..., J, R, d)`, R encodings side by side.
        mask: boolean `(..., J)`, True for real words.

    Returns:
        `(..., R, d)`, zero for a sentence without words.
    """
    real = ops.cast(mask, "float32")
    share = ops.cumsum(real, axis=-1) / ops.maximum(ops.sum(real, axis=-1, keepdims=True), 1.0)  # j / J
    # l is a line in k: two sums over the words are enough, without an array (..., J, d) of its values.
    lines = ops.stack([(1.0 - share) * real, (1.0 - 2.0 * share) * real], axis=-2)  # (..., 2, J)
    sums = _sums(lines, words)  # (..., 2, R, d)
    width = words.shape[-1]
    slope = ops.cast(ops.arange(1, width + 1, dtype="float32") / width, words.dtype)
    return sums[..., 0, :, :] - slope * sums[..., 1, :, :]


def _sums(shares, words):
    """Sums over words with `shares` `(..., n, J)` of each: `(..., n, R, d)`."""
    batch, (length, tables, width) = ops.shape(words)[:-3], words.shape[-3:]
    rows = ops.reshape(words, (*batch, -1 if length is None else length, tables * width))
    sums = ops.matmul(ops.cast(shares, words.dtype), rows)
    return ops.reshape(sums, (*batch, shares.shape[-2], tables, width))


ENCODINGS = {"position": position_encoding, "bag": bag}


@keras.saving.register_keras_serializable(package="keras_attn")
class SentenceEncoder(keras.layers.Layer):
    """Word ids to a vector for each sentence, in several tables at once; id 0 is padding.

    "bag": `m = Σ_j A x_j`. "position": `m = Σ_j l_j * A x_j` with `l_kj = (1 - j/J) - (k/d) (1 - 2j/J)`, where j counts
    the real words of the sentence from 1 to J and k the channels from 1 to d.

    A memory of several hops reads each sentence through several tables: `tables=memory.tables` gives what an
    `EndToEndMemory` takes. With `reverse=True` the layer goes back, from vectors to the logits of words, by the last
    table: so the answer shares its weights with the last hop's values.

    Args:
        vocabulary_size: number V of word ids, padding among them, at least 1.
        units: width d of a vector, at least 1.
        tables: number R of tables, at least 1; None for one and no axis for it.
        encoding: "position" or "bag".

    Call arguments:
        inputs: int `(..., J)` in [0, V): sentences of J words, 0 where there is none. With `reverse`, `(..., d)`.
        table: an index, for the vectors of that table alone and no axis of tables.
        reverse: whether to go back from vectors to logits.

    Returns:
        `(..., R, d)`, zero for a sentence without words; its mask `(...)` is True where a sentence has any. With
        `reverse`, logits `(..., V)`.

    Example:
    >>> encoder = SentenceEncoder(vocabulary_size=11, units=8, tables=3)
    >>> story = keras.ops.array([[[4, 2, 0], [7, 1, 3]]])
    >>> vectors, question = encoder(story), encoder(keras.ops.array([[5, 2, 0]]), table=0)
    >>> tuple(vectors.shape), tuple(question.shape), tuple(encoder(question, reverse=True).shape)
    ((1, 2, 3, 8), (1, 8), (1, 11))

    Reference: Sukhbaatar et al., 2015, https://arxiv.org/abs/1503.08895, sections 2.2 (tables), 4.1 (encodings).
    """

    def __init__(self, vocabulary_size, units, tables=None, encoding="position", **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.vocabulary_size = whole_number("vocabulary_size", vocabulary_size)
        self.units = whole_number("units", units)
        self.tables = whole_number("tables", tables, optional=True)
        self.encoding = choose("encoding", encoding, ENCODINGS)

    def build(self, input_shape):
        # One row holds a word in all tables: it is looked up once.
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.vocabulary_size, self.tables or 1, self.units),
            initializer=keras.initializers.RandomNormal(stddev=0.1),
        )
        self.built = True

    def call(self, inputs, table=None, reverse=False):
        self._check_call(inputs, table, reverse)
        embeddings = ops.cast(self.embeddings, self.compute_dtype)
        if reverse:
            return ops.matmul(inputs, ops.transpose(embeddings[:, -1]))
        embeddings = embeddings if table is None else embeddings[:, table : table + 1]
        ids = ops.cast(inputs, "int32")
        mask = ops.not_equal(ids, 0)
        sentences = ENCODINGS[self.encoding](ops.take(embeddings, ids, axis=0), mask)  # (..., R, d)
        return sentences if self.tables and table is None else sentences[..., 0, :]

    def _check_call(self, inputs, table, reverse):
        if flag("reverse", reverse) and inputs.shape[-1] != self.units:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} goes back from vectors of width {self.units}, its `units`. "
                f"Received: inputs of shape {tuple(inputs.shape)}"
            )
        if not reverse and not keras.backend.is_int_dtype(inputs.dtype):
            # Half precision has not a number for each word, and what is padding would be a guess.
            raise ValueError(
                f"{type(self).__name__} {self.name!r} takes word ids, which are whole numbers: "
                f"`keras.Input(..., dtype='int32')`. Received: inputs of dtype {inputs.dtype}"
            )
        if table is not None and not 0 <= table < (self.tables or 1):
            raise ValueError(f"`table` must be in [0, {self.tables or 1}). Received: table={table!r}")

    def compute_mask(self, inputs, mask=None):
        if not keras.backend.is_int_dtype(inputs.dtype):
            return mask
        return ops.any(ops.not_equal(inputs, 0), axis=-1)

    def compute_output_shape(self, input_shape, table=None, reverse=False):
        if reverse:
            return (*input_shape[:-1], self.vocabulary_size)
        return (*input_shape[:-1], *((self.tables,) if self.tables and table is None else ()), self.units)

    def compute_output_spec(self, inputs, table=None, reverse=False):
        self._check_call(inputs, table, reverse)
        return keras.KerasTensor(self.compute_output_shape(tuple(inputs.shape), table, reverse), self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "units": self.units,
            "tables": self.tables,
            "encoding": self.encoding,
        }
