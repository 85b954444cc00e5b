"""RWKV's time mixing, and its token shift alone, against the paper's sums."""

import numpy as np
import pytest
from keras import ops

from keras_attn import RWKV, TokenShift
from tests.autodiff import gradient
from tests.keras_attn.implicit.test_mixes import normal, numpy, sigmoid


def random_weights(layer, width):
    layer.build((None, None, width))
    rng = np.random.default_rng(1)
    layer.set_weights([(0.4 * rng.normal(size=w.shape)).astype(w.dtype) for w in layer.get_weights()])
    return {w.path.split("/", 1)[1]: numpy(w).astype("float64") for w in layer.weights}


def shifted(x, w, name):
    before = np.pad(x, ((0, 0), (1, 0), (0, 0)))[:, :-1]
    share = w[f"{name}_share"]
    return (share * x + (1.0 - share) * before) @ w[f"{name}/kernel"]


def test_rwkv_is_the_paper_s_weighted_sum():
    layer, x = RWKV(), normal(2, 37, 5)
    w = random_weights(layer, 5)
    y = numpy(layer(x))
    r, k, v = (shifted(x, w, name) for name in ("receptance", "key", "value"))
    decay = np.exp(w["log_decay"])
    for t in range(37):
        weights = [np.exp(k[:, i] - (t - 1 - i) * decay) for i in range(t)] + [np.exp(w["bonus"] + k[:, t])]
        wkv = sum(weight * v[:, i] for i, weight in enumerate(weights)) / sum(weights)
        expected = (sigmoid(r[:, t]) * wkv) @ w["output/kernel"]
        np.testing.assert_allclose(y[:, t], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 300.0])
def test_rwkv_equals_its_steps_over_2000_positions_however_large_its_keys(scale):
    layer, x = RWKV(), scale * normal(1, 2003, 3)
    random_weights(layer, 3)
    all_at_once = numpy(layer(x))
    state = layer.initial_state(1)
    for t in range(2003):
        output, state = layer.step(ops.convert_to_tensor(x[:, t]), state)
        if t % 97 == 0 or t == 2002:
            np.testing.assert_allclose(all_at_once[:, t], numpy(output), rtol=1e-3, atol=1e-4 * scale)


def test_rwkv_s_gradients_are_finite_where_keys_differ_by_hundreds():
    layer = RWKV()
    random_weights(layer, 3)
    mask = np.arange(67)[None] >= 5
    slopes = gradient(lambda x: ops.sum(ops.square(layer(x, mask=mask))), 300.0 * normal(1, 67, 3))
    assert np.isfinite(slopes).all() and np.any(slopes)


def test_rwkv_s_average_stays_as_it_is_at_padded_positions():
    layer, x = RWKV(), normal(1, 7, 5)
    random_weights(layer, 5)
    # Without the shift, which sees a zero there, a sequence with a gap is the one without it.
    for share in (layer.receptance_share, layer.key_share, layer.value_share):
        share.assign(np.ones(5))
    mask = np.array([[False, True, True, False, False, True, True]])
    np.testing.assert_allclose(numpy(layer(x, mask=mask))[mask], numpy(layer(x[mask][None]))[0], rtol=1e-4, atol=1e-5)


def test_rwkv_starts_with_memories_of_1_to_200_positions():
    layer = RWKV()
    layer.build((None, None, 7))
    np.testing.assert_allclose(np.exp(-numpy(layer.log_decay)[[0, -1]]), [1.0, 200.0], rtol=1e-4)


def test_token_shift_is_a_gate_on_shares_of_two_positions():
    layer, x = TokenShift(), normal(2, 7, 5)
    w = random_weights(layer, 5)
    expected = (sigmoid(shifted(x, w, "receptance")) * shifted(x, w, "value")) @ w["output/kernel"]
    np.testing.assert_allclose(numpy(layer(x)), expected, rtol=1e-3, atol=1e-5)
