import numpy as np
import pytest
from keras import ops

from keras_attn import masks


def test_causal_lets_the_last_query_stand_at_the_last_key():
    assert ops.convert_to_numpy(masks.causal(2, 3))[0, 0].astype(int).tolist() == [[1, 1, 0], [1, 1, 1]]


def test_window_reaches_as_far_on_either_side():
    assert ops.convert_to_numpy(masks.window(3, 3, 2))[0, 0].astype(int).tolist() == [[1, 1, 0], [1, 1, 1], [0, 1, 1]]


def test_combine_allows_what_all_allow():
    padding = masks.padding(np.array([[1, 1, 0]]))
    both = masks.combine(None, padding, masks.causal(3, 3))
    assert ops.convert_to_numpy(both)[0, 0].astype(int).tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 0]]
    assert masks.combine(None, None) is None


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 5), (2, 4, 3, 5)])
def test_a_given_mask_gets_four_axes(shape):
    assert len(masks.given(np.ones(shape)).shape) == 4


def test_a_given_mask_of_another_rank_is_refused():
    with pytest.raises(ValueError, match=r"must have shape \(T, S\)"):
        masks.given(np.ones(3))


def test_zero_lets_nothing_through():
    x = np.array([[[np.nan], [1.0]]], dtype="float32")
    assert ops.convert_to_numpy(masks.zero(x, np.array([[False, True]]))).tolist() == [[[0.0], [1.0]]]
