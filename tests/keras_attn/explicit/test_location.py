import numpy as np
import pytest
from keras import ops

from keras_attn import LocationAttention

B, T, S, D = 2, 3, 7, 5


def numpy(x):
    return ops.convert_to_numpy(x)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def test_the_weights_depend_on_the_query_and_the_place_alone():
    layer, query, value = LocationAttention(), normal(B, T, D), normal(B, S, 2, seed=1)
    mix, weights = layer(query, value, return_attention_scores=True)
    kernel = numpy(layer.kernel)
    assert kernel.shape == (D, S)
    for b in range(B):
        for t in range(T):
            expected = softmax(query[b, t] @ kernel)
            np.testing.assert_allclose(numpy(weights)[b, 0, t], expected, rtol=1e-5)
            np.testing.assert_allclose(numpy(mix)[b, t], expected @ value[b], rtol=1e-4, atol=1e-6)
    _, same = layer(query, 3.0 * value, return_attention_scores=True)
    np.testing.assert_array_equal(numpy(same), numpy(weights))


def test_masked_keys_have_no_place_and_leave_their_share_to_the_others():
    layer, query, value = LocationAttention(), normal(1, T, D), normal(1, S, 2, seed=1)
    mask = np.array([[True, True, False, True, True, True, False]])
    place = np.cumsum(mask[0]) - 1
    _, weights = layer(query, value, value_mask=mask, use_causal_mask=True, return_attention_scores=True)
    for t in range(T):
        seen = np.flatnonzero(mask[0] & (np.arange(S) <= t + S - T))
        expected = np.zeros(S)
        expected[seen] = softmax(query[0, t] @ numpy(layer.kernel)[:, place[seen]])
        np.testing.assert_allclose(numpy(weights)[0, 0, t], expected, rtol=1e-5)


@pytest.mark.parametrize("length", [2, 5, 11])
def test_a_shorter_source_has_the_first_places_and_a_longer_one_none_for_its_end(length):
    layer, query = LocationAttention(positions=5), normal(1, T, D)
    _, weights = layer(query, normal(1, length, 2), return_attention_scores=True)
    used = min(length, 5)
    for t in range(T):
        expected = softmax(query[0, t] @ numpy(layer.kernel)[:, :used])
        np.testing.assert_allclose(numpy(weights)[0, 0, t, :used], expected, rtol=1e-5)
    assert np.all(numpy(weights)[..., used:] == 0.0)


def test_the_length_is_fixed_unless_it_was_given():
    assert LocationAttention().fixed_length and not LocationAttention(positions=5).fixed_length
    with pytest.raises(ValueError, match="give `positions`"):
        LocationAttention().build((None, None, D))
