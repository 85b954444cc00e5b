"""Calling a model, and stepping in where it calls one of its layers, without the model noticing."""

import contextlib
import functools

from keras_attn._autodiff import snapshot


def called(model, inputs, **options):
    """What the model gives, which afterwards is as it was: stateful layers have not moved on, nor losses come about."""
    layers = list(getattr(model, "_flatten_layers", list)())
    losses, before = [list(layer._losses) for layer in layers], {}
    try:
        with contextlib.ExitStack() as stack:
            for variable in getattr(model, "variables", ()):
                stack.enter_context(replaced(variable, functools.partial(_remembering, variable, before), "assign"))
            return model(inputs, **options)
    finally:
        for variable, value in before.values():
            variable.assign(value)
        for layer, kept in zip(layers, losses):
            layer._losses.clear()
            layer._losses.extend(kept)


def _remembering(variable, before, assign):
    """A variable's `assign`, which first keeps what it had. What a pass does not change is never written to."""

    @functools.wraps(assign)
    def assigned(*args, **kwargs):
        if id(variable) not in before:
            before[id(variable)] = variable, snapshot(variable)
        return assign(*args, **kwargs)

    return assigned


@contextlib.contextmanager
def replaced(layer, make, name="call"):
    """While it lasts, `make(layer.call)` stands in the place of `layer.call`, or of another function of the layer's."""
    # Not by `setattr`, which tells trackers of the layer's parts.
    object.__setattr__(layer, name, make(getattr(layer, name)))
    try:
        yield
    finally:
        object.__delattr__(layer, name)
