import keras
from keras import ops

from keras_attn.lookup import flag

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@keras.saving.register_keras_serializable(package="keras_attn")
class SpatialTransformer(keras.layers.Layer):
    """Spatial transformer: looks at the image through a frame that it moves, turns, scales and shears.

    `θ = W h + c`, a 2 x 3 matrix; the output's pixel at (x, y) is the image at `θ (x, y, 1)`, by bilinear sampling.
    Both coordinates run from -1 (left, top) to 1 (right, bottom), and beyond them the image is zero. At first θ is the
    identity, whatever the state.

    Args:
        output_size: `(height, width)` of the output, each at least 1; None for that of the image.
        align_corners: whether -1 and 1 are the centres of the outermost pixels; if not they are the edges of the image.

    Call arguments:
        images: `(B, H, W, C)`.
        state: `(B, D)`, what the frame depends on: the output of a localisation network, or of a decoder.
        return_theta: whether to return θ `(B, 2, 3)` too, float32.

    Returns:
        `(B, height, width, C)`.

    Example:
    >>> images = keras.random.normal((2, 13, 11, 3))
    >>> where = keras.Sequential([keras.layers.Conv2D(5, 3), keras.layers.GlobalMaxPooling2D()])(images)
    >>> tuple(SpatialTransformer(output_size=(7, 5))(images, where).shape)
    (2, 7, 5, 3)

    Reference: Jaderberg et al., 2015, https://arxiv.org/abs/1506.02025, eq. 1 and 5.
    """

    def __init__(self, output_size=None, align_corners=False, **kwargs):
        super().__init__(**kwargs)
        if output_size is not None and not _is_size(output_size):
            raise ValueError(
                "`output_size` must be (height, width), both at least 1, or None. "
                f"Received: output_size={output_size!r}"
            )
        # JSON makes a list of it.
        self.output_size = None if output_size is None else tuple(output_size)
        self.align_corners = flag("align_corners", align_corners)
        # Half precision is too coarse for coordinates: the state is not rounded at the door.
        self.autocast = False

    def build(self, images_shape, state_shape):
        start = {"kernel_initializer": "zeros", "bias_initializer": identity}
        self.theta_dense = keras.layers.Dense(6, name="theta", dtype="float32", **start)
        self.theta_dense.build(state_shape)
        self.built = True

    def call(self, images, state, return_theta=False):
        theta = ops.reshape(self.theta_dense(ops.cast(state, "float32")), (-1, 2, 3))
        height, width = ops.shape(images)[1:3] if self.output_size is None else self.output_size
        grid = affine_grid(theta, height, width, self.align_corners)
        seen = ops.cast(grid_sample(images, grid, self.align_corners), self.compute_dtype)
        return (seen, theta) if return_theta else seen

    def compute_output_shape(self, images_shape, state_shape):
        return (images_shape[0], *(self.output_size or images_shape[1:3]), images_shape[3])

    def compute_output_spec(self, images, state, return_theta=False):
        seen = keras.KerasTensor(self.compute_output_shape(images.shape, state.shape), dtype=self.compute_dtype)
        theta = keras.KerasTensor((images.shape[0], 2, 3), dtype="float32")
        return (seen, theta) if return_theta else seen

    def get_config(self):
        return {**super().get_config(), "output_size": self.output_size, "align_corners": self.align_corners}


@keras.saving.register_keras_serializable(package="keras_attn")
def identity(shape, dtype=None):
    """An initializer: the six numbers of the transform that changes nothing."""
    return ops.convert_to_tensor(IDENTITY, dtype=dtype)


