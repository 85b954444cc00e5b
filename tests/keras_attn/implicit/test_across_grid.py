"""A mixer along rows, then one along columns."""

import keras
import numpy as np
import pytest

from keras_attn import (
    AcrossGrid,
    DepthwiseConvolution,
    GatedConvolution,
    Identity,
    MinGRU,
    MultiHeadAttention,
    TokenMLP,
    mixers,
)
from tests.keras_attn.implicit.test_mixes import normal, numpy

B, H, W, D = 2, 3, 5, 7
TWO_WAYS = {"mixer": "gru", "bidirectional": True}


def test_each_row_is_a_sequence_of_its_own_and_then_each_column():
    layer, x = AcrossGrid(MinGRU(), GatedConvolution(2), grid=[H, W]), normal(B, H * W, D)
    y = numpy(layer(x)).reshape(B, H, W, D)
    image = x.reshape(B, H, W, D)
    rows = np.stack([numpy(layer.rows(image[:, row])) for row in range(H)], axis=1)
    columns = np.stack([numpy(layer.columns(rows[:, :, column])) for column in range(W)], axis=2)
    np.testing.assert_allclose(y, columns, rtol=1e-4, atol=1e-5)


def test_a_mixer_of_one_length_sees_that_of_a_row_or_a_column():
    layer = AcrossGrid(TokenMLP(), TokenMLP(), grid=[H, W])
    layer.build((None, H * W, D))
    assert [numpy(part.hidden_dense.kernel).shape for part in (layer.rows, layer.columns)] == [(W, W), (H, H)]


def changes(layer, place, **options):
    """At which rows and columns the output changes with the input at one place."""
    x = normal(1, H * W, D)
    before = numpy(layer(x, **options))
    x[0, place] += 1.0
    return (np.abs(numpy(layer(x, **options)) - before).max(-1) > 1e-6).reshape(H, W)


def test_with_recurrences_of_both_directions_any_two_positions_meet():
    layer = mixers.get({"mixer": "across_grid", "rows": TWO_WAYS, "columns": TWO_WAYS, "grid": [H, W]})
    assert changes(layer, 1 * W + 3).all()


def test_causal_it_sees_no_later_row_and_no_later_column():
    layer = mixers.get({"mixer": "across_grid", "rows": "min_gru", "columns": "min_gru", "grid": [H, W]})
    rows, columns = np.indices((H, W))
    seen = changes(layer, 1 * W + 3, use_causal_mask=True)
    np.testing.assert_array_equal(seen, (rows >= 1) & (columns >= 3))
    assert not mixers.get({"mixer": "across_grid", "rows": "min_gru", "columns": TWO_WAYS}).can_be_causal


def test_padded_positions_reach_nobody_by_row_or_column():
    layer, x = mixers.get({"mixer": "across_grid", "grid": [H, W]}), normal(B, H * W, D)
    mask = np.random.default_rng(3).random((B, H * W)) < 0.6
    mask[0, :W] = False
    expected = numpy(layer(np.where(mask[..., None], x, 0.0), mask=mask))
    poisoned = np.where(mask[..., None], x, np.nan).astype("float32")
    np.testing.assert_allclose(numpy(layer(poisoned, mask=mask)), expected, rtol=1e-5, atol=1e-6)
    assert not expected[~mask].any() and np.isfinite(expected).all()


@pytest.mark.parametrize("length, sides", [(1, (1, 1)), (7, (1, 7)), (15, (3, 5)), (49, (7, 7)), (60, (6, 10))])
def test_without_a_grid_it_is_what_is_nearest_to_a_square(length, sides):
    layer = AcrossGrid(TokenMLP(), TokenMLP())
    layer.build((None, length, D))
    assert [numpy(part.hidden_dense.kernel).shape[0] for part in (layer.columns, layer.rows)] == list(sides)


def test_a_saved_model_has_both_parts(tmp_path):
    inputs = keras.Input((H * W, D))
    spec = {"mixer": "across_grid", "rows": "min_lstm", "columns": TWO_WAYS, "grid": [H, W]}
    model = keras.Model(inputs, mixers.get(spec)(inputs))
    model.save(tmp_path / "model.keras")
    x = normal(B, H * W, D)
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(numpy(loaded(x)), numpy(model(x)), rtol=1e-4, atol=1e-6)


def test_the_parts_are_specs_with_their_defaults_and_have_the_policy_of_the_whole():
    spec = mixers.resolve({"mixer": "across_grid", "rows": "gated_conv"})
    assert spec["rows"] == {"mixer": "gated_conv", "kernel_size": 7}
    layer = mixers.get(spec, dtype="mixed_bfloat16")
    assert layer.rows.compute_dtype == layer.columns.compute_dtype == "bfloat16"


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: mixers.get({"mixer": "across_grid", "rows": "gruu"}), "Did you mean 'gru'"),
        (lambda: mixers.get({"mixer": "across_grid", "rows": {"mixer": "gru", "cel": 1}}), "option of 'gru' 'cel'"),
        (lambda: mixers.get({"mixer": "across_grid", "grid": [0, 5]}), "two positive integers"),
        (lambda: AcrossGrid(MultiHeadAttention(2), Identity()), "`rows`: it must be an implicit mixer"),
        (lambda: AcrossGrid(Identity(), "gru"), "`columns`: it must be an implicit mixer"),
        (lambda: AcrossGrid(*[Identity()] * 2), "two layers"),
        (lambda: mixers.get("across_grid").build((None, None, D)), "a known length"),
        (lambda: mixers.get({"mixer": "across_grid", "grid": [H, W]}).build((None, 16, D)), "has 15 positions"),
    ],
)
def test_what_cannot_be_says_so(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", ["depthwise_conv", "across_grid"])
def test_examples_are_not_taken_for_parts_of_one_image(name):
    layer = mixers.get({"mixer": name, "grid": [2, 7]})
    layer.build((None, 14, 5))
    for shape in ((2, 7, 5), (1, 28, 5)):
        with pytest.raises(ValueError, match="expected axis 1"):
            layer(np.ones(shape, "float32"))
    with pytest.raises(ValueError, match="expected axis 1"):
        layer(keras.Input((7, 5)))


def test_sides_of_a_grid_are_whole_numbers_as_elsewhere():
    assert DepthwiseConvolution(3, grid=np.array([2, 7])).get_config()["grid"] == [2, 7]
    with pytest.raises(ValueError, match="two positive integers"):
        DepthwiseConvolution(3, grid=[True, 14])
