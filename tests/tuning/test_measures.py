import dataclasses

import keras
import numpy as np
import pytest

from tests.tuning.standins import BLOBS
from tuning import measures
from tuning.task import Data, Split
from tuning.training import Recipe, Workbench

LOGITS = np.array([[2.0, 1.0], [2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [0.0, 0.5]])
LABELS = np.array([0, 1, 1, 0, 0])


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("accuracy", 3 / 5),
        ("next_tokens", 3 / 5),
        # Of the first class two of three, of the second one of two.
        ("balanced_accuracy", (2 / 3 + 1 / 2) / 2),
        # Precision 2/3 and recall 2/3; precision 1/2 and recall 1/2.
        ("macro_f1", (2 / 3 + 1 / 2) / 2),
        # Of six pairs: -1 is above -3, level with -1, below 0.5; 1 is above all three.
        ("auroc", (1.5 + 3) / 6),
    ],
)
def test_labels_are_scored_as_by_hand(name, by_hand):
    assert measures.score(name, Split(None, LABELS), LOGITS) == pytest.approx(by_hand)


def test_the_likelihood_is_one_over_the_perplexity():
    # A quarter, and three quarters.
    split = Split(None, np.array([0, 1]))
    logits = np.log([[1.0, 3.0], [5.0, 15.0]])
    assert measures.score("likelihood", split, logits) == pytest.approx((1 / 4 * 3 / 4) ** 0.5)
    assert measures.score("likelihood", split, logits + 1e4) == pytest.approx((1 / 4 * 3 / 4) ** 0.5)
    weighed = Split(None, np.array([[0, 1, 0]]), np.array([[1.0, 3.0, 0.0]]))
    assert measures.score("likelihood", weighed, logits[None, [0, 1, 1]]) == pytest.approx(
        (1 / 4 * (3 / 4) ** 3) ** 0.25
    )


def test_numbers_are_scored_by_the_variance_they_explain():
    split = Split(None, np.array([[1.0], [2.0], [3.0]]))
    assert measures.score("explained", split, np.array([[1.0], [2.0], [2.0]])) == pytest.approx(1 - 1 / 2)
    assert measures.score("explained", split, np.full((3, 1), 2.0)) == 0


def test_what_weighs_nothing_does_not_count():
    weighed = Split(None, LABELS, np.array([1.0, 0, 1, 1, 0]))
    assert measures.score("accuracy", weighed, LOGITS) == 1
    steps = Split(None, np.repeat([[[1.0]], [[2.0]]], 3, axis=1), np.array([[1.0, 1, 0], [1, 1, 0]]))
    outputs = steps.y.copy()
    outputs[:, 2] = 99
    assert measures.score("explained", steps, outputs) == 1


def test_classes_answered_at_padding_alone_are_no_classes():
    # The third class is answered and meant where nothing counts.
    logits = np.eye(3)[[[0, 1, 2], [1, 0, 2]]]
    weighed = Split(None, np.array([[0, 1, 0], [1, 0, 2]]), np.array([[1.0, 1, 0], [1, 1, 0]]))
    assert measures.score("macro_f1", weighed, logits) == 1
    assert measures.score("balanced_accuracy", weighed, logits) == 1


def test_a_step_is_one_answer_that_counts():
    assert measures.step(Split(None, LABELS)) == 1 / 5
    assert measures.step(Split(None, LABELS, np.array([1.0, 0, 2, 1, 0]))) == 1 / 3
    # Both numbers of each row that counts.
    assert measures.step(Split(None, np.zeros((5, 2)), np.array([1.0, 0, 2, 1, 0]))) == 1 / 6


@pytest.mark.parametrize("name", ["balanced_accuracy", "macro_f1"])
def test_where_classes_count_alike_a_step_is_an_answer_of_the_smallest(name):
    split = Split(None, np.array([0] * 95 + [1] * 5))
    assert measures.step(split, name) == 1 / 10
    one_more = np.eye(2)[split.y]
    one_more[-1] = one_more[0]
    found = measures.score("balanced_accuracy", split, np.eye(2)[split.y])
    assert found - measures.score("balanced_accuracy", split, one_more) == pytest.approx(1 / 10)
    # What is padding is of no class.
    weighed = Split(None, np.array([0, 0, 1, 1, 2]), np.array([1.0, 1, 1, 1, 0]))
    assert measures.step(weighed, name) == 1 / 4


