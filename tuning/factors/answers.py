"""Which number of a model's answer is looked into, and where the positions of its input are."""

import dataclasses

import numpy as np
from keras import ops

from tuning import measures, probes
from tuning.factors import CannotMeasure


@dataclasses.dataclass(frozen=True)
class Subject:
    """Examples and the number of each answer that is explained.

    Args:
        x: the model's inputs.
        at: the layer where vectors of positions enter; None for the inputs themselves, or the only embedding.
        real: booleans `(B, S)`, False at padding.
        asked: which position `(B,)` of the input the answer is read at; None where it is read at none of its own.
        row: which of the outputs `(B,)` is explained, of models that have several: that of `asked`, but of forecasts a
            step ahead, which is no position of the input; None of others.
        truth: booleans `(B, S)`, where the answer is known to lie; None if it is not known.
        number: a function of the model's outputs to that number, `(B,)`, which does not saturate.
        chance: the same as a share, so that rows can be compared.
        said: what the model answered `(B,)`, a class, or the number.
        outputs: the model's, `(B, C)`, of the row that is explained.
    """

    x: object
    at: str | None
    real: np.ndarray
    asked: np.ndarray | None
    row: np.ndarray | None
    truth: np.ndarray | None
    number: object
    chance: object
    said: np.ndarray
    outputs: np.ndarray


def subject(task, model, split):
    """The `Subject` of some examples: of labels the class that the model answers, of numbers their mean.

    Raises:
        CannotMeasure: if the model has no positions.
    """
    outputs = ops.convert_to_numpy(model.predict_on_batch(split.x))  # (B, C) or (B, T, C)
    at = entrance(model, split.x)
    real = padding(model, split.x, at)
    asked, truth = (None, None) if task.truth is None else task.truth(split)
    row = asked
    if asked is None and outputs.ndim == 3:
        row = last_counted(split, real, outputs.shape[1])
        asked = row if stand_at_positions(model, outputs.shape[1], real.shape[1]) else _read_at(model, real)
    chosen = outputs if row is None else outputs[np.arange(len(outputs)), row]
    if outputs.ndim == 2:
        asked = row = None
    if measures.get(task.measure).predicts == "numbers":
        mean = _of_row(row, outputs.shape, lambda y: ops.mean(y, axis=-1))
        return Subject(split.x, at, real, asked, row, truth, mean, mean, chosen.mean(axis=-1), chosen)
    said = chosen.argmax(axis=-1)
    here = np.eye(outputs.shape[-1], dtype="float32")[said]  # (B, C)
    number = _of_row(row, outputs.shape, lambda y: ops.sum(ops.multiply(y, here), axis=-1) - ops.mean(y, axis=-1))
    chance = _of_row(row, outputs.shape, lambda y: ops.sum(ops.multiply(ops.softmax(y), here), axis=-1))
    return Subject(split.x, at, real, asked, row, truth, number, chance, said, chosen)


def stand_at_positions(model, outputs, positions):
    """Whether a model's outputs, so many, stand at its input's positions: a forecast's are steps ahead."""
    return outputs == positions and getattr(model, "horizon", None) is None


def _read_at(model, real):
    """Where `(B,)` a forecast is read: at the last position. Of other models it is not known: None."""
    if getattr(model, "horizon", None) is None:
        return None
    return real.shape[1] - 1 - real[:, ::-1].argmax(axis=1)


def _of_row(row, shape, function):
    """`function` of the outputs `(n, B, C)` in the row that is explained, for n copies of the batch, as `(n B,)`."""

    def number(y):
        y = ops.reshape(ops.cast(y, "float32"), (-1, *shape))
        if row is not None:
            there = (np.arange(shape[1]) == row[:, None]).astype("float32")  # (B, T)
            y = ops.sum(ops.multiply(y, there[..., None]), axis=2)
        return ops.reshape(function(y), (-1,))

    return number


def entrance(model, x):
    """The name of the layer where vectors of positions enter, for `at` of `keras_attn.inspection`; None without need.

    Raises:
        CannotMeasure: if there are no positions, or if what is answered is a text.
    """
    if isinstance(x, dict):
        return _entrance_of_several(model, x)
    if np.issubdtype(x.dtype, np.integer) or x.ndim == 3:
        return None
    # The zoo's images are a row of patches from there on.
    names = [layer.name for layer in model._flatten_layers(include_self=False)]
    if x.ndim == 4 and names.count("raster") == 1:
        return "raster"
    raise CannotMeasure(f"the model's inputs of shape {x.shape[1:]} are no positions")


def _entrance_of_several(model, x):
    """The same of a model of several inputs: tokens and a mask, a sound and a mask, a series and what is ahead."""
    if "encoder_token_ids" in x:
        raise CannotMeasure("a text that another becomes is many answers, each of which depends on other positions")
    return None if np.issubdtype(probes.main(x).dtype, np.integer) else probes.entrance(model, x)[0]


def padding(model, x, at):
    """Booleans `(B, S)`, False where an example is padding."""
    if isinstance(x, dict):
        return probes.real(x, probes.main(x).shape[1] if at is None else probes.entrance(model, x)[1])
    if at is None:
        return np.ones(x.shape[:2], bool)
    length = next(layer for layer in model._flatten_layers() if layer.name == at).output.shape[1]
    return np.ones((len(x), length), bool)


def last_counted(split, real, length):
    """The last position of each example whose answer counts."""
    counts = real if split.weight is None else split.weight > 0
    counts = counts if counts.shape == (len(split), length) else np.ones((len(split), length), bool)
    return length - 1 - counts[:, ::-1].argmax(axis=1)
