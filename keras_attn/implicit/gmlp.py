import keras
from keras import ops

from keras_attn import masks
from keras_attn._slices import first
from keras_attn.lookup import whole_number
from keras_attn.mixer import Implicit, Mixing


@keras.saving.register_keras_serializable(package="keras_attn")
class GatedMLP(Implicit):
    """A network whose gate is a linear map along the positions: the spatial gating unit of gMLP.

    `y = V (z ⊙ (S norm(g) + b))` with `[z, g] = gelu(U x)`, where `S` `(T, T)` and `b` `(T,)` go along the positions
    and are the same for every channel. `S` starts near zero and `b` at one, so that at first nothing is mixed and the
    gate is open.

    `S` and `b` are tied to places: with `positions` None the layer works for the length it was built with only, else
    for any length up to that many, and a shorter sequence takes the first of them. Causal, what of `S` lies above the
    diagonal does not count. It does not step, though that could be done with a cache of all `norm(g)`.

    Args:
        units: width of z and of g, at least 1; None for that of the inputs.
        positions: number of places, at least 1; None for the length the layer is built with.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; the others count as zeros.
        use_causal_mask: whether position t may depend on positions up to t only.

    Returns:
        `(B, T, D)`, zero at padded positions.

    Example:
    >>> tuple(GatedMLP(positions=11)(keras.random.normal((2, 7, 5))).shape)
    (2, 7, 5)

    Reference: Liu et al., 2021, https://arxiv.org/abs/2105.08050, section 2 (the norm of the inputs and the residual
    stand outside the layer).
    """

    def __init__(self, units=None, positions=None, **kwargs):
        super().__init__(**kwargs)
        self.units = whole_number("units", units, optional=True)
        self.positions = whole_number("positions", positions, optional=True)

    @property
    def fixed_length(self):
        return self.positions is None

    def build(self, input_shape):
        width, places = input_shape[-1], self.positions or input_shape[1]
        if places is None:
            raise ValueError(
                f"{type(self).__name__} learns weights for each place: give `positions`, or build it on inputs of a "
                f"known length. Received: positions=None, input_shape={tuple(input_shape)}"
            )
        units = self.units or width
        policy = {"dtype": self.dtype_policy}
        self.hidden_dense = keras.layers.Dense(2 * units, activation="gelu", name="hidden", **policy)
        self.hidden_dense.build((None, None, width))
        self.norm = keras.layers.LayerNormalization(epsilon=1e-5, name="norm", **policy)
        self.norm.build((None, None, units))
        self.spatial_kernel = self.add_weight(
            name="spatial_kernel", shape=(places, places), initializer=keras.initializers.RandomNormal(stddev=1e-3)
        )
        self.spatial_bias = self.add_weight(name="spatial_bias", shape=(places,), initializer="ones")
        self.output_dense = keras.layers.Dense(width, name="output", **policy)
        self.output_dense.build((None, None, units))
        self.built = True

    def mixing(self, inputs, mask, causal):
        known, places = inputs.shape[1], self.spatial_kernel.shape[0]
        if known is not None and known > places:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} has {places} places: make it with `positions` for as many as "
                f"there will be. Received: {known} positions"
            )
        content, gate = ops.split(self.hidden_dense(inputs), 2, axis=-1)
        # The offset of the norm is not zero where the inputs are.
        values = masks.zero(self.norm(gate), mask)
        bias = first(ops.cast(self.spatial_bias, content.dtype), ops.shape(content)[1], 0)[:, None]
        return Mixing(
            values,
            mix=lambda x: content * self._along_positions(x, causal),
            read=lambda mix: self.output_dense(mix + content * bias),
        )

    def _along_positions(self, x, causal):
        """`S x` for x `(B, T, units)`."""
        length = ops.shape(x)[1]
        kernel = first(first(ops.cast(self.spatial_kernel, x.dtype), length, 0), length, 1)
        kernel = ops.tril(kernel) if causal else kernel
        # One product for the whole batch: with one for each sequence, the gradient would be as many (T, T) arrays.
        rows = ops.swapaxes(x, 0, 1)
        mixed = ops.matmul(kernel, ops.reshape(rows, (length, -1)))
        return ops.swapaxes(ops.reshape(mixed, ops.shape(rows)), 0, 1)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "positions": self.positions}
