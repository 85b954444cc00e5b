import pytest

from tuning import weighing

NUMBERS = {
    "gru": {"score": 0.6, "latency": 1.0, "memory": None},
    "multi_head": {"score": 0.9, "latency": 2.0, "memory": 300.0},
    "identity": {"score": 0.9, "latency": 0.1, "memory": 100.0},
}
KINDS = {"gru": "implicit", "multi_head": "explicit", "identity": "control"}


def test_sums_are_of_shares_of_the_best():
    found = weighing.weigh(NUMBERS, KINDS, {"score": 3, "latency": 2})
    # 3 x 2/3 + 2 x 1, and 3 x 1 + 2 x 1/2.
    assert found.sums == pytest.approx({"gru": 4.0, "multi_head": 4.0})
    # Of equal sums the better score is chosen.
    assert (found.choice, found.kind) == ("multi_head", "explicit")


def test_the_choice_follows_the_weights():
    assert weighing.weigh(NUMBERS, KINDS, {"score": 1, "latency": 2}).choice == "gru"
    assert weighing.weigh(NUMBERS, KINDS, {"score": 2, "latency": 1}).choice == "multi_head"


def test_a_control_is_never_chosen_nor_is_it_the_best_that_others_are_measured_by():
    found = weighing.weigh(NUMBERS, KINDS, {"latency": 1})
    assert "identity" not in found.sums
    assert found.shares["gru"]["latency"] == 1.0


def test_what_is_missing_counts_nothing_and_is_said():
    found = weighing.weigh(NUMBERS, KINDS, {"score": 1, "memory": 1})
    assert found.sums == pytest.approx({"multi_head": 2.0, "gru": 2 / 3})
    assert found.notes == ("The memory of gru is missing and counts nothing.",)


def test_a_weight_of_nothing_is_as_if_it_were_not_there():
    found = weighing.weigh(NUMBERS, KINDS, {"score": 1, "memory": 0})
    assert (found.weights, found.notes) == ({"score": 1}, ())


def test_nothing_is_chosen_of_nothing():
    found = weighing.weigh({}, {}, {"score": 1})
    assert (found.choice, found.kind, found.sums) == (None, None, {})


def test_scores_below_nothing_count_nothing():
    assert weighing.scale({"a": -0.5, "b": 0.5, "c": None}, more=True) == {"a": 0.0, "b": 1.0, "c": None}
    assert weighing.scale({"a": -0.5, "b": -0.1}, more=True) == {"a": 0.0, "b": 0.0}


def test_a_cost_of_nothing_is_the_best_there_is():
    assert weighing.scale({"a": 0.0, "b": 2.0}, more=False) == {"a": 1.0, "b": 0.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latancy=2", "Did you mean 'latency'"),
        ("latency", "latency=2,score=1. Received: latency"),
        ("latency=fast", "Received: latency=fast"),
        ("latency=nan", "Received: latency=nan"),
        ("latency=inf", "at least 0"),
        ("latency=-1", "at least 0. Received: latency=-1"),
        ("latency=0", "needs a weight above 0"),
        ("", "needs a weight above 0"),
        ("score=1,score=2", "once"),
    ],
)
def test_what_is_no_weight_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        weighing.parse(text)


def test_weights_are_read_as_they_are_written():
    assert weighing.parse(" latency = 2, score=0.5,") == {"latency": 2.0, "score": 0.5}


def test_a_front_is_what_nothing_is_both_better_and_cheaper_than():
    points = {"best": (0.9, 5.0), "cheap": (0.5, 1.0), "beaten": (0.5, 2.0), "worse": (0.8, 5.0), "twin": (0.9, 5.0)}
    assert weighing.front(points) == ["cheap", "best", "twin"]
    assert weighing.front({}) == []
