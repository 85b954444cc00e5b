"""A recurrent network with a memory: what the Turing machine and the computer have in common."""

import math

import keras
from keras import ops

from keras_attn import masks
from keras_attn.lookup import flag, whole_number
from keras_attn.memory import controllers
from keras_attn.memory.slots import SlotMemory

#: What a controller asks of the memory is held within this, so that no exponential or power overflows.
LIMIT = 20.0


class MemoryCell(keras.layers.Layer):
    """One step of a controller and its memory, for `keras.layers.RNN`.

    A concrete cell says in `interface` what it wants to know from the controller, in `memory_shapes` and
    `initial_memory` what it keeps, in `access` how it goes on, and in `weights_of` what it looked at.

    Its output is `[controller's output; what was read]`, and that is its first state too. All states are of shape
    `(B, size)`, as masks and `stateful` of `keras.layers.RNN` want them, and zeros are the beginning, as for each cell
    of Keras: what is kept is how far the memory has come from what it began with. Whatever the policy it computes in
    float32: errors would add up from step to step.
    """

    def __init__(self, units, slots, slot_width, read_heads, write_heads, controller, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.units = whole_number("units", units)
        self.slots = whole_number("slots", slots)
        self.slot_width = whole_number("slot_width", slot_width)
        self.read_heads = whole_number("read_heads", read_heads)
        self.write_heads = whole_number("write_heads", write_heads)
        self.controller = controllers.get(controller, units, name="controller")
        self._controller = controller

    @property
    def interface(self):
        """What the controller says at each step: names and shapes without the batch."""
        raise NotImplementedError(f"{type(self).__name__} must say what it asks of its controller: `interface`.")

    @property
    def memory_shapes(self):
        """What is kept from step to step: names and shapes without the batch."""
        raise NotImplementedError(f"{type(self).__name__} must say what it keeps: `memory_shapes`.")

    def initial_memory(self):
        """What is kept before the first step, of what is not zero then: tensors by name, without the batch."""
        return {}

    def access(self, asked, memory):
        """What is read `(B, R, d)` and the memory after it, from what the controller said and the memory before."""
        raise NotImplementedError(f"{type(self).__name__} must say how it reads and writes: define `access`.")

    def weights_of(self, memory):
        """The last step's weights `(B, H, N)`, those of the reading heads first."""
        raise NotImplementedError(f"{type(self).__name__} must say where its weights are: define `weights_of`.")

    @property
    def interface_size(self):
        """How many numbers the controller says at each step."""
        return sum(map(math.prod, self.interface.values()))

    @property
    def output_size(self):
        return self.controller.units + self.read_heads * self.slot_width

    @property
    def state_size(self):
        memory = map(math.prod, self.memory_shapes.values())
        return [self.output_size, *self.controller.state_sizes, *memory]

    def build(self, input_shape):
        self.controller.build(input_shape[-1], self.read_heads * self.slot_width)
        shape = (self.controller.units, self.interface_size)
        self.interface_kernel = self.add_weight(name="interface_kernel", shape=shape, autocast=False)
        self.interface_bias = self.add_weight(
            name="interface_bias", shape=shape[1:], initializer="zeros", autocast=False
        )
        self.built = True

    def get_initial_state(self, batch_size=None):
        """The states before the first step."""
        return [ops.zeros((batch_size, size), dtype="float32") for size in self.state_size]

    def call(self, inputs, states, training=None):
        return self.advance(self.project(inputs), states)

    def project(self, inputs):
        """What can be said of inputs `(..., D)` before the loop over the steps."""
        return self.controller.project(ops.cast(inputs, "float32"))

    def advance(self, projected, states):
        """Output `(B, U + R d)` and states, from projected inputs at one position."""
        count = 1 + len(self.controller.state_sizes)
        output, controller_states = self.controller.advance(projected, states[0], states[1:count])
        asked = ops.matmul(output, self.interface_kernel) + self.interface_bias
        asked = _unpacked(ops.clip(asked, -LIMIT, LIMIT), self.interface)
        start = self.initial_memory()
        reads, memory = self.access(asked, self._memory_of(states, start))
        output = ops.concatenate([output, _flat(reads)], axis=-1)
        moved = (memory[name] - start[name] if name in start else memory[name] for name in self.memory_shapes)
        return output, [output, *controller_states, *map(_flat, moved)]

    def memory_of(self, states):
        """What is kept, by name and in its own shape, from the cell's states."""
        return self._memory_of(states, self.initial_memory())

    def _memory_of(self, states, start):
        parts = states[1 + len(self.controller.state_sizes) :]
        moved = {name: ops.reshape(x, (-1, *shape)) for (name, shape), x in zip(self.memory_shapes.items(), parts)}
        return {name: x + start[name] if name in start else x for name, x in moved.items()}

    def get_config(self):
        options = {
            "units": self.units,
            "slots": self.slots,
            "slot_width": self.slot_width,
            "read_heads": self.read_heads,
            "write_heads": self.write_heads,
            "controller": _as_data(self._controller),
        }
        return {**super().get_config(), **options}

    @classmethod
    def from_config(cls, config):
        return cls(**_with_controller(config))


class RecurrentMemory(SlotMemory):
    """A mixer that runs a `MemoryCell` along the sequence and projects its output back to the width of the inputs.

    A concrete mixer says in `make_cell` which.
    """

    can_step = True

    def __init__(self, slots, slot_width, read_heads, write_heads, controller, units, stateful, **kwargs):
        super().__init__(**kwargs)
        self.slots = whole_number("slots", slots)
        self.slot_width = whole_number("slot_width", slot_width)
        self.read_heads = whole_number("read_heads", read_heads)
        self.write_heads = whole_number("write_heads", write_heads)
        self.units = whole_number("units", units, optional=True)
        self.stateful = flag("stateful", stateful)
        self._controller = controller
        self._stored = ()
        # Wrong names and options fail here, and not only once the width is known.
        self.make_cell(units or 1)

    @property
    def controller(self):
        return self._controller

    @property
    def weight_rows(self):
        return self.read_heads + self.write_heads

    def make_cell(self, units):
        """The cell with so many units in its controller."""
        raise NotImplementedError(f"{type(self).__name__} must say which cell it runs: define `make_cell`.")

    def build(self, input_shape):
        width = input_shape[-1]
        self.cell = self.make_cell(self.units or width)
        self.cell.build((None, width))
        self.output_dense = keras.layers.Dense(width, name="output", dtype=self.dtype_policy)
        self.output_dense.build((None, None, self.cell.output_size))
        # Keras's loop over steps is the one that compiles and differentiates at an unknown length on all backends.
        self._loop, self._showing_loop = (
            keras.layers.RNN(
                _Steps(self.cell, shows),
                return_sequences=True,
                return_state=True,
                zero_output_for_mask=True,
                dtype="float32",
                name="loop",
            )
            for shows in (False, True)
        )
        if self.stateful:
            self._make_stored(input_shape)
        self.built = True

    def compute_mix(self, inputs, mask, causal, training):
        outputs = self._run(self._showing_loop, inputs, mask)
        size = self.cell.output_size
        # (B, T, H N) to (B, H, T, N)
        shape = (*ops.shape(inputs)[:2], self.weight_rows, self.slots)
        weights = ops.transpose(ops.reshape(outputs[:, :, size:], shape), (0, 2, 1, 3))
        return self._finish(outputs[:, :, :size]), ops.cast(weights, self.compute_dtype)

    def compute_mix_alone(self, inputs, mask, causal, training):
        return self._finish(self._run(self._loop, inputs, mask))

    def _run(self, loop, inputs, mask):
        """The loop's outputs, from where the last call stopped if the layer is stateful."""
        if not self.stateful:
            start = self.cell.get_initial_state(ops.shape(inputs)[0])
        else:
            inputs = self._of_stored_batch(inputs)
            start = [ops.copy(ops.convert_to_tensor(stored)) for stored in self._stored]
        outputs, *states = loop(self.cell.project(inputs), initial_state=start, mask=mask)
        if self.stateful:
            self._store(states)
        return outputs

    def _finish(self, outputs):
        return self.output_dense(ops.cast(outputs, self.compute_dtype))

    def initial_state(self, batch_size, max_length=None):
        """The cell's states before the first position, each `(B, size)`: zeros."""
        return self.cell.get_initial_state(batch_size)

    def step(self, inputs, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position."""
        self._check_state(state, batch=inputs.shape[0])
        output, state = self.cell.advance(self.cell.project(inputs), state)
        return self._finish(output), state

    def prefill(self, inputs, state, mask=None):
        """Outputs `(B, n, D)` and next state for inputs `(B, n, D)` at the next n positions.

        Where the mask `(B, n)` is False the state stays as it was, and the output is zero.
        """
        self._check_state(state, batch=inputs.shape[0])
        mask = None if mask is None else ops.cast(mask, "bool")
        outputs, *state = self._loop(self.cell.project(masks.zero(inputs, mask)), initial_state=state, mask=mask)
        return masks.zero(self._finish(outputs), mask), state

    def memory_of(self, state):
        """What a state says, by name: `memory` `(B, N, d)`, the weights, and whatever else the mechanism keeps."""
        return self.cell.memory_of(state)

    def stored_state(self):
        """With `stateful`, the state that the next call starts from: tensors `(B, size)`."""
        self._check_stateful()
        return [ops.copy(ops.convert_to_tensor(stored)) for stored in self._stored]

    def reset_state(self):
        """With `stateful`, forgets: the next call starts as the first one did."""
        self._check_stateful()
        self._store(self.cell.get_initial_state(self._stored[0].shape[0]))

    def restore_state(self, state):
        """With `stateful`, makes the next call start from a state that `stored_state` gave.

        Raises:
            ValueError: for a state of another shape; what is stored stays as it was.
        """
        self._check_stateful()
        self._check_state(state, batch=self._stored[0].shape[0])
        self._store(state)

    def _make_stored(self, input_shape):
        if input_shape[0] is None:
            raise ValueError(
                f"A stateful {type(self).__name__} keeps one memory for each sequence of the batch, so that the batch "
                "size must be known: use `keras.Input(batch_shape=...)`. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self._stored = [
            self.add_weight(
                name=f"state_{index}",
                shape=(input_shape[0], size),
                initializer="zeros",
                trainable=False,
                dtype="float32",
                autocast=False,
            )
            for index, size in enumerate(self.cell.state_size)
        ]

    def _store(self, states):
        for stored, state in zip(self._stored, states):
            stored.assign(state)

    def load_own_variables(self, store):
        # Weights are the same with a stored memory and without. Where a file has none, it begins anew.
        states = [store[key] for key in sorted(store.keys(), key=int)]
        if self.stateful and states:
            self.restore_state(states)
        elif self.stateful:
            self.reset_state()

    def _check_stateful(self):
        if not self._stored:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} stores a state only with stateful=True and once it is built. "
                f"Received: stateful={self.stateful}, built={self.built}"
            )

    def _of_stored_batch(self, inputs):
        """The inputs, once it is sure that they are as many sequences as memories are stored for."""
        batch, stored = inputs.shape[0], self._stored[0].shape[0]
        if batch is None:
            # Known once it runs: nothing of the wrong batch can be put beside.
            return ops.concatenate([inputs, ops.zeros((stored, ops.shape(inputs)[1], 0), dtype=inputs.dtype)], axis=-1)
        if batch != stored:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} is stateful and stores memories for a batch of {stored}: call it "
                f"with as many sequences, or build another. Received: a batch of {batch}"
            )
        return inputs

    def _check_state(self, state, batch=None):
        sizes, shapes = self.cell.state_size, [tuple(x.shape) for x in state]
        batch = batch if batch is not None or not shapes else shapes[0][0]
        if shapes != [(batch, size) for size in sizes]:
            raise ValueError(
                f"A state of {type(self).__name__} {self.name!r} with {self.slots} slots of {self.slot_width} is a "
                f"list of tensors of shapes {[(batch, size) for size in sizes]}. Received: shapes {shapes}"
            )

    def get_config(self):
        options = {
            "slots": self.slots,
            "slot_width": self.slot_width,
            "read_heads": self.read_heads,
            "write_heads": self.write_heads,
            "controller": _as_data(self._controller),
            "units": self.units,
            "stateful": self.stateful,
        }
        return {**super().get_config(), **options}

    @classmethod
    def from_config(cls, config):
        return cls(**_with_controller(config))


class _Steps:
    """The cell on inputs that are projected already; if it shows, with the step's weights behind each output."""

    compute_dtype = "float32"

    def __init__(self, cell, shows):
        self._cell = cell
        self._shows = shows
        self.state_size = cell.state_size

    def call(self, projected, states):
        output, states = self._cell.advance(projected, list(states))
        if not self._shows:
            return output, states
        weights = self._cell.weights_of(self._cell.memory_of(states))
        return ops.concatenate([output, _flat(weights)], axis=-1), states

    __call__ = call


def _flat(x):
    """`(B, ...)` to `(B, size)`."""
    return ops.reshape(x, (-1, math.prod(x.shape[1:])))


def _unpacked(x, shapes):
    """Tensors by name and in their shapes from `(B, sum of sizes)`."""
    ends, end = [], 0
    for shape in shapes.values():
        end += math.prod(shape)
        ends.append(end)
    parts = ops.split(x, ends[:-1], axis=-1)
    return {
        name: part if len(shape) == 1 else ops.reshape(part, (-1, *shape))
        for (name, shape), part in zip(shapes.items(), parts)
    }


def _as_data(controller):
    return keras.saving.serialize_keras_object(controller) if hasattr(controller, "state_size") else controller


def _with_controller(config):
    controller = config.get("controller")
    if not isinstance(controller, dict):
        return config
    return {**config, "controller": keras.saving.deserialize_keras_object(controller)}
