"""Three splits without overlap, by what the columns say."""

import numpy as np
import pytest

from tuning.own import splits, times


def overlap_free(parts, count):
    together = np.concatenate([part for part in parts if part is not None])
    assert sorted(together.tolist()) == list(range(count))


def test_at_random_each_split_has_its_share_of_each_class():
    labels = np.array([0] * 70 + [1] * 30 + [2] * 3)
    parts = splits.draw(103, 5, labels=labels)
    overlap_free(parts, 103)
    assert [np.bincount(labels[part], minlength=3).tolist() for part in parts] == [[56, 24, 1], [7, 3, 1], [7, 3, 1]]


def test_the_same_seed_draws_the_same_and_another_another():
    first, again, other = (splits.draw(103, seed)[2].tolist() for seed in (3, 3, 4))
    assert first == again != other


def test_rows_that_are_the_same_stay_together():
    keys = [number % 17 for number in range(103)]
    parts = splits.draw(103, 0, keys=keys)
    overlap_free(parts, 103)
    sides = [{keys[row] for row in part} for part in parts]
    assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]


@pytest.mark.parametrize("labels", [None, np.arange(103) % 2])
def test_no_group_is_in_two_splits(labels):
    group = np.array([f"g{number // 7}" for number in range(103)], dtype=object)
    parts = splits.draw(103, 2, labels=labels, group=group)
    overlap_free(parts, 103)
    sides = [set(group[part]) for part in parts]
    assert all(sides) and not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]


def test_the_later_is_judged_by_and_a_moment_is_not_cut():
    time = np.random.default_rng(0).permutation(np.repeat(np.arange(20), 5))
    train, valid, test = splits.draw(100, 0, time=time)
    overlap_free((train, valid, test), 100)
    assert time[train].max() < time[valid].min() <= time[valid].max() < time[test].min()
    assert (len(train), len(valid), len(test)) == (80, 10, 10)


@pytest.mark.parametrize("time", [["2020-03-01", "2019-12-31", "2020-01-15"], ["10", "9", "9.5"]])
def test_dates_and_numbers_are_ordered_as_such(time):
    assert np.argsort(times.read(time)).tolist() == [1, 2, 0]


def test_what_is_no_time_is_refused():
    with pytest.raises(ValueError, match="`time` holds numbers or dates"):
        times.read(["2020-03-01", "yesterday or so"])


def test_with_test_data_only_two_splits_are_drawn():
    train, valid, test = splits.draw(101, 0, tested=True)
    overlap_free((train, valid), 101)
    assert (len(valid), test) == (10, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": np.arange(9), "time": np.arange(9)}, "name one of them"),
        ({"group": np.array([0, 1] * 5), "time": None}, "at least 3 groups. Received: 2"),
    ],
)
def test_splits_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        splits.check(**options, tested=False)


def test_a_split_without_rows_is_refused():
    with pytest.raises(ValueError, match="Each split needs rows, and 2 rows were split into"):
        splits.draw(2, 0)


def test_days_and_months_are_told_apart_by_the_whole_column():
    late_first, first_late = ["01.02.2026", "31.01.2026"], ["31.01.2026", "01.02.2026"]
    assert times.find(late_first) == times.find(first_late) == "%d.%m.%Y"
    assert times.read(late_first)[0] > times.read(late_first)[1]


def test_days_and_months_that_may_be_exchanged_are_refused():
    with pytest.raises(ValueError, match="may have the day or the month first: '01/02/2026' is %m/%d/%Y or %d/%m/%Y"):
        times.find(["01/02/2026", "03/04/2026"])
    assert times.find(["01/01/2026", "03/03/2026"]) == "%m/%d/%Y"


@pytest.mark.parametrize("days", [[20260131, 20260201, 20260202], ["20260131", "20260201", "20260202"]])
def test_eight_digits_are_days(days):
    assert len(set(np.diff(times.read(days)))) == 1
    assert times.following(days, times.find(days), 2) == ["20260203", "20260204"]


def test_six_digits_are_months_if_all_are_such():
    assert times.following([202410, 202411, 202412], "%Y%m", 2) == ["202501", "202502"]
    assert times.find([202410, 202411, 202412]) == "%Y%m" and times.find([202412, 202413]) == "numbers"


def test_rows_that_are_all_alike_cannot_be_split_and_that_is_said():
    with pytest.raises(ValueError, match=r"split into 30, 0, 0\. Rows that are alike stay together, and only 1 are"):
        splits.draw(30, seed=0, keys=["same"] * 30)


@pytest.mark.parametrize(
    ("dates", "next_ones"),
    [
        (["2025-11-01", "2025-12-01", "2026-01-01"], ["2026-02-01", "2026-03-01"]),
        (["2025-11-30", "2025-12-31", "2026-01-31"], ["2026-02-28", "2026-03-31"]),
        (["2025-01-15", "2025-04-15", "2025-07-15"], ["2025-10-15", "2026-01-15"]),
        (["2024-02-29", "2025-02-28", "2026-02-28"], ["2027-02-28", "2028-02-29"]),
        (["2025-11-01", "2025-12-01"], ["2025-12-31", "2026-01-30"]),
        (["2025-12-01", "2025-12-02", "2025-12-03"], ["2025-12-04", "2025-12-05"]),
    ],
    ids=["months", "ends of months", "quarters", "years", "two alone", "days"],
)
def test_dates_go_on_by_months_where_they_have_come_so(dates, next_ones):
    assert [str(date.date()) for date in times.following(dates, times.find(dates), 2)] == next_ones
    assert times.find([20269931, 20269932]) == "numbers"


def test_times_with_an_offset_go_on_with_it_and_by_its_months():
    hours = ["2026-01-31T22:00:00+02:00", "2026-01-31T23:00:00+02:00"]
    assert [str(date) for date in times.following(hours, times.find(hours), 1)] == ["2026-02-01 00:00:00+02:00"]
    months = ["2025-12-01T00:00:00+02:00", "2026-01-01T00:00:00+02:00", "2026-02-01T00:00:00+02:00"]
    assert [str(date) for date in times.following(months, times.find(months), 1)] == ["2026-03-01 00:00:00+02:00"]
