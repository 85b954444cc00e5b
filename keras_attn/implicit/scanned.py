"""Recurrences whose gates see the input only, so that all steps run at once."""

import keras
from keras import ops

from keras_attn._scan import linear_scan
from keras_attn.implicit._directions import Directed
from keras_attn.mixer import Mixing


class ScannedRecurrence(Directed):
    """A recurrence that is linear in its state, `h_t = a_t ⊙ h_{t-1} + b_t`, with `a_t` and `b_t` of `x_t` alone.

    What is new is a share of a value, `b_t = i_t ⊙ v_t`. A concrete layer makes its weights in `make_weights`, says in
    `gates` what `a`, `i` and `v` are, and may gate the states in `let_out` and project them in `read`. It gets both
    directions, padding, and decoding with a state of one vector.

    Args:
        bidirectional: whether half of the width runs forward and half backward; then it cannot be causal. Otherwise it
            always is.
    """

    def make_weights(self, width):
        """Makes what `gates` and `read` need for inputs of this width."""
        raise NotImplementedError(f"{type(self).__name__} must make its weights: define `make_weights`.")

    def gates(self, inputs):
        """The decays `a` in [0, 1], the shares `i` and the values `v`, `(..., D)` and float32, of inputs `(..., D)`.

        None in the place of the shares stands for `1 - a`, with which the states are averages, and quicker to compute.
        In half precision a decay near one cannot be told from one.
        """
        raise NotImplementedError(f"{type(self).__name__} must say how its state decays: define `gates`.")

    def let_out(self, state, inputs):
        """What of the states `(..., D)`, float32, goes out, by gates from the inputs: as much, linear in the states."""
        return state

    def read(self, mix):
        """The output `(..., D)` from what was let out, float32."""
        return ops.cast(mix, self.compute_dtype)

    def build(self, input_shape):
        self.check_width(input_shape)
        self._width = input_shape[-1]
        self.make_weights(self._width)
        self.built = True

    def projection(self, name, width, **options):
        """A dense layer from the inputs to as many channels, built."""
        dense = keras.layers.Dense(width, name=name, dtype=self.dtype_policy, **options)
        dense.build((None, None, width))
        return dense

    def mixing(self, inputs, mask, causal):
        decay, share, values = self.gates(inputs)
        if mask is not None:
            # A padded step keeps the state: a = 1 and nothing new.
            decay = ops.where(mask[..., None], decay, 1.0)
            share = None if share is None else ops.where(mask[..., None], share, 0.0)
        scan = self._two_ways if self.bidirectional else linear_scan

        def mix(x):
            state = scan(decay, x, average=True) if share is None else scan(decay, share * x)
            return self.let_out(state, inputs)

        return Mixing(values, mix, self.read)

    def _two_ways(self, decay, fresh, average=False):
        half = decay.shape[-1] - decay.shape[-1] // 2
        onward = linear_scan(decay[..., :half], fresh[..., :half], average=average)
        back = linear_scan(decay[..., half:], fresh[..., half:], reverse=True, average=average)
        return ops.concatenate([onward, back], axis=-1)

    def initial_state(self, batch_size, max_length=None):
        """The state before the first position: `(B, D)`, zeros."""
        return ops.zeros((batch_size, self._width), dtype="float32")

    def step(self, inputs, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position."""
        decay, share, value = self.gates(inputs)
        state = decay * state + (1.0 - decay if share is None else share) * value
        return self.read(self.let_out(state, inputs)), state

    def go_on(self, inputs, state):
        """Outputs `(B, n, D)` and next state for inputs `(B, n, D)` at the next n positions, at once."""
        decay, share, values = self.gates(inputs)
        fresh = (1.0 - decay if share is None else share) * values
        # What is left of the state counts as new at the first position.
        fresh = ops.concatenate([fresh[:, :1] + decay[:, :1] * state[:, None], fresh[:, 1:]], axis=1)
        states = linear_scan(decay, fresh)
        return self.read(self.let_out(states, inputs)), states[:, -1]
