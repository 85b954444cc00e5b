import numpy as np
import pytest

from keras_attn import GatedLinearAttention
from keras_attn.explicit import _linear_state
from tests.keras_attn.explicit import state_forms
from tests.keras_attn.explicit.state_forms import (
    built,
    close,
    heads,
    holes,
    joined,
    normal,
    numpy,
    sigmoid,
    standardised,
)


def by_a_loop(layer, x, present):
    """The recurrence of section 4.1 step by step with the gates of section 4.4: mix and weights."""
    q, k, v = (heads(x, dense, layer.num_heads) for dense in (layer.query_dense, layer.key_dense, layer.value_dense))
    alpha = sigmoid(heads(x @ numpy(layer.narrow_dense.kernel), layer.decay_dense, layer.num_heads)) ** (1.0 / 16.0)
    length = x.shape[1]
    mix, weights = np.zeros(v.shape), np.zeros((*v.shape[:2], length, length))
    for b, h in np.ndindex(*q.shape[:2]):
        # Beside the state, what it would be if the values were one-hot.
        state, shares = np.zeros((q.shape[-1], v.shape[-1])), np.zeros((q.shape[-1], length))
        for t in range(length):
            if present[b, t]:
                state = alpha[b, h, t][:, None] * state + np.outer(k[b, h, t], v[b, h, t])
                shares = alpha[b, h, t][:, None] * shares + np.outer(k[b, h, t], np.eye(length)[t])
            mix[b, h, t] = q[b, h, t] @ state / np.sqrt(q.shape[-1])
            weights[b, h, t] = q[b, h, t] @ shares / np.sqrt(q.shape[-1])
    gate = x @ numpy(layer.gate_dense.kernel)
    return joined(standardised(mix)) * gate * sigmoid(gate) @ numpy(layer.output_dense.kernel), weights


def test_it_follows_the_paper_s_recurrence():
    layer = built(GatedLinearAttention(num_heads=2))
    x, mask = normal(2, 67, 5), holes(2, 67)
    expected, weights = by_a_loop(layer, x, mask)
    close(layer(x, mask=mask), expected * mask[..., None])
    asked = layer(np.where(mask[..., None], x, 0.0), value_mask=mask, return_attention_scores=True)
    rows = np.broadcast_to(mask[:, None, :, None], weights.shape)
    close(numpy(asked[1])[rows], weights[rows])


@pytest.mark.parametrize("length", [7, 8, 19])
def test_weights_chunks_and_steps_agree(monkeypatch, length):
    monkeypatch.setattr(_linear_state, "CHUNK", 8)
    state_forms.check_that_forms_agree(built(GatedLinearAttention(num_heads=2)), length)


def test_the_forms_agree_for_other_lengths_in_gradients_and_with_padding_in_between(monkeypatch):
    monkeypatch.setattr(_linear_state, "CHUNK", 8)
    layer = built(GatedLinearAttention(num_heads=2))
    state_forms.check_that_lengths_may_differ(layer)
    state_forms.check_that_gradients_agree(layer)
    state_forms.check_that_padding_takes_no_time(layer)


def test_a_causal_mask_changes_nothing():
    layer, x = built(GatedLinearAttention(num_heads=2)), normal(2, 7, 5)
    close(layer(x, use_causal_mask=True), layer(x), 0.0)


def test_gates_near_zero_and_near_one_are_as_good_as_any_at_length_500():
    layer, x = built(GatedLinearAttention(num_heads=2)), normal(1, 500, 5)
    # Logits of some hundreds: within a chunk the product of the gates runs from 1 to below any float.
    layer.decay_dense.kernel.assign(500.0 * numpy(layer.decay_dense.kernel))
    expected, weights = by_a_loop(layer, x, np.ones((1, 500), bool))
    mix, got = layer(x, return_attention_scores=True)
    assert np.all(np.isfinite(numpy(mix)))
    close(got, weights)
    close(mix, expected, 1e-4)
    close(layer(x), expected, 1e-4)