def test_scores_on_other_examples_are_as_by_hand():
    found = measures.redrawn("accuracy", Split(None, LABELS), LOGITS)
    numbers = np.random.default_rng(0)
    right = LOGITS.argmax(axis=-1) == LABELS
    by_hand = [right[numbers.integers(0, 5, 5)].mean() for _ in range(measures.DRAWS)]
    assert found == pytest.approx(by_hand, abs=1e-6)


@pytest.mark.parametrize("name", [name for name, measure in measures.MEASURES.items() if measure.predicts == "labels"])
def test_scores_on_other_examples_are_scores(name):
    random = np.random.default_rng(0)
    y, logits = random.integers(0, 2, 60), random.normal(size=(60, 2))
    found = measures.redrawn(name, Split(None, y), logits)
    numbers = np.random.default_rng(0)
    rows = [numbers.integers(0, 60, 60) for _ in range(measures.DRAWS)]
    by_hand = [measures.score(name, Split(None, y[row]), logits[row]) for row in rows]
    assert found == pytest.approx(by_hand, abs=1e-6)


def test_numbers_on_other_examples_are_scored_too():
    random = np.random.default_rng(0)
    y = random.normal(size=(40, 3, 2))
    split = Split(None, y, random.integers(0, 2, (40, 3)).astype("float32"))
    found = measures.redrawn("explained", split, y + 0.3 * random.normal(size=y.shape))
    assert len(found) == measures.DRAWS and 0.8 < min(found) < max(found) < 1 and len(set(found)) > 90


def test_what_belongs_together_is_drawn_together():
    # Two patients: all of one's answers are right, and none of the other's.
    logits = np.eye(2)[[0, 0, 0, 0, 0, 0]]
    split = Split(None, np.array([0, 0, 0, 1, 1, 1]), group=np.array(["b"] * 3 + ["a"] * 3))
    assert set(measures.redrawn("accuracy", split, logits)) == {0.0, 0.5, 1.0}
    assert measures.units(split) == 2
    assert measures.redrawn("accuracy", dataclasses.replace(split, group=np.array(["a"] * 6)), logits) == ()


def test_units_are_those_whose_answers_count():
    split = Split(
        None, np.zeros((4, 3)), np.array([[1, 0, 0], [0, 0, 0], [1, 1, 1], [0, 1, 0]]), np.array([0, 0, 1, 1])
    )
    assert measures.units(split) == 2
    assert measures.units(dataclasses.replace(split, group=None)) == 3


def test_a_draw_of_one_class_alone_has_no_auroc():
    found = measures.redrawn("auroc", Split(None, np.array([0, 0, 0, 1])), np.array([[1.0, 0], [2, 0], [3, 0], [0, 1]]))
    assert None in found and set(found) == {None, 1.0}


def test_where_nothing_counts_there_is_no_score():
    with pytest.raises(ArithmeticError, match="none of their answers counts"):
        measures.score("macro_f1", Split(None, LABELS, np.zeros(5)), LOGITS)


def test_one_class_alone_has_no_auroc():
    with pytest.warns(UserWarning), pytest.raises(ArithmeticError, match="one class, or one number, only"):
        measures.score("auroc", Split(None, np.zeros(5, int)), LOGITS)


def test_of_one_number_alone_nothing_is_explained():
    with pytest.raises(ArithmeticError, match="one number, only"):
        measures.score("explained", Split(None, np.ones((4, 3))), np.ones((4, 3)))


def test_a_wrong_name_shows_the_near_ones():
    with pytest.raises(ValueError, match="balanced_accuracy"):
        measures.get("balanced")


def sums(seed, count=96):
    """Points, and the sum of their coordinates."""
    points = np.random.default_rng(seed).normal(size=(count, 3, 2)).astype("float32")
    whole = Split(points, points.sum(axis=(1, 2))[:, None])
    return Data(whole.take(slice(64)), whole.take(slice(64, 80)), whole.take(slice(80, count)))


def regression(mixer, width, dropout):
    hidden = [keras.layers.Flatten(), keras.layers.Dense(width, activation="relu"), keras.layers.Dense(1)]
    return keras.Sequential([keras.Input((3, 2)), *hidden])


def test_numbers_are_learnt():
    task = dataclasses.replace(BLOBS, data=sums, model=regression, measure="explained", epochs=20)
    trained = Workbench(task, task.data(0)).train(Recipe("identity", 16, 0.0, 0.02, seed=0))
    assert trained.curve[-1] > 0.8 > trained.curve[0]
