import numpy as np
import pytest
from keras import ops

from keras_attn import KeyValueMemory


def numpy(x):
    return ops.convert_to_numpy(x)


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_hops_follow_the_equations():
    rng = np.random.default_rng(0)
    query, value = rng.normal(size=(2, 3, 5)).astype("float32"), rng.normal(size=(2, 7, 4)).astype("float32")
    layer = KeyValueMemory(slots=11, hops=2)
    read, weights = layer(query, value, return_attention_scores=True)
    parts = {w.path.split("/", 1)[1]: numpy(w) for w in layer.weights}
    for b in range(2):
        keys = np.concatenate([parts["slot_keys"], value[b] @ parts["key/kernel"]])
        values = np.concatenate([parts["slot_values"], value[b] @ parts["value/kernel"]])
        state, total = query[b] @ parts["query/kernel"], 0.0
        for hop in range(2):
            p = softmax(state @ keys.T / np.sqrt(5))
            np.testing.assert_allclose(numpy(weights)[b, hop], p, rtol=1e-3, atol=1e-5)
            state, total = state + p @ values, total + p @ values
        np.testing.assert_allclose(numpy(read)[b], total @ parts["output/kernel"], rtol=1e-3, atol=1e-4)


def test_learned_rows_can_be_read_when_nothing_else_may_be():
    layer = KeyValueMemory(slots=3, hops=1)
    forbidden = np.zeros((1, 2, 2), dtype=bool)
    _, weights = layer(np.ones((1, 2, 5)), attention_mask=forbidden, return_attention_scores=True)
    np.testing.assert_allclose(numpy(weights)[..., :3].sum(-1), 1.0, rtol=1e-6)
    assert np.all(numpy(weights)[..., 3:] == 0.0)


def test_a_mask_of_one_column_is_for_all_positions_and_no_learned_row():
    rng = np.random.default_rng(0)
    query, value = rng.normal(size=(2, 3, 5)).astype("float32"), rng.normal(size=(2, 7, 4)).astype("float32")
    layer, column = KeyValueMemory(slots=3, hops=2), np.array([[True], [False], [True]])
    found = layer(query, value, attention_mask=column, return_attention_scores=True)
    expected = layer(query, value, attention_mask=np.repeat(column, 7, axis=1), return_attention_scores=True)
    for one, other in zip(found, expected):
        np.testing.assert_array_equal(numpy(one), numpy(other))
    assert np.all(numpy(found[1])[:, :, 1, 3:] == 0.0)
    np.testing.assert_allclose(numpy(found[1])[:, :, 1, :3].sum(-1), 1.0, rtol=1e-5)


def test_a_mask_for_each_hop_is_refused():
    with pytest.raises(ValueError, match="share one"):
        KeyValueMemory(slots=3, hops=2)(np.ones((1, 2, 5)), attention_mask=np.ones((1, 2, 2, 2)))
