import os

import numpy as np
import pytest

from zoo.datasets import files, traffic

real = pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")
HEAD = "holiday,temp,rain_1h,snow_1h,clouds_all,weather_main,weather_description,date_time,traffic_volume\n"


def row(time, volume, temp=280, rain=0, holiday="None"):
    return f"{holiday},{temp},{rain},0.5,40,Clouds,few clouds,2018-{time}:00:00,{volume}\n"


def read(put, tmp_path, *rows, head=HEAD):
    put("metro_traffic", "Metro_Interstate_Traffic_Volume.csv.gz", head + "".join(rows))
    return traffic.read(files.find("metro_traffic", "Metro_Interstate_Traffic_Volume.csv.gz", traffic.SOURCE))


def test_hours_stand_on_a_grid_with_short_gaps_bridged(put, tmp_path):
    rows = [row("01-01 23", 700, 290), row("01-01 23", 0), row("01-02 02", 100, 0), row("01-02 03", 300, 270, 9831.3)]
    values = read(put, tmp_path, *rows, row("01-02 08", 500, 260))
    assert values.shape == (10, 10)
    none = np.nan
    np.testing.assert_allclose(values[:, 0], [700, 500, 300, 100, 300, none, none, none, none, 500])
    # What cannot be is a gap too.
    np.testing.assert_allclose(values[:5, 1], [290, 285, 280, 275, 270])
    np.testing.assert_array_equal(values[:5, 2], [0, 0, 0, 0, none])
    np.testing.assert_array_equal(values[[0, 9], 3:5], [[0.5, 40], [0.5, 40]])


def test_the_calendar_is_known_in_gaps_too(put, tmp_path):
    # 4 July 2018 was a Wednesday: its first hour is the 144th of a week that begins on Thursday.
    holiday = row("07-04 00", 200, holiday="Independence Day")
    values = read(put, tmp_path, row("07-03 18", 500), holiday, row("07-05 00", 300))
    assert values[:, 5].tolist() == [0] * 6 + [1] * 24 + [0]
    np.testing.assert_allclose(values[0, 6:8], [-1, 0], atol=1e-9)
    np.testing.assert_allclose(values[12, 6:8], [1, 0], atol=1e-9)
    week = 2 * np.pi * (144 - 6) / 168
    np.testing.assert_allclose(values[0, 8:], [np.sin(week), np.cos(week)], atol=1e-9)
    np.testing.assert_allclose(values[30, 8:], [0, 1], atol=1e-9)


def test_windows_over_a_gap_are_left_out(put, tmp_path):
    hours = [hour for hour in range(200) if not 20 <= hour < 30]
    read(put, tmp_path, *(row(f"01-{1 + hour // 24:02} {hour % 24:02}", hour) for hour in hours))
    train = traffic.load("train", inputs=7, horizon=3, raw=True)
    assert train.x.shape == (11 + 101, 7, 10) and train.y.shape == (11 + 101, 3, 10)
    assert train.x[10, 0, 0] == 10 and train.x[11, 0, 0] == 30 and train.names[0] == "traffic_volume"


def test_what_is_no_such_table_is_refused(put, tmp_path):
    with pytest.raises(ValueError, match="must have the columns"):
        read(put, tmp_path, row("01-01 23", 700), head=HEAD.replace("temp", "heat"))
    with pytest.raises(ValueError, match=r"must have the columns .* no rows"):
        read(put, tmp_path)
    with pytest.raises(ValueError, match=r"Line 3 of .* must have a number as traffic_volume"):
        read(put, tmp_path, row("01-01 22", 700), row("01-01 23", "many"))
    with pytest.raises(ValueError, match="order of time"):
        read(put, tmp_path, row("01-01 23", 700), row("01-01 22", 700))
    with pytest.raises(ValueError, match="split of metro_traffic 'val'"):
        traffic.load("val")


@real
def test_there_are_as_many_hours_as_the_source_says():
    parts = [traffic.load(split, raw=True) for split in traffic.SPLITS]
    assert [len(part.x) for part in parts] == [21025, 4464, 10290]
    assert all(np.isfinite(part.y).all() and part.x[..., 0].max() <= 7280 for part in parts)
