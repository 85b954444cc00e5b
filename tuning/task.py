"""A task: what to learn, on what data, judged how. Plain data and two functions; the searches only read it."""

import dataclasses
import hashlib
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Split:
    """Examples for one purpose.

    Args:
        x: the model's inputs: an array, or a dict of arrays, with N examples along the first axis.
        y: integer labels, `(N,)` or `(N, T)`, or numbers of the shape of the model's outputs, `(N, C)` or `(N, T, C)`.
        weight: what each label counts, of the shape of `y`, or each row of numbers, without the last axis; None if all
            count alike.
        group: `(N,)`, the same for examples that say the same twice, as those of one patient or windows that overlap:
            an interval draws them together. None if each stands for itself.
    """

    x: object
    y: object
    weight: object = None
    group: object = None

    def __len__(self):
        return len(self.y)

    def take(self, chosen):
        """The examples that `chosen`, indices or a slice, picks."""
        x = {name: array[chosen] for name, array in self.x.items()} if isinstance(self.x, dict) else self.x[chosen]
        weight, group = (None if each is None else each[chosen] for each in (self.weight, self.group))
        return Split(x, self.y[chosen], weight, group)

    def drawn(self, most):
        """Indices of so many examples, drawn the same each time; of all, in order, if there are no more.

        For what is measured on some. The first ones will not do: files are sorted by class, and windows by time.
        """
        count = len(self)
        return np.arange(count) if count <= most else np.random.default_rng(0).permutation(count)[:most]


@dataclasses.dataclass(frozen=True)
class Data:
    """The three splits of a task. A search sees `train` and `valid`; `test` is for the winners only.

    Args:
        train, valid, test: a `Split` each.
        preprocessor: what turns raw inputs into the model's, saved with the winning model; None if nothing does.
        form: plain data that says how raw data were read and what the answers mean, kept in the winning model's card:
            see `tuning.own`; None if nobody needs it.
    """

    train: Split
    valid: Split
    test: Split
    preprocessor: object = None
    form: dict | None = None

    def checksum(self):
        """SHA-256 of what moves a score in the splits, as text: with other data a search is another one."""
        digest = hashlib.sha256()
        for split in (self.train, self.valid, self.test):
            inputs = [split.x[name] for name in sorted(split.x)] if isinstance(split.x, dict) else [split.x]
            for array in (*inputs, split.y, *(() if split.weight is None else (split.weight,))):
                array = np.ascontiguousarray(array)
                digest.update(f"{array.dtype}{array.shape}".encode())
                digest.update(array)
        return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class Task:
    """What to learn, on what data, judged how, and how much effort a search spends on it unless told otherwise.

    Args:
        name: a short name.
        description: one line for people.
        data: a function from the master seed to `Data`.
        model: a function from a mixer spec (or a list of them), a width and a dropout rate in [0, 1) to one of the
            zoo's task models, untrained, whose outputs are logits, or numbers if the measure is of numbers.
        parameters: how many parameters a model has, within 10 %.
        epochs: epochs of one run; the validation score is taken after each.
        batch_size: examples in one step.
        mixers: the specs that take part; a tuple among them is a hybrid.
        epoch_size: training examples in an epoch, of those not seen yet while there are any; None for all.
        trials: whole runs for each family, on average: what the race has to spend.
        seeds: fresh seeds on which each finalist is trained again.
        margin: the smallest difference of scores that matters.
        learning_rates: the lowest, the first to be tried, and the highest.
        dropouts: the rates to choose from, the first to be tried first.
        causal: whether an answer may depend on nothing that comes later.
        solved: the validation score at which a run may stop, since nothing better can come; None for never.
        answer: the verdict that is published for this task; None if there is none.
        measure: how answers are scored, a name from `tuning.measures`.
        needs: what must be there first, for people; empty if nothing.
        truth: a function from a `Split` to what is known to matter, `(asked, truth)`: which position `(N,)` is asked of
            a model that answers at each, else None, and booleans `(N, S)`, True where the answer lies. None if it is
            not known.
        arguments: the words of `keras-attn tune` that name its data; empty for a task whose name is enough.
    """

    name: str
    description: str
    data: Callable
    model: Callable
    parameters: int
    epochs: int
    batch_size: int
    mixers: tuple
    epoch_size: int | None = None
    trials: int = 3
    seeds: int = 3
    margin: float = 0.01
    learning_rates: tuple = (1e-3, 3e-3, 1e-2)
    dropouts: tuple = (0.0,)
    causal: bool = False
    solved: float | None = None
    answer: str | None = None
    measure: str = "accuracy"
    needs: str = ""
    truth: Callable | None = None
    arguments: tuple = ()
