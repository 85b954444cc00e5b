"""Emoji and their names: pictures to be described in words, some in tones of skin that were not seen on them.

- Source: pictures from github.com/googlefonts/noto-emoji at b3e3051a088047d19fd4d49b1c3ac42fb8c3aaf8, `png/72/*.png`,
  as JPEG of 64 x 64 pixels; names from github.com/unicode-org/cldr-json at b08a82b582f1120d630d623f9e5073316741574d,
  cldr-annotations-full and cldr-annotations-derived-full, `en/annotations.json`.
- Licence: Apache-2.0 for pictures by the README, OFL 1.1 by the file LICENSE; Unicode License v3 for names.
- Paper: none. Who stands in dev and test stands in train too, in another tone of skin: what is asked for is to put
  together what was seen apart.
"""

import io

import numpy as np

from keras_attn.lookup import choose
from zoo.datasets import arrays, files

SOURCE = "github.com/googlefonts/noto-emoji (png/72) and unicode-org/cldr-json (cldr-annotations-*)"
LICENCE = "Apache-2.0 or OFL 1.1 (pictures), Unicode License v3 (names)"
#: The splits by their numbers in the file of images.
SPLITS = {"train": 0, "dev": 1, "test": 2}
FIELDS = ("emoji", "name", "keywords", "base", "skin tones")
SIZE = 64


def load(split):
    """Pictures and captions of a split.

    Args:
        split: "train" (2,970 pictures, 1,582 different words between spaces), "dev" (184) or "test" (376); no other
            words occur in these two.

    Returns:
        Images `(N, 64, 64, 3)`, uint8, and a list of as many captions of up to 11 words, such as
        "woman running: medium-dark skin tone, facing right".
    """
    number = SPLITS[choose("split of emoji_captions", split, SPLITS)]
    captions = files.find("emoji_captions", "captions.tsv.gz", SOURCE)
    names = [_read_line(line, number, captions) for number, line in files.read_lines(captions)]
    path = files.find("emoji_captions", "images.npz", SOURCE)
    jpeg, offset, splits = arrays.read(path, "jpeg", "offset", "split")
    images = arrays.take_apart(jpeg, offset)
    if not len(names) == len(splits) == len(images):
        raise ValueError(
            f"{captions} must have a line for each image of {path}. "
            f"Received: {len(names)} lines, {len(images)} images, {len(splits)} splits"
        )
    rows = np.flatnonzero(splits == number)
    pictures = [_decode(images[row], row, path) for row in rows]
    return np.array(pictures, dtype="uint8").reshape(-1, SIZE, SIZE, 3), [names[row] for row in rows]


def _read_line(line, number, path):
    fields = line.split("\t")
    if len(fields) != len(FIELDS) or not fields[1]:
        raise ValueError(
            f"Line {number} of {path} must have {', '.join(FIELDS)}, with TAB between. Received: {line[:200]!r}"
        )
    return fields[1]


def _decode(jpeg, row, path):
    import PIL.Image

    try:
        with PIL.Image.open(io.BytesIO(jpeg.tobytes()), formats=("JPEG",)) as image:
            pixels = np.asarray(image.convert("RGB"))
    except OSError as error:
        raise ValueError(f"Image {row} of {path} is no JPEG: {error}") from error
    if pixels.shape != (SIZE, SIZE, 3):
        raise ValueError(f"Image {row} of {path} must be {SIZE} x {SIZE} pixels. Received: {pixels.shape[:2]}")
    return pixels
