"""Which number of a model's answer is looked into, and where the positions of its input are."""

import dataclasses

import numpy as np
from keras import ops

from tuning import measures
from tuning.factors import CannotMeasure


@dataclasses.dataclass(frozen=True)
class Subject:
    """Examples and the number of each answer that is explained.

    Args:
        x: the model's inputs.
        at: the layer where vectors of positions enter; None for the inputs themselves, or the only embedding.
        real: booleans `(B, S)`, False at padding.
        asked: which position `(B,)` is asked, of models that answer at each; None of others.
        truth: booleans `(B, S)`, where the answer is known to lie; None if it is not known.
        number: a function of the model's outputs to that number, `(B,)`, which does not saturate.
        chance: the same as a share, so that rows can be compared.
        said: what the model answered `(B,)`, a class, or the number.
    """

    x: object
    at: str | None
    real: np.ndarray
    asked: np.ndarray | None
    truth: np.ndarray | None
    number: object
    chance: object
    said: np.ndarray


def subject(task, model, split):
    """The `Subject` of some examples: of labels the class that the model answers, of numbers their mean.

    Raises:
        CannotMeasure: if the model has no positions.
    """
    outputs = ops.convert_to_numpy(model.predict_on_batch(split.x))  # (B, C) or (B, T, C)
    at = entrance(model, split.x)
    real = padding(model, split.x, at)
    asked, truth = (None, None) if task.truth is None else task.truth(split)
    if asked is None and outputs.ndim == 3:
        asked = last_counted(split, real, outputs.shape[1])
    chosen = outputs if asked is None else outputs[np.arange(len(outputs)), asked]
    if outputs.ndim == 2:
        asked = None
    if measures.get(task.measure).predicts == "numbers":
        mean = _of_asked(asked, outputs.shape, lambda y: ops.mean(y, axis=-1))
        return Subject(split.x, at, real, asked, truth, mean, mean, chosen.mean(axis=-1))
    said = chosen.argmax(axis=-1)
    here = np.eye(outputs.shape[-1], dtype="float32")[said]  # (B, C)
    number = _of_asked(asked, outputs.shape, lambda y: ops.sum(ops.multiply(y, here), axis=-1) - ops.mean(y, axis=-1))
    chance = _of_asked(asked, outputs.shape, lambda y: ops.sum(ops.multiply(ops.softmax(y), here), axis=-1))
    return Subject(split.x, at, real, asked, truth, number, chance, said)


def _of_asked(asked, shape, function):
    """`function` of the outputs `(n, B, C)` at the position that is asked, for n copies of the batch, as `(n B,)`."""

    def number(y):
        y = ops.reshape(ops.cast(y, "float32"), (-1, *shape))
        if asked is not None:
            there = (np.arange(shape[1]) == asked[:, None]).astype("float32")  # (B, T)
            y = ops.sum(ops.multiply(y, there[..., None]), axis=2)
        return ops.reshape(function(y), (-1,))

    return number


def entrance(model, x):
    """The name of the layer where vectors of positions enter, for `at` of `keras_attn.inspection`; None without need.

    Raises:
        CannotMeasure: if there are no positions.
    """
    if isinstance(x, dict) or np.issubdtype(x.dtype, np.integer) or x.ndim == 3:
        return None
    # The zoo's images are a row of patches from there on.
    names = [layer.name for layer in model._flatten_layers(include_self=False)]
    if x.ndim == 4 and names.count("raster") == 1:
        return "raster"
    raise CannotMeasure(f"the model's inputs of shape {x.shape[1:]} are no positions")


def padding(model, x, at):
    """Booleans `(B, S)`, False where an example is padding."""
    if isinstance(x, dict):
        mask = x.get("padding_mask")
        return np.ones(next(iter(x.values())).shape[:2], bool) if mask is None else np.asarray(mask).astype(bool)
    if at is None:
        return np.ones(x.shape[:2], bool)
    length = next(layer for layer in model._flatten_layers() if layer.name == at).output.shape[1]
    return np.ones((len(x), length), bool)


def last_counted(split, real, length):
    """The last position of each example whose answer counts."""
    counts = real if split.weight is None else split.weight > 0
    counts = counts if counts.shape == (len(split), length) else np.ones((len(split), length), bool)
    return length - 1 - counts[:, ::-1].argmax(axis=1)
