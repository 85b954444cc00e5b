import numpy as np

from zoo.datasets import algorithmic


def numbers():
    return np.random.default_rng(0)


def test_copy_asks_for_what_came_before_the_mark():
    inputs, targets, weight = algorithmic.copy(numbers(), 11, longest=7, bits=3)
    assert inputs.shape == (11, 15, 4) and targets.shape == (11, 15, 3) and weight.shape == (11, 15)
    for x, y, counts in zip(inputs, targets, weight):
        length = int(np.flatnonzero(x[:, 3])[0])
        np.testing.assert_array_equal(np.flatnonzero(counts), np.arange(length + 1, 2 * length + 1))
        np.testing.assert_array_equal(y[counts > 0.0], x[:length, :3])
        assert not np.any(x[length + 1 :])


def test_repeat_copy_asks_for_so_many_copies_and_a_mark():
    inputs, targets, weight = algorithmic.repeat_copy(numbers(), 11, longest=5, most=3, bits=3)
    for x, y, counts in zip(inputs, targets, weight):
        length = int(np.flatnonzero(x[:, 3])[0])
        repeats = round(10.0 * x[length, 3])
        answer = y[counts > 0.0]
        np.testing.assert_array_equal(answer[:-1, :3], np.tile(x[:length, :3], (repeats, 1)))
        np.testing.assert_array_equal(answer[:, 3], np.eye(length * repeats + 1)[-1])


def test_associative_recall_asks_for_the_item_behind_the_one_shown_again():
    inputs, targets, weight = algorithmic.associative_recall(numbers(), 11, most=5, item_length=2, bits=7)
    for x, y, counts in zip(inputs, targets, weight):
        items = [x[at + 1 : at + 3, :7] for at in np.flatnonzero(x[:, 7])]
        first, second = np.flatnonzero(x[:, 8])
        asked = x[first + 1 : second, :7]
        matches = [np.array_equal(item, asked) for item in items[:-1]]
        answers = [np.array_equal(item, y[counts > 0.0]) for item in items[1:]]
        assert any(same and right for same, right in zip(matches, answers))
        assert np.flatnonzero(counts)[0] == second + 1


def test_priority_sort_asks_for_the_highest_priorities_in_order():
    inputs, targets, weight = algorithmic.priority_sort(numbers(), 11, items=7, answered=3, bits=5)
    for x, y, counts in zip(inputs, targets, weight):
        order = np.argsort(-x[:7, 5])[:3]
        np.testing.assert_array_equal(y[counts > 0.0], x[order, :5])
        assert x[7, 6] == 1.0 and not np.any(x[8:])


def test_the_same_numbers_draw_the_same_sequences():
    for draw in (algorithmic.copy, algorithmic.repeat_copy, algorithmic.associative_recall, algorithmic.priority_sort):
        for first, second in zip(draw(numbers(), 3), draw(numbers(), 3)):
            np.testing.assert_array_equal(first, second)
            assert first.dtype == np.float32
