"""Adaptive computation time: a layer applied again and again, at each position as often as that position needs."""

import inspect

import keras
from keras import ops

from keras_attn import masks, mixers, positions
from keras_attn.half import with_fractions
from keras_attn.lookup import flag, number, whole_number


def repeat(transition, halt, state, mask, max_steps, epsilon):
    """Applies a transition until each position has had enough.

    With h_n the halting unit after step n, a position stops at N, the first n with Σ_{m<=n} h_m >= 1 - ε, or at
    `max_steps`. Its output is Σ_n p_n s_n with p_n = h_n before N and p_N = R = 1 - Σ_{n<N} h_n, so that Σ_n p_n = 1.
    A position that has stopped keeps its state, and the others go on seeing it.

    Args:
        transition: from a state `(..., D)` and the number of the step, from zero, to the next state.
        halt: from a state to h, `(..., 1)` in (0, 1), float32.
        state: `(..., D)`, zero where the mask is False.
        mask: boolean `(...)`, True for real positions, or None.
        max_steps: at least 1.
        epsilon: ε, in (0, 1).

    Returns:
        The output `(..., D)`, the numbers of steps N `(...)` and the remainders R `(...)`, all zero where the mask is
        False. N and R are in float32; only R has a gradient.
    """
    running = ops.ones_like(state[..., 0], dtype="bool") if mask is None else mask
    output = ops.zeros_like(state, dtype="float32")
    spent = remainder = steps = ops.zeros_like(state[..., 0], dtype="float32")
    for n in range(max_steps):
        state = ops.where(running[..., None], same_shape(transition(state, n), state), state)
        h = halt(state)[..., 0]
        left = 1.0 - spent
        enough = spent + h >= 1.0 - epsilon if n + 1 < max_steps else ops.ones_like(running)
        share = ops.where(running, ops.where(enough, left, h), 0.0)
        output = output + share[..., None] * ops.cast(state, "float32")
        remainder = remainder + ops.where(ops.logical_and(running, enough), left, 0.0)
        steps = steps + ops.cast(running, "float32")
        spent = spent + share
        running = ops.logical_and(running, ops.logical_not(enough))
    return ops.cast(output, state.dtype), steps, remainder


def ponder_cost(steps, remainder, mask):
    """The mean over real positions of ρ = N + R."""
    real = ops.ones_like(steps) if mask is None else ops.cast(mask, "float32")
    return ops.sum((steps + remainder) * real) / ops.maximum(ops.sum(real), 1.0)


def at_step(state, n):
    """`state` with the sinusoid of step n, from zero, added; the paper counts from one."""
    return state + ops.cast(positions.sinusoid([n + 1], state.shape[-1])[0], state.dtype)


def halting_unit(name="halting"):
    """The layer that gives h = sigmoid(w · s + b), in float32, with b = 1 at first: two steps for most positions."""
    return keras.layers.Dense(1, activation="sigmoid", bias_initializer="ones", dtype="float32", name=name)


def same_shape(new, old):
    """`new` if it has the shape of `old`, as far as both are known."""
    pairs = zip(new.shape, old.shape)
    if len(new.shape) == len(old.shape) and all(None in pair or pair[0] == pair[1] for pair in pairs):
        return new
    raise ValueError(
        "Only a layer that keeps the shape of its inputs can be applied again and again. "
        f"Received: a layer that makes {tuple(new.shape)} of {tuple(old.shape)}"
    )


def check_ponder_weight(value):
    """`value` if it is a number of at least 0."""
    return number("ponder_weight", value, low=0.0, ends="[)")


