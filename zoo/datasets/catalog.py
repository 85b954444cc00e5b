"""The table of data sets: what each is for, what its licence allows, and which files it has.

`checksums.json` has the SHA-256 of what is inside each of them, as `zoo.datasets.checksums` counts it: of the files
that the zoo's models were trained on.
"""

import dataclasses
import functools
import json
from pathlib import Path

from zoo.datasets.origins import ORIGINS

CHECKSUMS = Path(__file__).with_name("checksums.json")
#: What may be done with weights that were trained on a data set.
PUBLISH, MARK, KEEP = "may be published", "may be published, marked with the licence", "are not to be published"


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A data set.

    Args:
        task: what it is for, in words.
        licence: in words; the loader's module has it too.
        weights: `PUBLISH`, `MARK` or `KEEP`.
        by_hand: where it is not fetched automatically: where it comes from, and how its files are made.
    """

    task: str
    licence: str
    weights: str
    by_hand: str = ""


def files(dataset):
    """The names of a data set's files."""
    return [name for folder, name in (key.split("/") for key in _checksums()) if folder == dataset]


def checksum(dataset, name):
    """The SHA-256 of what is inside a file, in hexadecimal digits."""
    return _checksums()[f"{dataset}/{name}"]


def origin(dataset, name):
    """The `Origin` of a file, or None if it is not fetched automatically."""
    return ORIGINS.get(dataset, {}).get(name)


@functools.cache
def _checksums():
    return json.loads(CHECKSUMS.read_text(encoding="utf-8"))


#: By the name of the folder.
DATASETS = {
    "an4_mfcc": DataSet(
        task="connected speech recognition",
        licence="CMU AN4's own, like BSD",
        weights=PUBLISH,
    ),
    "babi": DataSet(
        task="questions about stories",
        licence="CC BY 3.0",
        weights=PUBLISH,
    ),
    "cifar10_jpeg": DataSet(
        task="images in 10 classes",
        licence="unclear; to measure with only",
        weights=KEEP,
    ),
    "cmudict": DataSet(
        task="letters to phonemes",
        licence="BSD-2-Clause",
        weights=PUBLISH,
    ),
    "emoji_captions": DataSet(
        task="captions of pictures",
        licence="Apache-2.0 or OFL 1.1 (pictures), Unicode License v3 (names)",
        weights=PUBLISH,
        by_hand="github.com/googlefonts/noto-emoji, png/72, as JPEG of 64 x 64 pixels in one array, and the names in "
        "github.com/unicode-org/cldr-json, cldr-annotations-full and cldr-annotations-derived-full.",
    ),
    "ett": DataSet(
        task="forecasting the temperature of transformers",
        licence="CC BY-ND 4.0",
        weights=PUBLISH,
    ),
    "exchange_rate": DataSet(
        task="forecasting exchange rates",
        licence="unclear; to measure with only",
        weights=KEEP,
    ),
    "fashion_mnist": DataSet(
        task="images in 10 classes",
        licence="MIT",
        weights=PUBLISH,
    ),
    "finance": DataSet(
        task="forecasting prices of oil and the VIX",
        licence="public domain (EIA) and PDDL",
        weights=PUBLISH,
    ),
    "fsdd": DataSet(
        task="spoken digits",
        licence="CC BY-SA 4.0",
        weights=PUBLISH,
    ),
    "metro_traffic": DataSet(
        task="forecasting traffic, with weather and holidays",
        licence="CC BY 4.0",
        weights=PUBLISH,
    ),
    "mitbih_120hz": DataSet(
        task="heartbeats, and where a ventricular one is",
        licence="ODC-By 1.0",
        weights=PUBLISH,
        by_hand="PhysioNet's mitdb 1.0.0, or github.com/lxysl/mit-bih_ecg_recognition, ecg_data: lead MLII brought "
        "from 360 to 120 Hz with a filter, and the beats' places and kinds.",
    ),
    "multi30k": DataSet(
        task="translation, English to German and French",
        licence="non-commercial research and education",
        weights=MARK,
    ),
    "physionet2012_icu": DataSet(
        task="deaths in hospital, from 48 hours of irregular measurements",
        licence="ODC-By 1.0",
        weights=PUBLISH,
        by_hand="PhysioNet's challenge-2012 1.0.0, or github.com/AbdelrahmanManz/ICU-Mortality-Predictor, backup: all"
        " measurements in arrays of minute, parameter and value, where each stay begins, and the outcomes.",
    ),
    "pjm_hourly": DataSet(
        task="forecasting use of electricity",
        licence="CC0",
        weights=PUBLISH,
        by_hand="github.com/panambY/Hourly_Energy_Consumption, data: the hours that ten zones share; hours that come "
        "twice are averaged and those that are missing interpolated.",
    ),
    "reuters21578": DataSet(
        task="classes of documents, and headlines",
        licence="Reuters-21578 Distribution 1.0: research only",
        weights=MARK,
        by_hand="github.com/pankajksharma/classfication-based-on-ptm-and-bayes, data/reut2-*.sgm: a line a document, "
        "the fields as in zoo/datasets/reuters.py.",
    ),
    "sst2": DataSet(
        task="sentiment of sentences",
        licence="none stated; research use is customary",
        weights=MARK,
    ),
    "tinyshakespeare": DataSet(
        task="modelling language, by characters",
        licence="public domain",
        weights=PUBLISH,
    ),
    "ucr_small": DataSet(
        task="classes of series, in six sets",
        licence="none stated; research use that cites the archive",
        weights=MARK,
    ),
    "ud_ewt": DataSet(
        task="parts of speech",
        licence="CC BY-SA 4.0",
        weights=PUBLISH,
    ),
    "wikitext2": DataSet(
        task="modelling language, by words",
        licence="CC BY-SA 3.0",
        weights=PUBLISH,
    ),
}
