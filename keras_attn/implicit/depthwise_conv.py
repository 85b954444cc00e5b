import keras
from keras import ops

from keras_attn import masks
from keras_attn.implicit import _grid
from keras_attn.implicit._depthwise import depthwise, depthwise_where_whole
from keras_attn.lookup import whole_number
from keras_attn.mixer import Implicit, Mixing

#: Channels of the hidden layer over those of the input, as in the paper.
EXPANSION = 2


@keras.saving.register_keras_serializable(package="keras_attn")
class DepthwiseConvolution(Implicit):
    """A separable convolution: each channel sees its neighbours; before and after, channels mix at each position.

    `y = W_2 (gelu(W_1 x) * k)` with 2 D hidden channels, each with a kernel `k` of its own. A position sees
    `kernel_size` positions, `dilation` apart: its own and as many on each side (one more behind it if the size is
    even), or, causal, its own and those before it. On a grid it sees a square of them, and looks both ways. (In the
    paper the activation is a scaled square, for which float16 has no room.)

    Args:
        kernel_size: number of positions seen, at least 1; on a grid that of rows and of columns.
        dilation: how far apart they are, at least 1.
        grid: `[H, W]` if the positions are those of an image, row after row, so that there are H W of them; None if
            they are a sequence. The models of images in the zoo fill in what they have.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; the others count as zeros.
        use_causal_mask: whether position t may depend on positions up to t only; refused on a grid.

    Returns:
        `(B, T, D)`, zero at padded positions.

    Example:
    >>> tuple(DepthwiseConvolution(kernel_size=3, grid=[2, 7])(keras.random.normal((2, 14, 5))).shape)
    (2, 14, 5)

    Reference: Yu et al., 2022, https://arxiv.org/abs/2210.13452, section 2.2 (ConvFormer); Chollet, 2017,
    https://arxiv.org/abs/1610.02357 (depthwise separable).
    """

    def __init__(self, kernel_size=7, dilation=1, grid=None, **kwargs):
        super().__init__(**kwargs)
        self.kernel_size = whole_number("kernel_size", kernel_size)
        self.dilation = whole_number("dilation", dilation)
        self.grid = _grid.check(grid)

    @property
    def fixed_length(self):
        return self.grid is not None

    @property
    def can_be_causal(self):
        return self.grid is None

    @property
    def can_step(self):
        return self.grid is None

    def build(self, input_shape):
        width = input_shape[-1]
        sides = 1 if self.grid is None else len(_grid.fitting(self.grid, input_shape))
        self.hidden_dense = self._dense("hidden", width, EXPANSION * width, activation="gelu")
        bound = self.kernel_size ** (-sides / 2)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*[self.kernel_size] * sides, EXPANSION * width),
            initializer=keras.initializers.RandomUniform(-bound, bound),
        )
        self.output_dense = self._dense("output", EXPANSION * width, width)
        self.built = True

    def _dense(self, name, inputs, units, **options):
        dense = keras.layers.Dense(units, use_bias=False, name=name, dtype=self.dtype_policy, **options)
        dense.build((None, None, inputs))
        return dense

    @property
    def _reach(self):
        """How far the first position that is seen lies from the last."""
        return self.dilation * (self.kernel_size - 1)

    def mixing(self, inputs, mask, causal):
        hidden = masks.zero(self.hidden_dense(inputs), mask)
        return Mixing(hidden, lambda x: self._convolve(x, causal), self.output_dense, gated=False)

    def _convolve(self, x, causal):
        if self.grid is not None:
            return _grid.flat(self._over_grid(_grid.unflat(x, self.grid)))
        before = self._reach if causal else self.dilation * (self.kernel_size // 2)
        return depthwise(x, self.kernel, before, self.dilation)

    def _over_grid(self, x):
        """`(B, H, W, C)`, each channel with its neighbours in both directions."""
        before = self.dilation * (self.kernel_size // 2)
        ends = (before, self._reach - before)
        kernel = ops.cast(self.kernel, x.dtype)[..., None]
        options = {"padding": "valid", "data_format": "channels_last", "dilation_rate": self.dilation}
        return ops.depthwise_conv(ops.pad(x, ((0, 0), ends, ends, (0, 0))), kernel, **options)

    def initial_state(self, batch_size, max_length=None):
        """The hidden layer before the first position, as far as it is seen: `(B, dilation (kernel_size - 1), 2 D)`."""
        return ops.zeros((batch_size, self._reach, self.kernel.shape[-1]), dtype=self.compute_dtype)

    def step(self, inputs, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position."""
        hidden = self.hidden_dense(ops.cast(inputs, state.dtype))
        seen = ops.concatenate([state, hidden[:, None]], axis=1)
        mix = ops.sum(seen[:, :: self.dilation] * ops.cast(self.kernel, seen.dtype), axis=1)
        return self._as_computed(self.output_dense(mix)), seen[:, 1:]

    def go_on(self, inputs, state):
        """Outputs `(B, n, D)` and next state for inputs `(B, n, D)` at the next n positions, at once."""
        seen = ops.concatenate([state, self.hidden_dense(ops.cast(inputs, state.dtype))], axis=1)
        mix = depthwise_where_whole(seen, self.kernel, self.dilation)
        return self._as_computed(self.output_dense(mix)), seen[:, inputs.shape[1] :]

    def get_config(self):
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "dilation": self.dilation,
            "grid": None if self.grid is None else list(self.grid),
        }
