import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import ProductKeyMemory
from keras_attn.memory import product_key
from tests.autodiff import gradient

B, T, D, HEADS, N, K, WIDTH = 2, 3, 11, 5, 7, 4, 6


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(numpy(actual), numpy(expected), rtol=tolerance, atol=tolerance)


def built(**options):
    layer = ProductKeyMemory(**{"half_keys": N, "num_heads": HEADS, "k": K, "key_dim": WIDTH, **options})
    layer.build((None, T, D))
    return layer


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("k", [1, 4, 7])
def test_the_best_pairs_are_those_of_all_sums(k):
    first, second = normal(B, T, N), normal(B, T, N, seed=1)
    best, i, j = (numpy(x) for x in product_key.best_pairs(first, second, k))
    every = (first[..., :, None] + second[..., None, :]).reshape(B, T, N * N)
    order = np.argsort(-every, axis=-1)[..., :k]
    np.testing.assert_array_equal(i * N + j, order)
    close(best, np.take_along_axis(every, order, axis=-1))


def brute_force(layer, queries):
    """Output and weights from all n² keys, each with the whole query; `queries` `(B, T, H, key_dim)`."""
    keys, values = numpy(layer.keys), numpy(layer.values)
    read, weights = np.zeros((B, T, D)), np.zeros((B, HEADS, T, N * N))
    for b in range(B):
        for t in range(T):
            for h in range(HEADS):
                whole = np.stack([np.concatenate([keys[0, h, i], keys[1, h, j]]) for i in range(N) for j in range(N)])
                score = whole @ queries[b, t, h]
                best = np.argsort(-score)[:K]
                weights[b, h, t, best] = softmax(score[best])
                read[b, t] += weights[b, h, t] @ values
    return read, weights


def test_it_reads_what_brute_force_over_all_keys_reads():
    inputs, layer = normal(B, T, D), built()
    read, weights = layer(inputs, return_attention_scores=True)
    queries = (inputs @ numpy(layer.query_dense.kernel)).reshape(B, T, HEADS, WIDTH)
    queries = (queries - queries.mean(-1, keepdims=True)) / np.sqrt(queries.var(-1, keepdims=True) + 1e-5)
    for mine, other in zip((read, weights), brute_force(layer, queries)):
        close(mine, other, 1e-4)


def test_batch_norm_takes_its_statistics_from_real_positions():
    inputs, layer = normal(B, T, D), built(query_norm="batch")
    mask = np.array([[1, 1, 1], [1, 0, 0]], dtype=bool)
    read = layer(np.where(mask[..., None], inputs, np.nan), mask=mask, training=True)
    queries = inputs @ numpy(layer.query_dense.kernel)
    mean, variance = queries[mask].mean(0), queries[mask].var(0)
    queries = ((queries - mean) / np.sqrt(variance + 1e-5)).reshape(B, T, HEADS, WIDTH)
    close(numpy(read)[mask], brute_force(layer, queries)[0][mask], 1e-4)
    assert np.all(numpy(read)[~mask] == 0.0)


def test_slots_and_weights_alone_say_what_all_weights_say():
    inputs, layer = normal(B, T, D), built()
    slots, weights = (numpy(x) for x in layer.lookup(inputs))
    assert slots.shape == weights.shape == (B, HEADS, T, K)
    dense = np.zeros((B, HEADS, T, N * N))
    np.put_along_axis(dense, slots, weights, axis=-1)
    close(layer(inputs, return_attention_scores=True)[1], dense)
    assert np.all(np.diff(weights, axis=-1) <= 0.0)


def test_slots_are_looked_up_once_there_are_some():
    with pytest.raises(ValueError, match="not built"):
        ProductKeyMemory(half_keys=3, k=2, key_dim=4).lookup(np.ones((1, 2, 5), "float32"))


