"""Texts that are classified."""

import dataclasses
import functools
import os

from zoo.batches import Batches
from zoo.datasets import reuters, sst2
from zoo.subjects.subject import Labelled
from zoo.text import MixerTextBackbone, MixerTextClassifier, MixerTextClassifierPreprocessor, MixerTokenizer


@dataclasses.dataclass(frozen=True)
class Texts(Labelled):
    """Texts, each with one label.

    Args:
        splits: what the data set calls the parts to train on, to choose by and to test.
    """

    splits: dict = dataclasses.field(default_factory=dict)

    #: Word pieces at most, learned from the training texts; tokens of a text at most, start and end included; shares
    #: in [0, 1) of the pooled vector dropped, of tokens replaced by the unknown one, and of a label spread over all.
    OPTIONS = {
        "vocabulary_size": 8000,
        "sequence_length": 64,
        "head_dropout": 0.3,
        "word_dropout": 0.1,
        "label_smoothing": 0.1,
    }

    def load(self, split):
        return self.read(self.splits.get(split, split))

    def prepare(self, recipe, work):
        settings = self.settings(recipe)
        file = work / f"{self.name}.{settings['vocabulary_size']}.vocabulary.txt"
        tokenizer = MixerTokenizer(read_word_pieces(file, settings["vocabulary_size"], lambda: self.load("train")[0]))
        return MixerTextClassifierPreprocessor(tokenizer, sequence_length=settings["sequence_length"])

    def build(self, recipe, preprocessor):
        backbone = MixerTextBackbone(preprocessor.tokenizer.vocabulary_size(), **recipe.backbone)
        dropout = self.settings(recipe)["head_dropout"]
        return MixerTextClassifier(backbone, len(self.names), preprocessor=preprocessor, dropout=dropout)

    def batches(self, recipe, preprocessor, inputs, targets, seed):
        unknown, share = preprocessor.tokenizer.token_to_id("[UNK]"), self.settings(recipe)["word_dropout"]
        return Batches(inputs, targets, recipe.batch_size, seed, unknown, share)


def read_word_pieces(file, size, texts, lowercase=True):
    """Word pieces of the texts that a function gives, learned once and kept in a file."""
    if not file.exists():
        pieces = MixerTokenizer.of(texts(), size, lowercase).get_vocabulary()
        part = file.with_suffix(".part")
        part.write_text("\n".join(pieces) + "\n", encoding="utf-8")
        os.replace(part, file)
    return file.read_text(encoding="utf-8").splitlines()


SST2 = Texts(
    name="sst2",
    summary="Sentiment of English sentences, for or against",
    data=f"SST-2: 67,334 phrases to train, 872 sentences to choose, 1,821 to test; {sst2.SOURCE}",
    licence=sst2.LICENCE,
    limits="Knows sentences of film reviews in English, in lower case, from 2005 and before; nothing else.",
    measure="accuracy",
    goal=0.84,
    published=(
        "convolution without pretrained vectors, Kim 2014: 0.827",
        "LSTM with pretrained vectors, Tai 2015: 0.849; bidirectional 0.875",
    ),
    read=sst2.load,
    names=("against", "for"),
    splits={"train": "phrases"},
)


def _reuters(collection, counts, goal, published):
    """A row for R8 or R52."""
    return Texts(
        name=f"reuters_{collection}",
        summary=f"The topic of news in English, one of {len(reuters.CLASSES[collection])}",
        data=f"Reuters-21578, {collection.upper()}: {counts}; {reuters.SOURCE}",
        licence=reuters.LICENCE,
        limits=(
            "Knows news of business and trade in English of 1987; a document must have just one of the topics. Only "
            "its first pieces are read, as many as the recipe's `sequence_length`."
        ),
        measure="accuracy",
        goal=goal,
        published=published,
        read=functools.partial(reuters.load, collection),
        names=reuters.CLASSES[collection],
    )


R8 = _reuters(
    "r8",
    "4,937 documents to train, 548 to choose, the last in time, 2,190 to test",
    0.97,
    (
        "convolution without pretrained vectors 0.940, LSTM 0.937, bidirectional LSTM 0.963, Yao 2019",
        "graph convolution over words and documents (TextGCN), Yao 2019: 0.971",
    ),
)
R52 = _reuters(
    "r52",
    "5,879 documents to train, 653 to choose, the last in time, 2,569 to test",
    0.935,
    (
        "convolution without pretrained vectors 0.854, LSTM 0.855, bidirectional LSTM 0.905, Yao 2019",
        "graph convolution over words and documents (TextGCN), Yao 2019: 0.936",
    ),
)
