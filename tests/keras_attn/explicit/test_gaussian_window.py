import numpy as np
import pytest
from keras import ops

from keras_attn import GaussianWindowAttention

B, T, S, D, K = 2, 5, 7, 3, 4


def numpy(x):
    return ops.convert_to_numpy(x)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(**options):
    layer = GaussianWindowAttention(**{"components": K, **options})
    layer.build((None, None, D))
    rng = np.random.default_rng(1)
    layer.set_weights([0.4 * rng.normal(size=w.shape) for w in layer.get_weights()])
    return layer


def by_loops(layer, query, keys):
    """Weights (T, S) of one sequence, eq. 47-51 step by step."""
    (w_a, b_a), (w_b, b_b), (w_k, b_k) = (
        [numpy(w) for w in dense.weights] for dense in (layer.height_dense, layer.sharpness_dense, layer.step_dense)
    )
    kappa, weights = np.zeros(layer.components), np.zeros((len(query), keys))
    for t, q in enumerate(query):
        alpha, beta = np.exp(q @ w_a + b_a), np.exp(q @ w_b + b_b)
        kappa = kappa + np.exp(q @ w_k + b_k)
        for u in range(1, keys + 1):
            for k in range(layer.components):
                weights[t, u - 1] += alpha[k] * np.exp(-beta[k] * (kappa[k] - u) ** 2)
    return weights


def marching(speed, sharpness=1.0):
    """One Gaussian of height 1 that goes on by `speed` keys, whatever the query."""
    layer = GaussianWindowAttention(components=1)
    layer.build((None, None, D))
    nothing, logarithms = np.zeros((D, 1)), (0.0, np.log(sharpness), np.log(speed))
    layer.set_weights([weight for number in logarithms for weight in (nothing, np.array([number]))])
    return layer


def test_the_weights_are_those_of_the_paper_and_the_mix_is_their_sum():
    layer, query, value = built(), normal(B, T, D), normal(B, S, 2, seed=1)
    mix, weights = layer(query, value, return_attention_scores=True)
    for b in range(B):
        expected = by_loops(layer, query[b], S)
        np.testing.assert_allclose(numpy(weights)[b, 0], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(numpy(mix)[b], expected @ value[b], rtol=1e-4, atol=1e-5)


def test_the_first_key_stands_at_one():
    _, weights = marching(1.0)(normal(1, 2, D), normal(1, 3, 2), return_attention_scores=True)
    e = np.exp(-1.0)
    np.testing.assert_allclose(numpy(weights)[0, 0], [[1.0, e, e**4], [e, 1.0, e]], rtol=1e-5)


@pytest.mark.parametrize("real", [[1, 1, 1, 1, 0], [0, 1, 1, 1, 1], [1, 0, 1, 1, 1]], ids=["right", "left", "hole"])
def test_padded_positions_are_as_if_they_were_not_there(real):
    layer, inputs, mask = built(), normal(1, T, D), np.array([real], dtype=bool)
    _, weights = layer(inputs, mask=mask, return_attention_scores=True)
    expected = by_loops(layer, inputs[mask], 4)
    np.testing.assert_allclose(numpy(weights)[0, 0][np.ix_(mask[0], mask[0])], expected, rtol=1e-4, atol=1e-5)
    assert np.all(numpy(weights)[0, 0][~mask[0]] == 0.0) and np.all(numpy(weights)[0, 0][:, ~mask[0]] == 0.0)


def test_a_padded_query_does_not_move_the_window():
    layer, query, value = built(), normal(1, T, D), normal(1, S, 2, seed=1)
    real = np.array([[True, False, True, True, False]])
    mix = layer(query, value, query_mask=real)
    np.testing.assert_allclose(numpy(mix)[real], by_loops(layer, query[real], S) @ value[0], rtol=1e-4, atol=1e-5)


def test_a_causal_mask_hides_keys_and_changes_no_other_weight():
    layer, query, value = built(), normal(1, T, D), normal(1, S, 2, seed=1)
    _, weights = layer(query, value, use_causal_mask=True, return_attention_scores=True)
    expected = by_loops(layer, query[0], S) * np.tril(np.ones((T, S)), k=S - T)
    np.testing.assert_allclose(numpy(weights)[0, 0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("speed", [0.1, 1.0, 3.0])
def test_at_first_the_window_goes_at_the_given_speed_and_weighs_about_one(speed):
    layer = GaussianWindowAttention(components=10, speed=speed)
    _, weights = layer(normal(1, 23, 13), normal(1, 101, 1), return_attention_scores=True)
    rows = numpy(weights)[0, 0]
    place = rows @ np.arange(1, 102) / rows.sum(-1)
    # Far enough from both ends.
    inner = (place > 4.0) & (place < 95.0)
    if speed >= 1.0:
        np.testing.assert_allclose(np.diff(place)[inner[1:] & inner[:-1]].mean(), speed, rtol=0.2)
        np.testing.assert_allclose(rows[inner].sum(-1).mean(), 1.0, rtol=0.2)
    else:
        assert place[-1] < 23 * 2 * speed


def test_it_is_finished_when_the_place_behind_the_last_key_has_the_largest_weight():
    layer, query = marching(1.0), normal(1, T, D)
    # The window stands at 1, 2, 3, 4, 5, and the place behind three keys is 4.
    finished = layer.finished(query, normal(1, 3, 2))
    assert numpy(finished).tolist() == [[False, False, False, True, True]]
    padded = layer.finished(query, normal(1, 6, 2), value_mask=np.array([[True, True, False, True, False, False]]))
    assert numpy(padded).tolist() == numpy(finished).tolist()
    waiting = layer.finished(query, normal(1, 3, 2), query_mask=np.array([[True, True, False, False, True]]))
    assert numpy(waiting).tolist() == [[False] * 5]
    assert not numpy(layer.finished(query)).any()


@pytest.mark.parametrize("max_length", [T, None])
def test_steps_equal_the_causal_layer(max_length):
    layer, inputs = built(), normal(B, 3, D)
    state, steps = layer.initial_state(B, max_length), []
    for t in range(3):
        output, state = layer.step(ops.convert_to_tensor(inputs[:, t]), state)
        steps.append(numpy(output))
    expected = numpy(layer(inputs, use_causal_mask=True))
    np.testing.assert_allclose(np.stack(steps, 1), expected, rtol=1e-5, atol=1e-6)


def test_what_float16_cannot_hold_is_its_largest_number():
    layer = built(dtype="mixed_float16")
    mix, weights = layer(1e4 * normal(B, T, D), return_attention_scores=True)
    assert np.isfinite(numpy(weights)).all() and np.isfinite(numpy(mix)).all()
    assert np.abs(numpy(mix)).max() == 65504.0


@pytest.mark.parametrize("speed", [0, -1.0, "fast", True, float("inf")])
def test_the_speed_is_a_number_above_zero(speed):
    with pytest.raises(ValueError, match="`speed`: it must be a number above 0"):
        GaussianWindowAttention(speed=speed)
