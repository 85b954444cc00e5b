"""Attention inside a recurrence: what is looked at depends on the state, and the state on what was looked at."""

import keras
from keras import ops

from keras_attn import masks, mixers
from keras_attn.lookup import choose, flag, whole_number
from keras_attn.mixer import once_built

ORDERS = ("luong", "bahdanau")


@keras.saving.register_keras_serializable(package="keras_attn")
class AttentionDecoder(keras.layers.Layer):
    """A recurrent cell that looks at a memory, by one mechanism or several, at each of its steps.

    "luong": the cell steps, then looks. `h_t = cell([x_t; h~_{t-1}], h_{t-1})`, the query h_t finds the context c_t,
    and the output is the attentional vector `h~_t = tanh(W [c_t; h_t])`. Without `input_feeding` the cell gets x_t
    alone.

    "bahdanau": the decoder looks, then the cell steps. The query h_{t-1} finds c_t, `h_t = cell([x_t; c_t], h_{t-1})`,
    and the output is that of the cell, or with `units` the attentional vector of c_t and h_t.

    The contexts of several mechanisms stand side by side. A mechanism that goes on from where it last looked
    (`location_sensitive`, `monotonic`, `gaussian_window`) does so here. One with positions or a pattern is asked as if
    the query stood at the last key. A state at a padded step stays as it was.

    Args:
        cell: any Keras cell, such as `keras.layers.GRUCell(256)` or `keras.layers.StackedRNNCells([...])`. The query is
            its output; for a step that looks first the first part of its (for stacked cells: its last cell's) state.
        attention: an explicit mixer, its name or its spec from `keras_attn.mixers`; or a list of them.
        order: "luong" or "bahdanau".
        input_feeding: whether the last attentional vector enters the cell ("luong" only); None for the order's own way.
        units: width of the attentional vector, at least 1; None for the cell's width ("luong") or for no such vector
            ("bahdanau").
        seed: an integer that makes the mechanisms' dropout and noise repeatable. The cell's dropout has the cell's own.

    Call arguments:
        inputs: `(B, T, D)`, the cell's inputs: in training the targets so far.
        memory: `(B, S, Dm)`, what is looked at: the encoder's outputs.
        inputs_mask: boolean `(B, T)`, False at padded steps; Keras fills it in from the inputs.
        memory_mask: boolean `(B, S)`, False is never looked at; Keras fills it in from the memory.
        cell_state: the cell's first state, as `keras.layers.RNN(return_state=True)` gives an encoder's last, in a list;
            None for the cell's own, zeros.
        return_attention_scores: whether to return the weights too.
        training: whether dropout acts.

    Returns:
        `(B, T, units)`, zero at padded steps, and if asked for the weights as they were before dropout:
        `(B, T, H, S)`, or a list of such where `attention` is a list.

    Step by step, once built: `state = decoder.initial_state(memory)`, then `output, state = decoder.step(x, state)`.
    A prompt goes in at once with `decoder.prefill`, and `keras_attn.decoding.reorder` serves beams.

    Example:
    >>> decoder = AttentionDecoder(keras.layers.GRUCell(8), ["additive", {"mixer": "multi_head", "num_heads": 2}])
    >>> inputs, memory = keras.random.normal((2, 3, 5)), keras.random.normal((2, 7, 4))
    >>> outputs, (additive, multi_head) = decoder(inputs, memory, return_attention_scores=True)
    >>> tuple(outputs.shape), tuple(additive.shape), tuple(multi_head.shape)
    ((2, 3, 8), (2, 3, 1, 7), (2, 3, 2, 7))
    >>> output, state = decoder.step(inputs[:, 0], decoder.initial_state(memory))
    >>> tuple(output.shape)
    (2, 8)

    Reference: Luong et al., 2015, https://arxiv.org/abs/1508.04025, eq. 5 and section 3.3 (input feeding); Bahdanau et
    al., 2015, https://arxiv.org/abs/1409.0473, appendix A.2.2.
    """

    def __init__(self, cell, attention, order="luong", input_feeding=None, units=None, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        # With XLA on tensorflow the gradient of most mechanisms needs a batch size that is known when it compiles: so
        # Keras does not choose XLA by itself.
        self.supports_jit = keras.config.backend() != "tensorflow"
        if not hasattr(cell, "state_size") or isinstance(cell, (type, keras.layers.RNN)):
            raise ValueError(f"`cell` must be a Keras cell, such as keras.layers.GRUCell(256). Received: cell={cell!r}")
        self.cell = cell
        self.mechanisms = [self._mechanism(item) for item in _listed(attention)]
        if not self.mechanisms:
            raise ValueError("`attention` must name at least one mechanism. Received: attention=[]")
        self.is_list = isinstance(attention, (list, tuple))
        self.order = choose("order", order, ORDERS)
        self.input_feeding = None if input_feeding is None else flag("input_feeding", input_feeding)
        self.units = whole_number("units", units, optional=True)
        self.seed = seed
        if input_feeding and order == "bahdanau":
            raise ValueError(
                'Input feeding is for the order "luong": in "bahdanau" the context enters the cell already. '
                f"Received: input_feeding={input_feeding}"
            )
        self._seeds = keras.random.SeedGenerator(seed)
        self._loop_cell = _Cell(self._step)
        self.loop = keras.layers.RNN(
            self._loop_cell, return_sequences=True, return_state=True, dtype="float32", name="loop"
        )

    def _mechanism(self, item):
        layer = mixers.get(item, dtype=self.dtype_policy) if isinstance(item, (str, dict)) else item
        if isinstance(layer, type) or not hasattr(layer, "attend_step"):
            raise ValueError(
                "`attention` must be an explicit mixer, its name or its spec (such as "
                f"{', '.join(mixers.names('explicit')[:3])}), or a list of them. Received: {item!r}"
            )
        return layer

    @property
    def _feeds(self):
        return self.order == "luong" if self.input_feeding is None else self.input_feeding

    @property
    def _cell_width(self):
        size = getattr(self.cell, "output_size", None)
        return keras.tree.flatten(self.cell.state_size)[0] if size is None else size

    @property
    def _width(self):
        return self.units or self._cell_width

    def build(self, inputs_shape, memory_shape, cell_state_shape=None):
        query_shape = (inputs_shape[0], 1, self._cell_width)
        contexts = 0
        for mechanism in self.mechanisms:
            if not mechanism.built:
                mechanism.build(query_shape, memory_shape)
            contexts += mechanism.compute_output_shape(query_shape, memory_shape)[-1]
        entering = contexts if self.order == "bahdanau" else self._width if self._feeds else 0
        if not self.cell.built:
            self.cell.build((inputs_shape[0], inputs_shape[-1] + entering))
        self.combine = None
        if self.order == "luong" or self.units:
            self.combine = keras.layers.Dense(
                self._width, activation="tanh", use_bias=False, name="combine", dtype=self.dtype_policy
            )
            self.combine.build((None, contexts + self._cell_width))
        self.built = True

    def call(
        self,
        inputs,
        memory,
        inputs_mask=None,
        memory_mask=None,
        cell_state=None,
        return_attention_scores=False,
        training=None,
    ):
        state = self.initial_state(memory, memory_mask, cell_state)
        outputs, weights, _ = self._run(inputs, state, inputs_mask, return_attention_scores, training)
        return (outputs, weights) if return_attention_scores else outputs

    @once_built
    def initial_state(self, memory, memory_mask=None, cell_state=None):
        """The state before the first step: a dictionary of tensors, each with the batch first.

        Args:
            memory: `(B, S, Dm)`.
            memory_mask: boolean `(B, S)`, False is never looked at, or None.
            cell_state: the cell's state, or None for the cell's own first one.
        """
        memory = ops.cast(memory, self.compute_dtype)
        prepared = [mechanism.prepare_memory(memory, memory_mask) for mechanism in self.mechanisms]
        batch = ops.shape(memory)[0]
        state = {
            # What no step changes stands apart from what does.
            "memory": prepared,
            "cell": self._cell_state(batch, cell_state),
            "queries": [layer.memory_state(known) for layer, known in zip(self.mechanisms, prepared)],
        }
        if self._feeds:
            state["fed"] = ops.zeros((batch, self._width), dtype=self.compute_dtype)
        return state

    def _cell_state(self, batch, given):
        state = self._zeros(batch) if given is None else given
        state = list(state) if keras.tree.is_nested(state) else [state]
        return keras.tree.map_structure(lambda x: ops.cast(x, self.compute_dtype), state)

    def _zeros(self, batch):
        if hasattr(self.cell, "get_initial_state"):
            return self.cell.get_initial_state(batch_size=batch)
        return keras.tree.map_structure(lambda width: ops.zeros((batch, width)), self.cell.state_size)

    def step(self, inputs, state, return_attention_scores=False):
        """One step: the output `(B, units)` for inputs `(B, D)`, and the next state.

        With `return_attention_scores` the weights `(B, H, S)`, or a list of them, stand between the two.
        """
        output, weights, moving = self._step(inputs, state)
        state = {**state, **moving}
        return (output, self._as_given(weights), state) if return_attention_scores else (output, state)

    def prefill(self, inputs, state, mask=None, return_attention_scores=False):
        """Several steps: the outputs `(B, n, units)` for inputs `(B, n, D)`, and the state after the last.

        With a `mask` `(B, n)` a step at which it is False leaves the state as it was. With `return_attention_scores`
        the weights `(B, n, H, S)`, or a list of them, stand between the two.
        """
        outputs, weights, state = self._run(inputs, state, mask, return_attention_scores)
        return (outputs, weights, state) if return_attention_scores else (outputs, state)

    def _step(self, inputs, state, seed=None):
        """Output, weights, and the parts of the state that move on."""
        inputs = ops.cast(inputs, self.compute_dtype)
        if self.order == "bahdanau":
            context, weights, queries = self._look(_first_of_last(self.cell, state["cell"]), state, seed)
            hidden, cell = self.cell(ops.concatenate([inputs, context], axis=-1), state["cell"])
        else:
            entering = ops.concatenate([inputs, state["fed"]], axis=-1) if self._feeds else inputs
            hidden, cell = self.cell(entering, state["cell"])
            context, weights, queries = self._look(hidden, state, seed)
        # c before h, as in the paper
        output = hidden if self.combine is None else self.combine(ops.concatenate([context, hidden], axis=-1))
        return output, weights, {"cell": cell, "queries": queries, **({"fed": output} if self._feeds else {})}

    def _look(self, query, state, seed):
        """The contexts side by side, and a list each of the mechanisms' weights and states."""
        looks = []
        for index, (mechanism, known, last) in enumerate(zip(self.mechanisms, state["memory"], state["queries"])):
            own_seed = None if seed is None else (seed[0] + index, seed[1])
            looks.append(mechanism.attend_step(query, known, last, own_seed))
        contexts, weights, queries = zip(*looks)
        context = ops.cast(ops.concatenate(contexts, axis=-1), self.compute_dtype)
        return context, [ops.cast(x, self.compute_dtype) for x in weights], list(queries)

    def _run(self, inputs, state, mask, with_weights, training=None):
        """All steps: the outputs, the weights (None if not asked for) and the state after the last."""
        inputs = masks.zero(ops.cast(inputs, self.compute_dtype), mask)
        seed = ops.cast(self._seeds.next(), "int32") if training else None
        first = None
        if with_weights or training:
            # Tells the weights' shapes, and the cell draws the dropout that it keeps for all steps.
            first = self._step(inputs[:, 0], state, seed)[1]
        start = self._loop_cell.begin(state, seed, mask is not None, with_weights)
        if mask is not None:
            real = ops.cast(ops.expand_dims(mask, -1), inputs.dtype)
            inputs = ops.concatenate([inputs, real], axis=-1)
        packed, *last = self.loop(inputs, initial_state=start, training=training)
        state = self._loop_cell.end(last)
        _forget_dropout(self.cell)
        outputs = masks.zero(ops.cast(packed[..., : self._width], self.compute_dtype), mask)
        weights = self._as_given(_unpack(masks.zero(packed[..., self._width :], mask), first)) if with_weights else None
        return outputs, weights, state

    def _as_given(self, weights):
        return weights if self.is_list else weights[0]

    def compute_mask(self, inputs, mask=None):
        return mask

    def compute_output_shape(self, inputs_shape, memory_shape, cell_state_shape=None):
        return (*inputs_shape[:-1], self._width)

    def compute_output_spec(
        self,
        inputs,
        memory,
        inputs_mask=None,
        memory_mask=None,
        cell_state=None,
        return_attention_scores=False,
        training=None,
    ):
        spec = lambda *shape: keras.KerasTensor(shape, dtype=self.compute_dtype)  # noqa: E731
        outputs = spec(*inputs.shape[:-1], self._width)
        if not return_attention_scores:
            return outputs
        weights = []
        for mechanism in self.mechanisms:
            shape = mechanism.compute_weights_shape((inputs.shape[0], 1, self._cell_width), tuple(memory.shape))
            weights.append(spec(*inputs.shape[:-1], shape[1], shape[3]))
        return outputs, self._as_given(weights)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "cell": serialize(self.cell),
            "attention": self._as_given([serialize(mechanism) for mechanism in self.mechanisms]),
            "order": self.order,
            "input_feeding": self.input_feeding,
            "units": self.units,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        deserialize = keras.saving.deserialize_keras_object
        attention = config["attention"]
        attention = [deserialize(x) for x in attention] if isinstance(attention, list) else deserialize(attention)
        return cls(**{**config, "cell": deserialize(config["cell"]), "attention": attention})


def _listed(attention):
    return list(attention) if isinstance(attention, (list, tuple)) else [attention]


def _first_of_last(cell, state):
    """The first part of a cell's state; of stacked cells that of the last one."""
    return keras.tree.flatten(state[-1] if hasattr(cell, "cells") else state)[0]


def _forget_dropout(cell):
    """Keras's cells keep one pattern of dropout for all steps of a sequence."""
    for each in getattr(cell, "cells", [cell]):
        if hasattr(each, "reset_dropout_mask"):
            each.reset_dropout_mask()
            each.reset_recurrent_dropout_mask()


class _Cell:
    """A decoder's step as a cell for the loop of a recurrent layer.

    That loop is the one that compiles and differentiates at an unknown length on every backend (with XLA on tensorflow
    most mechanisms need the batch size), and it is narrow: one tensor in, one tensor out, and a list of states of one
    dtype. So all is packed, in float32, where nothing loses anything: the inputs with their mask, the output with the
    weights. The last state counts the steps. What no step changes is not handed on from step to step but stands here
    from `begin` to `end`.
    """

    compute_dtype = "float32"
    # Keras asks for sizes, and reads them only where the first states are not given.
    state_size = (1,)

    def __init__(self, step):
        self.step = step

    def begin(self, state, seed, has_mask, with_weights):
        """The list of states before the first step."""
        self.state = state
        self.seed = seed
        self.has_mask = has_mask
        self.with_weights = with_weights
        return [*(ops.cast(x, "float32") for x in keras.tree.flatten(_moving(state))), ops.zeros((1,))]

    def end(self, states):
        """The decoder's state after the last step."""
        state = self._unpack(states[:-1])
        self.state = self.seed = None
        return state

    def call(self, inputs, states):
        *before, time = states
        real, inputs = (inputs[:, -1:] > 0.5, inputs[:, :-1]) if self.has_mask else (None, inputs)
        seed = None if self.seed is None else (self.seed[0], self.seed[1] + ops.cast(time[0], "int32"))
        output, weights, moving = self.step(inputs, self._unpack(before), seed)
        after = [ops.cast(x, "float32") for x in keras.tree.flatten(moving)]
        if real is not None:
            after = [_where(real, new, old) for new, old in zip(after, before)]
        outputs = [output, *(weights if self.with_weights else [])]
        outputs = [ops.cast(ops.reshape(x, (ops.shape(x)[0], -1)), "float32") for x in outputs]
        return ops.concatenate(outputs, axis=-1), [*after, time + 1.0]

    __call__ = call

    def _unpack(self, states):
        moving = _moving(self.state)
        cast = [ops.cast(x, like.dtype) for x, like in zip(states, keras.tree.flatten(moving))]
        return {**self.state, **keras.tree.pack_sequence_as(moving, cast)}


def _moving(state):
    """The parts of a decoder's state that its steps change."""
    return {name: part for name, part in state.items() if name != "memory"}


def _where(real, new, old):
    """`new` `(B, ...)` where `real` `(B, 1)`, else `old`."""
    return ops.where(ops.reshape(real, (-1, *(1 for _ in new.shape[1:]))), new, old)


def _unpack(packed, first):
    """Weights `(B, T, H, S)` from those side by side `(B, T, ...)`, each shaped as the first step's `(B, H, S)`."""
    weights, start = [], 0
    for x in first:
        _, heads, sources = ops.shape(x)
        stop = start + heads * sources
        batch, steps = ops.shape(packed)[:2]
        weights.append(ops.cast(ops.reshape(packed[..., start:stop], (batch, steps, heads, sources)), x.dtype))
        start = stop
    return weights
