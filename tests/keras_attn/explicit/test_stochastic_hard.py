import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import ReinforceModel, StochasticHardAttention, reinforce
from keras_attn.explicit.stochastic_hard import draw
from tests.autodiff import gradient

B, T, S, D, V = 2, 3, 7, 5, 4


def numpy(x):
    return ops.convert_to_numpy(x)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


QUERY, VALUE = normal(B, T, D), normal(B, S, V, seed=1)


def chances(layer):
    """π `(B, T, S)` by the equations, from the layer's weights."""
    parts = {w.path.split("/", 1)[1]: numpy(w) for w in layer.trainable_weights}
    expected = np.zeros((B, T, S))
    for b in range(B):
        for t in range(T):
            if layer.units is None:
                scores = [QUERY[b, t] @ parts["kernel"] @ VALUE[b, s] for s in range(S)]
            else:
                asked = QUERY[b, t] @ parts["query/kernel"] + parts["key/bias"]
                hidden = [np.tanh(asked + VALUE[b, s] @ parts["key/kernel"]) for s in range(S)]
                scores = [parts["scale"] @ h for h in hidden]
            expected[b, t] = softmax(np.array(scores))
    return expected


@pytest.mark.parametrize("units", [None, 11])
@pytest.mark.parametrize("inference", ["expectation", "argmax"])
def test_chances_and_what_is_read_without_training_follow_the_equations(units, inference):
    layer = StochasticHardAttention(units=units, inference=inference)
    read, weights = layer(QUERY, VALUE, return_attention_scores=True)
    expected = chances(layer)
    np.testing.assert_allclose(numpy(weights)[:, 0], expected, rtol=1e-4, atol=1e-6)
    for b in range(B):
        for t in range(T):
            soft, hard = expected[b, t] @ VALUE[b], VALUE[b, expected[b, t].argmax()]
            np.testing.assert_allclose(
                numpy(read)[b, t], soft if inference == "expectation" else hard, rtol=1e-4, atol=1e-5
            )


def test_in_training_each_query_reads_one_value_and_the_chances_are_returned():
    layer = StochasticHardAttention(soft_chance=0.0, seed=3)
    first, weights = layer(QUERY, VALUE, return_attention_scores=True, training=True)
    np.testing.assert_allclose(numpy(weights)[:, 0], chances(layer), rtol=1e-4, atol=1e-6)
    reads = [numpy(first), *(numpy(layer(QUERY, VALUE, training=True)) for _ in range(5))]
    for read in reads:
        distance = np.abs(read[:, :, None] - VALUE[:, None]).max(-1)
        np.testing.assert_allclose(distance.min(-1), 0.0, atol=1e-5)
    assert any(not np.allclose(read, reads[0]) for read in reads)
    again = StochasticHardAttention(soft_chance=0.0, seed=3)
    again.build(QUERY.shape, VALUE.shape)
    again.kernel.assign(layer.kernel)
    np.testing.assert_allclose(numpy(again(QUERY, VALUE, training=True)), reads[0], atol=1e-6)


def test_positions_are_drawn_as_often_as_their_chances_say():
    n, pi = 4000, np.array([0.5, 0.0, 0.3, 0.15, 0.05], "float32")
    drawn = numpy(draw(ops.broadcast_to(pi, (1, 1, n, 5)), np.array([5, 7], "int32")))[0, 0]
    assert np.all(drawn.sum(-1) == 1.0) and np.all(drawn[:, 1] == 0.0)
    assert np.all(np.abs(drawn.mean(0) - pi) <= 4 * np.sqrt(pi * (1 - pi) / n))
    assert np.all(numpy(draw(ops.zeros((1, 1, 3, 5)), np.array([5, 7], "int32"))) == 0.0)


@pytest.mark.parametrize("soft_chance", [0.25, 1.0])
def test_some_examples_get_the_expectation(soft_chance):
    n = 400
    layer = StochasticHardAttention(soft_chance=soft_chance)
    query, value = np.ones((n, 1, D), "float32"), np.repeat(VALUE[:1], n, axis=0)
    soft = numpy(layer(query, value))
    with reinforce.recording() as draws:
        read = numpy(layer(query, value, training=True))
    share = np.isclose(read, soft, atol=1e-5).all((1, 2))
    assert abs(share.mean() - soft_chance) <= 4 * np.sqrt(soft_chance * (1 - soft_chance) / n)
    # Where nothing was drawn there is nothing to reinforce.
    assert np.array_equal(numpy(draws[0].log_prob)[:, 0] == 0.0, share)


