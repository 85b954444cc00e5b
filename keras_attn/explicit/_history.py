"""Rows that a layer remembers of earlier positions when it runs step by step: `(B, L, d)`.

With a `position` `(B,)` L is fixed and the row of that number is written; without one (None) L grows by a row at each
step, which cannot be compiled once for all steps.
"""

from keras import ops


def empty(batch_size, max_length, width, dtype):
    """No rows yet: `(B, max_length, width)` of zeros, or `(B, 0, width)` where `max_length` is None."""
    return ops.zeros((batch_size, max_length or 0, width), dtype=dtype)


def start(batch_size, max_length):
    """The part of a state that counts the steps: there only where the length is fixed."""
    return {} if max_length is None else {"position": ops.zeros((batch_size,), dtype="int32")}


def advance(state):
    """That part one step later."""
    return {"position": state["position"] + 1} if "position" in state else {}


def check_room(layer, state, rows):
    """Raises if the rows of a fixed number are all written."""
    if "position" in state:
        layer._check_room(state["position"], 1, rows.shape[1])


def append(rows, row, position=None):
    """The rows with one more, of shape `(B, d)`."""
    row = ops.cast(row, rows.dtype)[:, None]
    if position is None:
        return ops.concatenate([rows, row], axis=1)
    return ops.where((ops.arange(ops.shape(rows)[1])[None] == position[:, None])[..., None], row, rows)


def written(rows, position=None):
    """Which rows are there once the one at `position` is written: boolean `(B, L)`, or `(1, L)` where L grows."""
    place = ops.arange(ops.shape(rows)[1])[None]
    return ops.ones_like(place, dtype="bool") if position is None else place <= position[:, None]
