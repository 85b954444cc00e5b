"""Speech: single words that are told apart, and sentences that are written down."""

import dataclasses
import functools
from collections.abc import Callable

import keras
import numpy as np

from zoo.batches import Recordings
from zoo.datasets import an4, fsdd
from zoo.recognizer import (
    MixerSpeechRecognizer,
    MixerSpeechRecognizerPreprocessor,
    as_texts,
    best_symbols,
    error_rates,
)
from zoo.speech import (
    MixerAudioConverter,
    MixerSpeechBackbone,
    MixerSpeechClassifier,
    MixerSpeechClassifierPreprocessor,
)
from zoo.subjects.changes import move
from zoo.subjects.subject import Labelled, Subject
from zoo.tokens import SymbolTokenizer


@dataclasses.dataclass(frozen=True)
class SpokenWords(Labelled):
    """Recordings of one word each.

    Args:
        sample_rate: of the waves, in Hz.
    """

    sample_rate: int = 8000

    #: How many bands of pitch a frame has; the share in [0, 1) of the pooled vector dropped, and of a label spread over
    #: all classes.
    OPTIONS = {"bands": 40, "head_dropout": 0.2, "label_smoothing": 0.05}

    def prepare(self, recipe, work):
        converter = MixerAudioConverter(sample_rate=self.sample_rate, bands=self.settings(recipe)["bands"])
        preprocessor = MixerSpeechClassifierPreprocessor(converter, center=True)
        preprocessor.measure(self.load("train")[0])
        return preprocessor

    def build(self, recipe, preprocessor):
        settings = self.settings(recipe)
        backbone = MixerSpeechBackbone(settings["bands"], **recipe.backbone)
        dropout = settings["head_dropout"]
        return MixerSpeechClassifier(backbone, len(self.names), preprocessor=preprocessor, dropout=dropout)

    def batches(self, recipe, preprocessor, inputs, targets, seed):
        return Recordings(inputs, targets, recipe.batch_size, seed, change=speak_otherwise)


def speak_otherwise(random, inputs, speed=0.15, pitch=0.1):
    """Recordings as if others had made them: each slower or faster, and lower or higher, by up to these shares.

    Frames and bands are moved to other places, and what falls between two is taken from both. What no longer fits
    behind is cut.
    """
    frames, mask = inputs["frames"], inputs["padding_mask"]
    count, steps, bands = frames.shape
    lengths = mask.sum(axis=1)
    faster, higher = (1 + random.uniform(-share, share, (count, 1)) for share in (speed, pitch))
    frames = move(frames, np.arange(steps) * faster, lengths[:, None] - 1)
    frames = move(frames.swapaxes(1, 2), np.arange(bands) * higher, bands - 1).swapaxes(1, 2)
    mask = (np.arange(steps) < np.maximum(1, np.round(lengths[:, None] / faster))).astype(mask.dtype)
    return {"frames": (frames * mask[:, :, None]).astype("float32"), "padding_mask": mask}


def _read_digits(split, left_out=None):
    clips = fsdd.load(split, left_out)
    return clips.pcm, clips.y


FSDD = SpokenWords(
    name="fsdd",
    summary="Which digit is spoken",
    data=(
        "Free Spoken Digit Dataset: 2,400 recordings of six speakers to train, 300 to choose, 300 of the same speakers "
        f"to test; {fsdd.SOURCE}"
    ),
    licence=fsdd.LICENCE,
    limits=(
        "Knows English digits, one at a time, at 8 kHz, as six people say them. Of a person who was never heard such "
        "models know 7 in 10: 0.715 by gated_conv, 0.717 by multi_head, the mean over six who were left out in turn, "
        "`python -m zoo.strangers NAME`."
    ),
    measure="accuracy",
    goal=0.99,
    published=("small convolutional and recurrent networks on log-mel frames: 0.97 to 0.99",),
    read=_read_digits,
    names=tuple(map(str, range(10))),
    sample_rate=fsdd.RATE,
)
#: The same digits, tested on a speaker who was never heard: a row for each of them.
FSDD_STRANGERS = tuple(
    dataclasses.replace(
        FSDD,
        name=f"fsdd_stranger_{speaker}",
        data=(
            "Free Spoken Digit Dataset: 2,250 recordings of five speakers to train, 250 to choose, the 500 of "
            f"{speaker} to test; {fsdd.SOURCE}"
        ),
        limits="Knows English digits, one at a time, at 8 kHz, as five people say them.",
        goal=None,
        published=(),
        read=functools.partial(_read_digits, left_out=speaker),
    )
    for speaker in fsdd.SPEAKERS
)


@dataclasses.dataclass(frozen=True)
class Transcripts(Subject):
    """Recordings as frames, and the text of each.

    Args:
        read: a function from a split's name to a list of frames `(T, C)` and a list of texts.
        channels: C.
    """

    read: Callable = None
    channels: int = 1

    #: What is written down, "characters" or "words", and the share in [0, 1) of each token's vector dropped.
    OPTIONS = {"split": "characters", "head_dropout": 0.2}

    def load(self, split):
        return self.read(split)

    def prepare(self, recipe, work):
        recordings, texts = self.load("train")
        tokenizer = SymbolTokenizer.of(texts, split=self.settings(recipe)["split"])
        preprocessor = MixerSpeechRecognizerPreprocessor(tokenizer, center=True)
        preprocessor.measure(recordings)
        return preprocessor

    def build(self, recipe, preprocessor):
        backbone = MixerSpeechBackbone(self.channels, **recipe.backbone)
        size, dropout = preprocessor.tokenizer.vocabulary_size(), self.settings(recipe)["head_dropout"]
        return MixerSpeechRecognizer(backbone, size, preprocessor=preprocessor, dropout=dropout)

    def loss(self, recipe):
        return keras.losses.CTC()

    def align(self, preprocessor, inputs, answers):
        """The texts, and what makes them of ids and ids of them."""
        return answers, preprocessor

    def targets(self, recipe, answers):
        texts, preprocessor = answers
        return preprocessor.texts(texts)

    def batches(self, recipe, preprocessor, inputs, targets, seed):
        return Recordings(inputs, targets, recipe.batch_size, seed)

    def score(self, outputs, answers):
        return self.scores(outputs, answers)["score"]

    def scores(self, outputs, answers):
        texts, preprocessor = answers
        rates = error_rates(texts, as_texts(preprocessor.tokenizer, best_symbols(outputs)))
        return {"score": rates["word_error_rate"], "character error rate": rates["character_error_rate"]}

    def judge(self, task, split="test"):
        judged = super().judge(task, split)
        recordings, texts = self.load(split)
        beams = error_rates(texts, task.generate(recordings, num_beams=16))
        return {**judged, "word error rate with 16 beams": beams["word_error_rate"]}


def _read_utterances(split):
    utterances = an4.load(split)
    return utterances.mfcc, utterances.text


AN4 = Transcripts(
    name="an4",
    summary="What is said, letters, numbers and commands, in words",
    data=(
        "AN4: 857 utterances of 67 speakers to train, 91 of 7 others to choose, 130 of 10 others to test, 773 words; "
        f"{an4.SOURCE}"
    ),
    licence=an4.LICENCE,
    limits="Knows 101 words of American English, spelled names and numbers above all, as MFCC of 16 kHz.",
    measure="word error rate",
    goal=0.2,
    published=("Transformer with a language model on the sound itself (ESPnet): 0.084",),
    lower_is_better=True,
    read=_read_utterances,
    channels=an4.CEPSTRA,
)
