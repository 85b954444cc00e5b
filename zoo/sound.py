"""Sound waves to frames, and what makes frames harder to learn by heart."""

import math

import keras
import numpy as np
from keras import ops

from keras_attn import masks
from keras_attn.lookup import number, whole_number

MELS, CORNER = 1127.0, 700.0


@keras.saving.register_keras_serializable(package="zoo")
class LogMel(keras.layers.Layer):
    """Sound waves to the logarithm of the energy in bands of equal steps of pitch (mel), one frame after another.

    Frame t sees the `window` seconds from `t * hop` seconds on: `log(floor + M |F(hann * x)|^2)`, where F is the
    Fourier transform and M adds up a band, a triangle over the mel scale `1127 log(1 + f / 700 Hz)`. What is behind the
    end of a wave counts as silence. So a frame depends on nothing but its own samples: not on the rest of the batch, as
    it does below the loudest frame in `keras.layers.MelSpectrogram`, and not on what is yet to come.

    Args:
        sample_rate: samples a second, in Hz, at least 1.
        window: how much a frame sees, in seconds, at least two samples.
        hop: from one frame to the next, in seconds, at least one sample.
        bands: how many, at least 1; each must hold a frequency of the transform.
        low: where the lowest band begins, in Hz, at least 0.
        high: where the highest band ends, in Hz, at most half the sample rate; None for that.
        floor: the energy below which all is silence, above 0.

    Call arguments:
        inputs: `(B, N)`, samples between -1 and 1.
        padding_mask: `(B, N)`, nonzero for real samples, or None if all are.

    Returns:
        `(B, T, bands)`, float32, T = ceil(N / samples of a hop). Frame t is real if its first sample is.

    Example:
    >>> layer = LogMel(sample_rate=8000, window=0.025, hop=0.01, bands=40)
    >>> tuple(layer(keras.random.uniform((2, 4000))).shape)
    (2, 50, 40)
    """

    def __init__(
        self,
        sample_rate=16000,
        window=0.025,
        hop=0.01,
        bands=80,
        low=20.0,
        high=None,
        floor=1e-3,
        dtype="float32",
        **kwargs,
    ):
        super().__init__(dtype=dtype, **kwargs)
        self.sample_rate = whole_number("sample_rate", sample_rate)
        self.window = number("window", window, 0.0)
        self.hop = number("hop", hop, 0.0)
        self.bands = whole_number("bands", bands)
        self.low = number("low", low, 0.0, sample_rate / 2, "[)")
        self.high = number("high", high, low, sample_rate / 2, "(]", optional=True)
        self.floor = number("floor", floor, 0.0)
        self._window = whole_number("window in samples", round(window * sample_rate), least=2)
        self.hop_samples = whole_number("hop in samples", round(hop * sample_rate))
        self._transform = 2 ** math.ceil(math.log2(self._window))
        self._hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self._window) / self._window)).astype("float32")
        self._triangles = self._make_triangles()
        self.built = True

    def _make_triangles(self):
        """M: `(frequencies, bands)`."""
        frequencies = np.arange(self._transform // 2 + 1) * self.sample_rate / self._transform
        to_mel = lambda hertz: MELS * np.log1p(np.asarray(hertz) / CORNER)  # noqa: E731
        edges = np.linspace(to_mel(self.low), to_mel(self.high or self.sample_rate / 2), self.bands + 2)
        place = (to_mel(frequencies)[:, None] - edges[None]) / (edges[1] - edges[0])
        triangles = np.maximum(0.0, 1.0 - np.abs(place[:, 1:-1]))
        empty = np.flatnonzero(triangles.sum(axis=0) == 0.0)
        if len(empty):
            raise ValueError(
                f"Each band must hold a frequency of the transform, which are {frequencies[1]:g} Hz apart, and band "
                f"{empty[0]} does not: have fewer bands, a longer window or a higher `low`. "
                f"Received: bands={self.bands}, window={self.window}, low={self.low}"
            )
        return triangles.astype("float32")

    def call(self, inputs, padding_mask=None):
        waves = masks.zero(ops.cast(inputs, "float32"), padding_mask)
        # As many samples behind as a window has and one less, so that ceil(N / hop) windows fit, for an unknown N too.
        waves = ops.pad(waves, ((0, 0), (0, self._window - 1)))
        frames = ops.extract_sequences(waves, self._window, self.hop_samples)  # (B, T, samples)
        real, imaginary = ops.rfft(frames * self._hann, fft_length=self._transform)
        energy = ops.matmul(ops.square(real) + ops.square(imaginary), self._triangles)
        return ops.cast(ops.log(energy + self.floor), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        samples = input_shape[-1]
        return (input_shape[0], None if samples is None else -(-samples // self.hop_samples), self.bands)

    def get_config(self):
        return {
            **super().get_config(),
            "sample_rate": self.sample_rate,
            "window": self.window,
            "hop": self.hop,
            "bands": self.bands,
            "low": self.low,
            "high": self.high,
            "floor": self.floor,
        }


@keras.saving.register_keras_serializable(package="zoo")
class HiddenSpans(keras.layers.Layer):
    """In training some spans of time and of bands are 0, the mean of what was standardised: SpecAugment.

    Twice for each example a width is drawn between 0 and the largest, and then a place.

    Args:
        frames: the largest width over time, in frames, at least 0.
        bands: the largest width over bands, at least 0.
        seed: an integer that makes the draws repeatable.

    Call arguments:
        inputs: `(B, T, C)`.
        padding_mask: `(B, T)`, nonzero for real frames, which come first; spans begin among them.
        training: whether to hide anything.

    Returns:
        `(B, T, C)`.

    Example:
    >>> layer, x = HiddenSpans(frames=3, bands=2), keras.ops.ones((2, 7, 5))
    >>> float(keras.ops.sum(layer(x, keras.ops.ones((2, 7)))))
    70.0

    Reference: Park et al., 2019, https://arxiv.org/abs/1904.08779, section 2 (without warping of time).
    """

    TIMES = 2

    def __init__(self, frames=0, bands=0, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.frames = whole_number("frames", frames, least=0)
        self.bands = whole_number("bands", bands, least=0)
        self.seed = seed
        self._seeds = keras.random.SeedGenerator(seed)

    def call(self, inputs, padding_mask, training=None):
        if not training:
            return inputs
        batch, steps, channels = ops.shape(inputs)
        lengths = ops.sum(ops.cast(ops.cast(padding_mask, "bool"), "float32"), axis=1)
        if self.frames:
            inputs = ops.where(self._hidden(batch, steps, lengths, self.frames)[:, :, None], 0.0, inputs)
        if self.bands:
            widths = ops.full((batch,), channels, dtype="float32")
            inputs = ops.where(self._hidden(batch, channels, widths, self.bands)[:, None], 0.0, inputs)
        return inputs

    def _hidden(self, batch, places, lengths, most):
        """Booleans `(B, places)`: which are hidden, of the first `lengths` `(B,)`."""
        widths, starts = (
            keras.random.uniform((batch, self.TIMES, 1), dtype="float32", seed=self._seeds) for _ in range(2)
        )
        widths = ops.floor(widths * (most + 1))
        starts = ops.floor(starts * ops.maximum(lengths[:, None, None] - widths + 1, 1))
        place = ops.cast(ops.arange(places), "float32")
        return ops.any(ops.logical_and(place >= starts, place < starts + widths), axis=1)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "frames": self.frames, "bands": self.bands, "seed": self.seed}
