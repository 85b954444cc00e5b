import keras
from keras import ops

from keras_attn.lookup import whole_number
from keras_attn.mixer import Implicit


@keras.saving.register_keras_serializable(package="keras_attn")
class TokenMLP(Implicit):
    """A small network along the positions, the same for every channel: `y = W_2 gelu(W_1 x + b_1) + b_2` over T.

    Its weights are tied to places, so that it works for the length it was built with only.

    Args:
        units: width of the hidden layer, at least 1; None for the number of positions.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; the others count as zeros.
        use_causal_mask: refused.

    Returns:
        `(B, T, D)`, zero at padded positions.

    Example:
    >>> tuple(TokenMLP(units=11)(keras.random.normal((2, 7, 5))).shape)
    (2, 7, 5)

    Reference: Tolstikhin et al., 2021, https://arxiv.org/abs/2105.01601, eq. 1.
    """

    can_be_causal = False
    fixed_length = True

    def __init__(self, units=None, **kwargs):
        super().__init__(**kwargs)
        self.units = whole_number("units", units, optional=True)

    def build(self, input_shape):
        length = input_shape[1]
        if length is None:
            raise ValueError(
                f"{type(self).__name__} mixes a fixed number of positions: build it on inputs of a known length. "
                f"Received: input_shape={input_shape}"
            )
        units = self.units or length
        self.hidden_dense = self._dense("hidden", length, units, activation="gelu")
        self.output_dense = self._dense("output", units, length)
        self.built = True

    def _dense(self, name, inputs, units, **options):
        dense = keras.layers.Dense(units, name=name, dtype=self.dtype_policy, **options)
        dense.build((None, None, inputs))
        return dense

    def compute_mix(self, inputs, mask, causal, training):
        # (B, T, D) -> (B, D, T) and back
        return ops.swapaxes(self.output_dense(self.hidden_dense(ops.swapaxes(inputs, 1, 2))), 1, 2)

    def get_config(self):
        return {**super().get_config(), "units": self.units}
