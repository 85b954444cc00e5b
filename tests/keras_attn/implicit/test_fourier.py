"""The Fourier mixer against numpy's transforms."""

import numpy as np
import pytest

from keras_attn import Fourier
from tests.keras_attn.implicit.test_mixes import normal, numpy


def transform(x):
    return np.fft.fft2(x, axes=(-2, -1), norm="ortho").real


@pytest.mark.parametrize("length", [1, 2, 7, 41])
def test_it_is_the_real_part_of_the_transform_over_positions_and_width(length):
    x = normal(3, length, 5)
    np.testing.assert_allclose(numpy(Fourier()(x)), transform(x), rtol=1e-3, atol=1e-5)


def test_each_sequence_has_the_frequencies_of_its_own_positions():
    x, spans = normal(4, 41, 5), [(0, 41), (0, 13), (17, 40), (5, 6)]
    place = np.arange(41)
    mask = np.stack([(place >= first) & (place < last) for first, last in spans])
    y = numpy(Fourier()(x, mask=mask))
    for row, (first, last) in enumerate(spans):
        np.testing.assert_allclose(y[row, first:last], transform(x[row, first:last]), rtol=1e-3, atol=1e-5)


def test_what_is_padded_between_real_positions_counts_as_zeros():
    x, mask = normal(1, 7, 5), np.array([[False, True, True, False, True, True, False]])
    y = numpy(Fourier()(x, mask=mask))
    expected = transform(np.where(mask[..., None], x, 0.0)[:, 1:6]) * mask[:, 1:6, None]
    np.testing.assert_allclose(y[:, 1:6], expected, rtol=1e-3, atol=1e-5)


def test_the_frequencies_of_a_long_padded_sequence_are_as_exact():
    # From 46,341 positions on, squares have no room in 32 bits.
    x, mask = normal(1, 50_021, 2), np.arange(50_021)[None] < 49_999
    y = numpy(Fourier()(x, mask=mask))
    np.testing.assert_allclose(y[:, :49_999], transform(x[:, :49_999]), atol=2e-4)
