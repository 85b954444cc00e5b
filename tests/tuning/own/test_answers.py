"""Classes or numbers: one reading, or an error that names the option."""

import numpy as np
import pytest

from tuning.own import answers


def find(labels, predict=None, test=None):
    return answers.find(np.array(labels, dtype=object), test, predict, "`stars`")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["pro", "con", "pro"] * 3, ("con", "pro")),
        (["10", "9", "9"] * 3, ("9", "10")),
        ([5, 3, 5] * 3, (3, 5)),
        ([True, False] * 3, (False, True)),
    ],
)
def test_classes_keep_the_names_that_they_were_given(labels, names):
    found = find(labels)
    assert found.names == names
    assert [found.names[number] for number in found.encode(labels)] == labels


def test_the_same_classes_in_another_form_are_said_to_be_that():
    with pytest.raises(ValueError, match="texts in one of training and test data and numbers in the other, as '0'"):
        find([0, 1] * 5, test=np.array(["0", "1"], dtype=object))


def test_among_names_what_may_mean_missing_is_a_name():
    assert find(["NA", "EU", "None"] * 3).names == ("EU", "NA", "None")


def test_numbers_with_fractions_are_numbers():
    labels = [f"{number / 7:.3f}" for number in range(31)]
    found = find(labels)
    assert isinstance(found, answers.Numbers)
    np.testing.assert_allclose(found.encode(["0.5"]), [0.5])


@pytest.mark.parametrize(
    ("labels", "said"),
    [(list(range(31)), "31 distinct whole numbers from 0 to 30"), ([0.5, 1.5] * 5, "2 distinct numbers from 0.5 to 1")],
)
def test_what_may_be_either_is_asked(labels, said):
    with pytest.raises(ValueError, match=rf"`stars` holds {said}.*predict='classes' or predict='numbers'"):
        find(labels)


def test_a_person_decides():
    assert isinstance(find(list(range(31)), "numbers"), answers.Numbers)
    assert len(find(list(range(31)) * 3, "classes").names) == 31


@pytest.mark.parametrize(
    ("labels", "predict", "message"),
    [
        (["a", None, "a", float("nan")], None, r"missing in rows 2, 4 \(the first is 1\)"),
        (["0", "NA", "1", "nan"] * 3, None, r"missing in rows 2, 4, 6, \d+.*"),
        (["0.5", "NaN", "1.5"] * 3, None, "missing in rows 2"),
        (["a"] * 5, None, "one class only, 'a'"),
        (["a"] * 5 + ["b"] * 2, None, r"Too few of `stars`: 'b' \(2\)"),
        ([f"id {number}" for number in range(29)], None, "29 distinct values in 29 rows"),
        (["a", "b"] * 3, "numbers", "must hold numbers for predict='numbers'. Received: 'a'"),
        ([1.5] * 5, "numbers", "always 1.5"),
        (["a", "b"] * 3, "both", "`predict` must be 'classes' or 'numbers'"),
    ],
)
def test_labels_that_nothing_can_be_learnt_from_are_refused(labels, predict, message):
    with pytest.raises(ValueError, match=message):
        find(labels, predict)


def test_a_class_that_is_only_judged_by_is_refused():
    with pytest.raises(ValueError, match="has classes of `stars` that the training data has not: 'c'"):
        find(["a", "b"] * 3, test=np.array(["a", "c"], dtype=object))


def test_classes_that_are_rare_weigh_more_up_to_ten_times():
    labels = np.array([0] * 60 + [1] * 30)
    np.testing.assert_allclose(answers.weights(labels, 2)[[0, 60]], [0.75, 1.5])
    assert answers.weights(np.array([0] * 997 + [1] * 3), 2).max() == 10
