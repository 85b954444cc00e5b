import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import MonotonicAttention, MonotonicChunkwiseAttention
from keras_attn.explicit._monotonic import _normal
from keras_attn.noise import uniform
from tests.keras_attn.explicit.test_alignment import by_the_recursion, by_walking

B, T, S, D = 2, 3, 7, 5
BOTH = pytest.mark.parametrize("layer_class", [MonotonicAttention, MonotonicChunkwiseAttention])


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


def built(layer_class=MonotonicAttention, key_width=4, **options):
    layer = layer_class(units=11, **options)
    layer.build((None, None, D), (None, None, key_width))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape).astype(w.dtype) for w in layer.get_weights()])
    return layer


def bold(*args, **options):
    """A layer whose p is far from a half, on both sides of it."""
    layer = built(*args, **options)
    layer.energy.gain.assign(9.0)
    layer.energy.bias.assign(0.0)
    return layer


def weights_of(layer, *inputs, **options):
    return numpy(layer(*inputs, return_attention_scores=True, **options)[1])[:, 0]


def energies_by_hand(layer, query, key):
    """Pair by pair: e = g v / |v| · tanh(W_q q + W_k k + b) + r."""
    parts = {w.path.split("/", 1)[1]: numpy(w).astype("float64") for w in layer.weights}
    v = parts["energy/gain"] * parts["energy/vector"] / np.sqrt((parts["energy/vector"] ** 2).sum())
    energies = np.zeros((len(query), query.shape[1], key.shape[1]))
    for b, i, j in np.ndindex(*energies.shape):
        hidden = query[b, i] @ parts["energy/query/kernel"] + key[b, j] @ parts["energy/key/kernel"]
        energies[b, i, j] = v @ np.tanh(hidden + parts["energy/key/bias"]) + parts["energy/bias"]
    return energies


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def test_weights_and_mix_follow_the_paper_s_equations():
    layer, query, value = built(), normal(B, T, D), normal(B, S, 4, seed=1)
    expected = by_the_recursion(sigmoid(energies_by_hand(layer, query, value)))
    mix, weights = layer(query, value, return_attention_scores=True)
    np.testing.assert_allclose(numpy(weights)[:, 0], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(numpy(mix), expected @ value, rtol=1e-4, atol=1e-5)


def test_hard_at_inference_is_the_walk_that_stops_where_p_is_above_a_half():
    layer, query, value = bold(mode="hard"), normal(B, T, D), normal(B, S, 4, seed=1)
    weights = weights_of(layer, query, value)
    stopped = 0
    for b, stops in enumerate(energies_by_hand(layer, query, value) > 0.0):
        for i, place in enumerate(by_walking(stops)):
            np.testing.assert_array_equal(weights[b, i], np.arange(S) == (-1 if place is None else place))
            stopped += place is not None
    assert stopped > 1


def test_hard_is_soft_in_training():
    soft, hard = built(), built(mode="hard")
    query, value = normal(B, T, D), normal(B, S, 4, seed=1)
    np.testing.assert_array_equal(weights_of(hard, query, value, training=True), weights_of(soft, query, value))


def test_it_starts_with_the_bias_asked_for_and_goes_on_by_that_many_positions():
    layer = MonotonicAttention(units=11, score_bias=-np.log(3.0).item())
    # Without what the pair says: all keys and the query are zero.
    weights = weights_of(layer, np.zeros((1, 2, D), "float32"), np.zeros((1, 200, D), "float32"))
    np.testing.assert_allclose((weights[0] * np.arange(200)).sum(-1), [3.0, 6.0], rtol=1e-4)


def test_a_row_is_short_by_what_ran_off_the_end():
    layer = built()
    query, value = normal(B, T, D), normal(B, S, 4, seed=1)
    sums = weights_of(layer, query, value).sum(-1)
    passed = np.prod(1.0 - sigmoid(energies_by_hand(layer, query, value))[:, 0], axis=-1)
    np.testing.assert_allclose(sums[:, 0], 1.0 - passed, rtol=1e-4)
    assert np.all(np.diff(sums, axis=-1) <= 1e-6)


def test_masked_positions_are_passed_over_as_if_they_were_not_there():
    layer, query, value = built(), normal(B, T, D), normal(B, S, 4, seed=1)
    there = np.array([0, 2, 3, 6])
    mask = np.isin(np.arange(S), there)[None].repeat(B, axis=0)
    weights = weights_of(layer, query, value, value_mask=mask)
    np.testing.assert_allclose(weights[..., there], weights_of(layer, query, value[:, there]), rtol=1e-5, atol=1e-7)
    assert np.all(weights[..., ~mask[0]] == 0.0)


@BOTH
def test_a_padded_query_does_not_move_the_reader(layer_class):
    layer, query, value = built(layer_class), normal(B, 5, D), normal(B, S, 4, seed=1)
    real = np.array([False, True, True, False, True])
    weights = weights_of(layer, query, value, query_mask=real[None].repeat(B, axis=0))
    np.testing.assert_allclose(weights[:, real], weights_of(layer, query[:, real], value), rtol=1e-5, atol=1e-7)
    assert np.all(weights[:, ~real] == 0.0)


def test_under_a_causal_mask_a_reader_that_found_nothing_goes_on_where_the_sequence_does():
    layer = built(key_width=D)
    inputs = normal(B, S, D)
    p = sigmoid(energies_by_hand(layer, inputs, inputs))
    weights = weights_of(layer, inputs, use_causal_mask=True)
    for b in range(B):
        reader = np.eye(1, S + 1)[0]
        for t in range(S):
            after = np.zeros(S + 1)
            for j in range(t + 1):
                after[j] = reader[j] * p[b, t, j]
                reader[j + 1] += reader[j] * (1.0 - p[b, t, j])
            np.testing.assert_allclose(weights[b, t], after[:S], rtol=1e-4, atol=1e-6)
            after[t + 1] = reader[t + 1]
            np.testing.assert_allclose(after.sum(), 1.0)
            reader = after


@BOTH
def test_noise_acts_in_training_only_and_the_seed_repeats_it(layer_class):
    query, value = normal(B, T, D), normal(B, S, 4, seed=1)
    plain, first, second = built(layer_class), *(built(layer_class, noise=1.0, seed=3) for _ in range(2))
    np.testing.assert_array_equal(weights_of(first, query, value), weights_of(plain, query, value))
    in_training = weights_of(first, query, value, training=True)
    assert np.abs(in_training - weights_of(plain, query, value)).max() > 0.01
    np.testing.assert_array_equal(in_training, weights_of(second, query, value, training=True))
    assert np.abs(in_training - weights_of(first, query, value, training=True)).max() > 0.01


def test_the_noise_is_gaussian_with_the_deviation_asked_for():
    layer = built(noise=2.0, seed=3)
    layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    # One query over one key: the weight is p itself.
    p = weights_of(layer, np.ones((4001, 1, D), "float32"), np.ones((4001, 1, 4), "float32"), training=True)
    drawn = np.log(p / (1.0 - p)).ravel()
    np.testing.assert_allclose([drawn.mean(), drawn.std()], [0.0, 2.0], atol=0.1)
    np.testing.assert_allclose((np.abs(drawn) < 2.0).mean(), 0.683, atol=0.03)


def test_dropout_does_not_draw_the_numbers_of_the_noise():
    drawn = numpy(_normal((5, 7), ops.zeros((2, 31, 37)))).ravel()
    others = numpy(uniform((5, 7), (2, 1, 31, 37))).ravel()
    assert abs(np.corrcoef(drawn, others)[0, 1]) < 0.1


@pytest.mark.parametrize("mode, room", [("soft", None), ("soft", 3), ("hard", 5)])
@BOTH
def test_step_by_step_equals_all_at_once(layer_class, mode, room):
    layer = bold(layer_class, mode=mode, key_width=D)
    inputs = normal(B, 3, D)
    state, steps = layer.initial_state(B, room), []
    for t in range(3):
        output, state = layer.step(ops.convert_to_tensor(inputs[:, t]), state)
        steps.append(numpy(output))
    np.testing.assert_allclose(
        np.stack(steps, axis=1), numpy(layer(inputs, use_causal_mask=True)), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("mode", ["soft", "hard"])
@BOTH
def test_one_query_after_another_over_a_memory_equals_all_at_once(layer_class, mode):
    layer = bold(layer_class, mode=mode)
    query, memory = normal(B, T, D), normal(B, S, 4, seed=1)
    mask = np.arange(S)[None] < np.array([S, 5])[:, None]
    mix, weights = layer(query, memory, value_mask=mask, return_attention_scores=True)
    prepared = layer.prepare_memory(ops.convert_to_tensor(memory), ops.convert_to_tensor(mask))
    state = layer.memory_state(prepared)
    for t in range(T):
        found, look, state = layer.attend_step(ops.convert_to_tensor(query[:, t]), prepared, state)
        np.testing.assert_allclose(numpy(found), numpy(mix)[:, t], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(numpy(look), numpy(weights)[:, :, t], rtol=1e-4, atol=1e-6)


def test_a_training_step_moves_every_weight_gain_and_bias_among_them():
    layer = built()
    query, value = keras.Input((T, D)), keras.Input((S, 4))
    model = keras.Model([query, value], layer(query, value))
    model.compile(keras.optimizers.Adam(1e-2), "mse", jit_compile=False)
    before = {w.path.split("/", 1)[1]: numpy(w).copy() for w in layer.weights}
    assert {"energy/gain", "energy/bias", "energy/vector"} <= set(before)
    model.train_on_batch([normal(B, T, D), normal(B, S, 4, seed=1)], normal(B, T, 4, seed=2))
    assert all(np.any(numpy(w) != before[w.path.split("/", 1)[1]]) for w in layer.weights)


@BOTH
def test_options_that_are_not_possible_are_refused(layer_class):
    with pytest.raises(ValueError, match="Did you mean 'soft'"):
        layer_class(mode="sof")
    with pytest.raises(ValueError, match="`noise`: it must be a number of at least 0"):
        layer_class(noise=-1.0)
    with pytest.raises(ValueError, match="`score_bias`: it must be a number"):
        layer_class(score_bias="low")
    with pytest.raises(ValueError, match="`units`"):
        layer_class(units=0)
