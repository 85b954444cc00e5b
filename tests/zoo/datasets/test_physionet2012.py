import os

import numpy as np
import pytest

from zoo.datasets import physionet2012
from zoo.datasets.physionet2012 import MEASURED

real = pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")
HR, TEMP, PH = (MEASURED.index(name) for name in ("HR", "Temp", "pH"))


def put_set(put, name, events, static, **changes):
    """A set of stays: of each its events `(minute, kind, value)` and what is known at admission."""
    minutes, kinds, values = zip(*(event for stay in events for event in stay), strict=True)
    made = {
        "t": np.array(minutes, "uint16"),
        "p": np.array(kinds, "uint8"),
        "v": np.array(values, "float32"),
        "offset": np.cumsum([0, *map(len, events)], dtype="uint32"),
        "params": np.array(MEASURED),
        "static": np.array(static, "float32"),
        "static_names": np.array(["Age", "Gender", "Height", "ICUType", "Weight"]),
        "y": np.arange(len(events), dtype="uint8") % 2,
        "record_id": np.arange(len(events), dtype="int32") + 101,
    }
    put("physionet2012_icu", f"{name}.npz", **{**made, **changes})


@pytest.fixture
def stays(put):
    """Three stays to test on, the second without an event."""
    first = [(0, HR, 70), (59, HR, 90), (60, HR, 50), (61, TEMP, 37), (150, HR, 30), (150, TEMP, -17.8), (2880, HR, 10)]
    third = [(0, PH, 735), (719, TEMP, 40)]
    put_set(put, "set_b", [first, [], third], [[54, 0, -1, 4, -1], [60, 1, 170, 1, 80], [70, -1, 431.8, 3, 0.5]])
    return physionet2012.load("test")


def test_events_are_averaged_over_each_hour_and_missing_elsewhere(stays):
    assert stays.x.shape == (3, 48, 37) and stays.x.dtype == "float32" and stays.y.tolist() == [0, 1, 0]
    assert stays.x[0, [0, 1, 2, 47], HR].tolist() == [80, 50, 30, 10]
    assert stays.x[0, 1, TEMP] == 37 and stays.x[2, 11, TEMP] == 40
    assert np.isfinite(stays.x).sum(axis=(1, 2)).tolist() == [5, 0, 1]


def test_hours_since_the_last_measurement_are_counted_to_the_minute(stays):
    np.testing.assert_allclose(stays.since[0, [0, 1, 2, 3, 46, 47], HR], [1 / 60, 1, 0.5, 1.5, 44.5, 0], rtol=1e-5)
    # Before anything was measured, and without what cannot be, since admission.
    np.testing.assert_allclose(stays.since[0, [0, 1, 2, 47], TEMP], [1, 59 / 60, 119 / 60, 48 - 61 / 60], rtol=1e-5)
    np.testing.assert_allclose(stays.since[1], np.arange(1, 49)[:, None] * np.ones(37))
    assert stays.since[2, 47, PH] == 48


def test_what_is_known_at_admission_has_a_channel_for_each_unit(stays):
    unknown = np.nan
    np.testing.assert_array_equal(
        stays.static,
        [
            [54, 0, unknown, unknown, 0, 0, 0, 1],
            [60, 1, 170, 80, 1, 0, 0, 0],
            [70, unknown, unknown, unknown, 0, 0, 1, 0],
        ],
    )


def test_channels_hold_all_that_is_known_at_an_hour(stays):
    channels = stays.channels()
    assert channels.shape == (3, 48, 82) and channels.dtype == "float32"
    assert channels[0, [0, 1, 2, 3, 46, 47], HR].tolist() == [80, 50, 30, 30, 30, 10]
    np.testing.assert_array_equal(channels[0, [0, 1, 2, 47], TEMP], [np.nan, 37, 37, 37])
    np.testing.assert_array_equal(channels[:, :, 37:74], stays.since)
    np.testing.assert_array_equal(channels[:, 13, 74:], stays.static)


def test_every_fifth_stay_that_ended_alike_is_dev(put):
    put_set(put, "set_a", [[(7, HR, number)] for number in range(11)], [[60, 1, 170, 1, 80]] * 11)
    train, dev = (physionet2012.load(split) for split in ("train", "dev"))
    assert dev.x[:, 0, HR].tolist() == [8, 9] and dev.y.tolist() == [0, 1] and dev.record.tolist() == [109, 110]
    assert train.x[:, 0, HR].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 10] and len(train.static) == len(train.since) == 9


def test_what_there_is_not_is_refused(put):
    with pytest.raises(ValueError, match="split of physionet2012 'c'"):
        physionet2012.load("c")
    put_set(put, "set_b", [[(7, HR, 60)]], [[60, 1, 170, 1, 80]], params=np.array(MEASURED[::-1]))
    with pytest.raises(ValueError, match=r"must be .*'ALP', 'ALT'.*Received: .'pH', 'Weight'"):
        physionet2012.load("test")
    put_set(put, "set_b", [[(7, HR, 60), (2881, HR, 70)]], [[60, 1, 170, 1, 80]])
    with pytest.raises(ValueError, match=r"must be in \[0, 2880\]. Received: 7 to 2881"):
        physionet2012.load("test")


@real
def test_there_are_as_many_stays_and_deaths_as_are_published():
    train, dev, test = (physionet2012.load(split) for split in physionet2012.SPLITS)
    assert [len(stays.x) for stays in (train, dev, test)] == [3201, 799, 4000]
    assert [stays.y.sum() for stays in (train, dev, test)] == [444, 110, 568]
    empty = sum(np.isnan(stays.x).all(axis=(1, 2)).sum() for stays in (train, dev, test))
    assert empty == 10 and not set(train.record) & set(dev.record)
    measured = np.isfinite(test.x).mean()
    assert 0.15 < measured < 0.25 and test.since.min() >= 0 and test.since.max() == 48
    # What was measured in an hour was measured within the last hour.
    assert np.array_equal(np.isfinite(test.x[:, 1:]), test.since[:, 1:] <= 1)
