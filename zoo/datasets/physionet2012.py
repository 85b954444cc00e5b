"""PhysioNet's challenge of 2012: does a patient die in hospital, judged by the first two days in intensive care?

- Source: github.com/AbdelrahmanManz/ICU-Mortality-Predictor at 7037a4f84275e146be51bae44ceaa11e687269b8,
  `backup/set-{a,b}` and `Outcomes-{a,b}.txt`.
- Licence: ODC-By 1.0 (PhysioNet's challenge-2012 1.0.0).
- Papers: Silva et al., 2012, Predicting in-hospital mortality of ICU patients; Che et al., 2018,
  https://doi.org/10.1038/s41598-018-24271-9 (GRU-D: how long ago something was measured tells something).
"""

import dataclasses

import numpy as np

from keras_attn.lookup import choose
from zoo.datasets import arrays, files

SOURCE = "github.com/AbdelrahmanManz/ICU-Mortality-Predictor (backup/set-a, backup/set-b, Outcomes-*.txt)"
LICENCE = "ODC-By 1.0"
SPLITS = ("train", "dev", "test")
#: What is measured at times that nobody planned.
# fmt: off
MEASURED = (
    "ALP", "ALT", "AST", "Albumin", "BUN", "Bilirubin", "Cholesterol", "Creatinine", "DiasABP", "FiO2", "GCS",
    "Glucose", "HCO3", "HCT", "HR", "K", "Lactate", "MAP", "MechVent", "Mg", "NIDiasABP", "NIMAP", "NISysABP", "Na",
    "PaCO2", "PaO2", "Platelets", "RespRate", "SaO2", "SysABP", "Temp", "TroponinI", "TroponinT", "Urine", "WBC",
    "Weight", "pH",
)
# fmt: on
#: What is known at admission: years, 1 for male, cm, kg, and 1 for the unit of intensive care.
STATIC = ("Age", "Gender", "Height", "Weight", "coronary", "cardiac surgery", "medical", "surgical")
HOURS = 48
#: What lies outside was mistyped, or measured by something that had come loose, and counts as missing.
LIMITS = {
    "DiasABP": (1, 300),
    "MAP": (1, 300),
    "NIDiasABP": (1, 300),
    "NIMAP": (1, 300),
    "NISysABP": (1, 300),
    "SysABP": (1, 300),
    "Temp": (25, 45),
    "Weight": (20, 400),
    "pH": (6, 8),
    "Height": (100, 230),
}
#: Of the stays of set A that ended alike, the last of every so many is dev.
EVERY = 5


@dataclasses.dataclass(frozen=True)
class Stays:
    """Stays in intensive care.

    Attributes:
        x: `(N, 48, 37)`, float32, the mean of each of `MEASURED` over each hour; NaN where it was not measured.
        since: `(N, 48, 37)`, float32, hours from its last measurement, to the minute, until the end of each hour;
            before the first one since admission.
        static: `(N, 8)`, float32, `STATIC`; NaN where it is not known.
        y: `(N,)`, int32, 1 for a death in hospital.
        record: `(N,)`, int32, the number of the stay.
    """

    x: np.ndarray
    since: np.ndarray
    static: np.ndarray
    y: np.ndarray
    record: np.ndarray

    def channels(self):
        """All that is known at each hour, for a model that sees channels over time.

        Returns:
            `(N, 48, 82)`: the last value of each of `MEASURED`, NaN before there is one; how long ago it was measured;
            and what was known at admission, at each hour anew.
        """
        static = np.broadcast_to(self.static[:, None], (*self.x.shape[:2], self.static.shape[1]))
        return np.concatenate([carry_forward(self.x), self.since, static], axis=-1)


