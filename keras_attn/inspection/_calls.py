"""Calling a model, and stepping in where it calls one of its layers, without the model noticing."""

import contextlib

import keras


def called(model, inputs, **options):
    """What the model gives, which afterwards is as it was: stateful layers have not moved on, nor losses come about."""
    layers = all_layers(model)
    losses = [list(layer._losses) for layer in layers]
    try:
        # What a layer assigns is seen by who reads it in the same pass, and is gone with the scope.
        with keras.StatelessScope() if getattr(model, "built", True) else contextlib.nullcontext():
            return model(inputs, **options)
    finally:
        for layer, kept in zip(layers, losses):
            layer._losses.clear()
            layer._losses.extend(kept)


def all_layers(model):
    """The model and the layers within it; none of a function."""
    return list(getattr(model, "_flatten_layers", list)())


@contextlib.contextmanager
def replaced(layer, make, name="call"):
    """While it lasts, `make(layer.call)` stands in the place of `layer.call`, or of another function of the layer's."""
    if name == "call" and getattr(layer, "quantization_mode", None):
        name = "quantized_call"  # Keras calls that one then.
    # Not by `setattr`, which tells trackers of the layer's parts.
    object.__setattr__(layer, name, make(getattr(layer, name)))
    try:
        yield
    finally:
        object.__delattr__(layer, name)
