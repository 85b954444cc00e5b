"""Texts that become other texts: translation, headlines, letters to phonemes."""

import dataclasses
import functools
import re
from collections.abc import Callable

import keras
import keras_hub
import numpy as np
from keras import ops

from keras_attn import mixers
from zoo.backbone import as_list
from zoo.batches import PairBatches
from zoo.datasets import cmudict, multi30k, reuters
from zoo.edits import edit_distance
from zoo.seq2seq import MixerSeq2SeqBackbone, MixerSeq2SeqLM, MixerSeq2SeqLMPreprocessor
from zoo.subjects.subject import Subject, as_arrays
from zoo.subjects.texts import read_word_pieces
from zoo.text import SPECIAL_TOKENS, MixerTokenizer
from zoo.tokens import SymbolTokenizer

END = SPECIAL_TOKENS.index("[SEP]")
#: A headline is told from so many words of a report, the first ones.
OPENING = 60


@dataclasses.dataclass(frozen=True)
class References:
    """What would be right.

    Args:
        texts: for each source a list of texts, each as right as the other.
        token_ids, padding_mask: the first of each, between start and end, `(N, T + 1)`.
        read: a function from token ids `(N, T)` to texts.
    """

    texts: list
    token_ids: np.ndarray
    padding_mask: np.ndarray
    read: Callable


@dataclasses.dataclass(frozen=True)
class Pairs(Subject):
    """Texts, each with one text that it becomes, or several of which any is right.

    Args:
        read: a function from a split's name to a list of texts and a list of lists of texts.
        units: what the tokens of source and target are: "pieces" of words, "words" or "characters"; one alone if both
            have one tokenizer, learned from the texts of both.
        judged: a function from texts and such lists to a dict of scores whose first is `score`.
        beams: how many beams the answers to be judged are searched with.
        smoothing: share of a token's label spread over all in training, in [0, 1).
    """

    read: Callable = None
    units: tuple = ("pieces", "pieces")
    judged: Callable = None
    beams: int = 1
    smoothing: float = 0.1

    #: Word pieces of a tokenizer at most, learned from the training texts; tokens of a text at most, start and end
    #: included; the share in [0, 1) of tokens that the decoder is told of as unknown.
    OPTIONS = {
        "vocabulary_size": 8000,
        "encoder_sequence_length": 48,
        "decoder_sequence_length": 48,
        "word_dropout": 0.0,
    }

    def load(self, split):
        return self.read(split)

    def prepare(self, recipe, work):
        settings = self.settings(recipe)
        sources, targets = self.load("train")
        sides = {"source": sources, "target": [text for texts in targets for text in texts]}
        if len(self.units) == 1:
            sides = {"both": sides["source"] + sides["target"]}
        *source, target = (
            self._tokenizer(unit, texts, work / f"{self.name}.{side}", settings["vocabulary_size"])
            for unit, (side, texts) in zip(self.units, sides.items(), strict=True)
        )
        lengths = {name: settings[name] for name in ("encoder_sequence_length", "decoder_sequence_length")}
        return MixerSeq2SeqLMPreprocessor(target, *source, **lengths)

    def _tokenizer(self, unit, texts, file, size):
        if unit != "pieces":
            return SymbolTokenizer.of(texts, unit)
        return MixerTokenizer(read_word_pieces(file.with_suffix(f"{file.suffix}.{size}.txt"), size, lambda: texts))

    def build(self, recipe, preprocessor):
        target = preprocessor.tokenizer
        sizes = (each.vocabulary_size() for each in (preprocessor.source_tokenizer or target, target))
        return MixerSeq2SeqLM(MixerSeq2SeqBackbone(*sizes, **recipe.backbone), preprocessor)

    def kind(self, recipe):
        parts = [spec for part in self.mixer(recipe).values() for spec in as_list(part) if spec is not None]
        return "explicit" if any(mixers.kind_of(spec) == "explicit" for spec in parts) else "implicit"

    def mixer(self, recipe):
        return {name: recipe.backbone[name] for name in ("encoder_mixer", "decoder_mixer", "reader")}

    def loss(self, recipe):
        return SmoothedCrossentropy(self.smoothing)

    def encode(self, preprocessor, inputs):
        return {
            name: array.astype("int32") for name, array in as_arrays(preprocessor.generate_preprocess(inputs)).items()
        }

    def align(self, preprocessor, inputs, answers):
        length = preprocessor.decoder_sequence_length + 1
        ids, mask = preprocessor.pack_targets([texts[0] for texts in answers], length)
        return References(list(answers), ids, mask.astype("int32"), functools.partial(_read, preprocessor))

    def targets(self, recipe, answers):
        return answers.token_ids, answers.padding_mask

    def batches(self, recipe, preprocessor, inputs, targets, seed):
        unknown, share = preprocessor.tokenizer.token_to_id("[UNK]"), self.settings(recipe)["word_dropout"]
        return PairBatches(inputs, *targets, recipe.batch_size, seed, unknown, share)

    def outputs(self, model, inputs):
        """Token ids `(N, T)`, 0 behind their ends."""
        backbone = next(layer for layer in model.layers if isinstance(layer, MixerSeq2SeqBackbone))
        return _write(_writer(backbone, self.beams), inputs)

    def judge(self, task, split="test"):
        sources, answers = self.load(split)
        references = self.align(task.preprocessor, sources, answers)
        return self.scores(self.outputs(task, self.encode(task.preprocessor, sources)), references)

    def score(self, outputs, answers):
        return self.scores(outputs, answers)["score"]

    def scores(self, outputs, answers):
        return self.judged(answers.read(outputs), answers.texts)


