"""MIT-BIH arrhythmia, electrocardiograms: which class has a beat? Is one in ten seconds ventricular, and where?

- Source: github.com/lxysl/mit-bih_ecg_recognition at 6a1964c07733d59765334bb4cc28660254810a60, `ecg_data`, lead MLII of
  44 records (without the paced 102, 104, 107 and 217), brought from 360 to 120 Hz.
- Licence: ODC-By 1.0 (PhysioNet's mitdb 1.0.0).
- Papers: Moody and Mark, 2001, https://doi.org/10.1109/51.932724; de Chazal et al., 2004,
  https://doi.org/10.1109/TBME.2004.827359 (the division into patients to train on, DS1, and to test on, DS2. Nobody has
  records in both but for one man: 201 of DS1 and 202 of DS2 are his).
"""

import dataclasses
import itertools

import numpy as np

from keras_attn.lookup import choose, number
from zoo.datasets import arrays, files

SOURCE = "github.com/lxysl/mit-bih_ecg_recognition (ecg_data/*), decimated to 120 Hz"
LICENCE = "ODC-By 1.0"
SPLITS = {"train": "train_ds1.npz", "test": "test_ds2.npz"}
#: For beats: records of DS1 that are dev, a fifth of its beats and a fourth of its ventricular ones.
DEV_PATIENTS = (114, 118, 119, 220, 223)
BEAT_SPLITS = ("train", "dev", "test")
#: The classes of the AAMI: normal, supraventricular, ventricular, a fusion of the first and the third, unknown.
CLASSES = ("N", "S", "V", "F", "Q")
#: Samples in a second, and in a strip.
RATE, LENGTH = 120, 1200
VENTRICULAR, UNITS_PER_MILLIVOLT = 2, 200.0
#: A ventricular beat is taken to last from so many seconds before its annotated place to so many behind.
BEFORE, BEHIND = 0.2, 0.3


@dataclasses.dataclass(frozen=True)
class Strips:
    """Strips of ten seconds.

    Attributes:
        x: `(N, 1200)`, float32, in millivolts.
        y: `(N,)`, int32, 1 if a ventricular beat is annotated in the strip.
        ventricular: booleans `(N, 1200)`, True from 0.2 s before to 0.3 s behind each such beat, a neighbour's too.
        annotated: booleans `(N, 1200)`, True at the annotated place of each such beat in the strip itself.
        patient: `(N,)`, the number of the record.
    """

    x: np.ndarray
    y: np.ndarray
    ventricular: np.ndarray
    annotated: np.ndarray
    patient: np.ndarray

    def positions(self, size):
        """Each strip as positions of so many samples, with a mean of zero and about unit size.

        Returns:
            `(N, 1200 / size, size)`, and booleans `(N, 1200 / size)`, True where half or more of a position is
            ventricular, in strips with such a beat.
        """
        x = self.x.reshape(len(self.x), -1, size)
        x = (x - x.mean((1, 2), keepdims=True)) / (0.005 + x.std((1, 2), keepdims=True))
        return x, (self.ventricular.reshape(x.shape).mean(-1) >= 0.5) & (self.y == 1)[:, None]


def load_strips(split):
    """The strips of a split: "train" (3,960 of 22 records) or "test" (as many of 22 others).

    What is left at the end of a record is not used.
    """
    signal, beats, classes, offsets, records = _read(SPLITS[choose("split of mitbih", split, SPLITS)])
    count = signal.shape[1] // LENGTH
    annotated, ventricular = np.zeros((2, *signal.shape), dtype=bool)
    for row, (first, last) in enumerate(itertools.pairwise(offsets)):
        places = beats[first:last][classes[first:last] == VENTRICULAR].astype("int64")
        annotated[row, places] = True
        for place in places:
            ventricular[row, max(0, place - round(BEFORE * RATE)) : place + round(BEHIND * RATE)] = True
    signal, annotated, ventricular = (
        x[:, : count * LENGTH].reshape(-1, LENGTH) for x in (signal, annotated, ventricular)
    )
    return Strips(
        signal.astype("float32") / np.float32(UNITS_PER_MILLIVOLT),
        annotated.any(axis=1).astype("int32"),
        ventricular,
        annotated,
        np.repeat(records.astype("int32"), count),
    )


@dataclasses.dataclass(frozen=True)
class Beats:
    """Beats, each with some of the signal around it.

    Attributes:
        x: `(N, T)`, float32, in millivolts. Over the ends of a record it goes on as it was there.
        y: `(N,)`, int32, an index into `CLASSES`.
        rr: `(N, 2)`, float32, seconds since the beat before and until the beat behind. A record's first and last beat
            have its median there. Up to 100 s where the annotators marked no beats, in flutter.
        usual_rr: `(N,)`, float32, the median of the record: a beat is early for somebody.
        patient: `(N,)`, int32, the number of the record.
    """

    x: np.ndarray
    y: np.ndarray
    rr: np.ndarray
    usual_rr: np.ndarray
    patient: np.ndarray


def load_beats(split, before=0.4, behind=0.6):
    """The beats of a split.

    Args:
        split: "train" (40,224 beats of 17 records of DS1), "dev" (10,797 of 5, `DEV_PATIENTS`) or "test" (49,712 of
            22, DS2).
        before, behind: seconds of the signal before the annotated place of a beat and from it on, above 0.

    Returns:
        `Beats`, in the order of records and time.
    """
    choose("split of the beats of mitbih", split, BEAT_SPLITS)
    before, behind = _count_samples("before", before), _count_samples("behind", behind)
    signal, places, classes, offsets, records = _read(SPLITS["test" if split == "test" else "train"])
    ours = np.isin(records, DEV_PATIENTS) == (split == "dev")
    parts = [
        (*_cut_beats(signal[row], here.astype("int64"), before, behind), kinds, np.full(len(here), records[row]))
        for row, (here, kinds) in enumerate(
            zip(arrays.take_apart(places, offsets), arrays.take_apart(classes, offsets), strict=True)
        )
        if ours[row] or split == "test"
    ]
    x, rr, usual_rr, y, patient = map(np.concatenate, zip(*parts, strict=True))
    return Beats(x, y.astype("int32"), rr, usual_rr, patient.astype("int32"))


def _cut_beats(signal, places, before, behind):
    """A record's beats: what is around each, in millivolts, the intervals beside it, and the record's median one."""
    signal = np.pad(signal.astype("float32") / np.float32(UNITS_PER_MILLIVOLT), (before, behind), mode="edge")
    gaps = (np.diff(places) / RATE).astype("float32")
    usual = np.median(gaps)
    rr = np.stack([np.append(usual, gaps), np.append(gaps, usual)], axis=1)
    return np.lib.stride_tricks.sliding_window_view(signal, before + behind)[places], rr, np.full(len(places), usual)


def _count_samples(name, seconds):
    return max(1, round(number(name, seconds, low=0) * RATE))


def _read(name):
    """The signals, and of all beats place and class, where those of each record begin, and its number."""
    path = files.find("mitbih_120hz", name, SOURCE)
    return arrays.read(path, "x", "beat_pos", "beat_aami", "beat_offset", "record")
