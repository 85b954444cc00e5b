import os

import numpy as np
import pytest

from zoo.datasets import exchange_rate

real = pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")


def test_days_are_read_without_names_or_dates(put):
    days = "".join(f"{','.join(map(str, range(day, day + 8)))}\n" for day in range(100))
    put("exchange_rate", "exchange_rate.txt.gz", days)
    dev = exchange_rate.load("dev", inputs=5, horizon=3, raw=True)
    assert dev.x.shape == (8, 5, 8) and dev.x[0, 0].tolist() == list(range(65, 73)) and dev.y[0, 0, 0] == 70
    with pytest.raises(ValueError, match="split of exchange_rate 'val'"):
        exchange_rate.load("val")


@real
def test_the_last_value_errs_as_much_as_is_published():
    test = exchange_rate.load("test")
    error = test.y - test.x[:, -1:]
    assert [len(exchange_rate.load(split).x) for split in exchange_rate.SPLITS] == [4880, 665, 1422]
    assert np.square(error).mean() == pytest.approx(0.081, abs=0.0005)
    assert np.abs(error).mean() == pytest.approx(0.196, abs=0.0005)