def load(split):
    """The stays of a split.

    Args:
        split: "train" (3,201 stays of set A, 444 deaths), "dev" (the 799 others, 110 deaths) or "test" (set B, 4,000
            stays, 568 deaths).

    Returns:
        `Stays`. Ten have no measurement at all.
    """
    name = "set_b" if choose("split of physionet2012", split, SPLITS) == "test" else "set_a"
    path = files.find("physionet2012_icu", f"{name}.npz", SOURCE)
    events = arrays.read(path, "t", "p", "v", "offset", "params", "static", "static_names", "y", "record_id")
    minutes, kinds, values, offset, params, static, static_names, y, record = events
    for names, right in ((params, MEASURED), (static_names, ("Age", "Gender", "Height", "ICUType", "Weight"))):
        if tuple(names.tolist()) != right:
            raise ValueError(f"What {path} holds must be {right}. Received: {names.tolist()}")
    counts = [len(part) for part in arrays.take_apart(minutes, offset)]
    stay = np.repeat(np.arange(len(counts)), counts)
    x, since = bin_hourly(stay, minutes, kinds, values, len(counts))
    stays = Stays(x, since, as_static(*static.T), y.astype("int32"), record)
    if split == "test":
        return stays
    kept = arrays.hold_out(stays.y, EVERY) == (split == "dev")
    return Stays(*(getattr(stays, field.name)[kept] for field in dataclasses.fields(stays)))


def bin_hourly(stay, minutes, kinds, values, count):
    """Events brought to hours. What is outside of `LIMITS` counts as not measured.

    Args:
        stay: `(events,)`, which stay each belongs to.
        minutes: `(events,)`, 0 to 2,880, since admission. The last minute belongs to the last hour.
        kinds: `(events,)`, indices into `MEASURED`.
        values: `(events,)`.
        count: how many stays there are, N.

    Returns:
        `x` and `since` as in `Stays`.
    """
    if len(minutes) and not 0 <= minutes.min() <= minutes.max() <= 60 * HOURS:
        raise ValueError(f"Minutes must be in [0, {60 * HOURS}]. Received: {minutes.min()} to {minutes.max()}")
    low, high = np.array([LIMITS.get(name, (-np.inf, np.inf)) for name in MEASURED]).T
    possible = (values >= low[kinds]) & (values <= high[kinds])
    stay, minutes, kinds, values = (part[possible] for part in (stay, minutes, kinds, values))
    shape = (count, HOURS, len(MEASURED))
    size = count * HOURS * len(MEASURED)
    hour = np.minimum(minutes.astype("int64") // 60, HOURS - 1)
    place = (stay * HOURS + hour) * len(MEASURED) + kinds
    counts = np.bincount(place, minlength=size)
    means = np.bincount(place, weights=values, minlength=size) / np.where(counts, counts, np.nan)
    last = np.zeros(size)
    np.maximum.at(last, place, minutes)
    last = np.maximum.accumulate(last.reshape(shape), axis=1)
    ends = 60.0 * np.arange(1, HOURS + 1)[:, None]
    return means.reshape(shape).astype("float32"), ((ends - last) / 60.0).astype("float32")


def carry_forward(x):
    """What was last known at each step: `(N, T, C)`, NaN before the first number of a channel."""
    steps = np.where(np.isnan(x), 0, np.arange(x.shape[1])[:, None])
    return np.take_along_axis(x, np.maximum.accumulate(steps, axis=1), axis=1)


def as_static(age, gender, height, unit, weight):
    """What the source says of stays at admission, arrays `(N,)` with -1 for unknown, as `static` of `Stays`.

    The unit is 1 for coronary care, 2 for recovery from cardiac surgery, 3 for medical and 4 for surgical.
    """
    columns = []
    for name, numbers in (("Age", age), ("Gender", gender), ("Height", height), ("Weight", weight)):
        low, high = LIMITS.get(name, (0, np.inf))
        columns.append(np.where((numbers >= low) & (numbers <= high), numbers, np.nan))
    return np.stack([*columns, *(unit == number for number in range(1, 5))], axis=1).astype("float32")
