import os

import numpy as np
import pytest

from zoo.datasets import finance

real = pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")


def test_each_set_has_its_columns(put):
    put("finance", "wti-daily.csv.gz", "Date,Price\n" + "".join(f"1986-01-02,{-day}\n" for day in range(100)))
    put("finance", "vix-daily.csv.gz", "DATE,OPEN,HIGH,LOW,CLOSE\r\n" + "1990-01-02,2,7,1,3\r\n" * 100)
    wti, vix = (finance.load(name, "test", inputs=7, horizon=3, raw=True) for name in ("wti", "vix"))
    assert wti.x.shape == (18, 7, 1) and wti.y[0].tolist() == [[-80], [-81], [-82]]
    assert vix.x.shape == (18, 7, 4) and vix.x[0, 0].tolist() == [2, 7, 1, 3] and vix.names[-1] == "close"


def test_what_there_is_not_is_refused():
    with pytest.raises(ValueError, match="set of finance 'gold'"):
        finance.load("gold", "train")
    with pytest.raises(ValueError, match="split of finance 'val'"):
        finance.load("wti", "val")


def test_volatility_is_that_of_the_days_ahead(put):
    prices = np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.02, 101)))
    lines = "".join(f"1987-05-20,{price!r}\n" for price in map(float, prices))
    put("finance", "brent-daily.csv.gz", "Date,Price\n" + lines)
    train, test = (finance.load_volatility(split, inputs=7, horizon=3) for split in ("train", "test"))
    changes = 100 * np.diff(np.log(prices))  # The first that is seen is the third: before it there are no three.
    assert train.x.shape[1:] == (7, 2) and train.y.shape[1:] == (1, 2)
    np.testing.assert_allclose(train.x[0, :, 0], changes[2:9], rtol=1e-4)
    np.testing.assert_allclose(np.exp(train.y[0, 0, 1]), np.sqrt(np.mean(changes[9:12] ** 2)), rtol=1e-4)
    np.testing.assert_allclose(np.exp(test.y[-1, 0, 1]), np.sqrt(np.mean(changes[-3:] ** 2)), rtol=1e-4)


def test_a_price_that_stands_still_has_the_least_volatility():
    assert np.exp(finance.moves(np.full(9, 70.0), days=2)[:, 1]) == pytest.approx(finance.LEAST_VOLATILITY)


@real
def test_windows_of_volatility_are_as_many_as_the_docstring_says():
    parts = [finance.load_volatility(split) for split in finance.SPLITS]
    assert [len(part.x) for part in parts] == [6897, 992, 1986]


@real
@pytest.mark.parametrize("name, days", [("wti", 10226), ("brent", 9958), ("vix", 9235)])
def test_there_are_as_many_days_as_the_source_says(name, days):
    parts = [finance.load(name, split, inputs=59, horizon=1, raw=True) for split in finance.SPLITS]
    # What is seen reaches back from dev and test alone.
    assert sum(len(part.x) for part in parts) == days - 59
    assert all(np.isfinite(part.x).all() for part in parts) and parts[-1].x.min() < parts[0].x.max() < 150
