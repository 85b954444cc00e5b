import keras
from keras import ops

from keras_attn import masks, mixers
from keras_attn.adaptive import at_step, check_ponder_weight, halting_unit, ponder_cost, repeat
from keras_attn.half import with_fractions
from keras_attn.lookup import flag, number, plain, whole_number


@keras.saving.register_keras_serializable(package="keras_attn")
class UniversalBlock(keras.layers.Layer):
    """One residual block, applied again and again: depth without more weights.

    A step adds the sinusoid of its number to x, then `x = x + mixer(norm(x))` and `x = x + mlp(norm(x))`, with the same
    weights at every step. With `adaptive` each position takes as many steps as a learned halting unit says: see
    `AdaptiveComputation`.

    It keeps the contract of its mixer (`kind`, `can_be_causal`, `fixed_length`, and `can_step` with `initial_state`,
    `step` and `prefill`). It is no name in the table of mixers, as its kind is that of the mixer it is given.

    Args:
        mixer: a name or a spec from `keras_attn.mixers`.
        steps: how often the block is applied, at least 1; with `adaptive` the most steps at a position, at least 2.
        mlp_ratio: hidden width of the network at each position over D, above 0.
        step_embedding: whether the sinusoid over steps is added.
        adaptive: whether positions may stop early.
        ponder_weight: how much a step costs in the loss if `adaptive`, at least 0.
        dropout: share of each branch dropped in training, in [0, 1).
        seed: an integer that makes the dropout repeatable.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; Keras fills it in from the inputs.
        use_causal_mask: whether position t may depend on positions up to t only.
        return_steps: whether to return the numbers of steps too.
        training: whether dropout acts.

    Returns:
        `(B, T, D)`, zero at padded positions, and if asked for the numbers of steps `(B, T)`, float32, zero at padded
        positions.

    Example:
    >>> block = UniversalBlock({"mixer": "multi_head", "num_heads": 2}, steps=3, adaptive=True)
    >>> output, steps = block(keras.random.normal((2, 7, 8)), return_steps=True)
    >>> tuple(output.shape), tuple(steps.shape)
    ((2, 7, 8), (2, 7))

    Reference: Dehghani et al., 2018, https://arxiv.org/abs/1807.03819, section 2.1 (here the norms stand before the
    branches) and 2.2; Graves, 2016, https://arxiv.org/abs/1603.08983.
    """

    def __init__(
        self,
        mixer="multi_head",
        steps=4,
        mlp_ratio=2.0,
        step_embedding=True,
        adaptive=False,
        ponder_weight=0.01,
        dropout=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.spec = mixer
        self.adaptive = flag("adaptive", adaptive)
        self.steps = whole_number("steps", steps, least=2 if adaptive else 1)
        self.mlp_ratio = number("mlp_ratio", mlp_ratio, low=0.0)
        self.step_embedding = flag("step_embedding", step_embedding)
        self.ponder_weight = check_ponder_weight(ponder_weight)
        self.dropout = dropout
        self.seed = seed

        policy = {"dtype": self.dtype_policy}
        self.mixer_norm = keras.layers.LayerNormalization(epsilon=1e-5, **policy)
        self.mixer = mixers.get(mixer, **policy)
        self.mlp_norm = keras.layers.LayerNormalization(epsilon=1e-5, **policy)
        self.branch_dropout = keras.layers.Dropout(dropout, seed=seed, **policy)
        self.halting = halting_unit() if adaptive else None

    def build(self, input_shape):
        width = input_shape[-1]
        hidden = max(1, round(self.mlp_ratio * width))
        self.mlp_hidden = keras.layers.Dense(hidden, activation="gelu", dtype=self.dtype_policy)
        self.mlp_output = keras.layers.Dense(width, dtype=self.dtype_policy)
        for layer in (self.mixer_norm, self.mixer, self.mlp_norm, self.mlp_hidden):
            layer.build(input_shape)
        self.mlp_output.build((*input_shape[:-1], hidden))
        if self.halting is not None:
            self.halting.build(input_shape)
        self.built = True

    kind = property(lambda self: self.mixer.kind, doc="That of the mixer.")
    control = property(lambda self: self.mixer.control, doc="That of the mixer.")
    can_be_causal = property(lambda self: self.mixer.can_be_causal, doc="That of the mixer.")
    fixed_length = property(lambda self: self.mixer.fixed_length, doc="That of the mixer.")
    can_step = property(lambda self: self.mixer.can_step, doc="That of the mixer.")

    def call(self, inputs, mask=None, use_causal_mask=False, return_steps=False, training=None):
        mask = None if mask is None else ops.cast(mask, "bool")
        options = {"mask": mask, "use_causal_mask": use_causal_mask, "training": training}

        def transition(x, n):
            return masks.zero(self._block(x, n, lambda x: self.mixer(x, **options), training), mask)

        start = masks.zero(with_fractions(inputs, self.compute_dtype), mask)
        output, steps, remainder = self._repeat(transition, start, mask)
        if self.adaptive:
            self.add_loss(self.ponder_weight * ponder_cost(steps, remainder, mask))
        return (output, steps) if return_steps else output

    def _block(self, x, n, mix, training=None):
        """The block at step n, from zero."""
        x = at_step(x, n) if self.step_embedding else x
        x = x + self.branch_dropout(mix(self.mixer_norm(x)), training=training)
        branch = self.mlp_output(self.mlp_hidden(self.mlp_norm(x)))
        return x + self.branch_dropout(branch, training=training)

    def _repeat(self, transition, x, mask=None):
        """The last state or the adaptive mix of states, the numbers of steps and the remainders (or None)."""
        if self.adaptive:
            return repeat(transition, self.halting, x, mask, self.steps, epsilon=0.01)
        for n in range(self.steps):
            x = transition(x, n)
        real = ops.ones_like(x[..., 0], dtype="float32") if mask is None else ops.cast(mask, "float32")
        return x, self.steps * real, None

    def initial_state(self, batch_size, max_length=None):
        return tuple(self.mixer.initial_state(batch_size, max_length) for _ in range(self.steps))

    def step(self, inputs, state):
        return self._continue(self.mixer.step, inputs, state)

    def prefill(self, inputs, state, mask=None):
        mask = None if mask is None else ops.cast(mask, "bool")
        return self._continue(lambda x, state: self.mixer.prefill(x, state, mask), inputs, state, mask)

    def _continue(self, mix_next, inputs, state, mask=None):
        # Every application of the block is a sequence of its own to the mixer.
        states = list(state)

        def transition(x, n):
            def mix(x):
                mixed, states[n] = mix_next(x, states[n])
                return mixed

            return masks.zero(self._block(x, n, mix), mask)

        return self._repeat(transition, masks.zero(inputs, mask), mask)[0], tuple(states)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def compute_output_spec(self, inputs, mask=None, use_causal_mask=False, return_steps=False, training=None):
        output = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        return (output, keras.KerasTensor(inputs.shape[:-1], dtype="float32")) if return_steps else output

    def get_config(self):
        return {
            **super().get_config(),
            "mixer": plain(self.spec),
            "steps": self.steps,
            "mlp_ratio": self.mlp_ratio,
            "step_embedding": self.step_embedding,
            "adaptive": self.adaptive,
            "ponder_weight": self.ponder_weight,
            "dropout": self.dropout,
            "seed": self.seed,
        }
