import math

import keras
from keras import ops

from keras_attn.lookup import choose, whole_number
from keras_attn.memory import addressing
from keras_attn.memory.recurrent import MemoryCell, RecurrentMemory

#: What stands in every slot at first, where that is not learned.
CONSTANT = 1e-6
INITIAL_MEMORIES = ("constant", "learned")


@keras.saving.register_keras_serializable(package="keras_attn")
class NeuralTuringMachineCell(MemoryCell):
    """One step of a neural Turing machine, for `keras.layers.RNN`; see `NeuralTuringMachine`.

    Its output is `[h_t; r_t]`, what the controller says and what the heads have read. It computes in float32 whatever
    the policy; a `keras.layers.RNN` around it rounds states that it returns or stores to its own, so under a mixed
    policy give it `dtype="float32"`.

    Args:
        units: width of the controller, at least 1; a cell as controller has its own.
        slots: N, at least 1.
        slot_width: d, at least 1.
        read_heads: how many heads read, at least 1.
        write_heads: how many heads write, at least 1.
        shift: how far a head moves in one step, at least 0; `2 shift + 1` at most `slots`.
        controller: "lstm", "gru", "feed_forward", or one of Keras's recurrent cells.
        initial_memory: "constant" (1e-6 everywhere) or "learned".

    Call arguments:
        inputs: `(B, D)`.
        states: what `get_initial_state(batch_size)` or the last call gave, each `(B, size)`.

    Returns:
        `(B, units + read_heads d)` and the next states, of which the output is the first.

    Example:
    >>> layer = keras.layers.RNN(NeuralTuringMachineCell(units=8, slots=11, slot_width=5), return_sequences=True)
    >>> tuple(layer(keras.random.normal((2, 7, 3))).shape)
    (2, 7, 13)

    Reference: Graves et al., 2014, https://arxiv.org/abs/1410.5401, section 3.
    """

    def __init__(
        self,
        units,
        slots=32,
        slot_width=16,
        read_heads=1,
        write_heads=1,
        shift=1,
        controller="lstm",
        initial_memory="constant",
        **kwargs,
    ):
        super().__init__(units, slots, slot_width, read_heads, write_heads, controller, **kwargs)
        self.shift = whole_number("shift", shift, least=0)
        self.initial_memory_from = choose("initial memory", initial_memory, INITIAL_MEMORIES)
        if 2 * shift + 1 > slots:
            raise ValueError(
                f"With {slots} slots a shift is at most {(slots - 1) // 2}: further it would meet itself. "
                f"Received: shift={shift}"
            )

    @property
    def interface(self):
        heads = self.read_heads + self.write_heads
        return {
            "keys": (heads, self.slot_width),
            "strengths": (heads,),
            "gates": (heads,),
            "shifts": (heads, 2 * self.shift + 1),
            "exponents": (heads,),
            "erase": (self.write_heads, self.slot_width),
            "add": (self.write_heads, self.slot_width),
        }

    @property
    def memory_shapes(self):
        return {
            "memory": (self.slots, self.slot_width),
            "weights": (self.read_heads + self.write_heads, self.slots),
        }

    def build(self, input_shape):
        super().build(input_shape)
        shapes = self.memory_shapes
        self.first_weights = self.add_weight(
            name="first_weights", shape=shapes["weights"], initializer=_mostly_at_the_first, autocast=False
        )
        if self.initial_memory_from == "learned":
            self.first_memory = self.add_weight(name="first_memory", shape=shapes["memory"], autocast=False)

    def initial_memory(self):
        learned = self.initial_memory_from == "learned"
        return {
            "memory": ops.convert_to_tensor(self.first_memory) if learned else CONSTANT,
            "weights": ops.softmax(ops.convert_to_tensor(self.first_weights), axis=-1),
        }

    def access(self, asked, memory):
        content = addressing.content_weights(
            ops.tanh(asked["keys"]), ops.softplus(asked["strengths"]), memory["memory"]
        )
        weights = addressing.interpolate(content, memory["weights"], ops.sigmoid(asked["gates"]))
        weights = addressing.shift(weights, ops.softmax(asked["shifts"], axis=-1))
        weights = addressing.sharpen(weights, 1.0 + ops.softplus(asked["exponents"]))
        reads = addressing.read(memory["memory"], weights[:, : self.read_heads])
        written = addressing.write(
            memory["memory"], weights[:, self.read_heads :], ops.sigmoid(asked["erase"]), ops.tanh(asked["add"])
        )
        return reads, {"memory": written, "weights": weights}

    def weights_of(self, memory):
        return memory["weights"]

    def get_config(self):
        return {**super().get_config(), "shift": self.shift, "initial_memory": self.initial_memory_from}


