import os

import numpy as np
import pytest

from zoo.datasets import energy

real = pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")


def test_hours_are_divided_into_seventy_ten_and_twenty_percent(put):
    hours = "".join(f"2013-06-02 00:00,{','.join(map(str, range(hour, hour + 10)))}\n" for hour in range(100))
    put("pjm_hourly", "pjm10.csv.gz", f"date,{','.join(energy.CHANNELS)}\n{hours}")
    parts = {split: energy.load(split, inputs=5, horizon=3, raw=True) for split in energy.SPLITS}
    assert {split: len(part.x) for split, part in parts.items()} == {"train": 63, "dev": 8, "test": 18}
    assert {split: part.y[0, 0, 0] for split, part in parts.items()} == {"train": 5, "dev": 70, "test": 80}
    with pytest.raises(ValueError, match="split of pjm_hourly 'val'"):
        energy.load("val")


@real
def test_a_day_repeats_itself_as_well_as_was_measured():
    test = energy.load("test")
    assert len(test.x) == 9039 and len(energy.load("dev").x) == 4509
    error = test.y - test.x[:, -24:]
    assert np.square(error).mean() == pytest.approx(0.258, abs=0.001)
    assert np.abs(error).mean() == pytest.approx(0.374, abs=0.001)
