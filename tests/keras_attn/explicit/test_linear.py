import numpy as np
import pytest
from keras import ops

from keras_attn import LinearAttention
from keras_attn.explicit import _linear_state
from tests.autodiff import gradient
from tests.keras_attn.explicit import state_forms
from tests.keras_attn.explicit.state_forms import built, close, heads, holes, joined, normal, numpy


def features(x, name):
    if name == "elu":
        return 1.0 + np.where(x > 0.0, x, np.expm1(x))
    if name == "relu":
        return np.maximum(x, 0.0) + 1e-3
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def by_loops(layer, query, value, present, causal):
    """Eq. 5 and 9 as they stand, pair by pair: mix and weights."""
    phi_q = features(heads(query, layer.query_dense, layer.num_heads), layer.feature_map)
    phi_k = features(heads(value, layer.key_dense, layer.num_heads), layer.feature_map)
    values = heads(value, layer.value_dense, layer.num_heads)
    queries, keys = query.shape[1], value.shape[1]
    weights = np.zeros((len(query), layer.num_heads, queries, keys))
    for b, h, t in np.ndindex(*weights.shape[:3]):
        for s in range(keys):
            if present[b, s] and not (causal and s > t + keys - queries):
                weights[b, h, t, s] = phi_q[b, h, t] @ phi_k[b, h, s]
        weights[b, h, t] /= weights[b, h, t].sum() or 1.0
    return joined(weights @ values) @ numpy(layer.output_dense.kernel), weights


@pytest.mark.parametrize("feature_map", ["elu", "relu", "exp"])
@pytest.mark.parametrize("size", [1e4, 1e8])
def test_gradients_of_large_inputs_are_numbers(feature_map, size):
    layer = LinearAttention(4, feature_map)
    for seed in range(5):
        x = (size * np.random.default_rng(seed).normal(size=(2, 9, 32))).astype("float32")
        found = gradient(lambda x: ops.mean(layer(x, use_causal_mask=True)), x)
        assert np.isfinite(found).all()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("feature_map", ["elu", "relu", "exp"])
def test_it_follows_the_paper_s_equations_pair_by_pair(feature_map, causal):
    layer = built(LinearAttention(num_heads=3, feature_map=feature_map))
    query, value, mask = normal(2, 7, 5), normal(2, 11, 5, seed=1), holes(2, 11)
    mix, weights = by_loops(layer, query, value, mask, causal)
    close(layer(query, value, value_mask=mask, use_causal_mask=causal), mix)
    asked = layer(query, value, value_mask=mask, use_causal_mask=causal, return_attention_scores=True)
    close(asked[0], mix)
    close(asked[1], weights)


@pytest.mark.parametrize("length", [7, 8, 19])
def test_weights_chunks_and_steps_agree(monkeypatch, length):
    monkeypatch.setattr(_linear_state, "CHUNK", 8)
    state_forms.check_that_forms_agree(built(LinearAttention(num_heads=2)), length)


def test_both_ways_weights_and_sums_agree():
    state_forms.check_that_forms_agree(built(LinearAttention(num_heads=2)), 19, causal=False)


@pytest.mark.parametrize("causal", [False, True])
def test_the_forms_agree_for_other_lengths_in_gradients_and_with_padding_in_between(monkeypatch, causal):
    monkeypatch.setattr(_linear_state, "CHUNK", 8)
    layer = built(LinearAttention(num_heads=2))
    state_forms.check_that_lengths_may_differ(layer, causal)
    state_forms.check_that_gradients_agree(layer, causal)
    state_forms.check_that_padding_takes_no_time(layer, causal)


@pytest.mark.parametrize("feature_map", ["elu", "exp"])
def test_features_that_vanish_give_nothing_and_finite_gradients(feature_map):
    layer = LinearAttention(num_heads=1, feature_map=feature_map)
    layer.build((None, None, 2))
    # Queries and keys are told apart so sharply that no pair has anything in common in float32.
    apart = np.array([[-1000.0, 0.0], [1000.0, 0.0]], "float32")
    layer.set_weights([apart, -apart, np.eye(2), np.eye(2)])
    x = np.array([[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]], "float32")
    for options in ({}, {"use_causal_mask": True}):
        mix, weights = layer(x, return_attention_scores=True, **options)
        close(layer(x, **options), mix)
        rows = numpy(weights).sum(-1)
        assert np.all((np.abs(rows - 1.0) < 1e-5) | (rows == 0.0))
        assert np.isfinite(gradient(lambda x, o=options: ops.sum(ops.square(layer(x, **o))), x)).all()


def test_a_small_denominator_is_as_good_as_a_large_one():
    layer = LinearAttention(num_heads=1)
    layer.build((None, None, 2))
    x = -20.0 * np.abs(normal(1, 67, 2)) - 10.0
    layer.set_weights([np.eye(2), np.eye(2), np.eye(2), np.eye(2)])
    mix, weights = by_loops(layer, x, x, np.ones((1, 67), bool), True)
    assert (features(heads(x, layer.query_dense, 1), "elu") ** 2).max() < 1e-8
    seen = np.exp(x.astype("float64")).sum(-1) > 1e-12
    got = layer(x, use_causal_mask=True, return_attention_scores=True)
    close(numpy(got[1])[0, 0][seen[0]], weights[0, 0][seen[0]], 1e-4)
    close(numpy(layer(x, use_causal_mask=True))[seen], mix[seen], 1e-4)


def test_small_features_of_query_and_key_are_not_lost_in_their_product():
    layer = LinearAttention(num_heads=1)
    layer.build((1, 3, 2))
    layer.set_weights([np.eye(2, dtype="float32")] * 4)
    x = np.full((1, 3, 2), -60.0, "float32")
    mix, weights = layer(x, return_attention_scores=True)
    np.testing.assert_allclose(ops.convert_to_numpy(weights), np.full((1, 1, 3, 3), 1 / 3), atol=1e-6)
    for found in (mix, layer(x)):
        np.testing.assert_allclose(ops.convert_to_numpy(found), x, rtol=1e-5)


def test_an_unknown_feature_map_is_refused():
    with pytest.raises(ValueError, match="Unknown feature_map 'gelu'"):
        LinearAttention(num_heads=2, feature_map="gelu")
