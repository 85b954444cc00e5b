"""Words that are tagged, one by one."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from zoo.batches import Batches
from zoo.datasets import ud_ewt
from zoo.subjects.subject import Subject
from zoo.subjects.texts import read_word_pieces
from zoo.tagger import MixerTagger, MixerTaggerPreprocessor
from zoo.text import MixerTextBackbone, MixerTokenizer


@dataclasses.dataclass(frozen=True)
class Tags(Subject):
    """Sentences as lists of words, each word with a tag.

    Args:
        read: a function from a split's name to lists of words and lists of as many tags.
        names: the tags.
    """

    read: Callable = None
    names: tuple = ()

    #: Word pieces at most, learned from the training words, pieces of a sentence at most, and the share in [0, 1) of
    #: pieces replaced by the unknown one.
    OPTIONS = {"vocabulary_size": 8000, "sequence_length": 96, "word_dropout": 0.1}

    def load(self, split):
        return self.read(split)

    def classes(self):
        return self.names

    def example(self):
        return " ".join(self.load("test")[0][0])

    def prepare(self, recipe, work):
        settings = self.settings(recipe)
        file = work / f"{self.name}.{settings['vocabulary_size']}.vocabulary.txt"
        # Capitals tell names from other words.
        pieces = read_word_pieces(file, settings["vocabulary_size"], self._training_texts, lowercase=False)
        return MixerTaggerPreprocessor(MixerTokenizer(pieces, lowercase=False), settings["sequence_length"])

    def _training_texts(self):
        return [" ".join(words) for words in self.load("train")[0]]

    def build(self, recipe, preprocessor):
        backbone = MixerTextBackbone(preprocessor.tokenizer.vocabulary_size(), **recipe.backbone)
        return MixerTagger(backbone, len(self.names), preprocessor=preprocessor)

    def loss(self, recipe):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")

    def align(self, preprocessor, inputs, answers):
        """Numbers of tags at each word's first piece, where there are such, and how many words there are in all."""
        numbers = {name: number for number, name in enumerate(self.names)}
        labels, there = preprocessor.align(inputs, [[numbers[tag] for tag in tags] for tags in answers])
        return labels, there, sum(map(len, answers))

    def targets(self, recipe, answers):
        return answers[:2]

    def batches(self, recipe, preprocessor, inputs, targets, seed):
        labels, there = targets
        unknown, share = preprocessor.tokenizer.token_to_id("[UNK]"), self.settings(recipe)["word_dropout"]
        return Batches(inputs, labels, recipe.batch_size, seed, unknown, share, weights=there)

    def score(self, outputs, answers):
        labels, there, count = answers
        # A word behind the last piece that is read has no tag: it counts as wrong.
        return float(np.sum((outputs.argmax(axis=-1) == labels) * there) / count)


UD_EWT = Tags(
    name="ud_ewt",
    summary="Parts of speech of English words, 17 universal ones",
    data=f"English Web Treebank: 12,544 sentences to train, 2,001 to choose, 2,077 to test; {ud_ewt.SOURCE}",
    licence=ud_ewt.LICENCE,
    limits="Knows English of blogs, letters, reviews, answers and news groups, split into words as the treebank does.",
    measure="accuracy over words",
    goal=0.945,
    published=(
        "bidirectional LSTM over words and characters: about 0.93 to 0.95",
        "Stanza, UDPipe 2, with pretrained vectors: about 0.954 to 0.96",
    ),
    read=ud_ewt.load,
    names=ud_ewt.TAGS,
)
