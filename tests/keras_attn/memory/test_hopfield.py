import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import Hopfield, HopfieldLookup, HopfieldPooling, MultiHeadAttention
from tests.autodiff import gradient

B, T, S, D = 2, 3, 7, 10


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(numpy(actual), numpy(expected), rtol=tolerance, atol=tolerance)


def built(layer, *shapes):
    layer.build(*shapes)
    layer.set_weights([0.6 * normal(*w.shape, seed=index) for index, w in enumerate(layer.get_weights())])
    return layer


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def retrieve(state, keys, updates, beta, tolerance=None):
    """One state pattern `(d,)` after so many updates among keys `(S, d)`."""
    for _ in range(updates):
        before, state = state, softmax(beta * keys @ state) @ keys
        if tolerance is not None and np.linalg.norm(state - before) <= tolerance:
            break
    return state


@pytest.mark.parametrize("tolerance", [None, 0.2])
def test_updates_follow_the_equations_and_each_pattern_of_each_head_stops_by_itself(tolerance):
    query, value = normal(B, T, D), normal(B, S, 4, seed=1)
    layer = built(Hopfield(num_heads=2, updates=5, beta=0.8, tolerance=tolerance), query.shape, value.shape)
    mix, weights = layer(query, value, return_attention_scores=True)
    wq, wk, wv, wo = layer.get_weights()
    heads, stopped = np.zeros((B, T, D), "float32"), 0
    for b in range(B):
        for h in range(2):
            columns = slice(5 * h, 5 * h + 5)
            q, k, v = query[b] @ wq[:, columns], value[b] @ wk[:, columns], value[b] @ wv[:, columns]
            for t in range(T):
                state = retrieve(q[t], k, 4, 0.8, tolerance)
                stopped += np.abs(state - retrieve(q[t], k, 4, 0.8)).max() > 1e-3
                p = softmax(0.8 * k @ state)
                close(weights[b, h, t], p, 1e-4)
                heads[b, t, columns] = p @ v
    close(mix, heads @ wo, 1e-4)
    assert (0 < stopped < B * T * 2) == (tolerance is not None)


def test_one_update_is_multi_head_attention():
    query, value = normal(B, T, D), normal(B, S, D, seed=1)
    layer = built(Hopfield(num_heads=2), query.shape, value.shape)
    attention = MultiHeadAttention(2, use_bias=False)
    attention.build(query.shape, value.shape)
    attention.set_weights([w.reshape(v.shape) for w, v in zip(layer.get_weights(), attention.get_weights())])
    for mine, other in zip(*(f(query, value, return_attention_scores=True) for f in (layer, attention))):
        close(mine, other)


def of_itself(beta, updates):
    """A layer whose projections change nothing: states and stored patterns are what comes in."""
    layer = Hopfield(updates=updates, beta=beta)
    layer.build((None, T, D), (None, S, D))
    layer.set_weights([np.eye(D)] * 4)
    return layer


def test_a_large_beta_completes_a_noisy_pattern_to_the_nearest_and_a_small_one_finds_the_mean():
    patterns = normal(1, S, D)
    noisy = patterns[:, [4, 1, 6]] + 0.1 * normal(1, T, D, seed=1)
    close(of_itself(50.0, updates=2)(noisy, patterns), patterns[:, [4, 1, 6]])
    mean = np.broadcast_to(patterns.mean(axis=1, keepdims=True), (1, T, D))
    close(of_itself(1e-6, updates=2)(noisy, patterns), mean, 1e-4)


@pytest.mark.parametrize("make", [lambda **o: Hopfield(4, **o), lambda **o: HopfieldLookup(5, 4, **o)])
def test_states_that_half_precision_cannot_hold_settle_too(make):
    layer = make(updates=2, beta=50.0, dtype="mixed_float16")
    assert np.isfinite(numpy(layer(1000 * normal(2, 9, 64)))).all()


