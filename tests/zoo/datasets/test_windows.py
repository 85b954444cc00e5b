import numpy as np
import pytest

from zoo.datasets import windows

#: Thirteen steps of two channels, the second ten times the first, and where parts of them end.
VALUES = np.arange(13.0)[:, None] * [1, 10]
ENDS = (7, 10, 13)


def cut(split, inputs=3, horizon=2, **options):
    return windows.cut(VALUES, ("a", "b"), ENDS, split, inputs, horizon, **options)


def test_what_is_forecast_lies_in_its_part_and_what_is_seen_reaches_back():
    train, dev, test = (cut(split, raw=True) for split in windows.SPLITS)
    assert train.x[:, :, 0].tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
    assert train.y[:, :, 1].tolist() == [[30, 40], [40, 50], [50, 60]]
    assert dev.x[:, :, 0].tolist() == [[4, 5, 6], [5, 6, 7]] and dev.y[:, :, 0].tolist() == [[7, 8], [8, 9]]
    assert test.x[:, :, 0].tolist() == [[7, 8, 9], [8, 9, 10]] and test.y[:, :, 0].tolist() == [[10, 11], [11, 12]]
    assert train.x.dtype == "float32" and train.names == ("a", "b")


def test_the_training_part_alone_says_what_is_standard():
    test = cut("test")
    assert test.mean.tolist() == [3, 30] and test.deviation.tolist() == [2, 20]
    np.testing.assert_allclose(test.x[0], [[2, 2], [2.5, 2.5], [3, 3]])
    np.testing.assert_allclose(test.y * test.deviation + test.mean, cut("test", raw=True).y, rtol=1e-6)


def test_windows_are_views():
    train = cut("train")
    assert np.shares_memory(train.x[0, 1:], train.x[1, :2]) and not train.x.flags.writeable


def test_parts_that_are_too_short_are_refused():
    assert len(cut("dev", horizon=3).x) == 1
    with pytest.raises(ValueError, match=r"no window of 3 and 5 steps in dev.* end at \(7, 10, 13\)"):
        cut("dev", horizon=5)
    with pytest.raises(ValueError, match="no window of 8 and 2 steps in dev"):
        cut("dev", inputs=8)
    with pytest.raises(ValueError, match="horizon=0"):
        cut("dev", horizon=0)


def test_shares_are_those_of_the_benchmark():
    assert windows.end_by_share(7588) == (5311, 6071, 7588)


def test_windows_with_a_gap_are_left_out():
    holed = VALUES.copy()
    holed[3, 1] = np.nan
    train = windows.cut(holed, ("a", "b"), (11, 12, 13), "train", 3, 2, raw=True)
    assert train.x[:, 0, 0].tolist() == [4, 5, 6] and train.y[:, -1, 0].tolist() == [8, 9, 10]
    np.testing.assert_allclose(train.mean, [5, 520 / 10])


def test_short_gaps_are_bridged_by_straight_lines():
    none = np.nan
    series = np.array([none, 2, none, none, 8, none, none, none, 3, none])
    np.testing.assert_array_equal(windows.bridge(series, 2), [none, 2, 4, 6, 8, none, none, none, 3, none])
    np.testing.assert_array_equal(windows.bridge(series, 3), [none, 2, 4, 6, 8, 6.75, 5.5, 4.25, 3, none])
