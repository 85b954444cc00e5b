"""FSDD: digits from zero to nine, spoken by six people, 50 takes of each.

- Source: github.com/Jakobovski/free-spoken-digit-dataset at 26eb9aaf76e81b692f806f9140c2d2777410d7a1, `recordings`.
- Licence: CC BY-SA 4.0.
- Paper: none; Jackson et al., 2018, https://doi.org/10.5281/zenodo.1342401.
"""

import dataclasses

import numpy as np

from keras_attn.lookup import choose
from zoo.datasets import arrays, files

SOURCE = "github.com/Jakobovski/free-spoken-digit-dataset (recordings)"
LICENCE = "CC BY-SA 4.0"
SPLITS = ("train", "dev", "test")
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
#: Samples in a second.
RATE = 8000
#: The takes that the source's division leaves for the test, and those of its training takes that are dev here.
TEST_TAKES, DEV_TAKES = range(5), range(5, 10)


@dataclasses.dataclass(frozen=True)
class Clips:
    """Spoken digits.

    Attributes:
        pcm: a list of arrays `(samples,)`, int16, of 0.14 to 2.28 s.
        y: `(N,)`, int32, the digit.
        speaker: `(N,)`, int32, an index into `SPEAKERS`.
        take: `(N,)`, int32, 0 to 49.
    """

    pcm: list[np.ndarray]
    y: np.ndarray
    speaker: np.ndarray
    take: np.ndarray

    def pad(self, length=None):
        """The clips as one array.

        Args:
            length: samples T; what is longer is cut behind. None: as many as the longest clip has.

        Returns:
            `(N, T)`, float32, in [-1, 1), with silence behind each; and `(N,)`, how many samples are the clip's own.
        """
        x, lengths = arrays.pad(self.pcm, length)
        x /= 2**15
        return x, lengths

    def select(self, kept):
        """The clips where a boolean array `(N,)` is True."""
        pcm = [clip for clip, keep in zip(self.pcm, kept, strict=True) if keep]
        return Clips(pcm, self.y[kept], self.speaker[kept], self.take[kept])


def load(split, left_out=None):
    """The clips of a split.

    Args:
        split: "train", "dev" or "test". As the source divides them all speakers are in all: takes 10 to 49 are train
            (2,400), 5 to 9 dev (300), 0 to 4 test (300).
        left_out: one of `SPEAKERS`, to test on nobody who was heard before: test has all takes of this one (500), dev
            the takes 0 to 4 of the others (250), train all the rest (2,250).

    Returns:
        `Clips`.
    """
    choose("split of fsdd", split, SPLITS)
    if left_out is None:
        clips = _read("test" if split == "test" else "train")
        return clips if split == "test" else clips.select(np.isin(clips.take, DEV_TAKES) == (split == "dev"))
    apart = SPEAKERS.index(choose("speaker of fsdd", left_out, SPEAKERS))
    train, test = _read("train"), _read("test")
    if split == "test":
        train, test = (clips.select(clips.speaker == apart) for clips in (train, test))
        return Clips(train.pcm + test.pcm, *map(np.concatenate, zip(_known(train), _known(test), strict=True)))
    clips = test if split == "dev" else train
    return clips.select(clips.speaker != apart)


def _known(clips):
    return clips.y, clips.speaker, clips.take


def _read(part):
    path = files.find("fsdd", f"{part}.npz", SOURCE)
    pcm, offset, speakers, *known = arrays.read(path, "pcm", "offset", "speakers", "y", "speaker", "take")
    if tuple(speakers.tolist()) != SPEAKERS:
        raise ValueError(f"The speakers of {path} must be {SPEAKERS}. Received: {speakers.tolist()}")
    return Clips(arrays.take_apart(pcm, offset), *(numbers.astype("int32") for numbers in known))
