"""States of memories that are handed from call to call."""

from keras import ops


def check(layer, state, shapes):
    """Raises unless the state has the entries and the shapes that these `shapes` say; None stands for any size.

    Nothing is written to the state that came, so that it stays as it was.
    """
    received = {name: tuple(x.shape) for name, x in state.items()} if isinstance(state, dict) else {"state": state}
    wrong = [name for name in {**shapes, **received} if not _fits(received.get(name), shapes.get(name))]
    if wrong:
        raise ValueError(
            f"{type(layer).__name__} {layer.name!r} was given a memory that fits neither it nor these inputs: "
            "`initial_state` makes one that does. "
            f"Expected: { ({name: shapes.get(name) for name in wrong}) }. "
            f"Received: { ({name: received.get(name) for name in wrong}) }"
        )


def _fits(received, expected):
    if received is None or expected is None or len(received) != len(expected):
        return False
    return all(size == right or None in (size, right) for size, right in zip(received, expected))


def forget(state, rows, *names):
    """The state with False in the booleans `names` of all rows, or where the boolean `rows` `(B,)` is True."""
    state = dict(state)
    for name in names:
        forgotten = ops.ones_like(state[name]) if rows is None else ops.cast(rows, "bool")[:, None]
        state[name] = ops.logical_and(state[name], ops.logical_not(forgotten))
    return state
