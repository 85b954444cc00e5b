import numpy as np
import pytest
from keras import ops

from keras_attn import LocalAttention
from tests.autodiff import gradient

B, T, S, D = 2, 5, 11, 3
ALIGNMENTS = pytest.mark.parametrize("alignment", ["monotonic", "predictive"])


def numpy(x):
    return ops.convert_to_numpy(x)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(alignment, width=2, key_width=D):
    layer = LocalAttention(alignment, width=width)
    layer.build((None, None, D), (None, None, key_width))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    return layer


def by_loops(layer, query, key, causal=False):
    """Weights (T, S) of one sequence without padding, section 3.2 query by query; places count from 1."""
    weights = np.zeros((len(query), len(key)))
    for t, q in enumerate(query, start=1):
        own = t + len(key) - len(query)
        length = min(own, len(key)) if causal else len(key)
        place = own
        if layer.alignment == "predictive":
            hidden = np.tanh(q @ numpy(layer.hidden_dense.kernel))
            place = length / (1.0 + np.exp(-(hidden @ numpy(layer.place_dense.kernel))[0]))
        window = [s for s in range(1, length + 1) if place - layer.width <= s <= place + layer.width]
        total = sum(np.exp(score(layer, q, key[s - 1])) for s in window)
        for s in window:
            weights[t - 1, s - 1] = np.exp(score(layer, q, key[s - 1])) / total
            if layer.alignment == "predictive":
                sigma = layer.width / 2
                weights[t - 1, s - 1] *= np.exp(-((s - place) ** 2) / (2 * sigma**2))
    return weights


def score(layer, q, k):
    return q @ numpy(layer.kernel) @ k


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("keys", [T, S])
@ALIGNMENTS
def test_the_weights_are_those_of_the_paper_and_the_mix_is_their_sum(alignment, keys, causal):
    layer, query, value = built(alignment, key_width=2), normal(B, T, D), normal(B, keys, 2, seed=1)
    mix, weights = layer(query, value, use_causal_mask=causal, return_attention_scores=True)
    for b in range(B):
        expected = by_loops(layer, query[b], value[b], causal)
        np.testing.assert_allclose(numpy(weights)[b, 0], expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(numpy(mix)[b], expected @ value[b], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "real, causal",
    [([1, 1, 1, 1, 0], False), ([0, 1, 1, 1, 1], True), ([1, 1, 0, 1, 1], True)],
    ids=["right", "left", "hole"],
)
@ALIGNMENTS
def test_padded_positions_are_as_if_they_were_not_there(alignment, real, causal):
    layer, inputs, mask = built(alignment, width=1), normal(1, T, D), np.array([real], dtype=bool)
    mix = layer(inputs, mask=mask, use_causal_mask=causal)
    expected = by_loops(layer, inputs[mask], inputs[mask], causal) @ inputs[mask]
    np.testing.assert_allclose(numpy(mix)[mask], expected, rtol=1e-4, atol=1e-5)


@ALIGNMENTS
def test_the_length_is_the_true_one_of_each_sequence(alignment):
    layer, query, value = built(alignment), normal(B, T, D), normal(B, S, D, seed=1)
    queries, keys = np.array([5, 3]), np.array([11, 7])
    masks = {"query_mask": np.arange(T) < queries[:, None], "value_mask": np.arange(S) < keys[:, None]}
    mix = numpy(layer(query, value, **masks))
    for b in range(B):
        own_query, own_value = query[b, : queries[b]], value[b, : keys[b]]
        expected = by_loops(layer, own_query, own_value) @ own_value
        np.testing.assert_allclose(mix[b, : queries[b]], expected, rtol=1e-4, atol=1e-5)


def test_a_mask_within_the_window_leaves_its_share_to_the_others():
    layer, inputs = built("monotonic", width=1), normal(1, T, D)
    allowed = ~np.eye(T, dtype=bool)
    _, weights = layer(inputs, attention_mask=allowed, return_attention_scores=True)
    own = numpy(weights)[0, 0]
    np.testing.assert_allclose(own.sum(-1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(own[0, 1], 1.0, rtol=1e-5)
    assert np.all(own[np.abs(np.subtract.outer(np.arange(T), np.arange(T))) != 1] == 0.0)


def test_the_place_learns_from_the_gaussian():
    layer, query = built("predictive"), normal(1, 1, D)
    # With a kernel of zeros the query matters to the place alone, and values that count the keys tell where it is.
    layer.kernel.assign(np.zeros((D, D)))
    value = np.concatenate([np.arange(S)[None, :, None], np.zeros((1, S, D - 1))], -1).astype("float32")
    read = lambda x: ops.sum(layer(x, value))  # noqa: E731
    slope, small = gradient(read, query), 1e-2
    for d in range(D):
        ahead, back = query.copy(), query.copy()
        ahead[..., d] += small
        back[..., d] -= small
        difference = (float(numpy(read(ahead))) - float(numpy(read(back)))) / (2 * small)
        np.testing.assert_allclose(slope[0, 0, d], difference, rtol=0.02, atol=1e-3)
    assert np.abs(slope).max() > 0.01


def test_what_the_weights_are_follows_from_the_alignment():
    assert LocalAttention("monotonic").weights_are == "distribution"
    assert LocalAttention("predictive").weights_are == "nonnegative"


def test_an_unknown_alignment_says_which_there_are():
    with pytest.raises(ValueError, match="Did you mean 'monotonic'"):
        LocalAttention("monotonous")
