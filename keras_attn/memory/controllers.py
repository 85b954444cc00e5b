"""The network in front of a memory: it sees the input and what was read last, and says what to do next.

A controller has `units`, `state_sizes` (what it keeps beside its own output), and two steps. `project` is what can be
said of the inputs alone, for all positions in one product; `advance` takes that and what the step before left.
"""

import keras
from keras import ops

from keras_attn.lookup import choose, whole_number


class _Own(keras.layers.Layer):
    """A controller with weights of its own: gates or units `gates * units` wide before they are bent."""

    gates = 1
    #: Whether it sees its own last output too, or only what was read.
    recurs = True

    def __init__(self, units, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.units = whole_number("units", units)

    def build(self, input_width, read_width):
        # Weights are read outside of this layer's own call, where a mixer's half precision would cast them.
        width = self.gates * self.units
        self.input_kernel = self.add_weight(name="input_kernel", shape=(input_width, width), autocast=False)
        seen = read_width + (self.units if self.recurs else 0)
        self.kernel = self.add_weight(name="kernel", shape=(seen, width), autocast=False)
        self.bias = self.add_weight(name="bias", shape=(width,), initializer=self.first_bias, autocast=False)
        self.built = True

    def first_bias(self, shape, dtype=None):
        return ops.zeros(shape, dtype=dtype or "float32")

    def project(self, inputs):
        return ops.matmul(inputs, self.input_kernel) + self.bias


class LSTMController(_Own):
    """A long short-term memory. Its gates stand in the order input, forget, output, candidate."""

    gates = 4

    @property
    def state_sizes(self):
        return (self.units,)

    def first_bias(self, shape, dtype=None):
        """One at the gate that forgets, zero elsewhere."""
        place = ops.arange(shape[0]) // self.units
        return ops.cast(place == 1, dtype or "float32")

    def advance(self, projected, previous, states):
        """Output `(B, U)` and states, from the projected input and `[output; reads]` of the step before."""
        z = projected + ops.matmul(previous, self.kernel)
        units = self.units
        gates, candidate = ops.sigmoid(z[:, : 3 * units]), ops.tanh(z[:, 3 * units :])
        carry = gates[:, units : 2 * units] * states[0] + gates[:, :units] * candidate
        return gates[:, 2 * units :] * ops.tanh(carry), [carry]


class FeedForwardController(_Own):
    """One layer with tanh that remembers nothing but through the memory."""

    recurs = False
    state_sizes = ()

    def advance(self, projected, previous, states):
        return ops.tanh(projected + ops.matmul(previous[:, self.units :], self.kernel)), []


class CellController(keras.layers.Layer):
    """Any of Keras's recurrent cells, which sees input and reads side by side."""

    def __init__(self, cell, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.cell = cell
        if any(getattr(part, name, 0.0) for part in _parts(cell) for name in ("dropout", "recurrent_dropout")):
            raise ValueError(
                "A controller has no dropout: its masks would change from step to step. "
                f"Received: controller={cell.name!r} with dropout"
            )
        sizes = keras.tree.flatten(cell.state_size)
        self.units = getattr(cell, "output_size", None) or sizes[0]
        self.state_sizes = tuple(sizes)

    def build(self, input_width, read_width):
        if not self.cell.built:
            self.cell.build((None, input_width + read_width))
        self.built = True

    def project(self, inputs):
        return inputs

    def advance(self, projected, previous, states):
        inputs = ops.concatenate([projected, previous[:, self.units :]], axis=-1)
        size = self.cell.state_size
        states = states[0] if isinstance(size, int) else keras.tree.pack_sequence_as(size, states)
        output, states = self.cell(inputs, states if not isinstance(size, int) else [states])
        return ops.cast(output, "float32"), [ops.cast(state, "float32") for state in keras.tree.flatten(states)]


def _gru(units, **kwargs):
    return CellController(keras.layers.GRUCell(units, dtype="float32"), **kwargs)


CONTROLLERS = {"lstm": LSTMController, "gru": _gru, "feed_forward": FeedForwardController}


def get(controller, units, **kwargs):
    """A controller by name and units, or from one of Keras's recurrent cells, whose own units count.

    Raises:
        ValueError: for a name that is not known; the message names near ones.
    """
    if hasattr(controller, "state_size"):
        return CellController(controller, **kwargs)
    return CONTROLLERS[choose("controller", controller, CONTROLLERS)](units, **kwargs)


def _parts(cell):
    return getattr(cell, "cells", [cell])