@keras.saving.register_keras_serializable(package="keras_attn")
class NeuralTuringMachine(RecurrentMemory):
    """A neural Turing machine: a controller with heads that move over a memory, reading and writing.

    Each head finds its weights w over the slots by content and by where it was:
    `w_c = softmax(β cos(k, M_{t-1}))`, `w_g = g w_c + (1 - g) w_{t-1}`, `w_s(i) = Σ_o s(o) w_g(i - o)` around the end,
    and `w(i) = w_s(i)^γ / Σ_j w_s(j)^γ`. First is read, `r_t = Σ_i w(i) M_{t-1}(i)`, then written,
    `M_t = M_{t-1} ∘ (1 - w e') + w a'`. The controller sees `x_t` and `r_{t-1}`; the output is `W [h_t; r_t] + b`.

    `k` and `a` are bent by tanh, `g` and `e` by sigmoid, `s` by softmax, `β = softplus`, `γ = 1 + softplus`, all of
    what is held within ±20. The heads' first weights are learned, from mostly at slot 0 on. It is a recurrence, always
    causal; padded positions leave state and memory as they are. State and memory are float32 whatever the policy.

    Args:
        slots: N, at least 1.
        slot_width: d, at least 1.
        read_heads: how many heads read, at least 1.
        write_heads: how many heads write, at least 1; all erase, then all add.
        shift: how far a head moves in one step, at least 0; `2 shift + 1` at most `slots`.
        controller: "lstm", "gru", "feed_forward", or one of Keras's recurrent cells.
        units: width of the controller, at least 1; None for that of the inputs.
        initial_memory: "constant" (1e-6 everywhere) or "learned".
        stateful: whether a call starts with the memory that the last one left; see `reset_state`, `stored_state` and
            `restore_state`. The batch size must then be known and stay.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions.
        use_causal_mask: changes nothing.
        return_attention_scores: whether to return the weights `(B, H, T, N)` too, H counting the reading heads first,
            then the writing ones.

    Returns:
        `(B, T, D)`, zero at padded positions.

    Example:
    >>> layer = NeuralTuringMachine(slots=11, slot_width=5, read_heads=2)
    >>> mix, weights = layer(keras.random.normal((2, 7, 3)), return_attention_scores=True)
    >>> tuple(mix.shape), tuple(weights.shape)
    ((2, 7, 3), (2, 3, 7, 11))

    Reference: Graves et al., 2014, https://arxiv.org/abs/1410.5401, eq. 2-9; Collier and Beel, 2018,
    https://arxiv.org/abs/1807.08518 (the initial memory).
    """

    def __init__(
        self,
        slots=32,
        slot_width=16,
        read_heads=1,
        write_heads=1,
        shift=1,
        controller="lstm",
        units=None,
        initial_memory="constant",
        stateful=False,
        **kwargs,
    ):
        self.shift = shift
        self.initial_memory = initial_memory
        super().__init__(slots, slot_width, read_heads, write_heads, controller, units, stateful, **kwargs)

    def make_cell(self, units):
        return NeuralTuringMachineCell(
            units,
            self.slots,
            self.slot_width,
            self.read_heads,
            self.write_heads,
            self.shift,
            self.controller,
            self.initial_memory,
            name="cell",
        )

    def get_config(self):
        return {**super().get_config(), "shift": self.shift, "initial_memory": self.initial_memory}


def _mostly_at_the_first(shape, dtype=None):
    """Logits of which a softmax is 0.9 at slot 0: slots that were all alike would stay so."""
    first = ops.arange(shape[-1]) == 0
    logits = math.log(9.0 * max(1, shape[-1] - 1)) * ops.cast(first, dtype or "float32")
    # A product, for a tensor that was broadcast cannot be trained on torch.
    return logits * ops.ones(shape, dtype=logits.dtype)
