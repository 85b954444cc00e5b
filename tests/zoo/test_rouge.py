"""What two texts share, counted by hand."""

import pytest

from zoo.rouge import rouge

RIGHT = ["U.S. oil prices rise 2 pct, oil traders say", "Bank cuts rate", "Nothing"]
FOUND = ["oil prices up, traders in U.S. say OIL", "Rate cuts", ""]


def test_words_pairs_and_orders_are_counted_by_hand():
    scores = rouge(RIGHT, FOUND)
    # Of 10 and 9 words 7 are shared (oil twice); the pairs "u s" and "oil prices"; in order "oil prices traders say".
    assert scores["ROUGE-1"] == pytest.approx((14 / 19 + 4 / 5 + 0) / 3)
    assert scores["ROUGE-2"] == pytest.approx((4 / 17 + 0 + 0) / 3)
    assert scores["ROUGE-L"] == pytest.approx((8 / 19 + 2 / 5 + 0) / 3)


def test_the_same_words_share_all_and_others_nothing():
    assert set(rouge(["one two three"], ["One, two; three!"]).values()) == {1.0}
    assert set(rouge(["one two three"], ["four five six"]).values()) == {0.0}


def test_as_many_texts_are_judged_as_there_are():
    with pytest.raises(ValueError, match="at least one text"):
        rouge([], [])
    with pytest.raises(ValueError, match="shorter"):
        rouge(RIGHT, FOUND[:2])