def _read(preprocessor, token_ids):
    found = {"decoder_token_ids": token_ids, "decoder_padding_mask": token_ids != 0}
    return preprocessor.generate_postprocess(found)


@functools.lru_cache(maxsize=1)
def _writer(backbone, beams):
    """The backbone's task: kept, since to compile how it writes takes longer than the writing."""
    task = MixerSeq2SeqLM(backbone)
    sampler = "greedy" if beams == 1 else keras_hub.samplers.BeamSampler(num_beams=beams)
    # On TensorFlow's CPU XLA compiles for longer than such a model writes.
    task.compile(sampler=sampler, jit_compile=False)
    return task


def _write(task, inputs, batch_size=128):
    count, parts = len(inputs["encoder_token_ids"]), []
    batch_size = min(batch_size, count)
    for start in range(0, count, batch_size):
        # All batches of one size, so that one program serves: the last is filled up with its first row.
        rows = np.arange(start, start + batch_size)
        rows = np.where(rows < count, rows, start)
        found = as_arrays(task.generate({name: x[rows] for name, x in inputs.items()}, stop_token_ids=[END]))
        parts.append(found["decoder_token_ids"] * found["decoder_padding_mask"])
    return np.concatenate(parts)[:count]


@keras.saving.register_keras_serializable(package="zoo")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of token ids with logits, a share of each label spread over all tokens.

    `-(1 - s) log p_y - s mean_v log p_v`, the mean over positions by their sample weights.

    Args:
        smoothing: s, in [0, 1).

    Example:
    >>> loss = SmoothedCrossentropy(0.1)(np.array([[1]]), np.zeros((1, 1, 2)))
    >>> round(float(loss), 4)
    0.6931
    """

    def __init__(self, smoothing=0.0, reduction="mean_with_sample_weight", **kwargs):
        super().__init__(reduction=reduction, **kwargs)
        self.smoothing = smoothing

    def call(self, y_true, y_pred):
        exact = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
        everywhere = ops.logsumexp(y_pred, axis=-1) - ops.mean(y_pred, axis=-1)
        return (1 - self.smoothing) * exact + self.smoothing * everywhere

    def get_config(self):
        return {**super().get_config(), "smoothing": self.smoothing}


def pronunciations(found, references):
    """Errors in words, where no pronunciation was hit, and in phonemes, against the one that was hit or the first."""
    hits = [text in known for text, known in zip(found, references, strict=True)]
    nearest = [text if hit else known[0] for text, known, hit in zip(found, references, hits)]
    distance = edit_distance([text.split() for text in nearest], [text.split() for text in found])
    return {"score": 1.0 - float(np.mean(hits)), "phoneme error": distance}


def translations(found, references):
    """BLEU of texts without capitals, in the tokens of SacreBLEU's 13a, from 0 to 100."""
    found = [_rejoin(text) for text in found]
    if not any(found):
        return {"score": 0.0}
    bleu = keras_hub.metrics.Bleu()
    bleu.update_state(
        [[text.casefold() for text in texts] for texts in references], [text.casefold() for text in found]
    )
    return {"score": 100.0 * float(bleu.result())}


