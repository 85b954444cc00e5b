import math

import keras
from keras import ops

from keras_attn._slices import first, one_later
from keras_attn.implicit import _diagonal
from keras_attn.implicit._state_space import StateSpace
from keras_attn.lookup import choose
from keras_attn.mixer import Mixing

#: Positions in a block: longer ones are more work within a block and less between them.
BLOCK = 128


def _linear(pairs):
    """S4D-Lin: the frequencies of a Fourier series."""
    return math.pi * ops.arange(pairs, dtype="float32")


def _inverse(pairs):
    """S4D-Inv: close to those of HiPPO, for memory that weighs all of the past by its age."""
    size = 2 * pairs
    return size / math.pi * (size / (2.0 * ops.arange(pairs, dtype="float32") + 1.0) - 1.0)


FREQUENCIES = {"linear": _linear, "inverse": _inverse}


@keras.saving.register_keras_serializable(package="keras_attn")
class S4D(StateSpace):
    """A diagonal state space for each channel: a convolution with a sum of N damped waves, as long as the input.

    `x' = A x + u`, `s = Re(C x) + D u` for each channel, with `A = diag(λ_1 ... λ_N)` in conjugate pairs and the input
    held for a step of length Δ, so that `x_t = exp(Δ λ) x_{t-1} + (exp(Δ λ) - 1) / λ u_t`; then
    `y = W_o gelu(s)`. λ, C, D and Δ are learned, each channel's own, and `Re λ < 0` whatever they learn. Steps start
    between 0.001 and 0.1, evenly on a log scale: memories of 20 to 2,000 positions. With `bidirectional`, half of the
    channels run forward and half backward.

    All at once it is a convolution whose filter is the sum over n of `C_n (exp(Δ λ_n) - 1) / λ_n exp(Δ λ_n)^t`:
    within blocks of 128 positions by a matrix for each channel, and from block to block go the states.

    Args:
        states: N, an even number of at least 2; one of each pair is kept.
        frequencies: what `Im λ` are at first: "linear", `π n`, or "inverse", `N/π (N/(2n + 1) - 1)`, for n = 0, 1 and
            so on; `Re λ` is -1/2.
        bidirectional: whether to read both ways; then it cannot be causal. Otherwise it always is.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; the others count as zeros.
        use_causal_mask: refused if bidirectional, and changes nothing otherwise.

    Returns:
        `(B, T, D)`, zero at padded positions.

    Example:
    >>> tuple(S4D(states=4)(keras.random.normal((2, 7, 5))).shape)
    (2, 7, 5)

    Reference: Gu et al., 2022, https://arxiv.org/abs/2206.11893, sections 3.1 (zero-order hold), 3.2 (the kernel) and
    4.3 (S4D-Inv, S4D-Lin).
    """

    def __init__(self, states=64, frequencies="linear", bidirectional=False, **kwargs):
        super().__init__(states, bidirectional, **kwargs)
        self.frequencies = choose("frequencies", frequencies, FREQUENCIES)

    def build(self, input_shape):
        self._width = width = input_shape[-1]
        pairs = self.states // 2
        self.log_rate = self._weight("log_rate", (width, pairs), keras.initializers.Constant(math.log(0.5)))
        self.frequency = self._weight("frequency", (width, pairs), self._first_frequencies)
        self.log_step = self._weight("log_step", (width,), _diagonal.log_steps())
        self.readout = self._weight("readout", (2, width, pairs), keras.initializers.RandomNormal(stddev=0.5**0.5))
        self.skip = self._weight("skip", (width,), "ones")
        self.output_dense = self._dense("output", width, width)
        self.built = True

    def _first_frequencies(self, shape, dtype=None):
        # Not broadcast: on torch rows that share their memory could not be updated.
        return ops.ones(shape, dtype=dtype) * ops.cast(FREQUENCIES[self.frequencies](shape[1]), dtype)

    def mixing(self, inputs, mask, causal):
        return Mixing(ops.cast(inputs, "float32"), self._filtered, self._read, gated=False)

    def _filtered(self, x):
        # (B, T, D) -> (D, B, T) and back
        mix = ops.transpose(self._both_ways(ops.transpose(x, (2, 0, 1))), (1, 2, 0))
        return mix + self.skip * x

    def _both_ways(self, x):
        if not self.bidirectional:
            return self._convolve(x)
        half = self._width - self._width // 2
        mix = self._convolve(ops.concatenate([x[:half], ops.flip(x[half:], 2)], axis=0))
        return ops.concatenate([mix[:half], ops.flip(mix[half:], 2)], axis=0)

    def _read(self, mix):
        mix = ops.cast(ops.gelu(mix, approximate=False), self.compute_dtype)
        return self._as_computed(self.output_dense(mix))

    def _system(self):
        """`Δ λ` and `w`, `(D, N / 2)` each, of `x_t = exp(Δ λ) x_{t-1} + u_t` and `s_t = Re Σ w x_t`."""
        weights = self.log_rate, self.frequency, self.log_step[:, None]
        # The other one of each pair is its conjugate, and so is what it adds.
        readout = 2.0 * self.readout[0], 2.0 * self.readout[1]
        return _diagonal.poles(*weights), _diagonal.times(_diagonal.held(*weights), readout)

    def _convolve(self, x):
        """Each channel with its own filter: `(D, B, T)`."""
        pole, weight = self._system()
        weight = tuple(part[..., None] for part in weight)
        length, shape = x.shape[2], ops.shape(x)
        size = BLOCK if length is None else min(BLOCK, length)
        place = ops.arange(size)
        x = _diagonal.blocks(x, size)
        # The filter is the real part of a sum of powers.
        kernel = ops.sum(_diagonal.times(weight, _diagonal.powers(pole, place))[0], axis=1)
        mix = ops.matmul(x, _toeplitz(kernel))
        if length is None or length > size:
            ends = ops.matmul(x, _as_rows(_diagonal.powers(pole, size - 1 - place)))
            real, imaginary = _diagonal.times(weight, _diagonal.powers(pole, place + 1))
            read = ops.concatenate([real, -imaginary], axis=1)
            mix = mix + ops.matmul(self._states_before(pole, ends, shape[1], size), read)
        return _diagonal.joined(ops.reshape(mix, (shape[0], shape[1], -1, size)), shape[2])

    def _states_before(self, pole, ends, batch, size):
        """States before each block, `(D, B blocks, N)`, from what each block alone makes of them."""
        width, pairs = self._width, self.states // 2
        parts = ops.split(ops.swapaxes(ends, 1, 2), 2, axis=1)
        parts = tuple(ops.reshape(part, (width * pairs, batch, -1)) for part in parts)
        ends = _diagonal.scan(tuple(ops.reshape(size * part, (-1,)) for part in pole), parts)
        before = [ops.reshape(one_later(part, 2), (width, pairs, -1)) for part in ends]
        return ops.swapaxes(ops.concatenate(before, axis=1), 1, 2)

    def initial_state(self, batch_size, max_length=None):
        """The state before the first position, real and imaginary parts: `(B, 2, D, N / 2)`, zeros."""
        return ops.zeros((batch_size, 2, self._width, self.states // 2), dtype="float32")

    def step(self, inputs, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position."""
        x = ops.cast(inputs, "float32")
        pole, weight = self._system()
        decay = tuple(part[..., 0] for part in _diagonal.powers(pole, ops.arange(1, 2)))
        real, imaginary = _diagonal.times((state[:, 0], state[:, 1]), decay)
        real = real + x[..., None]
        mix = ops.sum(_diagonal.times((real, imaginary), weight)[0], axis=-1)
        return self._read(mix + self.skip * x), ops.stack([real, imaginary], axis=1)

    def go_on(self, inputs, state):
        """Outputs `(B, n, D)` and next state for inputs `(B, n, D)` at the next n positions, at once."""
        x, state, count = ops.cast(inputs, "float32"), (state[:, 0], state[:, 1]), inputs.shape[1]
        pole, weight = self._system()
        left = _diagonal.powers(pole, ops.arange(1, count + 1))
        read = _diagonal.times(tuple(part[..., None] for part in weight), left)
        carried = (ops.einsum("bdk,dkt->btd", *pair) for pair in zip(state, read))
        state = _diagonal.times(state, tuple(part[..., -1] for part in left))
        to_the_end = _diagonal.powers(pole, ops.arange(count - 1, -1, -1))
        fresh = (ops.einsum("btd,dkt->bdk", x, part) for part in to_the_end)
        output = self._read(self._filtered(x) + ops.subtract(*carried))
        return output, ops.stack([ops.add(*pair) for pair in zip(state, fresh)], axis=1)

    def get_config(self):
        return {**super().get_config(), "frequencies": self.frequencies}


def _as_rows(powers):
    """Real and imaginary parts `(D, n, C)` side by side in columns: `(D, C, 2 n)`."""
    return ops.swapaxes(ops.concatenate(powers, axis=1), 1, 2)


def _toeplitz(kernel):
    """Matrices `(D, C, C)` with `kernel_{t-s}` `(D, C)` in row s and column t, 0 for t < s."""
    size = kernel.shape[1]
    # One row after another, each by one shorter than the last one's period, so that it moves on by one.
    rows = ops.broadcast_to(ops.pad(kernel, ((0, 0), (0, size)))[:, None], (kernel.shape[0], size, 2 * size))
    flat = first(ops.reshape(rows, (-1, 2 * size * size)), size * (2 * size - 1), 1)
    return first(ops.reshape(flat, (-1, size, 2 * size - 1)), size, 2)
