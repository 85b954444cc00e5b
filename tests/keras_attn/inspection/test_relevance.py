import numpy as np
import pytest

from keras_attn import inspection

B, H, T, K = 2, 3, 5, 4


def maps(*shape, seed):
    return np.random.default_rng(seed).normal(size=shape)


def test_it_is_the_sum_over_all_ways_through_the_layers():
    found = inspection.relevance([maps(B, H, T, T, seed=seed) for seed in (0, 1)])
    first, second = (np.maximum(maps(B, H, T, T, seed=seed), 0.0).mean(1) for seed in (0, 1))
    for b in range(B):
        for t in range(T):
            for s in range(T):
                twice = sum(second[b, t, via] * first[b, via, s] for via in range(T))
                assert found[b, t, s] == pytest.approx((t == s) + first[b, t, s] + second[b, t, s] + twice)


def test_a_pooling_comes_last_and_has_no_short_cut():
    look, pool = maps(B, H, T, T, seed=0), maps(B, 1, K, T, seed=1)
    found = inspection.relevance([look, pool])
    np.testing.assert_allclose(found, np.maximum(pool[:, 0], 0.0) @ inspection.relevance([look]))


def test_what_speaks_against_the_answer_is_left_out():
    np.testing.assert_array_equal(inspection.relevance([-np.ones((B, H, T, T))]), [np.eye(T)] * B)


@pytest.mark.parametrize(
    "given, message",
    [
        ([], "one layer or more"),
        ([np.ones((B, T, T))], r"\(B, H, T, T\).*number 0"),
        ([np.ones((B, H, T, T)), np.ones((B, H, T, T + 1))], "number 1.*behind one of 5 positions"),
        ([np.ones((B, H, K, T)), np.ones((B, H, T, T))], "behind one of 4 positions"),
        ([np.ones((B, H, T, T)), np.ones((B + 1, H, T, T))], "number 1"),
    ],
)
def test_maps_that_do_not_follow_each_other_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        inspection.relevance(given)
