"""Real tasks: a row for each subject of `zoo.subjects` that can be searched so. The subject says the rest.

Its train, dev and test are a search's train, valid and test. Models are smaller than the zoo's presets, and some rows
train on a part of the data, so that a search is done in minutes, not in days. The master seed draws that part; where a
subject has no dev, it draws a fifth of each class of the training part for it. The test part is always all of it.

A new task is a row. Its subject must have aligned answers that are labels, `(N,)` or `(N, T)`, numbers `(N, T, C)` or
what has such as `values`, a tuple that begins with such and with what each counts, what has `token_ids` and their
`padding_mask`, or none at all, where each token is to be foretold from those before.
"""

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tuning.seeds import derive
from tuning.sides import both_sides
from tuning.task import Data, Split, Task

#: What is commonly said: which kind serves what. A row names its key if that is what its task is about.
CLAIMS = {
    "translation": "explicit",
    "summarization": "explicit",
    "long dependencies": "explicit",
    "language modelling": "implicit",
    "speech": "implicit",
    "information spread out": "implicit",
}
#: As many of each kind, all quick at these lengths; a hybrid, and a control that moves nothing between positions.
MIXERS = ("multi_head", "multiplicative", "gru", "gated_conv", ("gru", "multi_head"), "identity")
SPLITS = ("train", "dev", "test")
#: Where a subject has no dev: of each class one of so many training examples.
HELD_OUT = 5


@dataclasses.dataclass(frozen=True)
class Row:
    """What a real task adds to its subject.

    Args:
        description: one line for people.
        folder: of `$KERAS_ATTN_DATA`, where the data lies.
        search: fields of a `tuning.Task`.
        backbone: arguments of the subject's backbone, other than mixer, width and dropout.
        options: what the subject lets choose, as in a `zoo.recipes.Recipe`.
        train: how many examples are trained on, drawn by the master seed; None for all.
        claim: a key of `CLAIMS`; None if nothing is commonly said.
        why: why that claim is about this task, in words.
        together: a function to what test examples share, `(N,)`, that are not independent of each other: see
            `tuning.Split`. Forecasts need none.
    """

    description: str
    folder: str
    search: dict
    backbone: dict = dataclasses.field(default_factory=dict)
    options: dict = dataclasses.field(default_factory=dict)
    train: int | None = None
    claim: str | None = None
    why: str = ""
    together: Callable | None = None


_SERIES = {
    "parameters": 10_000,
    "epochs": 8,
    "batch_size": 16,
    "epoch_size": 640,
    "learning_rates": (1e-3, 3e-3, 1e-2),
    "dropouts": (0.1,),
    "margin": 0.02,
}
_HEARTS = {**_SERIES, "parameters": 20_000, "epochs": 6, "batch_size": 64, "epoch_size": 5_120}
_HOURS = {
    **_HEARTS,
    "parameters": 60_000,
    "epochs": 5,
    "batch_size": 32,
    "epoch_size": 2_048,
    "measure": "explained",
    "margin": 0.01,
}
_WORDS = {
    "parameters": 150_000,
    "epochs": 5,
    "batch_size": 32,
    "learning_rates": (5e-4, 1.5e-3, 5e-3),
    "dropouts": (0.3, 0.1),
    "margin": 0.01,
}
_PAIRS = {**_WORDS, "batch_size": 64, "epoch_size": 10_240, "learning_rates": (1e-3, 3e-3, 1e-2), "dropouts": (0.1,)}
_NEWS = {"vocabulary_size": 4_000, "sequence_length": 128}
_SPREAD = "a topic is said by many words all over a document"


def _archive(steps, classes, of, patch):
    """A row for a set of the UCR archive."""
    return Row(
        description=f"Series of {steps:,} steps, {classes} classes: {of} (UCR).",
        folder="ucr_small",
        search=_SERIES,
        backbone={"patch_size": patch},
    )


def _patients(load):
    """What strips or beats share that are to be told: whose they are."""

    def together():
        from zoo.datasets import mitbih

        return getattr(mitbih, load)("test").patient

    return together


def _hourly(description, folder, hours):
    """A row for a series of hours, which are forecast from so many before."""
    return Row(
        description,
        folder,
        _HOURS,
        backbone={"patch_size": 24},
        claim="long dependencies",
        why=f"days and weeks repeat, up to {hours} hours back",
    )