def affine_grid(theta, height, width, align_corners=False):
    """Where each pixel of an output of this size looks, `(B, height, width, 2)` as (x, y): θ (x, y, 1).

    Args:
        theta: `(B, 2, 3)`.
        height, width: of the output.
        align_corners: whether -1 and 1 are the centres of the outermost pixels; if not they are the edges.
    """
    theta = ops.cast(theta, "float32")
    x, y = _coordinates(width, align_corners)[None, None, :], _coordinates(height, align_corners)[None, :, None]
    # (B, 1, 1) times (1, height, width), for either row of the matrix
    rows = [theta[:, row, :, None, None] for row in range(2)]
    return ops.stack([row[:, 0] * x + row[:, 1] * y + row[:, 2] for row in rows], axis=-1)


def grid_sample(images, grid, align_corners=False):
    """The images at the places of a grid, by bilinear sampling; zero beyond the edges.

    Args:
        images: `(B, H, W, C)`.
        grid: `(B, ..., 2)`, (x, y) from -1 (left, top) to 1 (right, bottom).
        align_corners: whether -1 and 1 are the centres of the outermost pixels; if not they are the edges.

    Returns:
        `(B, ..., C)`.
    """
    height, width = ops.shape(images)[1:3]
    grid = ops.cast(grid, "float32")
    return bilinear(images, pixel(grid[..., 0], width, align_corners), pixel(grid[..., 1], height, align_corners))


def pixel(coordinate, size, align_corners=False):
    """From a coordinate, -1 to 1, to the place along an axis of `size` pixels, whose centres are 0, 1, ..."""
    size = ops.cast(size, "float32")
    if align_corners:
        return (coordinate + 1.0) / 2.0 * (size - 1.0)
    return ((coordinate + 1.0) * size - 1.0) / 2.0


def bilinear(images, x, y):
    """`images` `(B, H, W, C)` at the places x, y `(B, ...)` in pixels, whose centres are 0, 1, ...: `(B, ..., C)`."""
    images = images if keras.backend.is_float_dtype(images.dtype) else ops.cast(images, "float32")
    height, width = ops.shape(images)[1:3]
    # Beyond one pixel outside everything is zero; far beyond, integers would overflow.
    x, y = ops.clip(x, -2.0, ops.cast(width, x.dtype) + 1.0), ops.clip(y, -2.0, ops.cast(height, y.dtype) + 1.0)
    left, top = ops.floor(x), ops.floor(y)
    seen = 0.0
    for column, beside in ((left, left + 1.0 - x), (left + 1.0, x - left)):
        for row, above in ((top, top + 1.0 - y), (top + 1.0, y - top)):
            seen += ops.expand_dims(beside * above, -1) * ops.cast(_take(images, row, column), "float32")
    return ops.cast(seen, images.dtype)


def _take(images, row, column):
    """The pixels at whole-numbered rows and columns `(B, ...)`, zero where there are none: `(B, ..., C)`."""
    batch, height, width, channels = ops.shape(images)
    row, column = ops.cast(row, "int32"), ops.cast(column, "int32")
    inside = ops.logical_and(ops.logical_and(row >= 0, row < height), ops.logical_and(column >= 0, column < width))
    image = ops.reshape(ops.arange(batch, dtype="int32"), (-1, *(1 for _ in row.shape[1:])))
    place = (image * height + ops.clip(row, 0, height - 1)) * width + ops.clip(column, 0, width - 1)
    picked = ops.take(ops.reshape(images, (-1, channels)), place, axis=0)
    return ops.where(ops.expand_dims(inside, -1), picked, ops.zeros_like(picked))


def _coordinates(size, align_corners):
    """From -1 to 1, the coordinates of the pixels along an axis."""
    place, size = ops.arange(size, dtype="float32"), ops.cast(size, "float32")
    if align_corners:
        # As in torch, a single pixel stands in the middle.
        return 2.0 * place / ops.maximum(size - 1.0, 1.0) - ops.cast(size > 1.0, "float32")
    return (2.0 * place + 1.0) / size - 1.0


def _is_size(size):
    return (
        isinstance(size, (list, tuple))
        and len(size) == 2
        and all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in size)
    )
