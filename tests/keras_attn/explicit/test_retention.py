import numpy as np
import pytest

from keras_attn import Retention
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
    """Eq. 6 step by step, with the turn as a multiplication of complex numbers, then eq. 8; width of a head even."""
    q, k, v = (heads(x, dense, layer.num_heads) for dense in (layer.query_dense, layer.key_dense, layer.value_dense))
    half = q.shape[-1] // 2
    theta = 10000.0 ** (-np.arange(half) / half) if layer.use_rotary else np.zeros(half)
    gamma = 1.0 - 2.0 ** (-5.0 - np.arange(layer.num_heads))
    mix = np.zeros(v.shape)
    for b, h in np.ndindex(*q.shape[:2]):
        state, n = np.zeros((half, v.shape[-1]), complex), 0
        for t in range(x.shape[1]):
            if present[b, t]:
                n += 1
                key = (k[b, h, t, :half] + 1j * k[b, h, t, half:]) * np.exp(1j * n * theta)
                state = gamma[h] * state + np.outer(key, v[b, h, t])
            query = (q[b, h, t, :half] + 1j * q[b, h, t, half:]) * np.exp(1j * n * theta)
            mix[b, h, t] = (query.conj() @ state).real / np.sqrt(2 * half)
    gate = x @ numpy(layer.gate_dense.kernel)
    return joined(standardised(mix)) * gate * sigmoid(gate) @ numpy(layer.output_dense.kernel)


@pytest.mark.parametrize("use_rotary", [True, False])
def test_it_follows_the_paper_s_recurrence(use_rotary):
    layer = built(Retention(num_heads=2, use_rotary=use_rotary), width=8)
    x, mask = normal(2, 67, 8), holes(2, 67)
    expected = by_a_loop(layer, x, mask) * mask[..., None]
    close(layer(x, mask=mask), expected)
    close(layer(x, mask=mask, return_attention_scores=True)[0], expected)


def test_weights_fade_at_the_paper_s_rates():
    layer = built(Retention(num_heads=3, use_rotary=False), width=6)
    # The same input everywhere, so that only the distance makes a difference.
    x = np.ones((1, 7, 6), "float32")
    weights = numpy(layer(x, return_attention_scores=True)[1])[0]
    ahead = np.arange(7)[:, None] - np.arange(7)
    for head, gamma in enumerate((31 / 32, 63 / 64, 127 / 128)):
        close(weights[head] / weights[head, 0, 0], np.where(ahead >= 0, gamma ** np.maximum(ahead, 0), 0.0))


@pytest.mark.parametrize("length", [7, 8, 19])
def test_weights_chunks_and_steps_agree(monkeypatch, length):
    monkeypatch.setattr(_linear_state, "CHUNK", 8)
    state_forms.check_that_forms_agree(built(Retention(num_heads=2)), length)


def test_the_forms_agree_for_other_lengths_in_gradients_and_with_padding_in_between(monkeypatch):
    monkeypatch.setattr(_linear_state, "CHUNK", 8)
    layer = built(Retention(num_heads=2))
    state_forms.check_that_lengths_may_differ(layer)
    state_forms.check_that_gradients_agree(layer)
    state_forms.check_that_padding_takes_no_time(layer)


def test_a_causal_mask_changes_nothing():
    layer, x = built(Retention(num_heads=2)), normal(2, 7, 5)
    close(layer(x, use_causal_mask=True), layer(x), 0.0)


def test_a_mask_that_hides_a_position_from_all_is_as_good_as_padding():
    layer, x, mask = built(Retention(num_heads=2)), normal(1, 37, 5), holes(1, 37)
    by_hand = layer(x, attention_mask=np.broadcast_to(mask, (37, 37)))
    close(numpy(by_hand)[mask], numpy(layer(x, mask=mask))[mask])
