import math

import keras
from keras import ops

from keras_attn.mixer import Implicit, Mixing


@keras.saving.register_keras_serializable(package="keras_attn")
class Fourier(Implicit):
    """The Fourier transform over positions and width, of which the real part counts: mixing without any weights.

    `y_kl = Re Σ_t Σ_d x_td exp(-2πi (k t / T + l d / D)) / sqrt(T D)`. (The paper does not divide: there a norm
    follows. Here sizes stay as they were.)

    What is at a frequency depends on how many positions there are, so T is each sequence's own number of them, from its
    first real position to its last: padding before and behind changes nothing, and what is padded in between counts as
    zeros. With a mask, each sequence of a batch has frequencies of its own, which takes several times as long. It looks
    both ways and cannot be causal.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions.
        use_causal_mask: refused.

    Returns:
        `(B, T, D)`, zero at padded positions.

    Example:
    >>> mixed = Fourier()(keras.ops.ones((1, 2, 2)))
    >>> keras.ops.convert_to_numpy(mixed).tolist()
    [[[2.0, 0.0], [0.0, 0.0]]]

    Reference: Lee-Thorp et al., 2021, https://arxiv.org/abs/2105.03824, section 3, eq. 3; Bluestein, 1970,
    https://doi.org/10.1109/TAU.1970.1162132 (frequencies that are not those of the padded length).
    """

    can_be_causal = False

    def mixing(self, inputs, mask, causal):
        return Mixing(
            ops.cast(inputs, "float32"),
            mix=lambda x: _transform(x, mask),
            read=lambda mix: ops.cast(mix, inputs.dtype),
            gated=False,
            dense=True,
        )


def _transform(x, mask):
    # (B, D, T), where transforms of positions find them side by side
    real, imaginary = (ops.swapaxes(part, 1, 2) for part in _over_width(x))
    if mask is None:
        mixed = ops.fft((real, imaginary))[0] / ops.sqrt(ops.cast(ops.shape(x)[1], "float32"))
    else:
        mixed = _over_real_positions(real, imaginary, mask)
    return ops.swapaxes(mixed, 1, 2)


def _over_width(x):
    """Real and imaginary part of the transform over the last axis, over sqrt(D); by products, as D is small."""
    width = x.shape[-1]
    place = ops.arange(width, dtype="int32")
    angle = (2.0 * math.pi / width) * ops.cast(place[:, None] * place % width, "float32")
    scale = width**-0.5
    return ops.matmul(x, scale * ops.cos(angle)), ops.matmul(x, -scale * ops.sin(angle))


def _over_real_positions(real, imaginary, mask):
    """The real part of the transform of each row `(D, T)`, of the N positions that are its own, over sqrt(N).

    As `2 k t = k² + t² - (k - t)²`, it is a convolution with the chirp `c_n = exp(iπ n²/N)`, between two products with
    its conjugate: `y_k = c̄_k Σ_t (x_t c̄_t) c_{k-t}`. The convolution is one of any length that is long enough.
    """
    first, length = _span(mask)
    place = ops.arange(ops.shape(mask)[1], dtype="int32")[None] - first
    # (B, 1, T)
    cos, sin = (x[:, None] for x in _chirp(place, length))
    real, imaginary = _times((real, imaginary), (cos, -sin))
    real, imaginary = _convolve((real, imaginary), length)
    return _times((real, imaginary), (cos, -sin))[0] / ops.sqrt(ops.cast(length, "float32"))[:, None]


def _span(mask):
    """The first real position of each row, and how many there are from it to the last: `(B, 1)` each."""
    real = ops.cast(mask, "int32")
    before = ops.cast(ops.cumsum(real, axis=1) == 0, "int32")
    behind = ops.cast(ops.cumsum(ops.flip(real, 1), axis=1) == 0, "int32")
    first, last = (ops.sum(x, axis=1, keepdims=True) for x in (before, behind))
    length = ops.maximum(ops.shape(mask)[1] - first - last, 1)
    return ops.cast(first, "int32"), ops.cast(length, "int32")


def _chirp(place, length):
    """Cosine and sine of `π n²/N`, for integers n `(B or 1, T)` and N `(B, 1)`."""
    # n² modulo 2N in two parts of n: the square itself has no room in 32 bits above 46,340.
    turn, n = 2 * length, ops.abs(place)
    squares = (n * (n // 256) % turn * 256 + n * (n % 256)) % turn
    angle = math.pi * ops.cast(squares, "float32") / ops.cast(length, "float32")
    return ops.cos(angle), ops.sin(angle)


def _convolve(x, length):
    """The convolution of complex rows `(B, D, T)` with the chirps of their lengths N `(B, 1)`."""
    count = ops.shape(x[0])[2]
    circle = 2 * count
    lags = (ops.arange(circle, dtype="int32") + count) % circle - count
    chirp = ops.fft(tuple(part[:, None] for part in _chirp(lags[None], length)))
    real, imaginary = _times(ops.fft(tuple(ops.pad(part, ((0, 0), (0, 0), (0, count))) for part in x)), chirp)
    # The transform back is the conjugate of that of the conjugate.
    real, imaginary = ops.fft((real, -imaginary))
    scale = ops.cast(circle, "float32")
    return real[..., :count] / scale, -imaginary[..., :count] / scale


def _times(a, b):
    """The product of two complex numbers, each a pair of real ones."""
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]
