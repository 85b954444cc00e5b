"""The contract every mechanism keeps: `tests/keras_attn/test_contract.py` has it clause by clause."""

import dataclasses
import functools
from collections.abc import Callable

import keras
from keras import ops

from keras_attn import masks, noise
from keras_attn.half import with_fractions
from keras_attn.lookup import known_values, number, whole_number


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a call asks of an explicit layer, beside its tensors and their padding."""

    attention_mask: object = None
    causal: bool = False
    #: True for all weights, or the indices of the queries whose weights are wanted.
    weights: object = False
    training: bool = None
    attention_bias: object = None
    segment_ids: object = None
    #: Two integers that make the random numbers; None for the layer's own next ones.
    seed: object = None


@dataclasses.dataclass(frozen=True)
class Mixing:
    """How an implicit layer moves information, where that is linear once its gates are known.

    Attributes:
        values: what is moved, `(B, S, C)`, from the inputs.
        mix: a linear function of values `(B, S, C)` to `(B, T, C)`, in which the gates for these inputs are held.
        read: the layer's output `(B, T, D)` from the mix.
        gated: whether `mix` depends on the inputs.
        dense: whether it mixes channels too; otherwise each channel stays by itself.
    """

    values: object
    mix: Callable
    read: Callable = lambda mix: mix
    gated: bool = True
    dense: bool = False


#: Methods beside `call` that say what is wrong if the layer has no weights yet.
NEED_WEIGHTS = ("initial_state", "step", "prefill", "prepare_memory", "finished")


def once_built(method):
    """A method of a layer that says, where the layer has not been built, that it must be, and how."""

    @functools.wraps(method)
    def checked(self, *args, **kwargs):
        if not self.built:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} has no weights yet: call it on inputs, or "
                f"`build((None, T, D))`, before `{method.__name__}`. Received: a layer that is not built"
            )
        return method(self, *args, **kwargs)

    return checked


class Mixer(keras.layers.Layer):
    """A layer that moves information between positions: `(B, T, D) -> (B, T, D)`.

    What stands at padded positions never reaches a real one, and padded positions of the output are zero.

    Attributes:
        kind: `"explicit"` if the layer computes weights over positions that can be shown, `"implicit"` if not.
        control: whether it is a yardstick that any real mechanism must beat.
        can_be_causal: whether `use_causal_mask=True` is possible.
        fixed_length: whether it works for the length it was built with only.
        can_step: whether it has `initial_state(batch_size, max_length)` and `step(inputs, state)`. All tensors of a
            state have the batch first, unless `prefill` is the layer's own.
        can_read: whether its queries may look at another sequence one after another (`attend_step`) and see what they
            would see all at once: each stands by itself, or goes on from the one before.
        parts: options that are mixers themselves: layers here, specs in `keras_attn.mixers`.
    """

    kind = None
    control = False
    can_be_causal = True
    fixed_length = False
    can_step = False
    can_read = False
    parts = ()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name in NEED_WEIGHTS:
            if name in vars(cls):
                setattr(cls, name, once_built(vars(cls)[name]))

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    @once_built
    def prefill(self, inputs, state, mask=None):
        """Outputs `(B, n, D)` and next state for inputs `(B, n, D)` at the next n positions, n known; see `step`.

        Where the mask `(B, n)` is False nothing happens: the row's state stays as it was, and the output is zero.
        """
        if mask is None:
            return self.go_on(inputs, state)
        mask = ops.cast(mask, "bool")
        inputs, outputs = masks.zero(inputs, mask), []
        for index in range(inputs.shape[1]):
            output, after = self.step(inputs[:, index], state)
            state = self._where(mask[:, index], after, state)
            outputs.append(output)
        return masks.zero(ops.stack(outputs, axis=1), mask), state

    def go_on(self, inputs, state):
        """Outputs `(B, n, D)` and next state for inputs `(B, n, D)` at the next n positions, all of them real.

        What `prefill` does where there is no padding: step by step, and at once in a layer that says how.
        """
        outputs = []
        for index in range(inputs.shape[1]):
            output, state = self.step(inputs[:, index], state)
            outputs.append(output)
        return ops.stack(outputs, axis=1), state

    def _where(self, real, after, before):
        """The state after for the rows that are `real` `(B,)`, and for the others the one before."""

        def choose(new, old):
            if tuple(new.shape) != tuple(old.shape):
                raise ValueError(
                    f"Where a mask is given, the state of {type(self).__name__} {self.name!r} must keep its shape: "
                    "make it with `initial_state(batch_size, max_length)`. "
                    f"Received: a state in which {tuple(old.shape)} becomes {tuple(new.shape)}"
                )
            return ops.where(ops.reshape(real, (-1, *(1 for _ in new.shape[1:]))), new, old)

        return keras.tree.map_structure(choose, after, before)

    def get_config(self):
        config = super().get_config()
        # Without it a quantized layer would look for the weights of an unquantized one in its file.
        quantized = {layer.path: _policy(layer) for layer in self._flatten_layers() if layer.quantization_mode}
        if quantized:
            config["dtype"] = keras.dtype_policies.DTypePolicyMap(_policy(self), quantized)
        return config

    def save_own_variables(self, store):
        # Keras saves this layer before those in it. Come back from a file, they have the map above for a policy; when
        # they save their kernels, they ask the map for its own mode and not for theirs, and it has none.
        for layer in self._flatten_layers(include_self=False):
            if isinstance(layer.dtype_policy, keras.dtype_policies.DTypePolicyMap):
                # Setting `dtype_policy` would write to the map and leave it where it is.
                layer._dtype_policy = _policy(layer)
        super().save_own_variables(store)

    def _check_room(self, position, count, length):
        """Raises if `count` more positions from `position` on are more than the `length` a state was made for.

        In code that is being compiled the position is not known, and only what can never fit is refused.

        Returns:
            The position, as a number if it is one that is known: on torch, writing to such a place is much quicker.
        """
        known = known_values(position)
        least = count + (0 if known is None else known.max()) if isinstance(count, int) else 0
        if isinstance(length, int) and least > length:
            raise ValueError(
                f"The state of {type(self).__name__} {self.name!r} was made for {length} positions: make it with "
                f"`initial_state(batch_size, max_length)` for as many as there will be. Received: {count} more"
                + ("" if known is None else f" after {known.max()}")
            )
        return position if known is None or known.ndim else int(known)

    def _as_computed(self, x):
        """`x` in the dtype that was promised: on torch, Keras's products of float64 are float32."""
        return ops.cast(x, self.compute_dtype)

    def _check_causal(self, use_causal_mask):
        if use_causal_mask and not self.can_be_causal:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} looks both ways and cannot be causal. "
                "Received: use_causal_mask=True."
            )


