"""Images: what is shown are cells of a grid."""

import contextlib

import numpy as np
from keras import ops

from keras_attn.inspection.pictures.image import grid_of
from zoo import reading
from zoo.explaining.cells import Cells, Given

#: The most cells along each side of an image.
SIDE = 16


def read(preprocessor, given, shape):
    image = pixels(given, shape)
    inputs = image[None] if preprocessor is None else ops.convert_to_numpy(preprocessor(image[None]))
    return Given("image", np.asarray(inputs, dtype="float32"), image)


def pixels(given, shape):
    """The image `(H, W, C)` of a file or an array."""
    if reading.is_file(given):
        return reading.read_image(given, shape)
    return reading.as_image(np.asarray(given, dtype="float32"), shape)


def cells(model, given, lengths):
    shape = given.inputs.shape[1:]
    grid = _grid(model, shape, lengths)
    row, column = (np.arange(length) * count // length for length, count in zip(shape[:2], grid))

    def of_pixels(model):
        return lambda x, **options: model(ops.reshape(x, (-1, *shape)), **options)

    cell = (row[:, None] * grid[1] + column).ravel()
    return Cells(grid[0] * grid[1], grid, given.inputs.reshape(1, -1, shape[-1]), of_pixels, cell)


def _grid(model, shape, lengths):
    """Rows and columns of an image: the model's patches, or those that its layers stand over, or as many as can be."""
    high, wide = shape[:2]
    patch = getattr(getattr(model, "backbone", None), "patch_size", None)
    if patch is not None:
        return high // patch, wide // patch
    for length in lengths:
        if 1 < length <= high * wide:
            with contextlib.suppress(ValueError):
                return grid_of(length, high, wide)
    return min(high, SIDE), min(wide, SIDE)
