"""Numbers over time: windows within each split, standardised by the training split, beside the last value."""

import numpy as np
import pandas as pd
import pytest

from tuning import measures, task_from
from tuning.own import forecasts


def steps(count=331, **more):
    hours = pd.date_range("2024-01-01", periods=count, freq="h")
    return pd.DataFrame(
        {"hour": hours.astype(str).tolist(), "u": np.arange(count) * 1.0, "v": np.arange(count) * -2.0, **more}
    )


def quiet(series, **options):
    return task_from(series=series, verbose=False, **options)


def rows_of(split, preprocessor):
    """Which rows of `steps` the windows of a split look back and ahead at."""
    back = split.x[:, :, 0] * preprocessor.deviation[0] + preprocessor.mean[0]
    ahead = split.y[:, :, 0] * preprocessor.deviation[0] + preprocessor.mean[0]
    return set(np.rint(np.concatenate([back, ahead], axis=1)).astype(int).ravel())


def test_no_window_reaches_over_a_border_and_the_later_is_judged_by():
    data = quiet(steps(), horizon=3, time="hour").data(0)
    train, valid, test = (rows_of(split, data.preprocessor) for split in (data.train, data.valid, data.test))
    assert train == set(range(265)) and valid == set(range(265, 298)) and test == set(range(298, 331))


def test_numbers_are_standardised_by_the_training_split():
    data = quiet(steps(), horizon=3, time="hour").data(0)
    np.testing.assert_allclose(data.preprocessor.mean, [132, -264], rtol=1e-5)


def test_rows_are_sorted_by_time_and_that_is_said():
    table = steps()
    task = quiet(table[::-1], horizon=3, time="hour")
    assert "The rows were sorted by time." in task.description
    assert task.data(0).checksum() == quiet(table, horizon=3, time="hour").data(0).checksum()


def test_what_is_forecast_is_a_column_or_all():
    assert quiet(steps(), horizon=3, time="hour", label="v").data(0).test.y.shape[1:] == (3, 1)
    task = quiet(steps(), horizon=3, time="hour")
    assert task.data(0).test.y.shape[1:] == (3, 2)
    assert "forecast of 'u', 'v' for 3 steps from the last 12" in task.description
    outputs = task.model("gru", 8, 0.0).predict_on_batch(task.data(0).test.x[:2])
    assert outputs.shape == (2, 3, 2)


def test_the_last_value_as_the_forecast_is_scored_and_shown():
    values = np.random.default_rng(0).normal(size=(331, 1)).cumsum(axis=0)
    task = quiet(values, horizon=3)
    test = task.data(0).test
    last = np.repeat(test.x[:, -1:], 3, axis=1)
    assert f"the last value as the forecast has {measures.score('explained', test, last):.3f}" in task.description


