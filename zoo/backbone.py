"""The residual stack that every model of the zoo shares; which mixer moves information in it is an argument."""

import keras
import keras_hub
from keras import ops

from keras_attn import masks, mixers
from keras_attn.lookup import plain, whole_number
from zoo.quantized import Quantizable


@keras.saving.register_keras_serializable(package="zoo")
class ShortConvolution(keras.layers.Layer):
    """Each channel sees its neighbours: a depthwise convolution over time, without activation or bias.

    `y_t = sum_i kernel_i * x_{t - before + i}`, with `before = width - 1` if causal, else `(width - 1) // 2`, and zeros
    beyond the ends and at padded positions. It is a sum of shifted products, not a grouped convolution: those are slow
    on CPUs, and Keras's own fails when it is built with fewer positions than its width.

    Args:
        width: how many positions it sees, at least 1.
        causal: whether it sees no later position.

    Call arguments:
        inputs: `(B, T, D)`.
        padding_mask: `(B, T)`, nonzero for real positions, or None.

    Returns:
        `(B, T, D)`.

    Step by step, if causal and once built: `state = initial_state(batch_size)`, then `output, state = step(x, state)`.

    Example:
    >>> tuple(ShortConvolution(3)(keras.random.normal((2, 7, 5))).shape)
    (2, 7, 5)
    """

    def __init__(self, width, causal=False, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(width, int) or width < 1:
            raise ValueError(f"`width` must be an integer of at least 1. Received: width={width!r}")
        self.width = width
        self.causal = causal

    def build(self, input_shape):
        bound = self.width**-0.5
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.width, input_shape[-1]),
            initializer=keras.initializers.RandomUniform(-bound, bound),
        )
        self.built = True

    def call(self, inputs, padding_mask=None):
        inputs = masks.zero(inputs, padding_mask)
        before = self.width - 1 if self.causal else (self.width - 1) // 2
        return self._slid(ops.pad(inputs, ((0, 0), (before, self.width - 1 - before), (0, 0))))

    def _slid(self, padded):
        """The convolution where all of the kernel is within what came."""
        # Slices count from the end, so that the length may be unknown.
        kernel = ops.cast(self.kernel, padded.dtype)
        return sum(padded[:, first : (first + 1 - self.width) or None] * kernel[first] for first in range(self.width))

    def initial_state(self, batch_size, max_length=None):
        """What stands before the first position: the last inputs `(B, width, D)`, zeros."""
        if not self.causal:
            raise ValueError(f"{type(self).__name__} {self.name!r} sees later positions and cannot go step by step.")
        return ops.zeros((batch_size, *self.kernel.shape), dtype=self.compute_dtype)

    def step(self, inputs, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position."""
        state = ops.concatenate([state[:, 1:], ops.cast(inputs, self.compute_dtype)[:, None]], axis=1)
        return ops.sum(state * ops.cast(self.kernel, self.compute_dtype), axis=1), state

    def prefill(self, inputs, state):
        """Outputs `(B, n, D)` and next state for inputs `(B, n, D)` at the next n positions, n known."""
        seen = ops.concatenate([state[:, 1:], ops.cast(inputs, self.compute_dtype)], axis=1)
        return self._slid(seen), seen[:, -self.width :]

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "width": self.width, "causal": self.causal}


@keras.saving.register_keras_serializable(package="zoo")
class MixerBlock(keras.layers.Layer):
    """One layer of the stack: a mixer between positions, then a small network at each position, both residual.

    `x = x + mixer(short_convolution(norm(x)))`, then `x = x + mlp(norm(x))`.

    Args:
        mixer: a name or a spec from `keras_attn.mixers`.
        mlp_ratio: hidden width of the network over D, above 0.
        short_convolution: how many positions the convolution sees; 0 for none.
        causal: whether a position sees no later one.
        dropout: share of each branch dropped in training, in [0, 1).

    Call arguments:
        inputs: `(B, T, D)`.
        padding_mask: `(B, T)`, nonzero for real positions, or None. It is a tensor among others, not a Keras mask:
            sums drop those in functional models.

    Returns:
        `(B, T, D)`.

    Step by step, if causal and once built: `state = initial_state(batch_size, max_length)`, then
    `output, state = step(x, state)`. The two branches can be had one by one: `mix` and `mix_step`, then `think`.

    Example:
    >>> tuple(MixerBlock("gru")(keras.random.normal((2, 7, 5))).shape)
    (2, 7, 5)
    """

    def __init__(self, mixer="multi_head", mlp_ratio=2.0, short_convolution=3, causal=False, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.spec = mixer
        self.mlp_ratio = mlp_ratio
        self.short_convolution = short_convolution
        self.causal = causal
        self.dropout = dropout

        policy = {"dtype": self.dtype_policy}
        self.mixer_norm = keras.layers.LayerNormalization(epsilon=1e-5, **policy)
        self.convolution = ShortConvolution(short_convolution, causal, **policy) if short_convolution else None
        self.mixer = mixers.get(mixer, **policy)
        self.mixer_dropout = keras.layers.Dropout(dropout, **policy)
        self.mlp_norm = keras.layers.LayerNormalization(epsilon=1e-5, **policy)
        self.mlp_dropout = keras.layers.Dropout(dropout, **policy)

    def build(self, input_shape):
        width = input_shape[-1]
        hidden = max(1, round(self.mlp_ratio * width))
        self.mlp_hidden = keras.layers.Dense(hidden, activation="gelu", dtype=self.dtype_policy)
        self.mlp_output = keras.layers.Dense(width, dtype=self.dtype_policy)
        for layer in (self.mixer_norm, self.convolution, self.mixer, self.mlp_norm, self.mlp_hidden):
            if layer is not None:
                layer.build(input_shape)
        self.mlp_output.build((*input_shape[:-1], hidden))
        self.built = True

    def call(self, inputs, padding_mask=None, training=None):
        return self.think(self.mix(inputs, padding_mask, training), training)

    def mix(self, inputs, padding_mask=None, training=None):
        """The first branch, added to the inputs `(B, T, D)`: what the mixer moves between positions."""
        x = self.mixer_norm(inputs)
        if self.convolution is not None:
            x = self.convolution(x, padding_mask=padding_mask)
        mask = None if padding_mask is None else ops.cast(padding_mask, "bool")
        x = self.mixer(x, mask=mask, use_causal_mask=self.causal, training=training)
        return inputs + self.mixer_dropout(x, training=training)

    def think(self, inputs, training=None):
        """The second branch, added to the inputs `(B, ..., D)`: the network at each position."""
        hidden = self.mlp_output(self.mlp_hidden(self.mlp_norm(inputs)))
        return inputs + self.mlp_dropout(hidden, training=training)

    @property
    def can_step(self):
        """Whether it goes on from a state: it is causal, and its mixer can. It has a mixer's methods for that."""
        return self.causal and self.mixer.can_step

    def initial_state(self, batch_size, max_length=None):
        """The state before the first position: a dictionary of the convolution's and the mixer's."""
        convolution = () if self.convolution is None else self.convolution.initial_state(batch_size)
        return {"convolution": convolution, "mixer": self.mixer.initial_state(batch_size, max_length)}

    def step(self, inputs, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position."""
        x, state = self.mix_step(inputs, state)
        return self.think(x), state

    def prefill(self, inputs, state):
        """Outputs `(B, n, D)` and next state for inputs `(B, n, D)` at the next n positions, n known."""
        x, state = self._mix_next("prefill", inputs, state)
        return self.think(x), state

    def mix_step(self, inputs, state):
        """The first branch for inputs `(B, D)` at the next position, and the next state."""
        return self._mix_next("step", inputs, state)

    def _mix_next(self, how, inputs, state):
        x, convolution = self.mixer_norm(inputs), state["convolution"]
        if self.convolution is not None:
            x, convolution = getattr(self.convolution, how)(x, convolution)
        x, mixer = getattr(self.mixer, how)(x, state["mixer"])
        return inputs + ops.cast(x, inputs.dtype), {"convolution": convolution, "mixer": mixer}

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "mixer": plain(self.spec),
            "mlp_ratio": self.mlp_ratio,
            "short_convolution": self.short_convolution,
            "causal": self.causal,
            "dropout": self.dropout,
        }


def stack(
    x,
    padding_mask,
    mixer,
    num_layers,
    mlp_ratio,
    short_convolution,
    positions,
    position_scale=1.0,
    causal=False,
    dropout=0.0,
    dtype=None,
):
    """The stack over the symbolic tensor `(B, T, D)`: positions, the layers in turn, a last norm.

    Args:
        x: `(B, T, D)`.
        padding_mask: `(B, T)`, nonzero for real positions, or None if all are.
        mixer: a name, a spec, or a list of them, taken in turn by the layers.
        num_layers: how many layers, at least 1.
        mlp_ratio, short_convolution, causal, dropout: see `MixerBlock`.
        positions: "sinusoid" or None.
        position_scale: amplitude of the sinusoids: about that of `x`, so that neither drowns the other.
        dtype: the layers' dtype policy.

    Returns:
        `(B, T, D)`.
    """
    if positions == "sinusoid":
        # In float32: bfloat16 cannot tell positions above 256 apart.
        place = keras_hub.layers.SinePositionEncoding(dtype="float32", name="positions")(x)
        place = keras.layers.Rescaling(position_scale, dtype="float32", name="position_scale")(place)
        x = keras.layers.Add(dtype=dtype, name="add_positions")([x, place])
    specs = as_list(mixer)
    for index in range(num_layers):
        block = MixerBlock(
            specs[index % len(specs)],
            mlp_ratio=mlp_ratio,
            short_convolution=short_convolution,
            causal=causal,
            dropout=dropout,
            dtype=dtype,
            name=f"mixer_block_{index}",
        )
        x = block(x, padding_mask=padding_mask)
    return keras.layers.LayerNormalization(epsilon=1e-5, dtype=dtype, name="final_norm")(x)


def check_stack(mixer, num_layers, hidden_dim, mlp_ratio, short_convolution, positions, causal=False, length=None):
    """Raises `ValueError` for what no stack can be made of. `length` is T where it is known."""
    for name, value, least in (
        ("num_layers", num_layers, 1),
        ("hidden_dim", hidden_dim, 1),
        ("short_convolution", short_convolution, 0),
    ):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"`{name}` must be an integer of at least {least}. Received: {name}={value!r}")
    if not mlp_ratio > 0:
        raise ValueError(f"`mlp_ratio` must be above 0. Received: mlp_ratio={mlp_ratio!r}")
    if positions not in ("sinusoid", None):
        raise ValueError(f"`positions` must be 'sinusoid' or None. Received: positions={positions!r}")
    specs = as_list(mixer)
    if not 1 <= len(specs) <= num_layers:
        raise ValueError(
            "A list of mixers is taken in turn by the layers, so it must have between 1 and `num_layers` entries. "
            f"Received: {len(specs)} mixers for num_layers={num_layers}"
        )
    for spec in specs:
        _check_mixer(spec, causal, length)


def _check_mixer(spec, causal, length):
    mixer = mixers.get(spec)
    if causal and not mixer.can_be_causal:
        raise ValueError(f"`causal=True` needs mixers that can be causal, and {plain(spec)!r} looks both ways.")
    if mixer.fixed_length and length is None:
        raise ValueError(f"The mixer {plain(spec)!r} works for one length only: give `sequence_length`. Received: None")


def as_list(mixer):
    """The argument `mixer`, a name, a spec or a list of them, as a list."""
    return list(mixer) if isinstance(mixer, (list, tuple)) else [mixer]


class MixerBackbone(Quantizable, keras_hub.models.Backbone):
    """What the zoo's backbones share beyond KerasHub's: they come back quantized, and take LoRA with any mixer."""

    def enable_lora(self, rank, target_layer_names=None):
        """Freezes all weights and trains low-rank changes beside the kernels of some layers instead.

        Args:
            rank: of the changes, a whole number of at least 1.
            target_layer_names: names of the layers to change. None for the projections to queries and values, and
                where there are none, as in a backbone of recurrences or convolutions, for all dense layers.

        Raises:
            ValueError: a bad rank, or no dense layer has any of the names; nothing is frozen then.
        """
        whole_number("rank", rank, 1)
        dense = {layer.name for layer in self._flatten_layers() if _is_dense(layer)}
        names = self.default_lora_layer_names() if target_layer_names is None else target_layer_names
        found = sorted(dense.intersection(names)) or (sorted(dense) if target_layer_names is None else [])
        if not found:
            raise ValueError(
                f"LoRA changes dense layers by name, and none of these has one of `target_layer_names`: "
                f"{', '.join(sorted(dense)) or 'there are none'}. Received: target_layer_names={target_layer_names!r}"
            )
        super().enable_lora(rank, found)


def _is_dense(layer):
    return isinstance(layer, (keras.layers.Dense, keras.layers.EinsumDense)) and bool(layer.weights)