def _that_knows_its_inputs(build):
    """`build` of a layer that afterwards takes no other width than its weights are for, nor length if that is fixed."""

    @functools.wraps(build)
    def built(self, input_shape):
        build(self, input_shape)
        axes = {-1: input_shape[-1]} if self.weights else {}
        axes |= {1: input_shape[1]} if self.fixed_length else {}
        self.input_spec = keras.layers.InputSpec(ndim=3, axes=axes)

    return built


class Implicit(Mixer):
    """A mixer without weights over positions. A concrete layer says how it mixes, in `mixing`, or in
    `compute_mix` if it is not linear in any values.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; Keras fills it in from the inputs.
        use_causal_mask: whether position t may depend on positions up to t only.
        training: whether dropout acts.

    Returns:
        `(B, T, D)`, zero at padded positions.
    """

    kind = "implicit"

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "build" in vars(cls):
            cls.build = _that_knows_its_inputs(cls.build)

    def call(self, inputs, mask=None, use_causal_mask=False, training=None):
        self._check_causal(use_causal_mask)
        mask = None if mask is None else ops.cast(mask, "bool")
        inputs = masks.zero(with_fractions(inputs, self.compute_dtype), mask)
        if inputs.shape[1] == 0:
            # Nothing in, nothing out: many mechanisms would ask for the first position.
            return self._as_computed(inputs)
        mix = self.compute_mix(inputs, mask, use_causal_mask, training)
        return masks.zero(self._as_computed(mix), mask)

    def compute_mix(self, inputs, mask, causal, training):
        """The mix `(B, T, D)` of inputs that are zero where the mask (or None) is False."""
        mixing = self.mixing(inputs, mask, causal)
        if mixing is None:
            raise NotImplementedError(
                f"{type(self).__name__} must say how it mixes: define `mixing`, or `compute_mix` if it is not linear."
            )
        return mixing.read(mixing.mix(mixing.values))

    def mixing(self, inputs, mask, causal):
        """The `Mixing` of inputs as for `compute_mix`, or None where there is no such thing."""

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def compute_output_spec(self, inputs, mask=None, use_causal_mask=False, training=None):
        self._check_causal(use_causal_mask)
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)


