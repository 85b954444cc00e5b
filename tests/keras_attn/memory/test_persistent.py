import numpy as np
import pytest
from keras import ops

from keras_attn import MultiHeadAttention, PersistentMemory
from tests.autodiff import gradient

B, T, S, D, N = 2, 3, 7, 10, 5


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(numpy(actual), numpy(expected), rtol=tolerance, atol=tolerance)


def built(*shapes, **options):
    layer = PersistentMemory(num_heads=2, **{"slots": N, **options})
    layer.build(*shapes)
    layer.set_weights([0.6 * normal(*w.shape, seed=index) for index, w in enumerate(layer.get_weights())])
    return layer


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def reference(layer, query, value, allowed):
    """The mix and the weights by loops; `allowed` is `(B, T, S)`."""
    wq, wk, wv, wo = (numpy(getattr(layer, f"{name}_dense").kernel) for name in ("query", "key", "value", "output"))
    slot_keys, slot_values = numpy(layer.slot_keys), numpy(layer.slot_values)
    heads, weights = np.zeros((*query.shape[:2], D)), np.zeros((len(query), 2, query.shape[1], N + value.shape[1]))
    for b in range(len(query)):
        for h in range(2):
            columns = slice(5 * h, 5 * h + 5)
            keys = np.concatenate([slot_keys[h], value[b] @ wk[:, columns]])
            values = np.concatenate([slot_values[h], value[b] @ wv[:, columns]])
            for t in range(query.shape[1]):
                seen = np.flatnonzero(np.concatenate([np.ones(N, dtype=bool), allowed[b, t]]))
                p = softmax(keys[seen] @ (query[b, t] @ wq[:, columns]) / np.sqrt(5))
                weights[b, h, t, seen] = p
                heads[b, t, columns] = p @ values[seen]
    return heads @ wo, weights


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_every_query_looks_at_the_learned_rows_whatever_hides_the_others(chunk_size):
    query, value = normal(B, S, D), normal(B, S, D, seed=1)
    layer = built(query.shape, value.shape, chunk_size=chunk_size)
    past, present = np.tril(np.ones((S, S), dtype=bool)), np.arange(S) < np.array([[S], [4]])
    documents = np.array([[0, 0, 0, 1, 1, 2, 2], [0, 1, 1, 1, -1, -1, -1]])
    given = np.random.default_rng(2).random((B, S, S)) < 0.5
    same = (documents[:, :, None] == documents[:, None, :]) & (documents[:, :, None] >= 0)
    for options, allowed in (
        ({}, np.ones((B, S, S), dtype=bool)),
        ({"use_causal_mask": True}, np.broadcast_to(past, (B, S, S))),
        ({"value_mask": present}, np.broadcast_to(present[:, None], (B, S, S))),
        ({"segment_ids": documents}, same),
        ({"attention_mask": given, "segment_ids": documents, "use_causal_mask": True}, given & same & past),
        ({"attention_mask": np.zeros((S, 1), dtype=bool)}, np.zeros((B, S, S), dtype=bool)),
    ):
        mix, weights = reference(layer, query, value, allowed)
        close(layer(query, value, **options), mix, 1e-4)
        both = layer(query, value, **options, return_attention_scores=True)
        close(both[0], mix, 1e-4)
        close(both[1], weights, 1e-4)


def test_queries_before_the_first_key_look_at_the_learned_rows():
    query, value = normal(B, S, D), normal(B, 2, D, seed=1)
    layer = built(query.shape, value.shape)
    past = np.tril(np.ones((S, 2), dtype=bool), 2 - S)
    mix, weights = reference(layer, query, value, np.broadcast_to(past, (B, S, 2)))
    both = layer(query, value, use_causal_mask=True, return_attention_scores=True)
    close(both[0], mix, 1e-4)
    close(both[1], weights, 1e-4)
    close(layer(query, value, use_causal_mask=True), mix, 1e-4)


@pytest.mark.parametrize("width", [S, 1])
def test_a_bias_is_for_positions_alone(width):
    query, value = normal(B, T, D), normal(B, S, D, seed=1)
    layer = built(query.shape, value.shape)
    weights = layer(query, value, attention_bias=np.full((T, width), -50.0, "float32"), return_attention_scores=True)[1]
    close(numpy(weights)[..., :N].sum(-1), np.ones((B, 2, T)))


def test_without_slots_it_is_multi_head_attention():
    query, value = normal(B, T, D), normal(B, S, D, seed=1)
    layer = built(query.shape, value.shape, slots=0)
    attention = MultiHeadAttention(2, use_bias=False)
    attention.build(query.shape, value.shape)
    attention.set_weights([w.reshape(v.shape) for w, v in zip(layer.get_weights(), attention.get_weights())])
    close(layer(query, value), attention(query, value))


def test_the_quick_way_by_chunks_has_the_same_gradients():
    inputs = normal(B, S, D)
    layers = [built(inputs.shape, chunk_size=size) for size in (None, 2)]
    slopes = [gradient(lambda x, f=f: ops.sum(ops.square(f(x, use_causal_mask=True))), inputs) for f in layers]
    close(*slopes, 1e-4)


@pytest.mark.parametrize("options, message", [({"slots": -1}, "slots"), ({"num_heads": 0}, "num_heads")])
def test_an_impossible_option_is_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        PersistentMemory(**{"num_heads": 2, **options})