def test_what_is_recorded_is_of_the_same_draw():
    layer = StochasticHardAttention(soft_chance=0.0, learned_baseline=True)
    with reinforce.recording() as draws:
        read = numpy(layer(QUERY, VALUE, training=True))
    pi, drawn = chances(layer), np.abs(read[:, :, None] - VALUE[:, None]).max(-1).argmin(-1)
    kernel, bias = (numpy(w) for w in layer.baseline_dense.weights)
    for b in range(B):
        for t in range(T):
            assert np.isclose(numpy(draws[0].log_prob)[b, t], np.log(pi[b, t, drawn[b, t]]), rtol=1e-3)
            assert np.isclose(numpy(draws[0].entropy)[b, t], -np.sum(pi[b, t] * np.log(pi[b, t])), rtol=1e-3)
            assert np.isclose(numpy(draws[0].baseline)[b, t], QUERY[b, t] @ kernel[:, 0] + bias[0], rtol=1e-3)


def test_without_a_reward_the_gradient_is_that_of_the_expectation():
    layer = StochasticHardAttention(soft_chance=0.0)
    soft = StochasticHardAttention(soft_chance=1.0)
    for each in (layer, soft):
        each.build(QUERY.shape, VALUE.shape)
    soft.kernel.assign(layer.kernel)
    weight = ops.convert_to_tensor(normal(B, T, V, seed=2))

    def total(which):
        return gradient(lambda q: ops.sum(which(q, VALUE, training=True) * weight), QUERY)

    np.testing.assert_allclose(total(layer), total(soft), rtol=1e-4, atol=1e-5)
    assert np.any(total(layer))


def test_with_a_reward_the_read_value_alone_tells_the_scores_nothing():
    layer = StochasticHardAttention(soft_chance=0.0)
    layer.build(QUERY.shape, VALUE.shape)

    def total(query):
        with reinforce.recording():
            return ops.sum(layer(query, VALUE, training=True) + 0.0 * query[..., :1])

    assert np.all(gradient(total, QUERY) == 0.0)


def test_padding_and_forbidden_positions_are_never_drawn():
    layer = StochasticHardAttention(soft_chance=0.0)
    mask = np.arange(S)[None] < np.array([[3], [1]])
    value = np.where(mask[..., None], VALUE, np.nan).astype("float32")
    query_mask = np.array([[True, False, True], [False, True, True]])
    for _ in range(5):
        with reinforce.recording() as draws:
            read = numpy(layer(QUERY, value, query_mask=query_mask, value_mask=mask, training=True))
        assert np.all(read[~query_mask] == 0.0)
        np.testing.assert_allclose(read[1, 1:], np.repeat(VALUE[1:, 0], 2, axis=0), atol=1e-6)
        assert np.all(numpy(draws[0].log_prob)[~query_mask] == 0.0)
        assert np.all(numpy(draws[0].entropy)[~query_mask] == 0.0)


def test_dropped_positions_are_not_drawn_and_the_others_share_the_chances():
    layer = StochasticHardAttention(soft_chance=1.0, dropout=0.5, seed=1)
    query, value = normal(B, 64, D), np.broadcast_to(np.eye(S, dtype="float32"), (B, S, S))
    used, pi = (numpy(x) for x in layer(query, value, training=True, return_attention_scores=True))
    np.testing.assert_allclose(pi.sum(-1), 1.0, rtol=1e-5)
    kept = used > 0.0
    assert abs(kept.mean() - 0.5) < 0.1
    left = kept * pi[:, 0]
    # Where all of a row is dropped, nothing is drawn.
    shares = left / np.maximum(left.sum(-1, keepdims=True), 1e-30)
    np.testing.assert_allclose(used, shares, rtol=1e-4)


def test_float16_trains_with_finite_gradients_though_chances_are_tiny():
    inputs = keras.Input((T, D)), keras.Input((S, V))
    layer = StochasticHardAttention(soft_chance=0.0, dtype="mixed_float16")
    learner = ReinforceModel(keras.Model(inputs, layer(*inputs)), entropy_weight=0.1, dtype="mixed_float16")
    learner.compile(keras.optimizers.SGD(1e-3), "mse")
    learner.train_on_batch([20.0 * QUERY, VALUE], normal(B, T, V, seed=2))
    learner.train_on_batch([20.0 * QUERY, VALUE], normal(B, T, V, seed=2))
    assert np.isfinite(numpy(layer.kernel)).all()


def test_weights_of_chosen_queries_alone():
    layer = StochasticHardAttention()
    layer.build(QUERY.shape, VALUE.shape)
    for training in (False, True):
        _, weights = layer(QUERY, VALUE, return_attention_scores=[2, 0], training=training)
        np.testing.assert_allclose(numpy(weights)[:, 0], chances(layer)[:, [2, 0]], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("option", [{"soft_chance": 1.5}, {"inference": "sample"}, {"units": 0}], ids=str)
def test_impossible_options_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        StochasticHardAttention(**option)
