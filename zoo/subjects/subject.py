"""What a recipe is about: data, a model of it, and how that is judged."""

import abc
import dataclasses
import statistics
from collections.abc import Callable

import keras

from keras_attn import mixers
from keras_attn.lookup import choose
from zoo.batches import Shuffled
from zoo.subjects.figures import accuracy

SPLITS = ("train", "dev", "test")


@dataclasses.dataclass(frozen=True)
class Subject(abc.ABC):
    """The base of all: a subclass for each family of tasks, an instance for each data set.

    Args:
        name: what recipes call it.
        summary: what the model does, in a line, without its mixer.
        data: what it is trained, chosen and tested on, with counts, and where that comes from.
        licence: of the data.
        limits: what the model does not know.
        measure: what the score is, in words.
        published: what others reached, a line each.
        lower_is_better: whether a small score is a good one.
        goal: what recipes aim at, or None.
        goal_of: which of `scores` that is.
        publishable: whether the licence allows to publish weights; if not, `limits` says so.
    """

    name: str
    summary: str
    data: str
    licence: str
    limits: str
    measure: str
    published: tuple = ()
    lower_is_better: bool = False
    goal: float | None = None
    goal_of: str = "score"
    publishable: bool = True

    #: What recipes may choose in `options`, with what holds unless they do.
    OPTIONS = {}

    @abc.abstractmethod
    def load(self, split):
        """Raw inputs and their answers, of "train", "dev" or "test"."""

    @abc.abstractmethod
    def prepare(self, recipe, work):
        """The preprocessor, with what it learns from the training part; files of that are kept in the folder `work`."""

    @abc.abstractmethod
    def build(self, recipe, preprocessor):
        """The task model, untrained."""

    @abc.abstractmethod
    def loss(self, recipe):
        """What training makes small: a `keras.losses.Loss` of targets."""

    @abc.abstractmethod
    def score(self, outputs, answers):
        """A number, from what the model says of encoded inputs, an array, and the aligned answers."""

    def encode(self, preprocessor, inputs):
        """What the model takes: an array, or a dict of arrays."""
        return as_arrays(preprocessor(inputs))

    def align(self, preprocessor, inputs, answers):
        """The answers as they stand beside the model's outputs."""
        return answers

    def targets(self, recipe, answers):
        """What the loss takes, from aligned answers."""
        return answers

    def batches(self, recipe, preprocessor, inputs, targets, seed):
        """One epoch of training batches, a `keras.utils.PyDataset`; `seed` is a list of integers."""
        return Shuffled(inputs, targets, recipe.batch_size, seed)

    def callbacks(self, recipe, epoch):
        """Keras callbacks for one epoch of training, counted from 0; each epoch gets new ones, which know no other."""
        return []

    def outputs(self, model, inputs):
        """What the bare model says of encoded inputs: what `score` takes."""
        return as_arrays(model.predict(inputs, batch_size=128, verbose=0))

    def judge(self, task, split="test"):
        """The scores of a trained task with its preprocessor, from raw data."""
        inputs, answers = self.load(split)
        outputs = as_arrays(task.predict(inputs, batch_size=128, verbose=0))
        return self.scores(outputs, self.align(task.preprocessor, inputs, answers))

    def scores(self, outputs, answers):
        """The score, and what else is to be known of the same answers: a dict whose first is `score`."""
        return {"score": self.score(outputs, answers)}

    def first(self):
        """One raw input with its batch axis: what is timed."""
        return self.load("test")[0][:1]

    def example(self):
        """One raw input without its batch axis: what is shown on the card."""
        return self.load("test")[0][0]

    def classes(self):
        """The names of the classes, if there are any."""
        return ()

    def is_better(self, score, than):
        return score < than if self.lower_is_better else score > than

    def aim(self, by_seed, judged):
        """What was aimed at and whether it was reached, in words; empty if nothing was.

        Args:
            by_seed: the score of each seed: their median counts.
            judged: the `scores` of the stored weights, which count for what is not the score.
        """
        if self.goal is None:
            return ""
        of, reached, whose = self.goal_of, judged[self.goal_of], "as stored"
        if of == "score":
            of, reached = self.measure, statistics.median(by_seed)
            whose = f"the median of {len(by_seed)} seeds" if len(by_seed) > 1 else "one seed"
        behind = reached - self.goal if self.lower_is_better else self.goal - reached
        outcome = f"missed by {behind:.4g}" if behind > 0 else "reached"
        return f"{of}: {self.goal:g}; {outcome} ({whose}: {reached:.4g})"

    def kind(self, recipe):
        """Which kind of attention a recipe's model has: "implicit", "explicit" or "control"."""
        return mixers.kind_of(recipe.backbone["mixer"])

    def mixer(self, recipe):
        """What moves information in a recipe's model, as its card says it."""
        return recipe.backbone["mixer"]

    def settings(self, recipe):
        """The recipe's options and the subject's own for the rest."""
        for name in recipe.options:
            choose(f"option of the subject {self.name}", name, self.OPTIONS)
        return {**self.OPTIONS, **recipe.options}


@dataclasses.dataclass(frozen=True)
class Labelled(Subject):
    """The base of subjects whose examples have one label each. Their `OPTIONS` have a `label_smoothing`.

    Args:
        read: a function from a split's name to raw inputs and an array of labels `(N,)`.
        names: the classes.
        figures: a function from logits and labels to the scores, a dict whose first is `score`.
    """

    read: Callable = None
    names: tuple = ()
    figures: Callable = accuracy

    def load(self, split):
        return self.read(split)

    def classes(self):
        return self.names

    def loss(self, recipe):
        smoothing = self.settings(recipe)["label_smoothing"]
        return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)

    def targets(self, recipe, answers):
        return keras.utils.to_categorical(answers, len(self.names)).astype("float32")

    def score(self, outputs, answers):
        return self.scores(outputs, answers)["score"]

    def scores(self, outputs, answers):
        return self.figures(outputs, answers)


def as_arrays(values):
    """Tensors, or a dict of them, as arrays; floats of double precision as single ones."""
    if isinstance(values, dict):
        return {name: as_arrays(value) for name, value in values.items()}
    array = keras.ops.convert_to_numpy(values)
    return array.astype({"float64": "float32", "int64": "int32"}.get(str(array.dtype), array.dtype))
