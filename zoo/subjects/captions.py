"""Images that are described."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from zoo.batches import Shuffled
from zoo.caption import MixerCaptioner, MixerCaptionerPreprocessor, caption_scores
from zoo.datasets import emoji_captions
from zoo.image import MixerImageBackbone, MixerImageConverter
from zoo.subjects.changes import shift
from zoo.subjects.subject import Subject
from zoo.tokens import SymbolTokenizer


@dataclasses.dataclass(frozen=True)
class Captions(Subject):
    """Images of one size, and a caption of each.

    Args:
        read: a function from a split's name to `(N, H, W, C)`, from 0 to 255, and a list of captions.
        image_shape: `(H, W, C)`.
        sequence_length: words and an end, of a caption at most.
        shift: pixels, at most, by which a training image is moved along each side. None is turned: captions say
            which way people face.
    """

    read: Callable = None
    image_shape: tuple = ()
    sequence_length: int = 16
    shift: int = 2

    #: What the decoder looks with, None or an explicit mixer; its cell and the width of its state, None for the
    #: backbone's; and the share in [0, 1) of words and of the cell's outputs dropped.
    OPTIONS = {"attention": None, "cell": "gru", "hidden_dim": None, "dropout": 0.3}

    def load(self, split):
        return self.read(split)

    def prepare(self, recipe, work):
        images, captions = self.load("train")
        mean, deviation = float(images.mean()), float(images.std())
        converter = MixerImageConverter(scale=1 / deviation, offset=-mean / deviation)
        return MixerCaptionerPreprocessor(SymbolTokenizer.of(captions), converter, self.sequence_length)

    def build(self, recipe, preprocessor):
        backbone = MixerImageBackbone(self.image_shape, **recipe.backbone)
        size = preprocessor.tokenizer.vocabulary_size()
        return MixerCaptioner(backbone, size, preprocessor=preprocessor, **self.settings(recipe))

    def loss(self, recipe):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")

    def encode(self, preprocessor, inputs):
        return preprocessor(inputs)

    def align(self, preprocessor, inputs, answers):
        """The captions, and what makes them of ids and ids of them."""
        return answers, preprocessor

    def targets(self, recipe, answers):
        captions, preprocessor = answers
        return preprocessor.captions(captions)

    def batches(self, recipe, preprocessor, inputs, targets, seed):
        said, following, weights = targets
        inputs = {"images": inputs["images"], **said}
        return Shuffled(inputs, following, recipe.batch_size, seed, weights, change=self._change)

    def _change(self, random, inputs):
        """The images moved, each by its own pixels."""
        return {**inputs, "images": shift(random, inputs["images"], self.shift)}

    def outputs(self, model, inputs):
        """The ids that a bare model, which knows no steps, says one after another: its likeliest word each time."""
        ids, mask = inputs["token_ids"].copy(), np.ones_like(inputs["padding_mask"])
        for place in range(1, ids.shape[1]):
            logits = model.predict({**inputs, "token_ids": ids, "padding_mask": mask}, batch_size=128, verbose=0)
            ids[:, place] = logits[:, place - 1].argmax(axis=-1)
        return ids

    def score(self, outputs, answers):
        return self.scores(outputs, answers)["score"]

    def scores(self, outputs, answers):
        captions, preprocessor = answers
        return _as_score(caption_scores(captions, preprocessor.texts(outputs)))

    def judge(self, task, split="test"):
        images, captions = self.load(split)
        return _as_score(caption_scores(captions, task.generate(images)))


def _as_score(scores):
    return {"score": scores["exact_match"], "BLEU": scores["bleu"]}


EMOJI_CAPTIONS = Captions(
    name="emoji_captions",
    summary="What an emoji is called in English",
    data=(
        "Noto emoji and their CLDR names: 2,970 pictures to train, 184 to choose, 376 to test, all people in tones of "
        f"skin that were not seen on them; {emoji_captions.SOURCE}"
    ),
    licence=emoji_captions.LICENCE,
    limits="Knows Google's pictures of emoji and the words of their names; nothing of photographs.",
    measure="share of names that are right word for word",
    published=("nothing on these pictures: the figures here are the first",),
    read=emoji_captions.load,
    image_shape=(64, 64, 3),
)
