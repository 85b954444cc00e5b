import keras
from keras import ops

from keras_attn.lookup import whole_number

# Beyond e^20 and e^-20 nothing changes but that numbers overflow.
LIMIT = 20.0


@keras.saving.register_keras_serializable(package="keras_attn")
class GaussianGridRead(keras.layers.Layer):
    """DRAW's reader: looks at an image through a grid of N x N Gaussian filters.

    `patch = γ F_Y x F_X'`, with the filters and γ from `W h + c`, as `grid_filters` says.

    Args:
        size: N, how many filters the grid has in either direction, at least 1.

    Call arguments:
        images: `(B, H, W, C)`.
        state: `(B, D)`, what the grid depends on: the state of the decoder.
        return_filters: whether to return F_Y `(B, N, H)` and F_X `(B, N, W)` too, float32.

    Returns:
        The patch `(B, N, N, C)`.

    Example:
    >>> read = GaussianGridRead(size=5)
    >>> patch, (rows, columns) = read(keras.random.normal((2, 13, 11, 3)), keras.random.normal((2, 7)),
    ...                               return_filters=True)
    >>> tuple(patch.shape), tuple(rows.shape), tuple(columns.shape)
    ((2, 5, 5, 3), (2, 5, 13), (2, 5, 11))

    Reference: Gregor et al., 2015, https://arxiv.org/abs/1502.04623, eq. 19-27.
    """

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = whole_number("size", size)
        # Half precision is too coarse for coordinates: the state is not rounded at the door.
        self.autocast = False

    def build(self, images_shape, state_shape):
        self.parameters_dense = _five_numbers(state_shape)
        self.built = True

    def call(self, images, state, return_filters=False):
        parameters = self.parameters_dense(ops.cast(state, "float32"))
        rows, columns, strength = grid_filters(parameters, *ops.shape(images)[1:3], self.size)
        patch = strength[:, None, None, None] * _both_sides(rows, ops.cast(images, "float32"), columns)
        patch = ops.saturate_cast(patch, self.compute_dtype)
        return (patch, (rows, columns)) if return_filters else patch

    def compute_output_shape(self, images_shape, state_shape):
        return (images_shape[0], self.size, self.size, images_shape[3])

    def compute_output_spec(self, images, state, return_filters=False):
        patch = keras.KerasTensor(self.compute_output_shape(images.shape, state.shape), dtype=self.compute_dtype)
        return (patch, _filter_specs(images.shape[0], self.size, *images.shape[1:3])) if return_filters else patch

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable(package="keras_attn")
class GaussianGridWrite(keras.layers.Layer):
    """DRAW's writer: lays a patch onto an empty image through a grid of N x N Gaussian filters.

    `image = F_Y' patch F_X / γ`, with the filters and γ from `W h + c`, as `grid_filters` says.

    Args:
        height: of the image, at least 1.
        width: of the image, at least 1.

    Call arguments:
        patch: `(B, N, N, C)`.
        state: `(B, D)`, what the grid depends on: the state of the decoder.
        return_filters: whether to return F_Y `(B, N, height)` and F_X `(B, N, width)` too, float32.

    Returns:
        The image `(B, height, width, C)`.

    Example:
    >>> write = GaussianGridWrite(height=13, width=11)
    >>> tuple(write(keras.random.normal((2, 5, 5, 3)), keras.random.normal((2, 7))).shape)
    (2, 13, 11, 3)

    Reference: Gregor et al., 2015, https://arxiv.org/abs/1502.04623, eq. 19-26 and 28-29.
    """

    def __init__(self, height, width, **kwargs):
        super().__init__(**kwargs)
        self.height = whole_number("height", height)
        self.width = whole_number("width", width)
        # Half precision is too coarse for coordinates: the state is not rounded at the door.
        self.autocast = False

    def build(self, patch_shape, state_shape):
        if patch_shape[1] != patch_shape[2] or patch_shape[1] is None:
            raise ValueError(f"A patch must be square, (B, N, N, C). Received: patch_shape={tuple(patch_shape)}")
        self.parameters_dense = _five_numbers(state_shape)
        self.built = True

    def call(self, patch, state, return_filters=False):
        parameters = self.parameters_dense(ops.cast(state, "float32"))
        rows, columns, strength = grid_filters(parameters, self.height, self.width, patch.shape[1])
        sides = ops.swapaxes(rows, 1, 2), ops.swapaxes(columns, 1, 2)
        image = _both_sides(sides[0], ops.cast(patch, "float32"), sides[1]) / strength[:, None, None, None]
        image = ops.saturate_cast(image, self.compute_dtype)
        return (image, (rows, columns)) if return_filters else image

    def compute_output_shape(self, patch_shape, state_shape):
        return (patch_shape[0], self.height, self.width, patch_shape[3])

    def compute_output_spec(self, patch, state, return_filters=False):
        image = keras.KerasTensor(self.compute_output_shape(patch.shape, state.shape), dtype=self.compute_dtype)
        return (image, _filter_specs(*patch.shape[:2], self.height, self.width)) if return_filters else image

    def get_config(self):
        return {**super().get_config(), "height": self.height, "width": self.width}


