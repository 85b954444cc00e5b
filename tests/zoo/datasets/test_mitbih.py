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
    assert [np.flatnonzero(each).tolist() for each in strips.annotated] == [[], [], [1190], []]
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
@pytest.mark.parametrize("split, count", [("train", 3782), ("test", 3213)])
def test_every_ventricular_beat_of_a_strip_is_at_its_place(split, count):
    strips = mitbih.load_strips(split)
    with np.load(files.find("mitbih_120hz", mitbih.SPLITS[split], mitbih.SOURCE)) as file:
        owners = np.repeat(file["record"], np.diff(file["beat_offset"].astype("int64")))
        expected = {
            (int(owner), int(place))
            for owner, place, kind in zip(owners, file["beat_pos"], file["beat_aami"], strict=True)
            if kind == mitbih.VENTRICULAR and place < 180 * 1200
        }
    rows, places = np.nonzero(strips.annotated)
    # Records have 180 strips each, one record after another.
    found = set(zip(strips.patient[rows].tolist(), (rows % 180 * 1200 + places).tolist(), strict=True))
    assert found == expected and len(expected) == count and strips.ventricular[strips.annotated].all()


@pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")
def test_patients_of_the_test_are_others():
    assert not set(mitbih.load_strips("train").patient) & set(mitbih.load_strips("test").patient)


@pytest.fixture
def beats(put):
    """Three records of 1,000 samples, each its number of steps high: the second is one of the dev patients."""
    put(
        "mitbih_120hz",
        "train_ds1.npz",
        x=(np.arange(1000) + np.array([[0], [2000], [4000]])).astype("int16"),
        beat_pos=np.array([5, 125, 305, 995, 60, 180, 120, 360, 540], "uint32"),
        beat_aami=np.array([0, 2, 1, 0, 3, 4, 0, 0, 2], "uint8"),
        beat_offset=np.array([0, 4, 6, 9], "uint32"),
        record=np.array([101, mitbih.DEV_PATIENTS[2], 230], "uint8"),
    )


def test_beats_come_with_the_signal_around_them(beats):
    train = mitbih.load_beats("train", before=7 / 120, behind=11 / 120)
    assert train.x.shape == (7, 18) and train.patient.tolist() == [101] * 4 + [230] * 3
    assert train.y.tolist() == [0, 2, 1, 0, 0, 0, 2]
    np.testing.assert_allclose(train.x[1] * 200, np.arange(125 - 7, 125 + 11))
    np.testing.assert_allclose(train.x[5] * 200, 4000 + np.arange(360 - 7, 360 + 11))
    # Over the ends the signal stays as it was there.
    np.testing.assert_allclose(train.x[0] * 200, [0, 0, *range(16)])
    np.testing.assert_allclose(train.x[3] * 200, [*range(988, 1000), *[999] * 6])


def test_beats_know_their_intervals(beats):
    train = mitbih.load_beats("train")
    assert train.x.shape == (7, 120)
    np.testing.assert_allclose(train.usual_rr, [1.5] * 4 + [1.75] * 3)
    np.testing.assert_allclose(
        train.rr, [[1.5, 1.0], [1.0, 1.5], [1.5, 5.75], [5.75, 1.5], [1.75, 2.0], [2.0, 1.5], [1.5, 1.75]]
    )


def test_some_patients_of_the_training_set_are_dev(beats):
    dev = mitbih.load_beats("dev")
    assert dev.y.tolist() == [3, 4] and set(dev.patient) == {119}
    np.testing.assert_allclose(dev.rr, [[1.0, 1.0], [1.0, 1.0]])


def test_beats_that_are_not_there_are_refused(beats):
    with pytest.raises(ValueError, match="split of the beats of mitbih 'validation'"):
        mitbih.load_beats("validation")
    with pytest.raises(ValueError, match="it must be a number above 0"):
        mitbih.load_beats("train", before=0)


@pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")
def test_there_are_as_many_beats_as_are_published():
    train, dev, test = (mitbih.load_beats(split) for split in mitbih.BEAT_SPLITS)
    counts = [np.bincount(beats.y, minlength=5).tolist() for beats in (train, dev, test)]
    assert np.add(counts[0], counts[1]).tolist() == [45866, 944, 3788, 415, 8]
    assert counts[2] == [44259, 1837, 3221, 388, 7]
    assert [len(beats.x) for beats in (train, dev)] == [40224, 10797] and train.x.shape[1:] == (120,)
    assert not set(train.patient) & set(dev.patient) and set(dev.patient) == set(mitbih.DEV_PATIENTS)
    assert counts[1][2] / 3788 == pytest.approx(0.26, abs=0.005)
    # Ventricular beats come early, and the next one late.
    early = test.rr[:, 0] / test.usual_rr
    late = test.rr[:, 1] / test.usual_rr
    assert np.median(early[test.y == 2]) < 0.85 < 0.95 < np.median(early[test.y == 0]) < 1.05
    assert np.median(late[test.y == 2]) > 1.1


def test_splits_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="Unknown split of mitbih 'dev'"):
        mitbih.load_strips("dev")