class Explicit(Mixer):
    """A mixer that computes weights over positions. It is called like Keras's own attention layers.

    A concrete layer defines `compute_weights`, and `compute_mix` if the mix is more than weights times values. Where
    each pair of positions has a score of its own, subclass `keras_attn.pairwise.Pairwise` instead.

    Args:
        dropout: share of the weights dropped in training, in [0, 1).
        seed: an integer that makes the dropout repeatable.

    Call arguments:
        query: `(B, T, D)`, or a list `[query, value]` or `[query, value, key]`.
        value: `(B, S, Dv)`; None means self-attention (`value = query`).
        key: `(B, S, Dk)`; None means `key = value`.
        query_mask: boolean `(B, T)`; the output is zero where it is False.
        value_mask: boolean `(B, S)`; False is never looked at. In self-attention it is the query's mask.
        key_mask: boolean `(B, S)`; False is never looked at.
        attention_mask: boolean `(T, S)`, `(B, T, S)` or `(B, H, T, S)`, True where looking is allowed.
        use_causal_mask: whether to forbid looking at later positions. The last query stands at the last key.
        return_attention_scores: whether to return the weights too; a list of positions asks for those of these queries.
        training: whether dropout acts.
        mask: the query's mask, or a list of masks if the inputs are a list; Keras fills it in from the inputs.

    Returns:
        The mix `(B, T, Dv)`, and if asked for the weights `(B, H, T, S)` as they were before dropout. A row with
        nothing to look at has zero weights and a zero mix; those of a padded query, whose mix is zero, mean nothing.
    """

    kind = "explicit"
    can_read = True
    #: "positions" of the sequence; a `keras_attn.memory.slots.SlotMemory` has "slots".
    weights_over = "positions"
    #: "distribution": not negative, and each row sums to one; "nonnegative"; or "signed".
    weights_are = "distribution"
    #: Whether a free `attention_mask` has a meaning.
    takes_attention_mask = True
    #: Weights stand over this many learned rows first, then over the S positions.
    extra_keys = 0
    #: Keras's own layer of the same name returns weights without the axis of heads.
    squeeze_heads = False
    #: Whether positions may stand on several axes, `(B, ..., D)`.
    many_axes = False

    def __init__(self, dropout=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.dropout = number("dropout", dropout, 0.0, 1.0, "[)")
        self.seed = whole_number("seed", seed, least=0, optional=True)
        self._seeds = keras.random.SeedGenerator(self.seed) if dropout else None

    def compute_weights(self, query, key, value, mask, query_mask=None, training=None):
        """Weights `(B, H, T, S)`.

        `mask` is None or boolean and broadcasts to them; `query_mask` is None or `(B, T)`. What stands at padded
        positions of query, key and value is zero already.
        """
        raise NotImplementedError(f"{type(self).__name__} must say how it weighs: define `compute_weights`.")

    def compute_mix_alone(self, query, key, value, source_mask, causal):
        """The mix `(B, T, Dv)` without the weights, where there is a cheaper way; else None."""

    def compute_mix(self, weights, value, query):
        """What the weights make of the values: `(B, T, Dv)`."""
        return ops.matmul(weights[:, 0], value)

    def call(
        self,
        query,
        value=None,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        use_causal_mask=False,
        return_attention_scores=False,
        training=None,
        mask=None,
    ):
        asked = self._asked(
            attention_mask=attention_mask, causal=use_causal_mask, weights=return_attention_scores, training=training
        )
        return self._call((query, value, key), (query_mask, value_mask, key_mask), mask, asked)

    def _asked(self, **what):
        what["weights"] = asked_weights(what["weights"])
        return Asked(**what)

    def _call(self, tensors, by_hand, mask, asked):
        """The layer's answer to arguments as they came, in any of Keras's ways of giving them."""
        self._check_causal(asked.causal)
        if asked.attention_mask is not None and not self.takes_attention_mask:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} cannot forbid single pairs: pass `query_mask` and `value_mask` "
                f"instead. Received: attention_mask of shape {tuple(asked.attention_mask.shape)}"
            )
        query_mask, source_mask = self._sort_masks(*tensors[:2], mask, *by_hand)
        query, value, key = (with_fractions(x, self.compute_dtype) for x in self._sort_tensors(*tensors))
        self._check_heads(query, key, asked)
        asked = dataclasses.replace(asked, weights=among(asked.weights, query.shape[1]))
        if query.shape[1] == 0:
            mix, weights = self._of_no_queries(query, value, key)
        else:
            mix, weights = self._attend(query, value, key, query_mask, source_mask, asked)
        mix = self._as_computed(mix)
        if asked.weights:
            weights = self._as_computed(weights)
            return mix, weights[:, 0] if self.squeeze_heads else weights
        return mix

    def _of_no_queries(self, query, value, key):
        """The mix and the weights where there is no query, without asking a mechanism for its first position."""
        batch = ops.shape(query)[0]
        mix = self.compute_output_shape(tuple(query.shape), tuple(value.shape), tuple(key.shape))
        weights = self.compute_weights_shape(tuple(query.shape), tuple(key.shape))
        return ops.zeros((batch, *mix[1:])), ops.zeros((batch, *weights[1:]))

    def _check_heads(self, query, key, asked):
        """Raises for what is said of single heads if the layer has not so many."""
        for name in ("attention_mask", "attention_bias"):
            given = getattr(asked, name)
            if given is None or len(query.shape) != 3 or len(given.shape) != 4:
                continue
            heads = self.compute_weights_shape(tuple(query.shape), tuple(key.shape))[1]
            if given.shape[1] not in (1, heads, None):
                raise ValueError(
                    f"{type(self).__name__} {self.name!r} has {heads} head{'s' * (heads > 1)}, and `{name}` of shape "
                    f"(B, H, T, S) one for each, or one for all. Received: {tuple(given.shape)}"
                )

    def _attend(self, query, value, key, query_mask, source_mask, asked):
        """The mix, and the weights before dropout (None if not asked for, where that saves work)."""
        query, value, key = zero_padding(query, value, key, query_mask, source_mask)
        dropping = bool(asked.training and self.dropout)
        if not asked.weights and asked.attention_mask is None and not dropping:
            mix = self.compute_mix_alone(query, key, value, source_mask, asked.causal)
            if mix is not None:
                return masks.zero(mix, query_mask), None
        allowed = self._allowed(query, key, source_mask, asked)
        weights = self.compute_weights(query, key, value, allowed, query_mask=query_mask, training=asked.training)
        used = self._drop(weights, self._next_seed(asked)) if dropping else weights
        chosen = weights if isinstance(asked.weights, bool) else ops.take(weights, list(asked.weights), axis=2)
        return masks.zero(self.compute_mix(used, value, query), query_mask), chosen

    def _next_seed(self, asked):
        return self._seeds.next() if asked.seed is None else asked.seed

    def _drop(self, weights, seed):
        """Weights `(B, H, T, S)` without those that are dropped; a seed of None drops none."""
        return weights if seed is None or not self.dropout else noise.dropout(weights, self.dropout, seed)

    @once_built
    def prepare_memory(self, memory, memory_mask=None):
        """What `attend_step` needs to know of a memory `(B, S, Dm)`, computed once: tensors with the batch first."""
        prepared = {"memory": masks.zero(memory, memory_mask)}
        return prepared if memory_mask is None else {**prepared, "mask": ops.cast(memory_mask, "bool")}

    def memory_state(self, prepared):
        """What one query leaves to the next, before the first one: tensors with the batch first."""
        return ()

    def attend_step(self, query, prepared, state, seed=None):
        """One query after another over a memory, as a decoder asks that knows the next query only from the last answer.

        Args:
            query: `(B, D)`.
            prepared: what `prepare_memory` returned.
            state: what `memory_state` or the last `attend_step` returned.
            seed: in training two integers that make this step's random numbers; None for no training.

        Returns:
            The mix `(B, Dv)`, the weights `(B, H, S)` before dropout, and the next state.
        """
        asked = Asked(weights=True, training=seed is not None, seed=seed)
        memory = prepared["memory"]
        mix, weights = self._attend(query[:, None], memory, memory, None, prepared.get("mask"), asked)
        return mix[:, 0], weights[:, :, 0], state

    def _allowed(self, query, key, source_mask, asked):
        """Who may look at whom: None or a boolean mask that broadcasts to the weights."""
        lengths = ops.shape(query)[1], ops.shape(key)[1]
        return masks.combine(
            None if source_mask is None else masks.padding(source_mask),
            masks.causal(*lengths) if asked.causal else None,
            None if asked.attention_mask is None else masks.given(asked.attention_mask),
        )

    def _sort_tensors(self, query, value, key):
        """Query, value and key from Keras's three ways of giving them."""
        if isinstance(query, (list, tuple)):
            self._check_list("inputs list", query, "[query, value] or [query, value, key]")
            query, value, key = (*query, None)[:3]
        value = query if value is None else value
        key = value if key is None else key
        self._sort_shapes(*(tuple(x.shape) for x in (query, value, key)))
        return query, value, key

    def _sort_masks(self, query, value, mask, query_mask, value_mask, key_mask):
        """The query's mask `(B, T)` and that of what it looks at `(B, S)`, each boolean or None."""
        if isinstance(query, (list, tuple)):
            if isinstance(query_mask, (list, tuple)):
                # Keras's own filling-in, where there are other tensors beside the list.
                mask, query_mask = query_mask if mask is None else mask, None
            listed = self._sort_mask_list(mask)
            by_hand = (query_mask, value_mask, key_mask)
            query_mask, value_mask, key_mask = map(masks.combine, listed, by_hand)
        elif query_mask is None:
            query_mask = mask
        if value is None and value_mask is None and not isinstance(query, (list, tuple)):
            value_mask = query_mask
        query_mask, value_mask, key_mask = (
            None if m is None else ops.cast(m, "bool") for m in (query_mask, value_mask, key_mask)
        )
        return query_mask, masks.combine(value_mask, key_mask)

    def _sort_mask_list(self, mask):
        if mask is None:
            return None, None, None
        if not isinstance(mask, (list, tuple)):
            raise ValueError(
                f"{type(self).__name__} was called on a list of inputs, so that the layer mask must be a list too: "
                f"[query_mask, value_mask]. Received: mask={mask}"
            )
        self._check_list("mask list", mask, "[query_mask, value_mask] or [query_mask, value_mask, key_mask]")
        return (*mask, None)[:3]

    def _check_list(self, what, items, right):
        if len(items) not in (2, 3):
            raise ValueError(
                f"{type(self).__name__} accepts an {what} of length 2 or 3, {right}. Received length: {len(items)}"
            )

    def build(self, query_shape, value_shape=None, key_shape=None):
        self.build_weights(*self._sort_shapes(query_shape, value_shape, key_shape))
        self.built = True

    def build_weights(self, query_shape, value_shape, key_shape):
        """Makes the layer's weights, if it has any."""

    def compute_output_shape(self, query_shape, value_shape=None, key_shape=None):
        query_shape, value_shape, _ = self._sort_shapes(query_shape, value_shape, key_shape)
        return (*query_shape[:-1], value_shape[-1])

    def compute_weights_shape(self, query_shape, key_shape):
        """The shape of `compute_weights` for queries `(B, T, D)` and keys `(B, S, Dk)`."""
        sources = None if key_shape[1] is None else self.extra_keys + key_shape[1]
        return (query_shape[0], 1, query_shape[1], sources)

    def compute_output_spec(
        self,
        query,
        value=None,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        use_causal_mask=False,
        return_attention_scores=False,
        **kwargs,
    ):
        self._check_causal(use_causal_mask)
        query, value, key = self._sort_tensors(query, value, key)
        shapes = tuple(query.shape), tuple(value.shape), tuple(key.shape)
        mix = keras.KerasTensor(self.compute_output_shape(*shapes), dtype=self.compute_dtype)
        chosen = among(asked_weights(return_attention_scores), query.shape[1])
        if not chosen:
            return mix
        shape = self.compute_weights_shape(shapes[0], shapes[2])
        if chosen is not True:
            shape = (*shape[:2], len(chosen), *shape[3:])
        shape = (shape[0], *shape[2:]) if self.squeeze_heads else shape
        return mix, keras.KerasTensor(shape, dtype=self.compute_dtype)

    def compute_mask(self, query, mask=None):
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        return None if mask is None else ops.convert_to_tensor(mask)

    def get_config(self):
        return {**super().get_config(), "dropout": self.dropout, "seed": self.seed}

    def _sort_shapes(self, query_shape, value_shape, key_shape):
        if isinstance(query_shape[0], (list, tuple)):
            query_shape, value_shape, key_shape = (*query_shape, None)[:3]
        value_shape = query_shape if value_shape is None else value_shape
        key_shape = value_shape if key_shape is None else key_shape
        if tuple(value_shape[1:-1]) != tuple(key_shape[1:-1]):
            raise ValueError(
                "All axes of `value` and `key` but the first and the last must be equal. "
                f"Received: value_shape={value_shape}, key_shape={key_shape}"
            )
        shapes = query_shape, value_shape, key_shape
        if any(len(shape) < 3 or (len(shape) > 3 and not self.many_axes) for shape in shapes):
            raise ValueError(
                "Attention goes over positions: query, value and key have shapes (batch, positions, width). "
                f"Received: {', '.join(str(tuple(shape)) for shape in shapes)}"
            )
        return tuple(query_shape), tuple(value_shape), tuple(key_shape)