def grid_filters(parameters, height, width, size):
    """The filters of a grid of N x N Gaussians on an image, to look through or to be shown.

    From `(g_x, g_y, log σ², log δ, log γ)`: the grid's centre is at `(W + 1) / 2 (g_x + 1)` and
    `(H + 1) / 2 (g_y + 1)`, where the first pixel is 1; its filters are `δ (max(H, W) - 1) / (N - 1)` pixels apart, so
    that zeros mean a grid over the whole of the longer side. Each filter is a Gaussian of variance σ² around its place
    and sums to one over the image's rows (or columns); one that is far outside fades to zero.

    Args:
        parameters: `(B, 5)`.
        height, width: H and W, of the image.
        size: N.

    Returns:
        F_Y `(B, N, H)`, F_X `(B, N, W)` and γ `(B,)`, float32.
    """
    parameters = ops.cast(parameters, "float32")
    centre_x, centre_y = parameters[:, 0], parameters[:, 1]
    variance, stride, strength = (ops.exp(ops.clip(parameters[:, n], -LIMIT, LIMIT)) for n in (2, 3, 4))
    longer = ops.cast(ops.maximum(height, width), "float32")
    # A single filter has no neighbour to be apart from.
    stride = stride * (longer - 1.0) / max(size - 1, 1)
    return (
        _filter_bank(centre_y, stride, variance, height, size),
        _filter_bank(centre_x, stride, variance, width, size),
        strength,
    )


def _five_numbers(state_shape):
    """From the state `(B, D)` to the parameters `(B, 5)`, in float32 whatever the policy."""
    dense = keras.layers.Dense(5, name="parameters", dtype="float32")
    dense.build(state_shape)
    return dense


def _filter_specs(batch, size, height, width):
    return tuple(keras.KerasTensor((batch, size, length), dtype="float32") for length in (height, width))


def _filter_bank(centre, stride, variance, length, size):
    """Eq. 19-20 and 25-26 along one axis of the image: `(B, N, length)`."""
    pixels = ops.arange(length, dtype="float32") + 1.0
    middle = (ops.cast(length, "float32") + 1.0) / 2.0 * (centre + 1.0)
    # i - N / 2 - 0.5 for i = 1, ..., N
    steps = ops.arange(size, dtype="float32") - (size - 1) / 2.0
    mean = middle[:, None] + steps[None] * stride[:, None]
    distance = pixels[None, None] - mean[:, :, None]
    bank = ops.exp(-ops.square(distance) / (2.0 * variance[:, None, None]))
    return bank / ops.maximum(ops.sum(bank, axis=-1, keepdims=True), 1e-8)


def _both_sides(rows, images, columns):
    """R x C' for each channel: `(B, M, H)`, `(B, H, W, C)` and `(B, N, W)` to `(B, M, N, C)`."""
    batch, height, width, channels = ops.shape(images)
    images = ops.matmul(rows, ops.reshape(images, (batch, height, width * channels)))
    images = ops.reshape(images, (batch, -1, width, channels))
    # (B, 1, N, W) times (B, M, W, C)
    return ops.matmul(columns[:, None], images)
