import os

import numpy as np
import pytest

from zoo.datasets import files, mitbih


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Two records of two strips and a rest: a beat of another kind in the first, ventricular ones in the second."""
    signal = np.arange(2 * 2500).reshape(2, 2500).astype("int16")
    places, kinds = [300, 1190, 1210, 2450], [0, 2, 0, 2]
    (tmp_path / "mitbih_120hz").mkdir()
    np.savez(
        tmp_path / "mitbih_120hz" / "train_ds1.npz",
        x=signal,
        beat_pos=np.array([300, *places], "uint32"),
        beat_aami=np.array([1, *kinds], "uint8"),
        beat_offset=np.array([0, 1, 5], "uint32"),
        record=np.array([101, 230], "uint8"),
    )
    monkeypatch.setenv(files.VARIABLE, str(tmp_path))


def test_records_are_cut_into_strips_with_what_is_known_of_them(archive):
    strips = mitbih.load_strips("train")
    assert strips.x.shape == (4, 1200) and strips.patient.tolist() == [101, 101, 230, 230]
    np.testing.assert_allclose(strips.x[3, :2], [3700 / 200, 3701 / 200])
    # The beat in the rest does not count, and the one near the end of a strip reaches into the next.
    assert strips.y.tolist() == [0, 0, 1, 0]
    np.testing.assert_array_equal(np.flatnonzero(strips.ventricular[2]), np.arange(1190 - 24, 1200))
    np.testing.assert_array_equal(np.flatnonzero(strips.ventricular[3]), np.arange(26))
    assert not strips.ventricular[:2].any()
    x, truth = strips.positions(10)
    assert x.shape == (4, 120, 10) and truth.sum(axis=1).tolist() == [0, 0, 3, 0]
    np.testing.assert_allclose(x.mean(axis=(1, 2)), 0.0, atol=1e-3)


@pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")
@pytest.mark.parametrize("split, share", [("train", 0.287), ("test", 0.282)])
def test_the_data_is_what_its_source_says(split, share):
    strips = mitbih.load_strips(split)
    assert strips.x.shape == (3960, 1200) and len(set(strips.patient)) == 22
    assert strips.y.mean() == pytest.approx(share, abs=0.0005)
    assert np.all(strips.ventricular[strips.y == 1].any(axis=1)) and np.abs(strips.x).max() < 6.0


@pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")
def test_patients_of_the_test_are_others():
    assert not set(mitbih.load_strips("train").patient) & set(mitbih.load_strips("test").patient)


def test_splits_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="Unknown split of mitbih 'dev'"):
        mitbih.load_strips("dev")
