import numpy as np
import pytest
from keras import ops

from keras_attn import MultiplicativeAttention


def test_dot_attention_of_orthogonal_keys_by_hand():
    query = np.array([[[2.0, 0.0]]], "float32")
    value = np.array([[[1.0, 0.0], [0.0, 1.0]]], "float32")
    mix, weights = MultiplicativeAttention(score="dot")(query, value, return_attention_scores=True)
    expected = np.array([np.exp(2.0), 1.0]) / (np.exp(2.0) + 1.0)
    np.testing.assert_allclose(ops.convert_to_numpy(weights)[0, 0, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(mix)[0, 0], expected, rtol=1e-5)


def test_general_with_the_identity_is_dot():
    rng = np.random.default_rng(0)
    query, value = rng.normal(size=(2, 3, 5)).astype("float32"), rng.normal(size=(2, 7, 5)).astype("float32")
    general = MultiplicativeAttention(score="general")
    general.build((2, 3, 5), (2, 7, 5))
    general.set_weights([np.eye(5)])
    dot = MultiplicativeAttention(score="dot")
    np.testing.assert_allclose(
        ops.convert_to_numpy(general(query, value)), ops.convert_to_numpy(dot(query, value)), rtol=1e-5
    )


def test_cosine_starts_with_strength_ten():
    layer = MultiplicativeAttention(score="cosine")
    _, weights = layer(np.array([[[3.0, 0.0]]]), np.array([[[5.0, 0.0], [0.0, 0.1]]]), return_attention_scores=True)
    expected = np.array([np.exp(10.0), 1.0]) / (np.exp(10.0) + 1.0)
    np.testing.assert_allclose(ops.convert_to_numpy(weights)[0, 0, 0], expected, rtol=1e-3)


def test_products_need_one_width():
    with pytest.raises(ValueError, match="same width"):
        MultiplicativeAttention(score="dot")(np.ones((2, 3, 5)), np.ones((2, 7, 4)))
