"""AN4: people spell names and addresses, say numbers and commands; cepstra of the sound, and the words.

- Source: github.com/cphazen/Machine-Learning-Project-ASR at 5e478f0ee6c5b060edf702acdd563948cad5545f, `an4/feat` and
  `an4/etc`, as Carnegie Mellon University distributed them. The sound itself is not there.
- Licence: that of CMU's AN4: for any purpose, its notice kept (`AN4_LICENSE.txt`).
- Paper: Acero, 1990, Acoustical and environmental robustness in automatic speech recognition.
"""

import dataclasses

import numpy as np

from keras_attn.lookup import choose
from zoo.datasets import arrays, files

SOURCE = "github.com/cphazen/Machine-Learning-Project-ASR (an4)"
LICENCE = "CMU AN4's own, like BSD"
SPLITS = ("train", "dev", "test")
#: Frames in a second, and numbers in a frame.
RATE, CEPSTRA = 100, 13
#: Of the speakers to train on, in the order of their names, the last of every so many is dev.
EVERY = 10


@dataclasses.dataclass(frozen=True)
class Utterances:
    """What was said.

    Attributes:
        mfcc: a list of arrays `(frames, 13)`, float32.
        text: a list of strings, capital letters and spaces: "RUBOUT G M E F THREE NINE".
        speaker: `(N,)`, strings, "f" or "m" for a woman or a man and a name.
        name: `(N,)`, strings, that of the recording.
    """

    mfcc: list[np.ndarray]
    text: list[str]
    speaker: np.ndarray
    name: np.ndarray

    def pad(self, length=None):
        """The frames as one array.

        Args:
            length: frames T; what is longer is cut behind. None: as many as the longest utterance has.

        Returns:
            `(N, T, 13)`, float32, zeros behind each; and `(N,)`, how many frames are the utterance's own.
        """
        return arrays.pad(self.mfcc, length)


def load(split):
    """The utterances of a split. No two splits share a speaker.

    Args:
        split: "train" (857 of 67 speakers), "dev" (91 of 7) or "test" (130 of 10, 773 words).

    Returns:
        `Utterances`.
    """
    name = "test" if choose("split of an4", split, SPLITS) == "test" else "train"
    path = files.find("an4_mfcc", f"{name}.npz", SOURCE)
    mfcc, offset, text, speaker, names = arrays.read(path, "mfcc", "offset", "text", "speaker", "utt")
    if mfcc.shape[1:] != (CEPSTRA,):
        raise ValueError(f"The frames of {path} must have {CEPSTRA} numbers each. Received: {mfcc.shape}")
    parts = arrays.take_apart(mfcc.astype("float32"), offset)
    kept = np.arange(len(parts))
    if split != "test":
        held = np.isin(speaker, np.unique(speaker)[EVERY - 1 :: EVERY])
        kept = np.flatnonzero(held == (split == "dev"))
    return Utterances([parts[row] for row in kept], text[kept].tolist(), speaker[kept], names[kept])
