"""One run: a model from a seed, trained, scored, timed."""

import dataclasses
import math
import time

import keras
import numpy as np

from tuning import measures
from tuning.seeds import derive

#: Steps in one call into the backend. TensorFlow, two cores, width 32: 16 take a quarter less time than 16 calls.
#: JAX and Torch gain nothing from it, and JAX would compile them one after another.
STEPS_PER_EXECUTION = {"tensorflow": 16}
SCORED_AT_ONCE = 256
#: Compiled graphs that are kept: families take turns, and each graph is memory.
GRAPHS = 12
LATENCY_BATCHES = (1, 64)
LATENCY_REPEATS = 15


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is made and trained.

    Args:
        mixer: a spec, or a list of them.
        width: the model's width.
        dropout: in [0, 1).
        learning_rate: at the start; it falls to nothing along half a cosine.
        seed: of the weights, the order of the examples, and dropout.
    """

    mixer: object
    width: int
    dropout: float
    learning_rate: float
    seed: int


@dataclasses.dataclass(frozen=True)
class Trained:
    """What came of it.

    Args:
        model: the trained model. It is the workbench's: the next run trains it from the start again.
        curve: the validation score after each epoch.
        epoch_seconds: time in the training steps of each epoch; the first holds what compiling took.
        solved: whether it stopped early, at the score that a task calls solved.
        state: all it takes to go on, a list of arrays: the model's and the optimizer's variables.
    """

    model: object
    curve: tuple
    epoch_seconds: tuple
    solved: bool
    state: list

    @property
    def seconds(self):
        """Time in the training steps, without compiling: the median epoch times the number of epochs."""
        return float(np.median(self.epoch_seconds)) * len(self.curve)


@dataclasses.dataclass(frozen=True)
class Paused:
    """A run that stopped at a rung and may go on: what `Trained` says of it."""

    curve: tuple
    epoch_seconds: tuple
    state: list


class Workbench:
    """Trains models of one task, and compiles each graph once.

    Compiling takes as long as training where models are small. Models that differ in their weights only share a graph:
    a new model gives its weights, and the states of its random numbers, to the compiled one.

    Args:
        task: a `tuning.task.Task`.
        data: its `tuning.task.Data`.
    """

    def __init__(self, task, data):
        self.task = task
        self.data = data
        self._compiled = {}

    def train(self, recipe, epochs=None, paused=None):
        """Trains a model by a recipe, all of it or up to a rung.

        A run that pauses and goes on is the same as one that does not: the rate falls as if for all of the task's
        epochs, and the order of the examples goes on where it was.

        Args:
            recipe: a `Recipe`.
            epochs: after how many epochs to stop; None for the task's.
            paused: a `Paused` to go on from; None to begin.

        Returns:
            A `Trained`.

        Raises:
            ArithmeticError: if the loss is no longer a number.
        """
        model = self._new_model(recipe)
        if paused is not None:
            for variable, value in zip(_variables(model), paused.state, strict=True):
                variable.assign(value)
        curve, seconds = (list(paused.curve), list(paused.epoch_seconds)) if paused else ([], [])
        batches = (self.task.epoch_size or len(self.data.train)) // self.task.batch_size
        # The order is ours, not the backend's, so that every family meets the examples in the same order.
        orders = _draw_orders(len(self.data.train), batches * self.task.batch_size, recipe.seed)
        for epoch, order in zip(range(epochs or self.task.epochs), orders):
            if epoch < len(curve):
                continue
            model.optimizer.learning_rate = recipe.learning_rate * _cosine(epoch / self.task.epochs)
            seconds.append(self._train_epoch(model, self.data.train.take(order), epoch, recipe.seed))
            curve.append(score(model, self.data.valid, self.task.measure))
            if self._solved(curve[-1]):
                break
        solved = len(curve) < self.task.epochs and self._solved(curve[-1])
        state = [keras.ops.convert_to_numpy(variable) for variable in _variables(model)]
        return Trained(model, tuple(curve), tuple(seconds), solved, state)

    def _solved(self, score):
        return self.task.solved is not None and score >= self.task.solved

    def close(self):
        """Forgets the compiled graphs."""
        self._compiled.clear()

    def _train_epoch(self, model, examples, epoch, seed):
        start = time.perf_counter()
        history = model.fit(
            examples.x,
            examples.y,
            sample_weight=examples.weight,
            batch_size=self.task.batch_size,
            shuffle=False,
            verbose=0,
            callbacks=[_DrawsAnew(derive(seed, "epoch", epoch))] if keras.backend.backend() == "torch" else None,
        )
        loss = history.history["loss"][-1]
        if not math.isfinite(loss):
            raise ArithmeticError(f"The loss became {loss} in epoch {epoch + 1}.")
        return time.perf_counter() - start

    def _new_model(self, recipe):
        """A model with fresh weights that is compiled already, or is now."""
        keras.utils.set_random_seed(recipe.seed)
        fresh = self.task.model(recipe.mixer, recipe.width, recipe.dropout)
        # KerasHub's tasks would wait for raw inputs otherwise; the data is prepared once, before.
        fresh.preprocessor = None
        key = repr((recipe.mixer, recipe.width, recipe.dropout))
        if key not in self._compiled:
            while len(self._compiled) >= GRAPHS:
                self._compiled.pop(next(iter(self._compiled)))
            self._compiled[key] = _compile(fresh, measures.get(self.task.measure))
            return fresh
        # The one used last goes to the end; the one not used for longest is forgotten.
        model = self._compiled[key] = self._compiled.pop(key)
        for old, new in zip(model.variables, fresh.variables, strict=True):
            old.assign(new)
        for variable in model.optimizer.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))
        return model


class _DrawsAnew(keras.callbacks.Callback):
    """Lets an epoch's dropout depend on its seed alone.

    On Torch, Keras drops out by Torch's one source of random numbers, whose state is no variable of the model, and a
    model that is new draws from it once more than one that is compiled already: before an epoch's first step.
    """

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch, logs=None):
        keras.utils.set_random_seed(self.seed)


def _variables(model):
    return [*model.variables, *model.optimizer.variables]


def _compile(model, measure):
    backend = keras.backend.backend()
    model.compile(
        # Adam's moments are zero at the start, as `Workbench` makes them.
        optimizer=keras.optimizers.Adam(1e-3, global_clipnorm=1.0),
        loss=_loss(measure),
        metrics=[],
        # On TensorFlow's CPU, XLA compiles for seconds longer and then runs no faster at these sizes.
        jit_compile=backend == "jax",
        steps_per_execution=STEPS_PER_EXECUTION.get(backend, 1),
    )
    # Before the first step, so that a run that goes on finds its moments' places.
    model.optimizer.build(model.trainable_variables)
    return model


def _loss(measure):
    if measure.predicts == "numbers":
        return keras.losses.MeanSquaredError(reduction="mean_with_sample_weight")
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")


def _draw_orders(count, size, seed):
    """For each epoch the indices of `size` of `count` examples; none comes again before all have come."""
    numbers = np.random.default_rng(seed)
    waiting = np.array([], int)
    while True:
        while len(waiting) < size:
            waiting = np.concatenate([waiting, numbers.permutation(count)])
        yield waiting[:size]
        waiting = waiting[size:]


def _cosine(progress):
    return 0.5 * (1 + math.cos(math.pi * progress))


def score(model, split, measure):
    """The score of a model's answers, weighted as the split says.

    Args:
        model: a Keras model.
        split: a `tuning.task.Split`.
        measure: a name from `tuning.measures`.
    """
    return measures.score(measure, split, answers(model, split))


def answers(model, split):
    """A model's outputs for a split, `(N, ...)`."""
    # `predict` and `evaluate` spend ten times as long on setting up as such a model takes.
    starts = range(0, len(split), SCORED_AT_ONCE)
    return np.concatenate(
        [model.predict_on_batch(split.take(slice(start, start + SCORED_AT_ONCE)).x) for start in starts]
    )


def latency(model, split):
    """Seconds for an example, the median of repeated calls, by batch size (as text: JSON has no other keys)."""
    return {str(size): _time_batch(model, split.take(slice(size))) for size in LATENCY_BATCHES}


def _time_batch(model, batch):
    model.predict_on_batch(batch.x)
    seconds = []
    for _ in range(LATENCY_REPEATS):
        start = time.perf_counter()
        model.predict_on_batch(batch.x)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds)) / len(batch)
