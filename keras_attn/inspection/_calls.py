"""Stepping in where a model calls one of its layers, without the model noticing."""

import contextlib


@contextlib.contextmanager
def replaced(layer, make, name="call"):
    """While it lasts, `make(layer.call)` stands in the place of `layer.call`, or of another function of the layer's."""
    # Not by `setattr`, which tells trackers of the layer's parts.
    object.__setattr__(layer, name, make(getattr(layer, name)))
    try:
        yield
    finally:
        object.__delattr__(layer, name)
