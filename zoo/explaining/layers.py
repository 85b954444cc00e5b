"""What a model's layers compute over positions: weights, mixing matrices, last vectors."""

import contextlib
import inspect
import re

import keras
import numpy as np
from keras import ops

from keras_attn import inspection
from keras_attn.inspection.weights import ASKING
from zoo.backbone import MixerBlock
from zoo.image_readers import GlimpseReader

#: The most backward passes that are made to see what every position looks at.
PASSES = 2**14


def weights(model, inputs):
    """Weights `(H, T, S)` by name, and what is to be said about them."""
    if not any(ASKING in inspect.signature(layer.call).parameters for layer in model._flatten_layers()):
        return {}, [] if _glimpses(model) else [
            "No layer of the model computes weights: what it looks at is seen by its derivatives alone."
        ]
    found, notes, titles = {}, [], _titles(model)
    for name, each in inspection.weights(model, inputs).items():
        name = titles.get(name, name)
        if isinstance(each, np.ndarray) and each.ndim in (3, 4) and len(each) == 1:
            found[f"weights of {name}"] = each[0] if each.ndim == 4 else each
        else:
            notes.append(f"Left out: the weights of {name}, which are not those of a row of positions.")
    return found, notes


def mixing(model, inputs):
    """Of layers without weights the mean size of their mixing matrices, `(1, T, S)`, by name; of some there is none."""
    with contextlib.suppress(ValueError):
        matrices, titles = inspection.implicit_weights(model, inputs), _titles(model)
        return {f"mixing of {titles.get(name, name)}": np.abs(x.matrix).mean(axis=1) for name, x in matrices.items()}
    return {}


def glimpses(model, inputs):
    """Of a reader that looks at places how much of each glimpse each position makes up, `(count, 1, S)`, by name."""
    if not _glimpses(model):
        return {}
    _, places = model.pooler(model.backbone(inputs, training=False), return_places=True, training=False)
    return {"glimpses of reader": ops.convert_to_numpy(model.pooler.shares(places))[0][:, None]}


def _glimpses(model):
    return isinstance(getattr(model, "pooler", None), GlimpseReader)


def _titles(model):
    """What the mixers of blocks are called where they are shown, by name: Keras only counts all that were ever made."""
    blocks = [layer for layer in model._flatten_layers() if isinstance(layer, MixerBlock)]
    return {block.mixer.name: f"{re.sub('_[0-9]+$', '', block.mixer.name)} in {block.name}" for block in blocks}


def states(model, inputs):
    """The model up to the last layer with a vector at each position, and how many; None and 0 if none is in reach."""
    if not getattr(model, "inputs", None):
        return None, 0
    for layer in reversed(model.layers):
        # What was never called, or several times, has no output of its own.
        symbolic = getattr(layer, "output", None) if layer._inbound_nodes else None
        if isinstance(symbolic, keras.KerasTensor) and len(symbolic.shape) == 3 and not _are_ids(symbolic):
            # A Sequential knows its inputs only.
            entry = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
            found = keras.Model(entry, symbolic)
            _, length, width = found(inputs, training=False).shape
            return (found, length) if length > 1 and length * width <= PASSES else (None, 0)
    return None, 0


def _are_ids(symbolic):
    return keras.backend.is_int_dtype(symbolic.dtype)