def test_groups_are_series_of_their_own():
    table = steps(330, shop=np.repeat(list("abcdefghijk"), 30))
    data = quiet(table, horizon=2, time="hour", group="shop").data(0)
    sides = [{row // 30 for row in rows_of(split, data.preprocessor)} for split in (data.train, data.valid, data.test)]
    assert set.union(*sides) == set(range(11)) and sum(map(len, sides)) == 11
    assert all((np.diff(row) > 0).all() for row in data.train.x[:, :, 0])
    # All windows of a shop are drawn together, however many there are.
    shops = rows_of(data.test, data.preprocessor)
    assert measures.units(data.test) == len({row // 30 for row in shops}) < len(data.test) / 9


def test_a_column_of_dates_is_no_channel():
    table = steps().assign(hour=pd.date_range("2024-01-01", periods=331, freq="h"))
    with pytest.raises(ValueError, match=r"column 'hour' holds Timestamp.*Is it the `label`, a `group` or a `time`"):
        quiet(table, horizon=3)


@pytest.mark.parametrize(("stretch", "name"), [(slice(290, None), "test"), (slice(255, 300), "valid")])
def test_a_stretch_that_does_not_move_is_said_before_any_training(stretch, name):
    table = steps()
    table.loc[stretch, "u"] = 7.0
    with pytest.raises(ValueError, match=f"the same number in the {name} split"):
        quiet(table, horizon=3, time="hour", label="u").data(0)


def test_windows_that_foretell_the_same_steps_are_drawn_together():
    test = quiet(steps(), horizon=3, time="hour").data(0).test
    assert test.group.tolist() == [number // 3 for number in range(len(test))]
    # Two series of four and three windows; of the second each other window only.
    assert forecasts._together([np.zeros(4), np.zeros(3)], 1, 3).tolist() == [0, 0, 0, 1, 2, 2, 2]
    assert forecasts._together([np.zeros(4)], 2, 3).tolist() == [0, 0, 1, 2]


def test_missing_numbers_have_no_weight_and_are_marked():
    table = steps()
    table.loc[100, "u"] = np.nan
    task = quiet(table, horizon=3, time="hour", label="u")
    data = task.data(0)
    assert "channels of their own mark" in task.description
    assert np.isnan(data.train.x).any() and np.isfinite(data.train.y).all()
    assert (data.train.weight == 0).sum() == 3 and data.test.weight is None


@pytest.mark.parametrize(
    ("series", "options", "message"),
    [
        (steps(), {"horizon": 31, "time": "hour"}, "horizon=31 is too long: of 331 rows"),
        (steps(), {"horizon": 0, "time": "hour"}, "`horizon`: it must be an integer of at least 1"),
        (steps(), {"horizon": 3}, "column 'hour' holds '2024-01-01 00:00:00'"),
        (steps(), {"horizon": 3, "time": "hour", "label": "w"}, "Unknown column for `label` 'w'"),
        (steps(), {"time": "hour"}, r"to be forecast \(name `horizon`\) or to be classified"),
        (steps(hour=["1", "1", *range(2, 331)]), {"horizon": 3, "time": "hour"}, "comes twice, 1 times"),
        (np.zeros((7, 5, 3)), {"horizon": 3}, r"an array \(R,\) or \(R, C\)"),
        (np.full((99, 2), np.inf), {"horizon": 3}, "infinite ones"),
    ],
)
def test_what_cannot_be_forecast_is_refused(series, options, message):
    with pytest.raises(ValueError, match=message):
        quiet(series, **options)


def test_columns_of_the_test_data_are_taken_by_name():
    table, later = steps(), steps(31)[["v", "hour", "u"]]
    task = quiet(table, test=later, horizon=3, time="hour")
    assert rows_of(task.data(0).test, task.data(0).preprocessor) == set(range(31))


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (steps(31)[["u"]].assign(w=5), "lacks 'v', and has besides 'w'"),
        (np.zeros((31, 2)), "columns of the training data, 'u', 'v'. Received: '0', '1'"),
    ],
)
def test_test_data_of_other_columns_is_refused(test, message):
    with pytest.raises(ValueError, match=message):
        quiet(steps().drop(columns="hour"), test=test, horizon=3)


def test_time_and_group_may_be_arrays_beside_a_frame():
    table = steps(330)
    known = quiet(table.assign(shop=np.repeat(list("abcdefghijk"), 30)), horizon=2, time="hour", group="shop")
    shops, hours = [shop for shop in "abcdefghijk" for _ in range(30)], table.pop("hour").tolist()
    assert quiet(table, horizon=2, time=hours, group=shops).data(0).checksum() == known.data(0).checksum()


def test_missing_numbers_of_the_test_data_alone_are_marked():
    test = np.random.default_rng(0).normal(size=(43, 2))
    test[5, 1] = np.nan
    task = quiet(np.random.default_rng(1).normal(size=(331, 2)), test=test, horizon=3)
    model = task.model("gru", 8, 0.0)
    assert np.isfinite(model.predict_on_batch(task.data(0).test.x)).all() and model.backbone.marks_missing


def test_an_index_that_was_written_besides_is_left_out_and_that_is_said(tmp_path):
    steps().to_csv(tmp_path / "a.csv")
    task = quiet(tmp_path / "a.csv", horizon=3, time="hour")
    assert "1 column without a name was left out" in task.description
    assert task.data(0).checksum() == quiet(steps(), horizon=3, time="hour").data(0).checksum()


def calendar(count=331, **more):
    """`u` is 5 on every seventh hour, and 0 else; `bell` says so beforehand, a constant channel says nothing."""
    bell = (np.arange(count) % 7 == 0) * 1.0
    return steps(count, **more).assign(u=5 * bell, bell=bell)


def test_what_is_known_ahead_is_told_and_not_forecast():
    task = quiet(calendar(), horizon=3, time="hour", ahead="bell")
    data = task.data(0)
    assert "forecast of 'u', 'v' for 3 steps from the last 12, told of 'bell' of these steps too" in task.description
    assert {name: x.shape[1:] for name, x in data.test.x.items()} == {"series": (12, 3), "ahead": (3, 1)}
    mean, deviation = (np.array(values) for values in (data.preprocessor.mean, data.preprocessor.deviation))
    told = data.test.x["ahead"][:, :, 0] * deviation[2] + mean[2]
    coming = data.test.y[:, :, 0] * deviation[0] + mean[0]
    np.testing.assert_allclose(5 * told, coming, atol=1e-5)
    assert task.model("gru", 8, 0.0).predict_on_batch(data.test.take(slice(2)).x).shape == (2, 3, 2)


def test_several_columns_may_be_known_ahead_and_the_command_says_so(tmp_path):
    calendar().to_csv(tmp_path / "a.csv", index=False)
    task = quiet(tmp_path / "a.csv", horizon=3, time="hour", label="u", ahead=["bell", "v"])
    assert task.arguments[-4:] == ("--ahead", "bell", "--ahead", "v")
    assert task.data(0).test.x["ahead"].shape[1:] == (3, 2)


@pytest.mark.parametrize(
    ("series", "options", "message"),
    [
        (calendar(), {"horizon": 3, "ahead": "bel"}, "Unknown column for `ahead` 'bel'. Did you mean 'bell'"),
        (calendar(), {"horizon": 3, "ahead": "u", "label": "u"}, "What is forecast is not known ahead"),
        (calendar(), {"horizon": 3, "ahead": ["u", "v", "bell"]}, "What is forecast is not known ahead"),
        (calendar(bell=1).assign(v=[np.nan, *range(330)]), {"horizon": 3, "ahead": "v"}, "'v' is missing in row 1"),
        (calendar(), {"ahead": "bell", "label": "u"}, "`ahead` is for what is to be forecast"),
        (np.zeros((99, 2)), {"horizon": 3, "ahead": "0"}, "`label` and `ahead` name columns"),
    ],
)
def test_what_cannot_be_known_ahead_is_refused(series, options, message):
    with pytest.raises(ValueError, match=message):
        quiet(series, **{"time": "hour", **options} if hasattr(series, "columns") else options)
