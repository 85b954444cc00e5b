import numpy as np
import pytest
from keras import ops

from keras_attn import NearestMemory
from tests.autodiff import gradient

B, T, D, N, K = 2, 17, 10, 5, 3


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(numpy(actual), numpy(expected), rtol=tolerance, atol=tolerance)


def built(**options):
    layer = NearestMemory(num_heads=2, **{"segment_length": N, "neighbours": K, **options})
    layer.build((None, None, D))
    layer.set_weights([0.6 * normal(*w.shape, seed=index) for index, w in enumerate(layer.get_weights())])
    return layer


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def projected(layer, x, h):
    columns = slice(5 * h, 5 * h + 5)
    q, k, v = (x @ numpy(getattr(layer, f"{name}_dense").kernel)[:, columns] for name in ("query", "key", "value"))
    return np.exp(numpy(layer.log_strength)[h]) * unit(q), unit(k), v


def reference(layer, inputs, documents=None):
    """The output and the weights, query by query."""
    length = inputs.shape[1]
    heads, weights = np.zeros(inputs.shape), np.zeros((len(inputs), 2, length, length))
    documents = np.zeros(inputs.shape[:2]) if documents is None else documents
    for b in range(len(inputs)):
        for h in range(2):
            q, k, v = projected(layer, inputs[b], h)
            g = 1.0 / (1.0 + np.exp(-numpy(layer.gate)[h]))
            for t in range(length):
                start, same = t // N * N, documents[b] == documents[b, t]
                local = [s for s in range(start, t + 1) if same[s]]
                score = [q[t] @ k[s] + numpy(layer.distance_bias)[h, t - s] for s in local]
                memory = sorted((s for s in range(start) if same[s]), key=lambda s: -q[t] @ k[s])[:K]
                weights[b, h, t, local] = softmax(np.array(score)) * ((1.0 - g) if memory else 1.0)
                if memory:
                    weights[b, h, t, memory] = g * softmax(np.array([q[t] @ k[s] for s in memory]))
                heads[b, t, 5 * h : 5 * h + 5] = weights[b, h, t] @ v
    return heads @ numpy(layer.output_dense.kernel), weights


@pytest.mark.parametrize("chunk_size", [None, 4])
def test_it_reads_its_segment_and_the_nearest_of_all_earlier_ones(chunk_size):
    inputs, layer = normal(B, T, D), built(chunk_size=chunk_size)
    output, weights = reference(layer, inputs)
    close(layer(inputs), output, 1e-4)
    close(layer(inputs, return_attention_scores=True)[1], weights, 1e-4)


def test_documents_are_kept_apart_and_the_memory_is_cleared_between_them():
    inputs, layer = normal(B, T, D), built()
    documents = np.array([[0] * 7 + [1] * 10, [3] * 12 + [2] * 5])
    output, weights = reference(layer, inputs, documents)
    mix, found = layer(inputs, segment_ids=documents, return_attention_scores=True)
    close(mix, output, 1e-4)
    close(found, weights, 1e-4)


def test_with_an_empty_memory_it_is_local_attention_exactly():
    inputs, layer = normal(B, T, D), built()
    whole, weights = layer(inputs[:, :N], return_attention_scores=True)
    layer.gate.assign([30.0, -30.0])
    np.testing.assert_array_equal(numpy(layer(inputs[:, :N])), numpy(whole))
    # Segment by segment: the same attention in each, once nothing is retrieved.
    layer.gate.assign([-1e4, -1e4])
    alone = np.concatenate([numpy(layer(inputs[:, first : first + N])) for first in range(0, T, N)], axis=1)
    close(layer(inputs), alone)
    assert np.all(numpy(weights)[..., np.triu_indices(N, 1)[0], np.triu_indices(N, 1)[1]] == 0.0)


def test_as_many_neighbours_as_there_are_is_attention_to_the_whole_memory():
    inputs = normal(B, T, D)
    close(built(neighbours=T)(inputs), built(neighbours=97)(inputs))
    counts = (numpy(built(neighbours=T)(inputs, return_attention_scores=True)[1]) > 0.0).sum(-1)
    np.testing.assert_array_equal(counts, np.broadcast_to(np.arange(1, T + 1), (B, 2, T)))


def test_no_gradient_passes_into_the_memory():
    inputs, layer = normal(B, T, D), built()
    last = T // N * N
    slope = gradient(lambda x: ops.sum(ops.square(layer(x)[:, last:])), inputs)
    assert np.all(slope[:, :last] == 0.0) and np.all(np.any(slope[:, last:] != 0.0, axis=-1))


def test_the_gradient_is_that_of_a_memory_that_stands_still():
    layer, step, last = built(), 1e-2, T // N * N
    inputs = normal(1, T, D)

    def loss(x):
        return ops.sum(ops.sin(2.0 * layer(x)[:, last:]))

    slope = gradient(loss, inputs)
    for t, column in ((last, 1), (T - 1, 7)):
        nudge = np.zeros_like(inputs)
        nudge[0, t, column] = step
        difference = np.subtract(*(numpy(loss(ops.convert_to_tensor(inputs + s * nudge))) for s in (1, -1)))
        np.testing.assert_allclose(slope[0, t, column], difference / (2 * step), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("parts", [(17,), (5, 5, 7), (3, 1, 9, 4)])
def test_streaming_equals_the_whole(parts):
    inputs, layer = normal(B, T, D), built()
    state, outputs, first = layer.initial_state(B, T + 2), [], 0
    for count in parts:
        output, state = layer.prefill(inputs[:, first : first + count], state)
        outputs.append(output)
        first += count
    close(ops.concatenate(outputs, axis=1), layer(inputs))


def test_a_reset_between_documents_equals_segment_ids():
    inputs, layer = normal(B, T, D), built()
    state = layer.initial_state(B, T)
    first, state = layer.prefill(inputs[:, :7], state)
    kept = {name: numpy(x).copy() for name, x in state.items()}
    second, _ = layer.prefill(inputs[:, 7:], layer.reset(state, np.array([False, True])))
    documents = np.array([[0] * T, [0] * 7 + [1] * 10])
    close(ops.concatenate([first, second], axis=1), layer(inputs, segment_ids=documents))
    everything, _ = layer.prefill(inputs[:, 7:], layer.reset(state))
    close(everything[1], second[1])
    assert not np.allclose(numpy(everything)[0], numpy(second)[0], atol=1e-3)
    assert all(np.array_equal(numpy(state[name]), x) for name, x in kept.items())


def test_a_memory_that_does_not_fit_is_refused_and_left_as_it_was():
    layer = built()
    _, state = layer.prefill(normal(B, 4, D), layer.initial_state(B, T))
    before = {name: numpy(x).copy() for name, x in state.items()}
    with pytest.raises(ValueError, match="neither it nor these inputs"):
        layer.prefill(normal(B + 1, 4, D), state)
    with pytest.raises(ValueError, match="initial_state"):
        layer.step(normal(B, D), {name: x for name, x in state.items() if name != "real"})
    wide = NearestMemory(num_heads=2)
    wide.build((None, None, D + 4))
    with pytest.raises(ValueError, match="initial_state"):
        wide.step(normal(B, D + 4), state)
    assert all(np.array_equal(numpy(state[name]), x) for name, x in before.items())


@pytest.mark.parametrize("option", ["num_heads", "segment_length", "neighbours"])
def test_an_impossible_option_is_refused_at_once(option):
    with pytest.raises(ValueError, match=option):
        NearestMemory(**{"num_heads": 2, option: 0})
