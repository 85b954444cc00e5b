"""gMLP's spatial gating unit."""

import numpy as np
import pytest

from keras_attn import GatedMLP
from tests.keras_attn.implicit.test_convolutions import gelu, weights_of
from tests.keras_attn.implicit.test_mixes import normal, numpy


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("positions", [None, 11])
def test_the_gate_is_a_linear_map_along_the_positions(positions, causal):
    layer, x = GatedMLP(units=3, positions=positions), normal(2, 7, 5)
    layer.build(x.shape)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    w = weights_of(layer)
    z, g = np.split(gelu(x @ w["hidden/kernel"] + w["hidden/bias"]), 2, axis=-1)
    g = (g - g.mean(-1, keepdims=True)) / np.sqrt(g.var(-1, keepdims=True) + 1e-5)
    g = g * w["norm/gamma"] + w["norm/beta"]
    for t in range(7):
        seen = range(t + 1) if causal else range(7)
        gate = sum(w["spatial_kernel"][t, s] * g[:, s] for s in seen) + w["spatial_bias"][t]
        expected = (z[:, t] * gate) @ w["output/kernel"] + w["output/bias"]
        np.testing.assert_allclose(numpy(layer(x, use_causal_mask=causal))[:, t], expected, rtol=1e-3, atol=1e-4)


def test_at_first_the_gate_is_open():
    layer, x = GatedMLP(), normal(2, 7, 5)
    layer.build(x.shape)
    w = weights_of(layer)
    z = np.split(gelu(x @ w["hidden/kernel"]), 2, axis=-1)[0]
    np.testing.assert_allclose(numpy(layer(x)), z @ w["output/kernel"], atol=0.02)


def test_places_are_as_many_as_were_asked_for():
    assert GatedMLP().fixed_length and not GatedMLP(positions=5).fixed_length
    with pytest.raises(ValueError, match="has 5 places"):
        GatedMLP(positions=5)(normal(2, 7, 3))
    with pytest.raises(ValueError, match="weights for each place"):
        GatedMLP().build((None, None, 3))
