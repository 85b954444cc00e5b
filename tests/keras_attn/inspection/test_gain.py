import numpy as np
import pytest
from keras import layers, ops

from keras_attn import inspection

B, T, D = 2, 5, 3


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_the_parts_make_the_jacobian_again_and_directions_have_length_one():
    model, x = layers.GRU(4, return_sequences=True), normal(B, T, D)
    model(x)
    values, inputs, outputs = inspection.gain(model, x)
    assert inputs.shape == (B, 15, T, D) and outputs.shape == (B, 15, T, 4)
    whole = np.einsum("bk,bksi,bkto->btosi", values, inputs, outputs)
    np.testing.assert_allclose(whole, inspection.sensitivity(model, x, reduce=None), atol=1e-5)
    np.testing.assert_allclose(np.square(inputs).sum(axis=(2, 3)), 1.0, rtol=1e-5)
    assert np.all(np.diff(values) <= 0.0)


def test_a_small_step_in_the_first_direction_changes_the_output_by_the_first_value():
    model, x = layers.GRU(4), normal(B, T, D)
    model(x)
    values, inputs, outputs = inspection.gain(model, x, count=1)
    assert outputs.shape == (B, 1, 4)
    step = 1e-2
    more, less = (ops.convert_to_numpy(model(x + sign * step * inputs[:, 0])) for sign in (1.0, -1.0))
    np.testing.assert_allclose((more - less) / (2 * step), values[:, :1] * outputs[:, 0], atol=2e-3)


def test_a_part_of_the_values_is_the_first_ones():
    model, x = layers.GRU(4), normal(B, T, D)
    model(x)
    whole, part = inspection.gain(model, x).values, inspection.gain(model, x, count=2, output=None).values
    np.testing.assert_allclose(part, whole[:, :2], rtol=1e-5)
    with pytest.raises(ValueError, match="at least 1"):
        inspection.gain(model, x, count=0)
