import keras
from keras import ops

from keras_attn.implicit._token_shift import all_before, one_before, spread_shares, token_shift
from keras_attn.mixer import Implicit, Mixing


@keras.saving.register_keras_serializable(package="keras_attn")
class TokenShift(Implicit):
    """A look at the position before, and a gate: RWKV's time mixing without its average.

    `y_t = W_o (sigmoid(r_t) ⊙ v_t)` with `r_t = W_r (μ_r ⊙ x_t + (1 - μ_r) ⊙ x_{t-1})` and `v_t` likewise. The shares
    `μ` start spread over the channels, from 0 to 1. It is always causal.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; the others count as zeros.
        use_causal_mask: changes nothing.

    Returns:
        `(B, T, D)`, zero at padded positions.

    Example:
    >>> tuple(TokenShift()(keras.random.normal((2, 7, 5))).shape)
    (2, 7, 5)

    Reference: Peng et al., 2023, https://arxiv.org/abs/2305.13048, section 3.1 (token shift, output gating).
    """

    can_step = True

    def build(self, input_shape):
        self._width = input_shape[-1]
        self.receptance_dense, self.value_dense, self.output_dense = map(
            self._projection, ("receptance", "value", "output")
        )
        self.receptance_share, self.value_share = map(self._share, ("receptance_share", "value_share"))
        self.built = True

    def _projection(self, name):
        dense = keras.layers.Dense(self._width, use_bias=False, name=name, dtype=self.dtype_policy)
        dense.build((None, None, self._width))
        return dense

    def _share(self, name):
        return self.add_weight(name=name, shape=(self._width,), initializer=spread_shares)

    def mixing(self, inputs, mask, causal):
        gate = self._gate(inputs, one_before(inputs))
        return Mixing(
            inputs,
            mix=lambda x: token_shift(x, one_before(x), self.value_share),
            read=lambda mix: self._read(gate, mix),
            gated=False,
        )

    def _gate(self, x, before):
        return ops.sigmoid(self.receptance_dense(token_shift(x, before, self.receptance_share)))

    def _read(self, gate, mix):
        return self._as_computed(self.output_dense(gate * self.value_dense(mix)))

    def initial_state(self, batch_size, max_length=None):
        """The inputs at the position before the first: `(B, D)`, zeros."""
        return ops.zeros((batch_size, self._width), dtype=self.compute_dtype)

    def step(self, inputs, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position."""
        inputs = ops.cast(inputs, state.dtype)
        mix = token_shift(inputs, state, self.value_share)
        return self._read(self._gate(inputs, state), mix), inputs

    def go_on(self, inputs, state):
        """Outputs `(B, n, D)` and next state for inputs `(B, n, D)` at the next n positions, at once."""
        inputs = ops.cast(inputs, state.dtype)
        return self.step(inputs, all_before(inputs, state))[0], inputs[:, -1]
