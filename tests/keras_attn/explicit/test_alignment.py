import itertools

import numpy as np
import pytest
from keras import ops

from keras_attn.explicit._alignment import Alignment, next_alignment, probabilities
from tests.autodiff import gradient


def by_the_recursion(p):
    """Raffel et al., 2017, eq. 13-14, cell by cell in double precision."""
    alignment = np.zeros(p.shape)
    for b in range(p.shape[0]):
        before = np.zeros(p.shape[2])
        before[0] = 1.0
        for i in range(p.shape[1]):
            q = 0.0
            for j in range(p.shape[2]):
                q = (1.0 - p[b, i, j - 1]) * q + before[j] if j else before[0]
                alignment[b, i, j] = p[b, i, j] * q
            before = alignment[b, i]
    return alignment


def by_walking(stops):
    """Where the reader stops for each query, given whether it stops at each position; None once it is off the end."""
    place, places = 0, []
    for row in stops:
        while place < len(row) and not row[place]:
            place += 1
        places.append(place if place < len(row) else None)
    return places


def random_p(*shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype("float32")


def align(p):
    return ops.convert_to_numpy(Alignment()(ops.convert_to_tensor(p)))


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 5, 3), (1, 1, 1), (1, 1, 7), (1, 7, 1)], ids=str)
def test_the_alignment_follows_the_paper_s_recursion(shape):
    p = random_p(*shape)
    np.testing.assert_allclose(align(p), by_the_recursion(p), rtol=1e-5, atol=1e-7)


def test_it_is_the_average_over_all_walks():
    p = random_p(1, 2, 3)
    average = np.zeros((2, 3))
    for stops in itertools.product((0, 1), repeat=6):
        stops = np.reshape(stops, (2, 3))
        chance = np.prod(np.where(stops, p[0], 1.0 - p[0]))
        for i, place in enumerate(by_walking(stops)):
            if place is not None:
                average[i, place] += chance
    np.testing.assert_allclose(align(p)[0], average, rtol=1e-5)


def test_with_every_p_at_zero_or_one_it_is_the_walk_itself():
    stops = random_p(5, 7, 11) > 0.8
    expected = np.zeros(stops.shape)
    for b in range(5):
        for i, place in enumerate(by_walking(stops[b])):
            if place is not None:
                expected[b, i, place] = 1.0
    assert expected.sum() not in (0, 35)
    np.testing.assert_array_equal(align(stops.astype("float32")), expected)


def test_at_300_positions_with_p_near_zero_and_one_it_stays_right_where_the_quotient_does_not():
    p = np.random.default_rng(0).choice([1e-6, 0.3, 1.0 - 1e-6], (1, 5, 300)).astype("float32")
    # The first query takes the reader far on, and the others would have stopped many times before.
    p[0, 0, :250] = 1e-6
    expected = by_the_recursion(p.astype("float64"))
    np.testing.assert_allclose(align(p), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(expected.sum(-1), 1.0, atol=1e-4)

    # The closed form of the paper's appendix, guarded as usual: p cp cumsum(before / cp) with cp = Π (1 - p).
    passed = np.cumprod(np.append(1.0, 1.0 - p[0, 1, :-1])).astype("float32")
    closed = p[0, 1] * passed * np.cumsum(expected[0, 0] / np.clip(passed, 1e-10, 1.0))
    assert closed.sum() < 0.1


def test_gradients_are_those_of_the_recursion():
    p = random_p(1, 3, 5)
    target = np.random.default_rng(1).normal(size=p.shape).astype("float32")
    found = gradient(lambda x: ops.sum(Alignment()(x) * ops.convert_to_tensor(target)), p)
    for place in ((0, 0, 0), (0, 1, 2), (0, 2, 3)):
        step = np.zeros(p.shape)
        step[place] = 1e-6
        slope = ((by_the_recursion(p + step) - by_the_recursion(p - step)) * target).sum() / 2e-6
        np.testing.assert_allclose(found[place], slope, rtol=1e-3, atol=1e-5)


def test_one_row_after_another_equals_all_rows_at_once():
    p = random_p(3, 5, 7)
    row = np.eye(1, 7, dtype="float32").repeat(3, axis=0)
    rows = []
    for i in range(5):
        row = ops.convert_to_numpy(next_alignment(ops.convert_to_tensor(p[:, i]), ops.convert_to_tensor(row)))
        rows.append(row)
    np.testing.assert_allclose(np.stack(rows, axis=1), align(p), rtol=1e-5, atol=1e-7)


def test_masked_positions_are_passed_over_and_behind_the_last_one_the_reader_waits():
    energies = np.zeros((1, 3, 5), dtype="float32")
    allowed = np.array([[[0, 1, 0, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]]], dtype=bool)
    found = ops.convert_to_numpy(probabilities(ops.convert_to_tensor(energies), ops.convert_to_tensor(allowed)))
    np.testing.assert_array_equal(found[0], [[0.0, 0.5, 0.0, 0.5, 1.0], [1.0] * 5, [0.5] * 5])
    # A quarter got past both allowed positions: it stands at the fifth, and may stop there for the third query.
    np.testing.assert_allclose(align(found)[0, :2], [[0.0, 0.5, 0.0, 0.25, 0.25]] * 2)
    assert align(found)[0, 2, 4] > 0.125
