"""Decoding with a state: a token costs one step over what is kept, not a pass over all that came before.

Every causal mixer has the same three methods, and a stack of layers has a list of states:

>>> import keras, keras_attn
>>> layers = [keras_attn.mixers.get(spec) for spec in ("multi_head", "gru")]
>>> for layer in layers:
...     layer.build((None, None, 8))
>>> prompt = keras.random.normal((2, 5, 8))
>>> states = [layer.initial_state(batch_size=2, max_length=16) for layer in layers]

The prompt goes in at once. Prompts of several lengths have padding, and a mask `(B, n)` says where
(`layer.prefill(x, state, mask)`). Padding leaves a row's state as it was, whatever the layer: what comes next goes on
from the row's last real position. Only to multi-head attention that knows positions it counts as distance, so best have
it in front, where no distance goes across it.

>>> x = prompt
>>> for index, layer in enumerate(layers):
...     x, states[index] = layer.prefill(x, states[index])

Then one position after another. What follows is beam search's: three beams of each row, and later the beams that go on.

>>> states = repeat(states, 3)
>>> x = keras.ops.repeat(x[:, -1], 3, axis=0)
>>> for index, layer in enumerate(layers):
...     x, states[index] = layer.step(x, states[index])
>>> states = reorder(states, [0, 0, 1, 5, 3, 3])
>>> tuple(x.shape)
(6, 8)

States keep their shapes and dtypes from step to step (given a `max_length`), so that a step compiles once and serves as
the body of a compiled loop. `max_length` counts prompt and answer; what is beyond it must not be asked for.
"""

import keras
from keras import ops


def reorder(state, rows):
    """The state whose row i is row `rows[i]` of the given one: of any layer or, in a list, of many.

    Args:
        state: any nesting of tensors with the batch first; scalars, which count positions, stay as they are.
        rows: whole numbers `(n,)`; a row may come several times or not at all.
    """
    rows = ops.convert_to_tensor(rows, dtype="int32")
    return _each(lambda x: ops.take(x, rows, axis=0), state)


def repeat(state, times):
    """The state with each row `times` times, `[0, 0, 1, 1]`: as many beams for each."""
    return _each(lambda x: ops.repeat(x, times, axis=0), state)


def _each(function, state):
    return keras.tree.map_structure(lambda x: function(x) if len(x.shape) else x, state)