#: By the subject's name.
ROWS = {
    "ucr_italypowerdemand": _archive(24, 2, "a day's demand for power, in winter or summer", 1),
    "ucr_gunpoint": _archive(150, 2, "a hand that draws a gun, or points", 6),
    "ucr_ecg200": _archive(96, 2, "heartbeats", 4),
    "ucr_arrowhead": _archive(251, 3, "outlines of arrowheads", 10),
    "ucr_osuleaf": _archive(427, 6, "outlines of leaves", 14),
    "ucr_acsf1": _archive(1460, 10, "power that appliances take", 20),
    "reuters_r8": Row(
        "News of business and trade, one of 8 topics (Reuters-21578, the first 126 word pieces).",
        "reuters21578",
        _WORDS,
        options=_NEWS,
        claim="information spread out",
        why=_SPREAD,
    ),
    "reuters_r52": Row(
        "News of business and trade, one of 52 topics (Reuters-21578, the first 126 word pieces).",
        "reuters21578",
        {**_WORDS, "epochs": 8},
        options=_NEWS,
        claim="information spread out",
        why=_SPREAD,
    ),
    "ud_ewt": Row(
        "Parts of speech of English words, 17 tags (Universal Dependencies, EWT).",
        "ud_ewt",
        {**_WORDS, "epoch_size": 6_400, "margin": 0.005},
        options={"vocabulary_size": 4_000, "sequence_length": 48},
    ),
    "mitbih_beats": Row(
        "Heartbeats of 5 classes, one second of one lead, across patients (MIT-BIH; F1, the mean over classes).",
        "mitbih_120hz",
        {**_HEARTS, "measure": "macro_f1"},
        backbone={"patch_size": 4},
        train=10_240,
        together=_patients("load_beats"),
    ),
    "mitbih_strips": Row(
        "Ten seconds of a heart's signal: is there a ventricular beat? Across patients (MIT-BIH).",
        "mitbih_120hz",
        {**_HEARTS, "batch_size": 32, "epoch_size": None, "measure": "auroc"},
        backbone={"patch_size": 16, "standardize": True},
        together=_patients("load_strips"),
    ),
    "multi30k": Row(
        "Descriptions of photographs, English to German: the next word piece, given the true ones before (Multi30k).",
        "multi30k",
        {**_PAIRS, "parameters": 300_000},
        options={"vocabulary_size": 2_000, "encoder_sequence_length": 32, "decoder_sequence_length": 32},
        claim="translation",
        why="sentences are translated; asked for is the next piece, not BLEU",
    ),
    "cmudict": Row(
        "English words to their sounds: the next phoneme, given the true ones before (CMU dictionary).",
        "cmudict",
        {**_PAIRS, "parameters": 60_000},
        options={"encoder_sequence_length": 24, "decoder_sequence_length": 24},
        train=20_480,
    ),
    "reuters_headlines": Row(
        "Reports of 1987 to their headlines: the next word piece, given the true ones before (Reuters-21578).",
        "reuters21578",
        {**_PAIRS, "parameters": 300_000},
        options={"vocabulary_size": 2_000, "encoder_sequence_length": 64, "decoder_sequence_length": 24},
        claim="summarization",
        why="a headline sums up the start of a report; asked for is the next piece, not ROUGE",
    ),
    "fsdd": Row(
        "Spoken digits, six speakers, as frames of sound (FSDD).",
        "fsdd",
        {**_HEARTS, "epoch_size": None, "batch_size": 32, "margin": 0.01},
        backbone={"subsampling": 6, "stem_width": 6},
        claim="speech",
        why="a word is told by its sound",
    ),
    "tinyshakespeare": Row(
        "The next character of plays by Shakespeare, from up to 63 before it (Tiny Shakespeare).",
        "tinyshakespeare",
        {
            **_WORDS,
            "parameters": 50_000,
            "batch_size": 64,
            "epoch_size": 6_400,
            "learning_rates": (1e-3, 3e-3, 1e-2),
            "dropouts": (0.0, 0.1),
            "margin": 0.005,
            "causal": True,
            "measure": "likelihood",
        },
        options={"sequence_length": 64},
        claim="language modelling",
        why="each character is foretold from those before",
    ),
    "physionet2012": Row(
        "Does a patient die in hospital? 48 hours of intensive care, most numbers missing (PhysioNet 2012).",
        "physionet2012_icu",
        {**_HEARTS, "epoch_size": None, "dropouts": (0.3, 0.1), "measure": "auroc"},
        backbone={"marks_missing": True, "num_layers": 2},
        claim="information spread out",
        why="no single hour decides",
    ),
    "etth1": _hourly("Seven channels of a transformer (ETTh1), 96 hours ahead from 336.", "ett", 336),
    "etth2": _hourly("Seven channels of another transformer (ETTh2), 96 hours ahead from 336.", "ett", 336),
    "metro_traffic": _hourly(
        "Cars an hour on a road, 24 hours ahead from 168, told of the calendar (Metro Interstate Traffic Volume).",
        "metro_traffic",
        168,
    ),
    "pjm_hourly": _hourly(
        "Electricity that ten zones of a grid take, 24 hours ahead from 168 (PJM).", "pjm_hourly", 168
    ),
    "brent_volatility": Row(
        "How strongly the price of oil will move in the next 5 days, from the 66 before (Brent).",
        "finance",
        {**_HOURS, "parameters": 10_000, "dropouts": (0.3, 0.1), "epoch_size": None},
        backbone={"patch_size": 6},
    ),
    "fashion_mnist": Row(
        "Clothes on pictures of 28 x 28 pixels, ten classes (Fashion-MNIST).",
        "fashion_mnist",
        {**_HEARTS, "parameters": 30_000, "margin": 0.01},
        backbone={"patch_size": 4},
        train=10_240,
    ),
    "cifar10_bird": Row(
        "Is there a bird? Photographs of 32 x 32 pixels, one in ten of a bird (CIFAR-10).",
        "cifar10_jpeg",
        {**_HEARTS, "parameters": 30_000, "margin": 0.01, "measure": "auroc"},
        backbone={"patch_size": 4},
        train=10_240,
    ),
}


