"""Speech in, text out: a recogniser that is trained by connectionist temporal classification (CTC)."""

import keras
import keras_hub
import numpy as np
from keras import ops

from keras_attn.lookup import whole_number
from zoo.edits import edit_distance
from zoo.fitting import PreparedAtOnce
from zoo.plain import PlainLayer
from zoo.quantized import Quantizable
from zoo.speech import MixerSpeechBackbone, SpeechPreprocessor
from zoo.tokens import SymbolTokenizer

#: The logit of what cannot be. Far enough for a chance of 0 in float32, and within float16.
NEVER = -1e4
BLANK = 0


@keras.saving.register_keras_serializable(package="zoo")
class MixerSpeechRecognizerPreprocessor(SpeechPreprocessor):
    """Recordings and texts to the backbone's frames and ids `(B, N)`, 0 behind a text.

    Args:
        tokenizer: a `zoo.tokens.SymbolTokenizer`, most often of characters. The id 0, padding, is CTC's blank.
        audio_converter, mean, deviation, center, sequence_length: see `zoo.speech.SpeechPreprocessor`.

    Call arguments:
        x: recordings.
        y: texts, a list of strings; ids `(B, N)` pass.
        sample_weight: passed through.

    Example:
    >>> tokenizer = SymbolTokenizer.of(["aab"], split="characters")
    >>> x, y = MixerSpeechRecognizerPreprocessor(tokenizer)([np.zeros((7, 3)), np.zeros((5, 3))], ["ab", "a"])
    >>> x["frames"].shape, y.tolist()
    ((2, 7, 3), [[4, 5], [4, 0]])
    """

    tokenizer_cls = SymbolTokenizer

    def __init__(self, tokenizer, audio_converter=None, **kwargs):
        super().__init__(audio_converter, **kwargs)
        self.tokenizer = tokenizer

    def call(self, x, y=None, sample_weight=None):
        if isinstance(y, (list, tuple, np.ndarray)) and len(y) and isinstance(y[0], str):
            y = self.texts(y)
        return super().call(x, y, sample_weight)

    def texts(self, texts):
        """The ids of texts: `(B, N)`, int32, 0 behind a text, N at least 1."""
        rows = self.tokenizer(list(texts))
        ids = np.full((len(rows), max(1, *map(len, rows))), BLANK, "int32")
        for row, found in zip(ids, rows):
            row[: len(found)] = found
        return ids


@keras.saving.register_keras_serializable(package="zoo")
class BlankWherePadded(PlainLayer):
    """Logits by which a padded token is the blank for sure.

    So the loss and the decoding of all tokens are those of the real ones, and nobody need be told how many there are.

    Call arguments:
        inputs: `(B, T, K)`.
        padding_mask: `(B, T)`, nonzero for real tokens.

    Returns:
        `(B, T, K)`.

    Example:
    >>> logits = BlankWherePadded()(keras.ops.ones((1, 2, 2)), keras.ops.array([[1, 0]]))
    >>> keras.ops.convert_to_numpy(logits).tolist()
    [[[1.0, 1.0], [0.0, -10000.0]]]
    """

    def call(self, inputs, padding_mask):
        blank = np.full(inputs.shape[-1], NEVER, "float32")
        blank[BLANK] = 0.0
        mask = ops.cast(padding_mask, "bool")
        return ops.where(ops.expand_dims(mask, -1), inputs, ops.cast(blank, inputs.dtype))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)