def test_a_stored_pattern_that_may_not_be_looked_at_is_in_no_update():
    patterns = normal(1, S, D)
    present = np.array([[1, 1, 0, 1, 1, 0, 1]], dtype=bool)
    layer = of_itself(0.9, updates=4)
    expected = layer(patterns[:, :T], patterns[:, present[0]])
    close(layer(patterns[:, :T], np.where(present[..., None], patterns, np.nan), value_mask=present), expected)


@pytest.mark.parametrize("tolerance", [None, 0.4])
def test_the_gradient_passes_through_all_updates_that_were_made(tolerance):
    layer = built(Hopfield(num_heads=2, updates=4, beta=0.8, tolerance=tolerance), (None, T, D))
    inputs, step = normal(1, T, D), 1e-2

    def loss(x):
        return ops.sum(ops.square(layer(x)))

    slope = gradient(loss, inputs)
    for t, column in ((0, 1), (2, 7)):
        nudge = np.zeros_like(inputs)
        nudge[0, t, column] = step
        difference = (float(loss(inputs + nudge)) - float(loss(inputs - nudge))) / (2 * step)
        np.testing.assert_allclose(slope[0, t, column], difference, rtol=2e-2, atol=2e-2)


def test_a_lookup_settles_among_its_own_patterns():
    inputs = normal(B, T, D)
    layer = built(HopfieldLookup(slots=S, num_heads=2, updates=3, beta=0.7), inputs.shape)
    mix, weights = layer(inputs, return_attention_scores=True)
    wq, keys, values, wo = (
        numpy(w) for w in (layer.query_dense.kernel, layer.slot_keys, layer.slot_values, layer.output_dense.kernel)
    )
    heads = np.zeros((B, T, D), "float32")
    for b in range(B):
        for h in range(2):
            columns = slice(5 * h, 5 * h + 5)
            for t in range(T):
                p = softmax(0.7 * keys[h] @ retrieve(inputs[b, t] @ wq[:, columns], keys[h], 2, 0.7))
                close(weights[b, h, t], p, 1e-4)
                heads[b, t, columns] = p @ values[h]
    close(mix, heads @ wo, 1e-4)


@pytest.mark.parametrize("seeds", [None, 3])
def test_pooling_is_the_association_of_learned_states(seeds, tmp_path):
    inputs = normal(B, S, D)
    present = np.arange(S)[None] < np.array([[S], [0]])
    layer = built(HopfieldPooling(seeds=seeds, num_heads=2, updates=3), inputs.shape)
    pooled, weights = layer(inputs, mask=present, return_attention_scores=True)
    assert tuple(weights.shape) == (B, 2, seeds or 1, S)
    states = np.broadcast_to(numpy(layer.states), (B, *layer.states.shape))
    expected = numpy(layer.association(states, inputs))
    close(pooled[0], expected[0] if seeds else expected[0, 0])
    # A sequence of padding alone.
    assert np.all(numpy(pooled)[1] == 0.0) and np.all(numpy(weights)[1] == 0.0)
    symbolic = keras.Input((S, D))
    model = keras.Model(symbolic, layer(symbolic))
    model.save(tmp_path / "model.keras")
    close(keras.models.load_model(tmp_path / "model.keras")(inputs), layer(inputs))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"updates": 0}, "updates"),
        ({"beta": 0.0}, "above 0"),
        ({"beta": True}, "above 0"),
        ({"tolerance": -1.0}, "at least 0"),
    ],
)
@pytest.mark.parametrize("layer_class", [Hopfield, HopfieldLookup, HopfieldPooling])
def test_an_impossible_option_is_refused_at_once(layer_class, options, message):
    with pytest.raises(ValueError, match=message):
        layer_class(**options)


def test_a_lookup_needs_a_slot_and_a_plain_normalizer():
    with pytest.raises(ValueError, match="slots"):
        HopfieldLookup(slots=0)
    with pytest.raises(ValueError, match="draws nothing"):
        HopfieldLookup(normalizer="gumbel_hard")