def data(seed, subject, length=1.0):
    """The splits of a subject's task; what is drawn is drawn by the seed, and never the test part.

    Args:
        seed: the master seed.
        subject: a name in `ROWS`.
        length: see `task`.
    """
    opened, row = _open(subject, length), ROWS[subject]
    parts = {name: opened.split(name) for name in SPLITS if name != "dev" or not opened.without_dev}
    numbers = np.random.default_rng(derive(seed, subject))
    if opened.without_dev:
        held = _hold_out(numbers, parts["train"].y)
        parts["dev"], parts["train"] = parts["train"].take(held), parts["train"].take(~held)
    if row.train is not None:
        parts["train"] = parts["train"].take(numbers.permutation(len(parts["train"]))[: row.train])
    test = dataclasses.replace(parts["test"], group=_together(row, parts["test"]))
    return Data(parts["train"], parts["dev"], test, opened.preprocessor)


def _together(row, test):
    """What test examples share, `(N,)`; None if each stands for itself."""
    if row.together is not None:
        return row.together()
    # Windows begin at each step, so that those that begin within a horizon foretell the same steps.
    return np.arange(len(test)) // test.y.shape[1] if test.y.ndim == 3 else None


def model(mixer, width, dropout, subject, length=1.0):
    """The subject's model with another mixer, width and dropout."""
    opened, row = _open(subject, length), ROWS[subject]
    mixers = both_sides(mixer) if "encoder_sequence_length" in opened.subject.OPTIONS else {"mixer": mixer}
    backbone = {**row.backbone, **mixers, "hidden_dim": width, "dropout": dropout}
    return opened.subject.build(_recipe(opened.subject, backbone, length, dropout), opened.preprocessor)


def task(subject, length=1.0):
    """The `tuning.Task` of a subject in `ROWS`.

    Args:
        subject: its name.
        length: the share, in (0, 1], of each example that is read: the start of a text, the end of a series.

    Raises:
        ValueError: for another subject; near names are shown.

    Example:
    >>> task("ud_ewt").measure, task("etth1").parameters
    ('accuracy', 60000)
    """
    if subject not in ROWS:
        from keras_attn.lookup import choose

        choose("real task", subject, ROWS)
    row, filled = ROWS[subject], {"subject": subject}
    if length != 1.0:
        filled["length"] = length
    return Task(
        name=subject,
        description=row.description,
        data=functools.partial(data, **filled),
        model=functools.partial(model, **filled),
        needs=f"the data set {row.folder} (keras-attn data list)",
        **{"mixers": MIXERS, "trials": 2, "seeds": 3, **row.search},
    )


def claim(name):
    """What is commonly said of a task, in words; empty if nothing is.

    Example:
    >>> claim("etth1"), claim("ud_ewt")
    ('explicit, for long dependencies: days and weeks repeat, up to 336 hours back', '')
    """
    row = ROWS.get(name)
    return f"{CLAIMS[row.claim]}, for {row.claim}: {row.why}" if row is not None and row.claim else ""