@keras.saving.register_keras_serializable(package="keras_attn")
class AdaptiveComputation(keras.layers.Layer):
    """A layer applied again and again, at each position as often as a learned halting unit says.

    `s_n = layer(s_{n-1})`, `h_n = sigmoid(w · s_n + b)`; a position stops at `N = min{n: Σ_{m<=n} h_m >= 1 - ε}`, and
    its output is `Σ_n p_n s_n` with `p_n = h_n` before N and `p_N = R = 1 - Σ_{n<N} h_n`. The ponder cost `N + R`,
    its mean over real positions times `ponder_weight`, joins the loss; its gradient goes through R alone.

    The steps are unrolled: every call costs `max_steps` applications of the layer. What adapts is the depth at each
    position, not the time.

    Args:
        layer: a Keras layer that keeps the shape of its inputs, or a spec from `keras_attn.mixers`.
        max_steps: the most steps at a position, at least 2.
        ponder_weight: how much a step costs in the loss, at least 0.
        epsilon: ε, in (0, 1), so that one step can be enough.
        step_embedding: whether a sinusoid over steps is added to the state before each step.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; Keras fills it in from the inputs.
        use_causal_mask: handed on to the layer, which must know it.
        return_steps: whether to return the numbers of steps too.
        training: whether dropout in the layer acts.

    Returns:
        `(B, T, D)`, zero at padded positions, and if asked for the numbers of steps N `(B, T)`, float32, zero at padded
        positions.

    Example:
    >>> layer = AdaptiveComputation({"mixer": "gated_conv", "kernel_size": 3}, max_steps=5)
    >>> output, steps = layer(keras.random.normal((2, 7, 8)), return_steps=True)
    >>> tuple(output.shape), tuple(steps.shape), len(layer.losses)
    ((2, 7, 8), (2, 7), 1)

    Reference: Graves, 2016, https://arxiv.org/abs/1603.08983, section 2; Dehghani et al., 2018,
    https://arxiv.org/abs/1807.03819, section 2.2 (halting at each position), eq. 6-7 (the steps' sinusoid).
    """

    def __init__(self, layer, max_steps=8, ponder_weight=0.01, epsilon=0.01, step_embedding=False, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.layer = layer if isinstance(layer, keras.layers.Layer) else mixers.get(layer, dtype=self.dtype_policy)
        self.max_steps = whole_number("max_steps", max_steps, least=2)
        self.ponder_weight = check_ponder_weight(ponder_weight)
        self.epsilon = number("epsilon", epsilon, 0.0, 1.0)
        self.step_embedding = flag("step_embedding", step_embedding)
        self.halting = halting_unit()
        self._takes = frozenset(inspect.signature(self.layer.call).parameters)

    def build(self, input_shape):
        if not self.layer.built:
            self.layer.build(input_shape)
        self.halting.build(input_shape)
        self.built = True

    def call(self, inputs, mask=None, use_causal_mask=False, return_steps=False, training=None):
        mask = None if mask is None else ops.cast(mask, "bool")
        options = self._options(mask, use_causal_mask, training)

        def transition(state, n):
            state = masks.zero(at_step(state, n), mask) if self.step_embedding else state
            return masks.zero(self.layer(state, **options), mask)

        start = masks.zero(with_fractions(inputs, self.compute_dtype), mask)
        output, steps, remainder = repeat(transition, self.halting, start, mask, self.max_steps, self.epsilon)
        self.add_loss(self.ponder_weight * ponder_cost(steps, remainder, mask))
        return (output, steps) if return_steps else output

    def _options(self, mask, use_causal_mask, training):
        """What of all this the layer knows."""
        if use_causal_mask and "use_causal_mask" not in self._takes:
            raise ValueError(
                f"{type(self.layer).__name__} {self.layer.name!r} has no call argument `use_causal_mask`: only the "
                "layer itself can be made causal. Received: use_causal_mask=True."
            )
        options = {"mask": mask, "use_causal_mask": use_causal_mask, "training": training}
        return {name: value for name, value in options.items() if name in self._takes}

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def compute_output_spec(self, inputs, mask=None, use_causal_mask=False, return_steps=False, training=None):
        output = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        return (output, keras.KerasTensor(inputs.shape[:-1], dtype="float32")) if return_steps else output

    def get_config(self):
        return {
            **super().get_config(),
            "layer": keras.saving.serialize_keras_object(self.layer),
            "max_steps": self.max_steps,
            "ponder_weight": self.ponder_weight,
            "epsilon": self.epsilon,
            "step_embedding": self.step_embedding,
        }

    @classmethod
    def from_config(cls, config):
        return super().from_config({**config, "layer": keras.saving.deserialize_keras_object(config["layer"])})
