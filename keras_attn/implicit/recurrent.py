import keras
from keras import ops

from keras_attn.implicit._directions import Directed
from keras_attn.lookup import choose

CELLS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}


@keras.saving.register_keras_serializable(package="keras_attn")
class Recurrent(Directed):
    """A gated recurrence: what its gates let through, and for how long, is what it looks at.

    `h_t = cell(x_t, h_{t-1})`. With `bidirectional`, half of the width runs forward and half backward.

    Args:
        cell: "lstm" or "gru".
        bidirectional: whether to read both ways; then it cannot be causal. Otherwise it always is.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; at the others the state stays as it is.
        use_causal_mask: refused if bidirectional, and changes nothing otherwise.

    Returns:
        `(B, T, D)`, zero at padded positions.

    Example:
    >>> tuple(Recurrent("gru", bidirectional=True)(keras.random.normal((2, 7, 5))).shape)
    (2, 7, 5)

    Reference: Hochreiter and Schmidhuber, 1997 (LSTM); Cho et al., 2014, https://arxiv.org/abs/1406.1078 (GRU).
    """

    def __init__(self, cell="lstm", bidirectional=False, **kwargs):
        super().__init__(bidirectional, **kwargs)
        self.cell = choose("cell", cell, CELLS)

    def build(self, input_shape):
        width = input_shape[-1]
        self.check_width(input_shape)
        self.onward = self._recurrence("onward", width - width // 2 if self.bidirectional else width)
        self.onward.build((None, None, width))
        if self.bidirectional:
            self.back = self._recurrence("back", width // 2, go_backwards=True)
            self.back.build((None, None, width))
        self.built = True

    def _recurrence(self, name, units, **options):
        start = _Orthogonal()
        layer = CELLS[self.cell]
        return layer(
            units,
            recurrent_initializer=start,
            return_sequences=True,
            return_state=True,
            name=name,
            dtype=self.dtype_policy,
            **options,
        )

    def compute_mix(self, inputs, mask, causal, training):
        onward, *_ = self.onward(inputs, mask=mask)
        if not self.bidirectional:
            return onward
        back, *_ = self.back(inputs, mask=mask)
        return ops.concatenate([onward, ops.flip(back, axis=1)], axis=-1)

    def initial_state(self, batch_size, max_length=None):
        """The cell's states before the first position, each `(B, D)`, zeros."""
        return self.onward.cell.get_initial_state(batch_size)

    def step(self, inputs, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position."""
        return self.onward.cell(inputs, state)

    def go_on(self, inputs, state):
        """Outputs `(B, n, D)` and next state for inputs `(B, n, D)` at the next n positions, at once."""
        outputs, *state = self.onward(inputs, initial_state=state)
        return outputs, state

    def get_config(self):
        return {**super().get_config(), "cell": self.cell}


class _Orthogonal(keras.initializers.Orthogonal):
    """Orthogonal, found in float32: no backend has the decomposition in half precision."""

    def __call__(self, shape, dtype=None):
        return ops.cast(super().__call__(shape, dtype="float32"), dtype or keras.config.floatx())
