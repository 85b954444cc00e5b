import itertools

import numpy as np
import pytest

from keras_attn import inspection

B, H, T = 2, 5, 3


def weights(seed):
    x = np.random.default_rng(seed).random((B, H, T, T))
    return x / x.sum(axis=-1, keepdims=True)


def narrowest_cut(layers, start, end):
    """The least capacity between nodes on the start's side and the others, over all ways to take sides."""
    nodes = (len(layers) + 1) * T
    capacity = np.zeros((nodes, nodes))
    for layer, widths in enumerate(layers):
        capacity[layer * T : (layer + 1) * T, (layer + 1) * T : (layer + 2) * T] = widths.T
    free = [node for node in range(nodes) if node not in (start, end)]
    least = np.inf
    for sides in itertools.product([False, True], repeat=len(free)):
        near = np.zeros(nodes, bool)
        near[free], near[start] = sides, True
        least = min(least, capacity[near][:, ~near].sum())
    return least


def test_the_flow_is_the_narrowest_cut():
    maps = [weights(0), weights(1)]
    found = inspection.flow(maps, residual=0.25)
    assert found.shape == (B, T, T)
    for b in range(B):
        layers = [0.25 * np.eye(T) + 0.75 * each[b].mean(axis=0) for each in maps]
        for t in range(T):
            for s in range(T):
                assert found[b, t, s] == pytest.approx(narrowest_cut(layers, s, 2 * T + t), abs=1e-6)


def test_of_one_layer_it_is_the_weights():
    (maps,) = [weights(0)]
    np.testing.assert_allclose(inspection.flow([maps], residual=0.0), maps.mean(axis=1), atol=1e-6)


def test_it_is_never_below_rollout():
    maps = [weights(seed) for seed in range(3)]
    assert np.all(inspection.flow(maps) >= inspection.rollout(maps) - 1e-6)


def test_maps_that_do_not_follow_each_other_are_refused():
    with pytest.raises(ValueError, match="same positions"):
        inspection.flow([np.ones((B, H, T, T + 1))])
