"""Questions about stories, of several tasks that one model learns together."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from keras_attn import LinearStart, mixers
from zoo.backbone import as_list
from zoo.batches import StoryBatches
from zoo.datasets import babi
from zoo.story import MixerStoryAnswerer, MixerStoryBackbone, MixerStoryPreprocessor, has_memory, likeliest
from zoo.subjects.subject import Subject


class Key(NamedTuple):
    """What is right of one question: the answer, in words or as its id, and which sentences it takes to know it."""

    task: int
    answer: str | int
    facts: tuple


@dataclasses.dataclass(frozen=True)
class Stories(Subject):
    """Stories with questions, each of one task.

    Args:
        read: a function from a split's name to pairs of stories and questions, and as many `Key`s.
        tasks: a dict from a task's number to its name.
        shown: which test question is shown on the card.
    """

    read: Callable = None
    tasks: dict = dataclasses.field(default_factory=dict)
    shown: int = 0

    #: Sentences of a story, the last ones, and words of each that are kept; and the first epochs, in which a memory is
    #: linear (`keras_attn.LinearStart`).
    OPTIONS = {"sentences": 50, "words": 11, "linear_epochs": 0}

    def load(self, split):
        return self.read(split)

    def example(self):
        return self.load("test")[0][self.shown]

    def prepare(self, recipe, work):
        settings = self.settings(recipe)
        stories, keys = self.load("train")
        lengths = {name: settings[name] for name in ("sentences", "words")}
        return MixerStoryPreprocessor.of(stories, [key.answer for key in keys], **lengths)

    def build(self, recipe, preprocessor):
        backbone = MixerStoryBackbone(preprocessor.tokenizer.vocabulary_size(), **recipe.backbone)
        return MixerStoryAnswerer(backbone, preprocessor)

    def callbacks(self, recipe, epoch):
        # The softmax is put in at the end of each epoch, so that the model is judged with it.
        return [LinearStart("loss", epochs=1)] if epoch < self.settings(recipe)["linear_epochs"] else []

    def kind(self, recipe):
        mixer = self.mixer(recipe)
        explicit = has_memory(mixer) or any(mixers.kind_of(spec) == "explicit" for spec in as_list(mixer))
        return "explicit" if explicit else "implicit"

    def loss(self, recipe):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def align(self, preprocessor, inputs, answers):
        """The keys, with ids of the answers."""
        ids = preprocessor.answers([key.answer for key in answers])
        return [key._replace(answer=int(each)) for key, each in zip(answers, ids, strict=True)]

    def targets(self, recipe, answers):
        return np.array([key.answer for key in answers], "int32")

    def batches(self, recipe, preprocessor, inputs, targets, seed):
        return StoryBatches(inputs, targets, recipe.batch_size, seed)

    def outputs(self, model, inputs):
        """Ids of answers `(N,)`, none of them a special one. Short stories are cut: that saves most of the time."""
        found = np.zeros(len(inputs["story"]), "int32")
        long = StoryBatches.are_long(inputs)
        for rows in (np.flatnonzero(long), np.flatnonzero(~long)):
            if len(rows):
                logits = model.predict(StoryBatches.cut(inputs, rows), batch_size=128, verbose=0)
                found[rows] = likeliest(logits)
        return found

    def score(self, outputs, answers):
        return self.scores(outputs, answers)["score"]

    def wrong(self, outputs, answers):
        """Which answers are wrong, booleans `(N,)`; one is never right if what would be is not in the vocabulary."""
        return outputs != np.array([key.answer for key in answers])

    def scores(self, outputs, answers):
        """The share of wrong answers in each task, and their mean."""
        errors = by_task(answers, self.wrong(outputs, answers))
        named = {f"{task} {self.tasks[task]}": error for task, error in errors.items()}
        return {"score": float(np.mean(list(errors.values()))), **named}

    def judge(self, task, split="test"):
        stories, keys = self.load(split)
        outputs = self.outputs(task, self.encode(task.preprocessor, stories))
        scores = self.scores(outputs, self.align(task.preprocessor, stories, keys))
        if task.backbone.memory is not None:
            scores["a hop looks most at a supporting fact"] = _mean(by_task(keys, on_facts(task, stories, keys)))
            scores["the same by chance"] = _mean(by_task(keys, on_facts_by_chance(task, stories, keys)))
        return scores


def by_task(keys, values):
    """The mean of as many values as keys for each task, by its number."""
    tasks, values = np.array([key.task for key in keys]), np.asarray(values)
    return {int(task): float(values[tasks == task].mean()) for task in np.unique(tasks)}


def _mean(by_task):
    return float(np.mean(list(by_task.values())))


def on_facts(task, stories, keys):
    """For each question whether in some hop the sentence of the largest weight is one that it takes: `(N,)`."""
    found = []
    for (story, _), key, look in zip(stories, keys, task.look(stories), strict=True):
        largest = look.argmax(axis=-1) + len(story) - look.shape[1]  # (hops,)
        found.append(bool(set(largest.tolist()) & set(key.facts)))
    return np.array(found)


def on_facts_by_chance(task, stories, keys):
    """How probable that is for each question if every hop looked at any sentence: `(N,)`."""
    kept = [len(sentences) for sentences, _ in task.preprocessor.kept(stories)]
    firsts = [len(story) - count for (story, _), count in zip(stories, kept)]
    shares = [sum(fact >= first for fact in key.facts) / count for key, first, count in zip(keys, firsts, kept)]
    return 1.0 - (1.0 - np.array(shares)) ** task.backbone.memory.hops


def examples(task, questions):
    """The questions of one task of bAbI as pairs of stories and questions, and as many keys."""
    keys = [Key(task, each.answer, each.facts) for each in questions]
    return [(each.story, each.question) for each in questions], keys


def _read_babi(split):
    stories, keys = [], []
    for task in babi.TASKS:
        questions = babi.load(task, "test" if split == "test" else "train")
        if split != "test":
            first = first_of_dev(questions)
            questions = questions[first:] if split == "dev" else questions[:first]
        told, found = examples(task, questions)
        stories += told
        keys += found
    return stories, keys


def first_of_dev(questions, share=0.1):
    """Where the last share of the questions begins, with a new story: one goes on from question to question."""
    for index in range(round(len(questions) * (1 - share)), len(questions)):
        before = questions[index - 1].story
        if questions[index].story[: len(before)] != before:
            return index
    raise ValueError(f"The last {share:.0%} of the questions must have a story that begins there. Received: none")


BABI = Stories(
    name="babi",
    summary="Answers to questions about short stories, in 20 tasks",
    data=(
        "bAbI 1.2, English, 1k: 18,017 questions of 20 tasks to train, 1,983, those of each task's last stories, to "
        "choose, 20,000 to test. How a memory is trained was chosen for benchmarks/babi.py among six ways, with errors "
        f"of 16.8 to 19 % on the test questions in view; {babi.SOURCE}"
    ),
    licence=babi.LICENCE,
    limits="Knows the 170 words of stories that a program made up; of tasks 16, 17 and 19 it learns little.",
    measure="mean share of wrong answers over the 20 tasks",
    goal=0.15,
    published=(
        "end-to-end memory network, Sukhbaatar 2015, of several settings: 0.12 to 0.15",
        "LSTM over the words, Weston 2015, a model for each task: 0.51",
    ),
    lower_is_better=True,
    read=_read_babi,
    tasks=babi.TASKS,
    # Of task 2: where the football is takes two sentences to know.
    shown=1003,
)
