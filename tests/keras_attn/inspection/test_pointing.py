import itertools

import numpy as np
import pytest

from keras_attn import inspection

B, S = 3, 7


def planted(*places):
    truth = np.zeros((1, S), dtype=bool)
    truth[0, list(places)] = True
    return truth


def test_a_map_that_is_the_truth_is_right_in_every_way():
    truth = planted(1, 4)
    found = inspection.pointing(truth.astype("float32"), truth)
    for number in (found.hit, found.precision, found.mass):
        np.testing.assert_array_equal(number, 1.0)
    np.testing.assert_allclose(found.chance, 2 / 7)


def test_by_hand():
    # In order: 3 (true), 0, 5 (true), and then the four that are not positive.
    found = inspection.pointing([[0.25, -0.5, 0.0, 0.5, -2.0, 0.125, -1.0]], planted(3, 5))
    assert found.hit[0] == 1.0
    assert found.precision[0] == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert found.mass[0] == pytest.approx(0.625 / 0.875)


@pytest.mark.parametrize("number", [-1.5, 0.0, 2.5])
def test_a_constant_map_is_as_good_as_chance(number):
    found = inspection.pointing(np.full((1, S), number), planted(0, 2, 3))
    assert found.hit == found.mass == found.chance == pytest.approx(3 / 7)
    assert found.precision == found.chance_precision


def precision_of(order, truth):
    right = [truth[place] for place in order]
    return np.mean([np.mean(right[: place + 1]) for place in range(len(right)) if right[place]])


def test_among_equal_numbers_every_order_counts_the_same():
    map, truth = np.array([0.5, 0.2, 0.5, 0.5, 0.2, 0.1]), np.array([True, False, False, True, True, False])
    orders = [order for order in itertools.permutations(range(6)) if np.all(np.diff(map[list(order)]) <= 0.0)]
    assert len(orders) == 12
    found = inspection.pointing(map[None], truth[None])
    assert found.precision[0] == pytest.approx(np.mean([precision_of(order, truth) for order in orders]))
    assert found.hit[0] == pytest.approx(2 / 3)
    every = [precision_of(order, truth) for order in itertools.permutations(range(6))]
    assert found.chance_precision[0] == pytest.approx(np.mean(every))


def test_rows_without_truth_are_left_out_and_counted():
    truth = np.zeros((B, S), dtype=bool)
    truth[1, 5] = True
    map = np.random.default_rng(0).random((B, S))
    found = inspection.pointing(map, truth)
    assert found.rows.tolist() == [1] and found.left_out == 2
    assert found.mass[0] == pytest.approx(map[1, 5] / map[1].sum())
    nobody = inspection.pointing(map, np.zeros((B, S), dtype=bool))
    assert nobody.left_out == B and nobody.hit.shape == nobody.precision.shape == (0,)


def test_padding_is_no_position():
    map, mask = np.array([[0.1, 0.3, 0.2, 9.0, np.nan]]), np.array([[True, True, True, False, False]])
    truth = np.array([[False, True, False, False, False]])
    padded, bare = inspection.pointing(map, truth, mask), inspection.pointing(map[:, :3], truth[:, :3])
    np.testing.assert_equal(padded._asdict(), bare._asdict())


@pytest.mark.parametrize(
    "change, message",
    [
        ({"map": np.ones(S)}, r"\(B, S\)"),
        ({"map": np.full((1, S), np.nan)}, "must be finite.*7 numbers"),
        ({"truth": np.ones((1, S))}, "booleans.*float64"),
        ({"truth": np.ones((2, S), dtype=bool)}, r"booleans of shape \(1, 7\).*\(2, 7\)"),
        ({"mask": np.ones((1, S))}, "`mask`.*float64"),
        ({"mask": ~planted(2)}, r"Padding cannot matter.*\[0\]"),
    ],
)
def test_what_cannot_be_judged_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        inspection.pointing(**{"map": np.ones((1, S)), "truth": planted(2), **change})
