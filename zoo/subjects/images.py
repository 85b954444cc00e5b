"""Images that are classified."""

import dataclasses
import functools

import numpy as np

from zoo.batches import Shuffled
from zoo.datasets import catalog, cifar10, fashion_mnist
from zoo.image import (
    MixerImageBackbone,
    MixerImageClassifier,
    MixerImageClassifierPreprocessor,
    MixerImageConverter,
)
from zoo.subjects import changes
from zoo.subjects.figures import auroc
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

    #: The share in [0, 1) of the pooled vector dropped, and of a label spread over all classes; the side, in pixels, of
    #: a square that is cut out of each training image, 0 for none.
    OPTIONS = {"head_dropout": 0.2, "label_smoothing": 0.05, "cut_out": 0}

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
        change = functools.partial(self._change, side=self.settings(recipe)["cut_out"])
        return Shuffled(inputs, targets, recipe.batch_size, seed, change=change)

    def _change(self, random, images, side=0):
        """The images moved, half of them turned left to right, and of each a square cut out, if it has a side."""
        images = changes.turn(random, changes.shift(random, images, self.shift))
        return changes.cut_out(random, images, side) if side else images


FASHION_MNIST = Images(
    name="fashion_mnist",
    summary="What kind of clothes a small grey picture shows, one of 10",
    data=f"Fashion-MNIST: 55,000 images to train, 5,000 to choose, 10,000 to test; {fashion_mnist.SOURCE}",
    licence=fashion_mnist.LICENCE,
    limits="Knows pictures of 28 x 28 pixels, light clothes on black, one piece each.",
    measure="accuracy",
    goal=0.935,
    published=(
        "two convolutions, under 100,000 parameters: 0.925; with three dense layers, 500,000, augmented: 0.934",
        "MLP of three layers 0.883; a wide residual network, 8.9 million parameters, 0.967 (the data set's own table)",
    ),
    read=fashion_mnist.load,
    names=fashion_mnist.CLASSES,
    image_shape=(28, 28, 1),
)


def _cifar10(question, **more):
    """A row for one of the questions that can be asked of CIFAR-10."""
    return Images(
        licence=cifar10.LICENCE,
        limits=(
            "Knows photographs of 32 x 32 pixels, each of one of ten kinds of things. The licence of the data is "
            f"unclear: weights {catalog.KEEP}."
        ),
        publishable=catalog.DATASETS["cifar10_jpeg"].weights != catalog.KEEP,
        read=functools.partial(cifar10.load, question=question),
        image_shape=cifar10.SHAPE,
        shift=4,
        **more,
    )


_COUNTS = "45,000 photographs to train, 5,000 to choose, 10,000 to test"

CIFAR10 = _cifar10(
    "class",
    name="cifar10",
    summary="What a small photograph shows, one of 10 kinds of animals and vehicles",
    data=f"CIFAR-10 as JPEG files, which lost something: {_COUNTS}; {cifar10.SOURCE}",
    measure="accuracy",
    goal=0.89,
    published=(
        "on the pixels as they were, ResNet of 20 layers 0.9125, 270,000 parameters; of 56 layers 0.930, He 2015",
    ),
    names=cifar10.CLASSES,
)
CIFAR10_BIRD = _cifar10(
    "bird",
    name="cifar10_bird",
    summary="Whether there is a bird in a small photograph",
    data=f"CIFAR-10 as JPEG files, one in ten of a bird: {_COUNTS}; {cifar10.SOURCE}",
    measure="area under the receiver's curve",
    goal=0.98,
    names=("no bird", "a bird"),
    figures=auroc,
)
