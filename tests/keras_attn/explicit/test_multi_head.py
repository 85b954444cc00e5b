import numpy as np
import pytest
from keras import ops

from keras_attn import MultiHeadAttention


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize("scale", [100.0, 1000.0])
def test_heads_that_talk_of_scores_that_half_precision_cannot_hold_stay_finite(scale):
    layer = MultiHeadAttention(4, talking_heads=True, dtype="mixed_float16")
    x = (scale * np.random.default_rng(0).normal(size=(2, 9, 64))).astype("float32")
    assert np.isfinite(ops.convert_to_numpy(layer(x))).all()


def test_each_head_follows_the_paper_s_equations():
    query, value = normal(2, 3, 5), normal(2, 7, 4, seed=1)
    layer = MultiHeadAttention(num_heads=3, key_dim=11, value_dim=13)
    mix, weights = layer(query, value, return_attention_scores=True)
    parts = [numpy(w) for w in layer.get_weights()]
    wq, bq, wk, bk, wv, bv, wo, bo = parts
    q, k, v = (
        np.einsum("bti,ihd->bhtd", x, w) + b[:, None] for x, w, b in ((query, wq, bq), (value, wk, bk), (value, wv, bv))
    )
    e = np.exp(q @ k.swapaxes(-1, -2) / np.sqrt(11))
    expected = e / e.sum(-1, keepdims=True)
    np.testing.assert_allclose(numpy(weights), expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(numpy(mix), np.einsum("bhtd,hdo->bto", expected @ v, wo) + bo, rtol=1e-3, atol=1e-4)


def test_as_many_key_heads_as_heads_is_the_default():
    x = normal(2, 3, 8)
    plain, grouped = MultiHeadAttention(4), MultiHeadAttention(4, num_key_value_heads=4)
    plain.build(x.shape)
    grouped.build(x.shape)
    grouped.set_weights(plain.get_weights())
    np.testing.assert_allclose(numpy(grouped(x)), numpy(plain(x)), rtol=1e-6)


def test_neighbouring_heads_share_keys_and_values():
    x = normal(2, 3, 8)
    shared, full = MultiHeadAttention(4, num_key_value_heads=2), MultiHeadAttention(4)
    shared.build(x.shape)
    full.build(x.shape)
    wide = [np.repeat(w, 2, axis=-2) if 2 <= i < 6 else w for i, w in enumerate(shared.get_weights())]
    full.set_weights(wide)
    np.testing.assert_allclose(numpy(full(x)), numpy(shared(x)), rtol=1e-5, atol=1e-6)


def test_a_window_as_long_as_the_sequence_is_full_attention():
    x = normal(2, 7, 8)
    full, window = MultiHeadAttention(2), MultiHeadAttention(2, sliding_window=7)
    full.build(x.shape)
    window.build(x.shape)
    window.set_weights(full.get_weights())
    np.testing.assert_allclose(numpy(window(x)), numpy(full(x)), atol=1e-6)


def test_attention_along_one_axis_is_attention_in_each_slice():
    x = normal(2, 3, 7, 8)
    layer = MultiHeadAttention(2, attention_axes=2)
    mix, weights = layer(x, return_attention_scores=True)
    rows = MultiHeadAttention(2)
    rows.build((None, 7, 8))
    rows.set_weights(layer.get_weights())
    for row in range(3):
        expected, expected_weights = rows(x[:, row], return_attention_scores=True)
        np.testing.assert_allclose(numpy(mix)[:, row], numpy(expected), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(numpy(weights)[:, row], numpy(expected_weights), rtol=1e-4, atol=1e-5)


def test_attention_over_two_axes_is_attention_over_their_product_masks_included():
    x = normal(2, 3, 5, 8)
    allowed = np.random.default_rng(1).random((2, 3, 5, 3, 5)) < 0.6
    layer = MultiHeadAttention(2, attention_axes=(1, 2))
    flat = MultiHeadAttention(2)
    flat.build((None, 15, 8))
    layer.build(x.shape)
    flat.set_weights(layer.get_weights())
    expected = numpy(flat(x.reshape(2, 15, 8), attention_mask=allowed.reshape(2, 15, 15)))
    np.testing.assert_allclose(
        numpy(layer(x, attention_mask=allowed)).reshape(2, 15, 8), expected, rtol=1e-4, atol=1e-5
    )
    mask = np.random.default_rng(2).random((2, 3, 5)) < 0.7
    expected = numpy(flat(x.reshape(2, 15, 8), mask=mask.reshape(2, 15)))
    np.testing.assert_allclose(numpy(layer(x, mask=mask)).reshape(2, 15, 8), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 7), (2, 3, 7), (2, 4, 3, 7)])
def test_masks_of_every_rank_broadcast(shape):
    layer = MultiHeadAttention(4)
    allowed = np.random.default_rng(0).random(shape) < 0.5
    _, weights = layer(normal(2, 3, 8), normal(2, 7, 8), attention_mask=allowed, return_attention_scores=True)
    forbidden = np.broadcast_to(~(allowed if len(shape) != 3 else allowed[:, None]), (2, 4, 3, 7))
    assert np.all(numpy(weights)[forbidden] == 0.0)


@pytest.mark.parametrize(
    "over, shape", [((1, 2), (2, 4, 3, 5, 3, 5)), (2, (2, 3, 4, 5, 5)), (2, (2, 5, 5)), (2, (5, 5))]
)
def test_masks_over_chosen_axes_broadcast_to_the_weights(over, shape):
    layer = MultiHeadAttention(4, attention_axes=over)
    allowed = np.random.default_rng(0).random(shape) < 0.5
    _, weights = layer(normal(2, 3, 5, 8), attention_mask=allowed, return_attention_scores=True)
    if len(shape) == 3:
        allowed = allowed[:, None, None]
    assert np.all(numpy(weights)[np.broadcast_to(~allowed, weights.shape)] == 0.0)


@pytest.mark.parametrize("over", [0, 3, 5, (1, 1)])
def test_axes_that_are_not_there_are_refused(over):
    with pytest.raises(ValueError, match="attention_axes"):
        MultiHeadAttention(2, attention_axes=over)(normal(2, 3, 5, 8))


def test_a_function_starts_the_projections():
    layer = MultiHeadAttention(2, use_bias=False, kernel_initializer=lambda shape, dtype=None: ops.ones(shape, dtype))
    layer.build((None, 5, 8))
    assert all(np.all(ops.convert_to_numpy(weight) == 1.0) for weight in layer.weights)
