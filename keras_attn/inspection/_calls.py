"""Calling a model, and stepping in where it calls one of its layers, without the model noticing."""

import contextlib

import keras
from keras import ops


def called(model, inputs, **options):
    """What the model gives, which afterwards keeps what it kept before: stateful layers have not moved on."""
    kept = [(variable, _copied(variable)) for variable in getattr(model, "non_trainable_variables", ())]
    try:
        return model(inputs, **options)
    finally:
        for variable, value in kept:
            variable.assign(value)


def _copied(variable):
    # On jax values do not change, and a copy made while it traces would not be a value.
    return variable.value if keras.backend.backend() == "jax" else ops.copy(variable.value)


@contextlib.contextmanager
def replaced(layer, make, name="call"):
    """While it lasts, `make(layer.call)` stands in the place of `layer.call`, or of another function of the layer's."""
    # Not by `setattr`, which tells trackers of the layer's parts.
    object.__setattr__(layer, name, make(getattr(layer, name)))
    try:
        yield
    finally:
        object.__delattr__(layer, name)