@keras.saving.register_keras_serializable(package="zoo")
class MixerSpeechRecognizer(PreparedAtOnce, Quantizable, keras_hub.models.Task):
    """Speech to text: the backbone, and at each token the logits of all symbols and of the blank.

    `fit` and `evaluate` use Keras's CTC loss. `predict` answers with logits, `generate` with texts. A backbone with
    `causal=True` hears nothing before it is said: what it answers to the beginning of a recording stays as it is.

    Args:
        backbone: a `MixerSpeechBackbone`. A text needs as many of its tokens as it has symbols, and one more between
            two of a kind.
        vocabulary_size: how many ids there are, the blank 0 among them, at least 2.
        preprocessor: a `MixerSpeechRecognizerPreprocessor`; None if frames come as the backbone wants them.
        dropout: share of each token's vector dropped in training, in [0, 1).

    Call arguments:
        inputs: as for the backbone.

    Returns:
        `(B, T, vocabulary_size)`, T as the backbone has tokens; padded ones are the blank for sure.

    Example:
    >>> from zoo import MixerSpeechBackbone
    >>> tokenizer = SymbolTokenizer.of(["ab"], split="characters")
    >>> preprocessor = MixerSpeechRecognizerPreprocessor(tokenizer)
    >>> backbone = MixerSpeechBackbone(3, mixer="gru")
    >>> recognizer = MixerSpeechRecognizer(backbone, tokenizer.vocabulary_size(), preprocessor)
    >>> recognizer.predict([np.zeros((7, 3)), np.zeros((5, 3))], verbose=0).shape
    (2, 7, 6)
    >>> len(recognizer.generate([np.zeros((7, 3)), np.zeros((5, 3))]))
    2

    Reference: Graves et al., 2006, https://doi.org/10.1145/1143844.1143891.
    """

    backbone_cls = MixerSpeechBackbone
    preprocessor_cls = MixerSpeechRecognizerPreprocessor

    def __init__(self, backbone, vocabulary_size, preprocessor=None, dropout=0.0, **kwargs):
        whole_number("vocabulary_size", vocabulary_size, least=2)
        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor
        policy = {"dtype": backbone.dtype_policy}
        self.output_dropout = keras.layers.Dropout(dropout, name="output_dropout", **policy)
        self.output_dense = keras.layers.Dense(vocabulary_size, name="logits", **policy)
        self.blank = BlankWherePadded(name="blank_where_padded", **policy)

        # === Functional Model ===
        inputs = backbone.input
        logits = self.output_dense(self.output_dropout(backbone(inputs)))
        outputs = self.blank(logits, inputs["padding_mask"][:, :: backbone.subsampling])
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)

        # === Config ===
        self.vocabulary_size = vocabulary_size
        self.dropout = dropout

    def compile(self, optimizer="auto", loss="auto", **kwargs):
        optimizer = keras.optimizers.Adam(1e-3) if optimizer == "auto" else optimizer
        super().compile(optimizer, keras.losses.CTC() if loss == "auto" else loss, **kwargs)

    def prepare(self, x, y=None, sample_weight=None):
        x, y, sample_weight = super().prepare(x, y, sample_weight)
        if y is not None and isinstance(x, dict):
            self._check_room(np.asarray(x["padding_mask"]), np.asarray(y))
        return x, y, sample_weight

    def _check_room(self, mask, ids):
        """Raises if a text does not fit its recording: no alignment would mean an infinite loss."""
        tokens = (mask[:, :: self.backbone.subsampling] != 0).sum(axis=1)
        doubled = (ids[:, 1:] == ids[:, :-1]) & (ids[:, 1:] != BLANK)
        needed = (ids != BLANK).sum(axis=1) + doubled.sum(axis=1)
        wrong = np.flatnonzero(needed > tokens)
        if len(wrong):
            first = wrong[0]
            raise ValueError(
                "A text needs as many tokens as it has symbols, and one more between two of a kind. "
                f"Received: {len(wrong)} longer ones; text {first} needs {needed[first]} and its recording makes "
                f"{tokens[first]} (subsampling={self.backbone.subsampling})"
            )

    def generate(self, x, num_beams=1, batch_size=32):
        """The texts of recordings.

        Args:
            x: recordings; frames as the backbone wants them pass.
            num_beams: 1 for the best symbol at each token, or how many beginnings of a text are followed at once: then
                all alignments of a text count.
            batch_size: how many recordings are heard at once.

        Returns:
            A list of strings; lists of ids if there is no preprocessor.
        """
        logits = self.predict(x, batch_size=batch_size, verbose=0)
        return self.decode(logits, num_beams)

    def decode(self, logits, num_beams=1):
        """What `generate` makes of the logits of `predict`."""
        rows = best_symbols(logits, num_beams)
        return rows if self.preprocessor is None else as_texts(self.preprocessor.tokenizer, rows)

    def get_config(self):
        return {**super().get_config(), "vocabulary_size": self.vocabulary_size, "dropout": self.dropout}


def best_symbols(logits, num_beams=1):
    """The ids of each text, a list of lists, from logits `(B, T, K)` in which padded tokens are the blank."""
    whole_number("num_beams", num_beams)
    steps = np.full(len(logits), logits.shape[1], "int32")
    options = {"strategy": "greedy"} if num_beams == 1 else {"strategy": "beam_search", "beam_width": num_beams}
    chances = ops.log_softmax(ops.convert_to_tensor(logits, dtype="float32"))
    found, _ = ops.ctc_decode(chances, steps, mask_index=BLANK, **options)
    return [row[row >= 0].tolist() for row in ops.convert_to_numpy(found)[0]]


def as_texts(tokenizer, rows):
    """The texts of lists of ids, without what no text has but an untrained model may say."""
    silent = set(tokenizer.special_token_ids)
    return [tokenizer.detokenize([index for index in row if index not in silent]) for row in rows]


def error_rates(texts, answers):
    """How wrong answers are, in words and in characters: insertions, deletions and changes over the texts' length.

    Args:
        texts: what was said, a list of strings with at least one word among them.
        answers: what was heard, as many.

    Returns:
        `{"word_error_rate", "character_error_rate"}`, at least 0; above 1 if there is more wrong than was said.

    Example:
    >>> error_rates(["to be or not"], ["to bee or"])
    {'word_error_rate': 0.5, 'character_error_rate': 0.4166666567325592}
    """
    if len(texts) != len(answers):
        raise ValueError(f"There must be an answer to each text. Received: {len(texts)} texts, {len(answers)} answers")
    words = edit_distance([text.split() for text in texts], [text.split() for text in answers])
    return {
        "word_error_rate": words,
        "character_error_rate": edit_distance([list(text) for text in texts], [list(text) for text in answers]),
    }