def _policy(layer):
    policy = layer.dtype_policy
    return policy[layer.path] if isinstance(policy, keras.dtype_policies.DTypePolicyMap) else policy


def asked_weights(weights):
    """What `return_attention_scores` asks for: True, False, or a tuple of positions."""
    chosen = isinstance(weights, (list, tuple, range)) or getattr(weights, "ndim", 0) == 1
    return tuple(map(int, weights)) if chosen else bool(weights)


def among(positions, length):
    """What `asked_weights` said, with positions of `length` queries counted from the first.

    Raises:
        ValueError: if there are none, or others than those.
    """
    if isinstance(positions, bool):
        return positions
    if not positions or (length is not None and not all(-length <= place < length for place in positions)):
        raise ValueError(
            f"`return_attention_scores` is True, False, or positions of the {'' if length is None else f'{length} '}"
            f"queries. Received: {list(positions)}"
        )
    return positions if length is None else tuple(place % length for place in positions)


def zero_padding(query, value, key, query_mask, source_mask):
    """Zeros at padded positions, before any product: zero times NaN is NaN, in the backward pass too."""
    zeroed_value = masks.zero(value, source_mask)
    zeroed_key = zeroed_value if key is value else masks.zero(key, source_mask)
    return masks.zero(query, query_mask), zeroed_value, zeroed_key