@dataclasses.dataclass(frozen=True)
class _Opened:
    """A subject whose data is read once, with its preprocessor.

    Args:
        origin: the subject as it stands in the table.
        subject: the same, remembering what it read.
        preprocessor: what it learnt from the training part.
    """

    origin: object
    subject: object
    preprocessor: object

    @property
    def without_dev(self):
        return getattr(self.subject, "without_dev", False)

    def split(self, name):
        inputs, answers = self.subject.load(name)
        x = self.subject.encode(self.preprocessor, inputs)
        if answers is None:
            return _foretell(x)
        aligned = self.subject.align(self.preprocessor, inputs, answers)
        if hasattr(aligned, "token_ids"):
            return _continue(x, aligned.token_ids, aligned.padding_mask)
        aligned = getattr(aligned, "values", aligned)
        y, weight = aligned[:2] if isinstance(aligned, tuple) else (aligned, None)
        y = np.asarray(y)
        return Split(x, y.astype("int32" if np.issubdtype(y.dtype, np.integer) else "float32"), weight)


def _foretell(x):
    """Each token is to be answered with the next one of its window; behind the last there is none."""
    y, weight = np.zeros_like(x["token_ids"]), np.zeros(x["token_ids"].shape, "float32")
    y[:, :-1], weight[:, :-1] = x["token_ids"][:, 1:], x["padding_mask"][:, 1:]
    return Split(x, y, weight)


def _continue(x, ids, mask):
    """Each token of what a text becomes is to be answered with the next one: `(N, T + 1)` between start and end."""
    told = {"decoder_token_ids": ids[:, :-1].astype("int32"), "decoder_padding_mask": mask[:, :-1].astype("int32")}
    x = {name: array for name, array in x.items() if name.startswith("encoder")}
    return Split({**x, **told}, ids[:, 1:].astype("int32"), mask[:, 1:].astype("float32"))


#: What was opened last, by name and length. Models are built again and again: each build asks for the data's shape.
_OPENED = {}


def _open(name, length):
    from zoo.subjects import SUBJECTS

    known = _OPENED.get((name, length))
    if known is not None and known.origin is SUBJECTS[name]:
        return known
    subject = SUBJECTS[name]
    read = functools.lru_cache(maxsize=len(SPLITS))(_cut(subject, length))
    remembering = dataclasses.replace(subject, read=read)
    recipe = _recipe(remembering, ROWS[name].backbone, length)
    opened = _Opened(subject, remembering, remembering.prepare(recipe, _work()))
    _OPENED.clear()
    _OPENED[name, length] = opened
    return opened


def _recipe(subject, backbone, length, dropout=None):
    """What the subject's functions take: a recipe of the zoo."""
    from zoo.recipes import Recipe

    options = dict(ROWS[subject.name].options)
    if "sequence_length" in subject.OPTIONS:
        whole = options.get("sequence_length", subject.OPTIONS["sequence_length"])
        options["sequence_length"] = max(1, round(length * whole))
    if dropout is not None and "head_dropout" in subject.OPTIONS:
        options["head_dropout"] = dropout
    return Recipe(subject.name, subject.name, backbone, options)


def _cut(subject, length):
    """A subject's `read`, of whose series the last whole patches are left; texts are cut by an option."""
    if "sequence_length" in subject.OPTIONS:
        return subject.read
    patch = ROWS[subject.name].backbone.get("patch_size", 1)

    def read(split):
        found = subject.read(split)
        x = found[0] if isinstance(found, tuple) else found.x
        if getattr(x, "ndim", 0) != 3 and length == 1.0:
            return found
        if getattr(x, "ndim", 0) != 3:
            raise ValueError(f"The length of {subject.name} cannot be varied: its examples are no texts and no series.")
        kept = max(1, int(length * x.shape[1] / patch)) * patch
        x = x[:, -kept:]
        return (x, *found[1:]) if isinstance(found, tuple) else dataclasses.replace(found, x=x)

    return read


def _hold_out(numbers, labels):
    """Booleans `(N,)`: of each class one of so many, drawn."""
    from zoo.datasets import arrays

    order = numbers.permutation(len(labels))
    held = np.zeros(len(labels), bool)
    held[order] = arrays.hold_out(labels[order], HELD_OUT)
    return held


def _work():
    """Where word pieces that were learnt are kept: beside what Keras keeps."""
    folder = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras_attn" / "vocabularies"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


REAL = {name: task(name) for name in ROWS}
