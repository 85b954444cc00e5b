import numpy as np
import pytest

from keras_attn import inspection

B, H, T = 2, 3, 5


def weights(seed):
    x = np.random.default_rng(seed).random((B, H, T, T))
    return x / x.sum(axis=-1, keepdims=True)


def test_it_is_the_sum_over_all_paths():
    first, second = weights(0), weights(1)
    found = inspection.rollout([first, second], residual=0.25)
    for b in range(B):
        for t in range(T):
            for s in range(T):
                paths = 0.0
                for via in range(T):
                    steps = [
                        0.25 * float(after == before) + 0.75 * maps[b, :, after, before].mean()
                        for maps, after, before in ((second, t, via), (first, via, s))
                    ]
                    paths += steps[0] * steps[1]
                assert found[b, t, s] == pytest.approx(paths)
    np.testing.assert_allclose(found.sum(axis=-1), 1.0)


def test_without_short_cuts_a_chain_of_looks_is_followed():
    behind = np.eye(T, k=-1)[None]
    np.testing.assert_array_equal(inspection.rollout([behind] * 3, residual=0.0)[0], np.eye(T, k=-3))


@pytest.mark.parametrize(
    "maps, message",
    [
        ([], "one or more"),
        ([np.ones((B, H, T, T + 1))], "same positions"),
        ([-np.ones((B, T, T))], "none of them negative"),
        ([np.full((B, T, T), np.nan)], "must be finite"),
        ([np.ones((B, T, T)), np.ones((B, T + 1, T + 1))], "same batch and length"),
    ],
)
def test_maps_that_cannot_be_rolled_out_are_refused(maps, message):
    with pytest.raises(ValueError, match=message):
        inspection.rollout(maps)


def test_a_share_of_one_is_refused():
    with pytest.raises(ValueError, match="residual"):
        inspection.rollout([weights(0)], residual=1.0)
