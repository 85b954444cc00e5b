import math

import keras
import numpy as np
from keras import ops

from keras_attn.implicit import _diagonal
from keras_attn.implicit._state_space import StateSpace
from keras_attn.mixer import Mixing


@keras.saving.register_keras_serializable(package="keras_attn")
class S5(StateSpace):
    """One state space for all channels together: P damped waves, which all channels drive and all channels read.

    `x' = Λ x + B u`, `s = Re(C x) + D u` with `Λ = diag(λ_1 ... λ_P)` in conjugate pairs, B `(P, D)`, C `(D, P)` and D
    one number for each channel. The input is held for a step of length Δ, each state's own, so that
    `x_t = exp(Δ λ) x_{t-1} + (exp(Δ λ) - 1) / λ (B u_t)`; then `g = gelu(s)` and `y = g ⊙ sigmoid(W g)`. All of it is
    learned, and `Re λ < 0` whatever it learns: at first λ are the eigenvalues of HiPPO's normal part, and steps are
    between 0.001 and 0.1, evenly on a log scale. With `bidirectional`, half of the states run forward and half
    backward.

    Args:
        states: P, an even number of at least 2, and of at least 4 if bidirectional; one of each pair is kept.
        bidirectional: whether to read both ways; then it cannot be causal. Otherwise it always is.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; the others count as zeros.
        use_causal_mask: refused if bidirectional, and changes nothing otherwise.

    Returns:
        `(B, T, D)`, zero at padded positions.

    Example:
    >>> tuple(S5(states=4)(keras.random.normal((2, 7, 5))).shape)
    (2, 7, 5)

    Reference: Smith et al., 2022, https://arxiv.org/abs/2208.04933, sections 3.1, 3.2 (eq. 6) and appendix B.1
    (initial values).
    """

    def __init__(self, states=64, bidirectional=False, **kwargs):
        super().__init__(states, bidirectional, **kwargs)
        if bidirectional and states < 4:
            raise ValueError(f"Both ways share the states, which must be at least 4. Received: states={states}")

    def build(self, input_shape):
        self._width = width = input_shape[-1]
        pairs = self.states // 2
        self.log_rate = self._weight("log_rate", (pairs,), keras.initializers.Constant(math.log(0.5)))
        self.frequency = self._weight("frequency", (pairs,), _frequencies_of_hippo)
        self.log_step = self._weight("log_step", (pairs,), _diagonal.log_steps())
        # The eigenvectors are unitary: a normal matrix times them is a complex normal one.
        self.drive = self._weight(
            "drive", (2, pairs, width), keras.initializers.RandomNormal(stddev=(2 * width) ** -0.5)
        )
        self.readout = self._weight(
            "readout", (2, pairs, width), keras.initializers.RandomNormal(stddev=(2 * self.states) ** -0.5)
        )
        self.skip = self._weight("skip", (width,), "ones")
        self.gate_dense = self._dense("gate", width, width, activation="sigmoid")
        self.built = True

    def mixing(self, inputs, mask, causal):
        return Mixing(ops.cast(inputs, "float32"), self._driven, self._read, gated=False, dense=True)

    def _driven(self, x):
        pole, drive, readout = self._system()
        states = self._both_ways(pole, self._drives(x, drive))
        return self._reads(x, states, readout)

    def _drives(self, x, drive):
        """What drives the states, real and imaginary parts, from x `(B, T, D)`: `(P / 2, B, T)` each."""
        # (P, B T): states first, positions side by side
        driven = ops.matmul(drive, ops.transpose(ops.reshape(x, (-1, self._width))))
        driven = ops.reshape(driven, (2, self.states // 2, ops.shape(x)[0], -1))
        return driven[0], driven[1]

    def _reads(self, x, states, readout):
        """`Re(C x) + D u`, `(B, T, D)`, of inputs u `(B, T, D)` and states x `(P / 2, B, T)`."""
        states = ops.reshape(ops.concatenate(states, axis=0), (self.states, -1))
        return ops.reshape(ops.matmul(ops.transpose(states), readout), ops.shape(x)) + self.skip * x

    def _both_ways(self, pole, driven):
        if not self.bidirectional:
            return _diagonal.scan(pole, driven)
        half = self.states // 2 - self.states // 4
        states = _diagonal.scan(pole, tuple(_half_flipped(x, half) for x in driven))
        return tuple(_half_flipped(x, half) for x in states)

    def _read(self, mix):
        gated = ops.cast(ops.gelu(mix, approximate=False), self.compute_dtype)
        return gated * self.gate_dense(gated)

    def _system(self):
        """`Δ λ` `(P / 2,)`, and what drives and what reads the real parts, then the imaginary ones: `(P, D)` each."""
        weights = self.log_rate, self.frequency, self.log_step
        held = tuple(part[:, None] for part in _diagonal.held(*weights))
        drive = _diagonal.times(held, (self.drive[0], self.drive[1]))
        # The other one of each pair is its conjugate, and so is what it adds.
        readout = 2.0 * self.readout[0], -2.0 * self.readout[1]
        return _diagonal.poles(*weights), *(ops.concatenate(parts, axis=0) for parts in (drive, readout))

    def initial_state(self, batch_size, max_length=None):
        """The state before the first position, real and imaginary parts: `(B, 2, P / 2)`, zeros."""
        return ops.zeros((batch_size, 2, self.states // 2), dtype="float32")

    def step(self, inputs, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position."""
        x = ops.cast(inputs, "float32")
        pole, drive, readout = self._system()
        decay = tuple(part[..., 0] for part in _diagonal.powers(pole, ops.arange(1, 2)))
        state = ops.stack(_diagonal.times((state[:, 0], state[:, 1]), decay), axis=1)
        state = state + ops.reshape(ops.matmul(x, ops.transpose(drive)), ops.shape(state))
        return self._read(ops.matmul(ops.reshape(state, (-1, self.states)), readout) + self.skip * x), state

    def go_on(self, inputs, state):
        """Outputs `(B, n, D)` and next state for inputs `(B, n, D)` at the next n positions, at once."""
        x = ops.cast(inputs, "float32")
        pole, drive, readout = self._system()
        # What is left of the state counts as new at the first position.
        left = _diagonal.powers(pole, ops.arange(1, 2))
        left = _diagonal.times((state[:, 0], state[:, 1]), tuple(part[..., 0] for part in left))
        driven = tuple(
            ops.concatenate([x[:, :, :1] + ops.transpose(part)[:, :, None], x[:, :, 1:]], axis=2)
            for x, part in zip(self._drives(x, drive), left)
        )
        states = _diagonal.scan(pole, driven)
        state = ops.stack([ops.transpose(part[:, :, -1]) for part in states], axis=1)
        return self._read(self._reads(x, states, readout)), state


def _half_flipped(x, half):
    """`(K, B, T)`, of which the states from `half` on run backward."""
    return ops.concatenate([x[:half], ops.flip(x[half:], 2)], axis=0)


def _frequencies_of_hippo(shape, dtype=None):
    """The imaginary parts above zero of the eigenvalues of HiPPO-LegS's normal part, for twice as many states."""
    root = np.sqrt(np.arange(2 * shape[0]) + 0.5)
    # -1/2 I + S with S_nk = -+ root_n root_k below and above the diagonal; i S has the real eigenvalues.
    skew = np.triu(np.outer(root, root), 1)
    return ops.convert_to_tensor(np.linalg.eigvalsh(1j * (skew - skew.T))[shape[0] :], dtype=dtype)
