import keras
import numpy as np
import pytest

from keras_attn import DeltaRule
from keras_attn.explicit import _linear_state
from tests.keras_attn.explicit import state_forms
from tests.keras_attn.explicit.state_forms import built, close, heads, holes, joined, normal, numpy, sigmoid


def unit(x):
    return x / np.sqrt((x**2).sum(-1, keepdims=True) + 1e-6)


def by_a_loop(layer, x, present):
    """S_t = S_{t-1} α_t (I - β_t k_t k_t') + β_t v_t k_t', step by step: mix and weights."""
    q, k = (unit(heads(x, dense, layer.num_heads)) for dense in (layer.query_dense, layer.key_dense))
    v, beta = heads(x, layer.value_dense, layer.num_heads), sigmoid(heads(x, layer.beta_dense, layer.num_heads))
    alpha = np.ones_like(beta)
    if layer.gated:
        rate = np.exp(numpy(layer.log_rate.value).astype("float64"))[:, None, None]
        alpha = np.exp(-rate * np.logaddexp(0.0, heads(x, layer.decay_dense, layer.num_heads)))
    length, width = x.shape[1], q.shape[-1]
    mix, weights = np.zeros(v.shape), np.zeros((*v.shape[:2], length, length))
    for b, h in np.ndindex(*q.shape[:2]):
        # Beside the state, what it would be if the values were one-hot.
        state, shares = np.zeros((v.shape[-1], width)), np.zeros((length, width))
        for t in range(length):
            if present[b, t]:
                key = k[b, h, t]
                turn = alpha[b, h, t] * (np.eye(width) - beta[b, h, t] * np.outer(key, key))
                state = state @ turn + beta[b, h, t] * np.outer(v[b, h, t], key)
                shares = shares @ turn + beta[b, h, t] * np.outer(np.eye(length)[t], key)
            mix[b, h, t], weights[b, h, t] = state @ q[b, h, t], shares @ q[b, h, t]
    scaled = mix / np.sqrt((mix**2).mean(-1, keepdims=True) + 1e-5)
    return joined(scaled) @ numpy(layer.output_dense.kernel), weights


@pytest.mark.parametrize("gated", [False, True])
def test_it_follows_the_papers_recurrence(gated):
    layer = built(DeltaRule(num_heads=2, gated=gated))
    x, mask = normal(2, 67, 5), holes(2, 67)
    expected, weights = by_a_loop(layer, x, mask)
    close(layer(x, mask=mask), expected * mask[..., None])
    asked = layer(np.where(mask[..., None], x, 0.0), value_mask=mask, return_attention_scores=True)
    rows = np.broadcast_to(mask[:, None, :, None], weights.shape)
    close(numpy(asked[1])[rows], weights[rows])


@pytest.mark.parametrize("length, gated", [(7, False), (8, True), (19, True)])
def test_weights_chunks_and_steps_agree(monkeypatch, length, gated):
    monkeypatch.setattr(_linear_state, "DELTA_CHUNK", 8)
    state_forms.check_that_forms_agree(built(DeltaRule(num_heads=2, gated=gated)), length)


@pytest.mark.parametrize("gated", [False, True])
def test_the_forms_agree_for_other_lengths_in_gradients_and_with_padding_in_between(monkeypatch, gated):
    monkeypatch.setattr(_linear_state, "DELTA_CHUNK", 8)
    layer = built(DeltaRule(num_heads=2, gated=gated))
    state_forms.check_that_lengths_may_differ(layer)
    state_forms.check_that_gradients_agree(layer)
    state_forms.check_that_padding_takes_no_time(layer)


def test_a_causal_mask_changes_nothing():
    layer, x = built(DeltaRule(num_heads=2)), normal(2, 7, 5)
    close(layer(x, use_causal_mask=True), layer(x), 0.0)


def test_a_key_that_comes_again_reads_its_last_value_only():
    layer = DeltaRule(num_heads=1)
    layer.build((None, None, 3))
    # Keys are the first two columns, β is 1, and all queries are those of key 0.
    keys = np.eye(3, 3, dtype="float32")
    layer.query_dense.kernel.assign(np.array([[1, 0, 0], [0, 0, 0], [1, 0, 0]]))
    layer.key_dense.kernel.assign(keys)
    layer.beta_dense.kernel.assign([[50.0], [50.0], [0.0]])
    x = np.array([[[1.0, 0, 0], [0, 1.0, 0], [1.0, 0, 0], [0, 1.0, 0], [1.0, 0, 0]]], "float32")
    weights = numpy(layer(x, x, return_attention_scores=True)[1])[0, 0]
    close(weights[[0, 2, 4]], np.eye(5)[[0, 2, 4]])


@pytest.mark.parametrize("gated", [False, True])
def test_the_same_key_500_times_is_as_good_as_any(gated):
    # The powers of the chunk's triangular matrix reach 1e17 here, and cancel.
    layer = built(DeltaRule(num_heads=2, gated=gated))
    layer.beta_dense.kernel.assign(20.0 * np.abs(numpy(layer.beta_dense.kernel)))
    x = np.abs(normal(1, 1, 5)) + 0.01 * normal(1, 500, 5, seed=1)
    expected, weights = by_a_loop(layer, x, np.ones((1, 500), bool))
    close(layer(x, return_attention_scores=True)[1], weights)
    close(layer(x), expected, 1e-4)


def test_gates_near_zero_and_near_one_are_as_good_as_any_at_length_500():
    layer, x = built(DeltaRule(num_heads=2, gated=True)), normal(1, 500, 5)
    layer.decay_dense.kernel.assign(100.0 * numpy(layer.decay_dense.kernel))
    expected, weights = by_a_loop(layer, x, np.ones((1, 500), bool))
    mix, got = layer(x, return_attention_scores=True)
    close(got, weights)
    close(mix, expected, 1e-4)
    close(layer(x), expected, 1e-4)


def test_gated_memories_start_from_2_to_200_positions():
    layer = DeltaRule(num_heads=7, gated=True)
    layer.build((None, None, 14))
    memory = 1.0 / np.logaddexp(0.0, numpy(layer.decay_dense.bias))
    assert memory.min() > 2.0 and memory.max() < 200.0 and np.all(np.diff(memory) > 0.0)
    assert np.all(numpy(layer.log_rate.value) == 0.0)


def test_a_mask_of_pairs_is_refused():
    with pytest.raises(ValueError, match="attention_mask"):
        DeltaRule(num_heads=2)(keras.ops.ones((1, 3, 5)), attention_mask=keras.ops.ones((3, 3)))
