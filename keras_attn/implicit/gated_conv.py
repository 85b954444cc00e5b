import keras
from keras import ops

from keras_attn.lookup import whole_number
from keras_attn.mixer import Implicit, Mixing


@keras.saving.register_keras_serializable(package="keras_attn")
class GatedConvolution(Implicit):
    """A convolution whose output passes a gate that another convolution opens: a gated linear unit.

    `y = (x * W + b) ⊙ sigmoid(x * V + c)`. A position sees `kernel_size` positions, `dilation` apart: its own and as
    many on each side (one more behind it if the size is even), or, causal, its own and those before it.

    Args:
        kernel_size: number of positions seen, at least 1.
        dilation: how far apart they are, at least 1. Layers of dilations 1, 2, 4 and so on see exponentially far.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions.
        use_causal_mask: whether position t may depend on positions up to t only.

    Returns:
        `(B, T, D)`, zero at padded positions.

    Example:
    >>> tuple(GatedConvolution(kernel_size=3)(keras.random.normal((2, 7, 5))).shape)
    (2, 7, 5)

    Reference: Dauphin et al., 2017, https://arxiv.org/abs/1612.08083, eq. 1; van den Oord et al., 2016,
    https://arxiv.org/abs/1609.03499, section 2.1 (dilation).
    """

    can_step = True

    def __init__(self, kernel_size=7, dilation=1, **kwargs):
        super().__init__(**kwargs)
        self.kernel_size = whole_number("kernel_size", kernel_size)
        self.dilation = whole_number("dilation", dilation)

    @property
    def _reach(self):
        """How far the first position that is seen lies from the last."""
        return self.dilation * (self.kernel_size - 1)

    def build(self, input_shape):
        # Both convolutions are one with twice the filters.
        width = input_shape[-1]
        self.convolution = keras.layers.Conv1D(
            2 * width, self.kernel_size, dilation_rate=self.dilation, name="convolution", dtype=self.dtype_policy
        )
        self.convolution.build((None, None, width))
        self.built = True

    def compute_mix(self, inputs, mask, causal, training):
        return self._gated(self._padded(inputs, causal))

    def mixing(self, inputs, mask, causal):
        # The same by two convolutions, which is slower.
        width = inputs.shape[-1]
        kernel, bias = (ops.cast(x, inputs.dtype) for x in (self.convolution.kernel, self.convolution.bias))
        gate = ops.sigmoid(self.convolution(self._padded(inputs, causal))[..., width:])

        def mix(x):
            options = {"padding": "valid", "data_format": "channels_last", "dilation_rate": self.dilation}
            return gate * ops.conv(self._padded(x, causal), kernel[..., :width], **options)

        return Mixing(inputs, mix, read=lambda mix: mix + gate * bias[:width], dense=True)

    def _padded(self, x, causal):
        before = self._reach if causal else self.dilation * (self.kernel_size // 2)
        return ops.pad(x, ((0, 0), (before, self._reach - before), (0, 0)))

    def _gated(self, x):
        content, gate = ops.split(self.convolution(x), 2, axis=-1)
        return content * ops.sigmoid(gate)

    def initial_state(self, batch_size, max_length=None):
        """The inputs before the first one, as far as it sees: `(B, dilation (kernel_size - 1), D)`, zeros."""
        shape = (batch_size, self._reach, self.convolution.kernel.shape[1])
        return ops.zeros(shape, dtype=self.compute_dtype)

    def step(self, inputs, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position."""
        outputs, state = self.go_on(inputs[:, None], state)
        return outputs[:, 0], state

    def go_on(self, inputs, state):
        """Outputs `(B, n, D)` and next state for inputs `(B, n, D)` at the next n positions, at once."""
        seen = ops.concatenate([state, ops.cast(inputs, state.dtype)], axis=1)
        return self._gated(seen), seen[:, inputs.shape[1] :]

    def get_config(self):
        return {**super().get_config(), "kernel_size": self.kernel_size, "dilation": self.dilation}