def headlines(found, references):
    """ROUGE with the first reference of each text, from 0 to 1: the means of F-measures, without stems."""
    measures = {
        "score": keras_hub.metrics.RougeL(),
        "ROUGE-1": keras_hub.metrics.RougeN(order=1),
        "ROUGE-2": keras_hub.metrics.RougeN(order=2),
    }
    for measure in measures.values():
        measure.update_state([texts[0] for texts in references], found)
    return {name: float(measure.result()["f1_score"]) for name, measure in measures.items()}


def _rejoin(text):
    """Hyphens within words, which word pieces part, and 13a does not."""
    return re.sub(r"(?<=\w) - (?=\w)", "-", text)


def _read_words(split):
    """Words with their pronunciations: each pair in training, each word once to be judged by."""
    words, sounds = cmudict.load(split)
    if split == "train":
        return words, [[" ".join(each)] for each in sounds]
    known = cmudict.by_word(words, sounds)
    return list(known), [[" ".join(each) for each in several] for several in known.values()]


def _read_sentences(split):
    sources, targets = multi30k.load(split)
    return sources, [[text] for text in targets]


def _read_headlines(split):
    """The beginnings of reports, and a headline of each."""
    bodies, titles = reuters.load_headlines(split)
    return [" ".join(body.split()[:OPENING]) for body in bodies], [[title] for title in titles]


CMUDICT = Pairs(
    name="cmudict",
    summary="How English words sound, from letters to phonemes",
    data=f"CMU dictionary: 108,926 pairs to train, 5,447 words to choose, 11,994 to test; {cmudict.SOURCE}",
    licence=cmudict.LICENCE,
    limits="Knows words in American English, in capitals, and their sounds without stress; of several it says one.",
    measure="share of words with an error (a hit on any pronunciation is right)",
    goal=0.21,
    published=(
        "finite-state transducer (Phonetisaurus): 0.244; Transformer of 2 layers of 256: 0.202 (PRONALSYL's division)",
        "LSTM encoder and decoder: 0.286; with attention 0.20 to 0.21, Rao 2015, Toshniwal 2016 (another division)",
    ),
    lower_is_better=True,
    read=_read_words,
    units=("characters", "words"),
    judged=pronunciations,
)

MULTI30K = Pairs(
    name="multi30k",
    summary="English descriptions of photographs in German",
    data=f"Multi30k: 29,000 pairs to train, 1,014 to choose, 1,000 (Flickr 2016) to test; {multi30k.SOURCE}",
    licence=multi30k.LICENCE,
    limits="Knows sentences of one kind, what a photograph shows, and writes them without capitals, with ss for ß.",
    measure="BLEU without capitals, 13a tokens, 4 beams",
    goal=39.0,
    published=(
        "Transformer of 2.6 million parameters, Wu 2021: 41.0",
        "recurrent networks with attention, WMT 2017: about 38",
    ),
    read=_read_sentences,
    judged=translations,
    beams=4,
)

REUTERS_HEADLINES = Pairs(
    name="reuters_headlines",
    summary=f"Headlines of news in English, from the first {OPENING} words",
    data=(
        "Reuters-21578: 11,003 reports to train, 1,000 to choose, the last in time, 5,034 to test (LEWISSPLIT); "
        f"{reuters.SOURCE}"
    ),
    licence=reuters.LICENCE,
    limits="Knows news of business and trade of 1987, and writes names and numbers that the report does not have.",
    measure="ROUGE-L, the mean of F-measures, without stems",
    goal=0.24,
    published=(
        "the report's first 7 words, as many as a headline has, `python benchmarks/headlines.py`: 0.223; its first 10, "
        "the best number on dev: 0.240 (on dev, the last reports in time, it has 0.277)",
    ),
    read=_read_headlines,
    units=("pieces",),
    judged=headlines,
)
