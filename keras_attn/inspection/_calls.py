"""Stepping in where a model calls one of its layers, without the model noticing."""

import contextlib


@contextlib.contextmanager
def replaced(layer, make):
    """While it lasts, `make(layer.call)` stands in the place of `layer.call`."""
    # Not by `setattr`, which tells trackers of the layer's parts.
    object.__setattr__(layer, "call", make(layer.call))
    try:
        yield
    finally:
        object.__delattr__(layer, "call")
