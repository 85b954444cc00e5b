"""MIT-BIH arrhythmia: strips of ten seconds of an electrocardiogram; is there a ventricular beat, and where?

- Source: github.com/lxysl/mit-bih_ecg_recognition at 6a1964c07733d59765334bb4cc28660254810a60, `ecg_data`, lead MLII of
  44 records (without the paced 102, 104, 107 and 217), brought from 360 to 120 Hz.
- Licence: ODC-By 1.0 (PhysioNet's mitdb 1.0.0).
- Papers: Moody and Mark, 2001, https://doi.org/10.1109/51.932724; de Chazal et al., 2004,
  https://doi.org/10.1109/TBME.2004.827359 (the division into patients to train on, DS1, and to test on, DS2).
"""

import dataclasses
import itertools

import numpy as np

from keras_attn.lookup import choose
from zoo.datasets import files

SOURCE = "github.com/lxysl/mit-bih_ecg_recognition (ecg_data/*), decimated to 120 Hz"
LICENCE = "ODC-By 1.0"
SPLITS = {"train": "train_ds1.npz", "test": "test_ds2.npz"}
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
        patient: `(N,)`, the number of the record.
    """

    x: np.ndarray
    y: np.ndarray
    ventricular: np.ndarray
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
    with np.load(files.find("mitbih_120hz", SPLITS[choose("split of mitbih", split, SPLITS)], SOURCE)) as file:
        signal, beats, classes, offsets, records = (
            file[key] for key in ("x", "beat_pos", "beat_aami", "beat_offset", "record")
        )
    count = signal.shape[1] // LENGTH
    peaks, ventricular = np.zeros((2, *signal.shape), dtype=bool)
    for row, (first, last) in enumerate(itertools.pairwise(offsets)):
        places = beats[first:last][classes[first:last] == VENTRICULAR].astype("int64")
        peaks[row, places] = True
        for place in places:
            ventricular[row, max(0, place - round(BEFORE * RATE)) : place + round(BEHIND * RATE)] = True
    signal, peaks, ventricular = (x[:, : count * LENGTH].reshape(-1, LENGTH) for x in (signal, peaks, ventricular))
    return Strips(
        signal.astype("float32") / np.float32(UNITS_PER_MILLIVOLT),
        peaks.any(axis=1).astype("int32"),
        ventricular,
        np.repeat(records.astype("int32"), count),
    )
