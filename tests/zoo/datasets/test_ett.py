import os

import numpy as np
import pytest

from zoo.datasets import ett

real = pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")


def test_hours_are_cut_into_windows(put):
    line = ",".join(["{}"] * 7)
    hours = "".join(f"2016-07-01 00:00:00,{line.format(*range(hour, hour + 7))}\n" for hour in range(14400))
    put("ett", "ETTh2.csv.gz", f"date,{','.join(ett.CHANNELS)}\n{hours}")
    test = ett.load("ETTh2", "test", inputs=5, horizon=3, raw=True)
    assert test.x.shape == (2878, 5, 7) and test.y.shape == (2878, 3, 7)
    assert test.x[0, 0].tolist() == [11515, 11516, 11517, 11518, 11519, 11520, 11521]
    assert test.y[0, 0, 0] == 11520 and test.y[-1, -1, 0] == 14399


def test_what_there_is_not_is_refused(put):
    with pytest.raises(ValueError, match="set of ett 'ETTm1'"):
        ett.load("ETTm1", "train")
    put("ett", "ETTh1.csv.gz", "date,OT\n")
    with pytest.raises(ValueError, match="must name date, HUFL"):
        ett.load("ETTh1", "train")


@real
@pytest.mark.parametrize("name, squared, absolute", [("ETTh1", 1.295, 0.713), ("ETTh2", 0.432, 0.422)])
def test_the_last_value_errs_as_much_as_is_published(name, squared, absolute):
    test = ett.load(name, "test")
    error = test.y - test.x[:, -1:]
    assert len(error) == 2785
    assert np.square(error).mean() == pytest.approx(squared, abs=0.0015)
    assert np.abs(error).mean() == pytest.approx(absolute, abs=0.001)


@real
def test_there_are_as_many_windows_as_in_the_benchmark():
    train, dev = (ett.load("ETTh1", split) for split in ("train", "dev"))
    assert train.x.shape == (8209, 336, 7) and train.y.shape == (8209, 96, 7) and len(dev.x) == 2785
    hours = np.concatenate([train.x[:, 0], train.x[-1, 1:], train.y[-1]])
    np.testing.assert_allclose([hours.mean(axis=0), hours.std(axis=0)], [[0.0] * 7, [1.0] * 7], atol=1e-4)