def test_only_what_is_read_gets_a_gradient():
    inputs, layer = normal(1, 1, D), built(num_heads=1)
    before, model = numpy(layer.values).copy(), keras.Sequential([keras.Input((1, D)), layer])
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
    read = np.sort(numpy(layer.lookup(inputs)[0]).ravel())
    model.train_on_batch(inputs, normal(1, 1, D, seed=1))
    moved = np.flatnonzero(np.any(numpy(layer.values) != before, axis=-1))
    np.testing.assert_array_equal(moved, read)


def test_the_gradient_is_that_of_the_choice_that_was_made():
    inputs, layer, step = normal(1, T, D), built(), 1e-3

    def loss(x):
        return ops.sum(ops.sin(3.0 * layer(x)))

    slope = gradient(loss, inputs)
    for t, column in ((0, 1), (2, 7)):
        nudge = np.zeros_like(inputs)
        nudge[0, t, column] = step
        ends = [inputs + nudge, inputs - nudge]
        np.testing.assert_array_equal(*(np.sort(numpy(layer.lookup(x)[0])) for x in ends))
        difference = np.subtract(*(numpy(loss(ops.convert_to_tensor(x))) for x in ends)) / (2 * step)
        np.testing.assert_allclose(slope[0, t, column], difference, rtol=2e-2, atol=2e-3)


def test_under_adam_values_learn_as_many_times_faster_as_asked():
    inputs, target, steps = normal(B, T, D), normal(B, T, D, seed=1), {}
    for rate in (1.0, 4.0):
        layer = built(value_rate=rate)
        layer.set_weights([0.5 * normal(*w.shape, seed=i) for i, w in enumerate(layer.get_weights())])
        layer.values.assign(0.5 * normal(N * N, D) / rate)
        before, output = rate * numpy(layer.values), layer(inputs)
        model = keras.Sequential([keras.Input((T, D)), layer])
        model.compile(keras.optimizers.Adam(1e-3, epsilon=1e-12), "mse", jit_compile=False)
        model.train_on_batch(inputs, target)
        steps[rate] = rate * numpy(layer.values) - before, numpy(output)
    close(steps[4.0][1], steps[1.0][1])
    close(steps[4.0][0], 4.0 * steps[1.0][0], 1e-4)


def test_usage_and_divergence_from_even_use():
    even, one = np.full(N, 0.3, "float32"), np.eye(N, dtype="float32")[2]
    assert float(product_key.usage(even)) == 1.0 and float(product_key.usage(one)) == pytest.approx(1 / N)
    assert float(product_key.kl_to_uniform(even)) == pytest.approx(0.0, abs=1e-6)
    assert float(product_key.kl_to_uniform(one)) == pytest.approx(math.log(N), rel=1e-6)
    assert float(product_key.kl_to_uniform(np.array([3.0, 1.0, 0.0], "float32"))) == pytest.approx(
        math.log(3) + 0.75 * math.log(0.75) + 0.25 * math.log(0.25)
    )


def test_totals_are_the_weights_of_real_positions_in_sum():
    inputs, layer = normal(B, T, D), built()
    mask = np.array([[1, 1, 1], [1, 0, 0]], dtype=bool)
    weights = numpy(layer(inputs, mask=mask, return_attention_scores=True)[1])
    close(layer.totals(inputs, mask), weights.sum((0, 1, 2)))
    assert float(ops.sum(layer.totals(inputs, mask))) == pytest.approx(4 * HEADS, rel=1e-5)


def test_positions_do_not_see_each_other():
    inputs, layer = normal(B, T, D), built()
    together = numpy(layer(inputs))
    for t in range(T):
        close(layer(inputs[:, t : t + 1])[:, 0], together[:, t])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"half_keys": 0}, "half_keys"),
        ({"k": N + 1}, "at most `half_keys`"),
        ({"k": 0}, "`k`"),
        ({"key_dim": 5}, "even"),
        ({"query_norm": "group"}, "query_norm"),
        ({"value_rate": 0.0}, "above 0"),
    ],
)
def test_an_impossible_option_is_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        built(**options)
