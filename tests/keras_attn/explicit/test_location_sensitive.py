import numpy as np
import pytest
from keras import ops

from keras_attn import LocationSensitiveAttention

B, T, S, D, U, FILTERS, WIDTH = 2, 5, 7, 3, 11, 2, 3
OPTIONS = pytest.mark.parametrize(
    "options",
    [{}, {"smoothing": True}, {"cumulative": True}, {"smoothing": True, "cumulative": True, "kernel_size": 4}],
    ids=["plain", "smoothing", "cumulative", "all"],
)


def numpy(x):
    return ops.convert_to_numpy(x)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(key_width=D, **options):
    layer = LocationSensitiveAttention(**{"units": U, "filters": FILTERS, "kernel_size": WIDTH, **options})
    layer.build((None, None, D), (None, None, key_width))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    return layer


def by_loops(layer, query, key, allowed=None):
    """Weights (T, S) of one sequence, eq. 5-9 step by step, every sum written out."""
    w, (v, b) = numpy(layer.query_dense.kernel), map(numpy, layer.key_dense.weights)
    filters, u, scale = (numpy(x) for x in (layer.cell.filter_kernel, layer.cell.feature_kernel, layer.cell.scale))
    allowed = np.ones((len(query), len(key)), dtype=bool) if allowed is None else allowed
    previous, weights = np.zeros(len(key)), np.zeros((len(query), len(key)))
    for i, q in enumerate(query):
        shares = np.zeros(len(key))
        for j, k in enumerate(key):
            features = np.zeros(layer.filters)
            for r in range(layer.kernel_size):
                place = j + r - (layer.kernel_size - 1) // 2
                if 0 <= place < len(key):
                    features += filters[r] * previous[place]
            score = scale @ np.tanh(q @ w + k @ v + features @ u + b)
            shares[j] = 1.0 / (1.0 + np.exp(-score)) if layer.smoothing else np.exp(score)
        shares *= allowed[i]
        if shares.any():
            weights[i] = shares / shares.sum()
            previous = previous + weights[i] if layer.cumulative else weights[i]
    return weights


@OPTIONS
def test_the_weights_are_those_of_the_paper_and_the_mix_is_their_sum(options):
    layer, query, value = built(key_width=2, **options), normal(B, T, D), normal(B, S, 2, seed=1)
    mix, weights = layer(query, value, return_attention_scores=True)
    for b in range(B):
        expected = by_loops(layer, query[b], value[b])
        np.testing.assert_allclose(numpy(weights)[b, 0], expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(numpy(mix)[b], expected @ value[b], rtol=1e-4, atol=1e-5)


def test_the_previous_weights_matter():
    layer, query, value = built(), normal(1, T, D), normal(1, S, D, seed=1)
    _, weights = layer(query, value, return_attention_scores=True)
    _, alone = layer(query[:, 1:], value, return_attention_scores=True)
    assert np.abs(numpy(weights)[0, 0, 1] - numpy(alone)[0, 0, 0]).max() > 1e-2


@OPTIONS
def test_masked_keys_are_masked_at_every_step(options):
    layer, query, value = built(**options), normal(1, T, D), normal(1, S, D, seed=1)
    mask = np.array([True, True, False, True, True, True, False])
    _, weights = layer(query, value, value_mask=mask[None], use_causal_mask=True, return_attention_scores=True)
    allowed = mask & np.tril(np.ones((T, S), dtype=bool), k=S - T)
    expected = by_loops(layer, query[0], np.where(mask[:, None], value[0], 0.0), allowed)
    np.testing.assert_allclose(numpy(weights)[0, 0], expected, rtol=1e-4, atol=1e-6)


@OPTIONS
def test_a_padded_query_leaves_the_previous_weights_as_they_were(options):
    layer, query, value = built(**options), normal(1, T, D), normal(1, S, D, seed=1)
    real = np.array([[True, False, True, True, False]])
    mix = layer(query, value, query_mask=real)
    expected = by_loops(layer, query[real], value[0]) @ value[0]
    np.testing.assert_allclose(numpy(mix)[real], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("max_length", [T, None])
@pytest.mark.parametrize("options", [{"kernel_size": 4}, {"smoothing": True, "cumulative": True}], ids=["plain", "all"])
def test_steps_equal_the_causal_layer(options, max_length):
    layer, inputs = built(**options), normal(B, 3, D)
    state, steps = layer.initial_state(B, max_length), []
    for t in range(3):
        output, state = layer.step(ops.convert_to_tensor(inputs[:, t]), state)
        steps.append(numpy(output))
    expected = numpy(layer(inputs, use_causal_mask=True))
    np.testing.assert_allclose(np.stack(steps, 1), expected, rtol=1e-5, atol=1e-6)


def test_smoothing_holds_where_every_sigmoid_vanishes():
    layer = built(smoothing=True)
    layer.cell.scale.assign(np.full(U, -1e4))
    layer.key_dense.bias.assign(np.full(U, 1e3))
    _, weights = layer(normal(1, T, D), normal(1, S, D), return_attention_scores=True)
    np.testing.assert_allclose(numpy(weights), 1.0 / S, rtol=1e-5)


@pytest.mark.parametrize("option", ["units", "filters", "kernel_size"])
def test_sizes_are_at_least_one(option):
    with pytest.raises(ValueError, match=f"`{option}`: it must be an integer of at least 1"):
        LocationSensitiveAttention(**{option: 0})
