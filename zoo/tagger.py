"""A label at each position."""

import keras
import keras_hub
import numpy as np

from zoo.fitting import PreparedAtOnce
from zoo.heads import compile_arguments
from zoo.quantized import Quantizable
from zoo.text import MixerTextBackbone, MixerTokenizer


@keras.saving.register_keras_serializable(package="zoo")
class MixerTaggerPreprocessor(keras_hub.models.Preprocessor):
    """Lists of words to `{"token_ids": (B, T), "padding_mask": (B, T)}`: the pieces of each word, one after another.

    A word's label stands at its first piece: `first_pieces` says where that is.

    Args:
        tokenizer: a `MixerTokenizer`.
        sequence_length: T; what is longer is cut, what is shorter padded.

    Call arguments:
        x: a list of lists of words; a text among them is split at blanks. What is prepared already passes.
        y: numbers of tags, a list for each list of words, which are put where they belong (see `align`) and get a
            weight of 1 there and 0 elsewhere; an array `(B, T)` is there already and is passed through.
        sample_weight: passed through; with lists of tags `(B,)`, one for each.

    Example:
    >>> tokenizer = MixerTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "fun", "##s"])
    >>> preprocessor = MixerTaggerPreprocessor(tokenizer, sequence_length=4)
    >>> preprocessor([["Goods", "fun"]])["token_ids"].tolist()
    [[4, 6, 5, 0]]
    >>> preprocessor.first_pieces([["Goods", "fun"]])
    [[0, 2]]
    """

    backbone_cls = MixerTextBackbone
    tokenizer_cls = MixerTokenizer

    def __init__(self, tokenizer, sequence_length=64, **kwargs):
        super().__init__(**kwargs)
        self.tokenizer = tokenizer
        self.sequence_length = sequence_length
        self._known = {}

    def call(self, x, y=None, sample_weight=None):
        if isinstance(x, dict):
            return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        shape = (len(x), self.sequence_length)
        ids, mask = np.full(shape, self.tokenizer.pad_token_id, "int32"), np.zeros(shape, "int32")
        for row, words in enumerate(x):
            pieces = [piece for word in _as_words(words) for piece in self._pieces(word)][: self.sequence_length]
            ids[row, : len(pieces)] = pieces
            mask[row, : len(pieces)] = 1
        if isinstance(y, (list, tuple)):
            y, there = self.align(x, y)
            sample_weight = there if sample_weight is None else there * np.reshape(sample_weight, (-1, 1))
        return keras.utils.pack_x_y_sample_weight({"token_ids": ids, "padding_mask": mask}, y, sample_weight)

    def first_pieces(self, x):
        """For each list of words the position of each word's first piece, as far as `sequence_length` goes."""
        starts = [np.cumsum([0, *(len(self._pieces(word)) for word in _as_words(words))])[:-1] for words in x]
        return [[int(start) for start in each if start < self.sequence_length] for each in starts]

    def align(self, x, tags):
        """Numbers of tags, a list for each list of words, put where each word's first piece stands.

        Returns:
            `(N, T)`, int32, and where there is a tag, `(N, T)`, float32: the weights that `fit` takes.
        """
        shape = (len(x), self.sequence_length)
        labels, there = np.zeros(shape, "int32"), np.zeros(shape, "float32")
        for row, (starts, words, found) in enumerate(zip(self.first_pieces(x), x, tags, strict=True)):
            if len(found) != len(_as_words(words)):
                raise ValueError(
                    f"Every word has one tag. Received: {len(_as_words(words))} words and {len(found)} tags in row "
                    f"{row + 1} (the first is 1)"
                )
            labels[row, starts] = found[: len(starts)]
            there[row, starts] = 1
        return labels, there

    def _pieces(self, word):
        if word not in self._known:
            found = [int(piece) for piece in self.tokenizer(word)]
            # An empty word has a place too, so that labels stay where they are.
            self._known[word] = found or [self.tokenizer.token_to_id("[UNK]")]
        return self._known[word]

    def get_config(self):
        return {**super().get_config(), "sequence_length": self.sequence_length}


def _as_words(words):
    return words.split() if isinstance(words, str) else [str(word) for word in words]


@keras.saving.register_keras_serializable(package="zoo")
class MixerTagger(PreparedAtOnce, Quantizable, keras_hub.models.Task):
    """Tokens to the logits of classes at each position: the backbone and a dense layer.

    Answers where no tag stands mean nothing and must have no weight in the loss: the preprocessor sees to that for
    lists of tags, and for others `sample_weight` does, of shape `(B, T)`.

    Args:
        backbone: a `MixerTextBackbone`.
        num_classes: how many classes, at least 1.
        preprocessor: a `MixerTaggerPreprocessor`; None if inputs come as ids.

    Call arguments:
        inputs: as for the backbone.

    Returns:
        `(B, T, num_classes)`.

    Example:
    >>> tagger = MixerTagger(MixerTextBackbone(11, hidden_dim=8, mixer="gru"), num_classes=3)
    >>> ids = keras.ops.ones((2, 7), dtype="int32")
    >>> tuple(tagger({"token_ids": ids, "padding_mask": ids}).shape)
    (2, 7, 3)
    """

    backbone_cls = MixerTextBackbone
    preprocessor_cls = MixerTaggerPreprocessor

    def __init__(self, backbone, num_classes, preprocessor=None, **kwargs):
        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor
        self.output_dense = keras.layers.Dense(num_classes, dtype=backbone.dtype_policy, name="logits")

        # === Functional Model ===
        inputs = backbone.input
        super().__init__(inputs=inputs, outputs=self.output_dense(backbone(inputs)), **kwargs)

        # === Config ===
        self.num_classes = num_classes

    def compile(self, optimizer="auto", loss="auto", *, metrics="auto", **kwargs):
        arguments = compile_arguments(optimizer, loss, metrics)
        if metrics == "auto":
            # Where there is no tag, nothing is to be right.
            arguments = {**arguments, "metrics": None, "weighted_metrics": arguments["metrics"]}
        super().compile(**{**arguments, **kwargs})

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}
