"""Images that are classified."""

import dataclasses

import numpy as np

from zoo.batches import Shuffled
from zoo.datasets import fashion_mnist
from zoo.image import (
    MixerImageBackbone,
    MixerImageClassifier,
    MixerImageClassifierPreprocessor,
    MixerImageConverter,
)
from zoo.subjects.subject import Labelled, as_arrays


@dataclasses.dataclass(frozen=True)
class Images(Labelled):
    """Images of one size, each with one label.

    Args:
        image_shape: `(H, W, C)`; pixels are from 0 to 255.
        shift: pixels, at most, by which a training image is moved along each side; it may be turned left to right too.
    """

    image_shape: tuple = ()
    shift: int = 2

    #: The share in [0, 1) of the pooled vector dropped, and of a label spread over all classes.
    OPTIONS = {"head_dropout": 0.2, "label_smoothing": 0.05}

    def prepare(self, recipe, work):
        x, _ = self.load("train")
        # Of all channels together: the converter takes lists for RGB alone.
        mean, deviation = float(x.mean()), float(x.std())
        return MixerImageClassifierPreprocessor(MixerImageConverter(scale=1 / deviation, offset=-mean / deviation))

    def build(self, recipe, preprocessor):
        backbone = MixerImageBackbone(self.image_shape, **recipe.backbone)
        dropout = self.settings(recipe)["head_dropout"]
        return MixerImageClassifier(backbone, len(self.names), preprocessor=preprocessor, dropout=dropout)

    def encode(self, preprocessor, inputs):
        pieces = np.array_split(inputs, max(1, len(inputs) // 1000))
        return np.concatenate([as_arrays(preprocessor(piece)).astype("float32") for piece in pieces])

    def batches(self, recipe, preprocessor, inputs, targets, seed):
        return Shuffled(inputs, targets, recipe.batch_size, seed, change=self._change)

    def _change(self, random, images):
        """The images moved, each by its own pixels, and half of them turned left to right."""
        height, width = images.shape[1:3]
        room = ((0, 0), (self.shift, self.shift), (self.shift, self.shift), (0, 0))
        padded = np.pad(images, room, mode="edge")
        down, right = random.integers(0, 2 * self.shift + 1, (2, len(images)))
        moved = np.stack(
            [each[row : row + height, column : column + width] for each, row, column in zip(padded, down, right)]
        )
        turned = random.random(len(images)) < 0.5
        moved[turned] = moved[turned, :, ::-1]
        return moved


FASHION_MNIST = Images(
    name="fashion_mnist",
    summary="What kind of clothes a small grey picture shows, one of 10",
    data=f"Fashion-MNIST: 55,000 images to train, 5,000 to choose, 10,000 to test; {fashion_mnist.SOURCE}",
    licence=fashion_mnist.LICENCE,
    limits="Knows pictures of 28 x 28 pixels, light clothes on black, one piece each.",
    measure="accuracy",
    published=(
        "two convolutions, under 100,000 parameters: 0.925; with three dense layers, 500,000, augmented: 0.934",
        "MLP of three layers 0.883; a wide residual network, 8.9 million parameters, 0.967 (the data set's own table)",
    ),
    read=fashion_mnist.load,
    names=fashion_mnist.CLASSES,
    image_shape=(28, 28, 1),
)
