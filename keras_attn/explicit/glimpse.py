import keras
from keras import ops

from keras_attn import reinforce
from keras_attn.explicit.spatial_transformer import bilinear, pixel
from keras_attn.lookup import flag, number, whole_number


@keras.saving.register_keras_serializable(package="keras_attn")
class Glimpse(keras.layers.Layer):
    """A retina: square patches around one place, sharp in the middle and coarser the farther they reach.

    Patch k covers `size · growth^k` pixels in either direction and is averaged down to `size`. Between the pixels the
    image is interpolated, so that the patches have a gradient with respect to the place; beyond the edges it is zero.

    The place (x, y) runs from (-1, -1), the image's upper left corner, to (1, 1), its lower right one: pixel i of W has
    its centre at `(2 i + 1) / W - 1`. A patch lies symmetrically around its place. So a patch of odd width is an exact
    crop if the place is the centre of a pixel, and one of even width if it is a corner between pixels, such as
    `2 i / W - 1`; nothing is shifted by half a pixel.

    Args:
        size: pixels of each patch in either direction, at least 1.
        scales: how many patches, at least 1.
        growth: how much farther each patch reaches than the one before, a whole number of at least 1.

    Call arguments:
        images: `(B, H, W, C)`.
        location: `(B, 2)`, (x, y) from -1 to 1.

    Returns:
        `(B, scales, size, size, C)`, the finest first.

    Example:
    >>> glimpse = Glimpse(size=5, scales=3)
    >>> tuple(glimpse(keras.random.normal((2, 13, 11, 1)), keras.ops.zeros((2, 2))).shape)
    (2, 3, 5, 5, 1)

    Reference: Mnih et al., 2014, https://arxiv.org/abs/1406.6247, section 3.1 and figure 1.
    """

    def __init__(self, size, scales=3, growth=2, **kwargs):
        super().__init__(**kwargs)
        self.size = whole_number("size", size)
        self.scales = whole_number("scales", scales)
        self.growth = whole_number("growth", growth)
        # Half precision is too coarse for coordinates: the location is not rounded at the door.
        self.autocast = False

    def call(self, images, location):
        location = ops.cast(location, "float32")
        height, width = ops.shape(images)[1:3]
        x, y = pixel(location[:, 0], width), pixel(location[:, 1], height)
        patches = [self._patch(images, x, y, self.growth**scale) for scale in range(self.scales)]
        return ops.cast(ops.stack(patches, axis=1), self.compute_dtype)

    def _patch(self, images, x, y, factor):
        """`(B, size, size, C)` from `size · factor` pixels in either direction around (x, y)."""
        side = self.size * factor
        steps = ops.arange(side, dtype="float32") - (side - 1) / 2.0
        columns, rows = x[:, None, None] + steps[None, None, :], y[:, None, None] + steps[None, :, None]
        patch = bilinear(images, *(ops.broadcast_to(at, (ops.shape(x)[0], side, side)) for at in (columns, rows)))
        cells = (-1, self.size, factor, self.size, factor, images.shape[-1])
        return ops.mean(ops.reshape(patch, cells), axis=(2, 4))

    def compute_output_shape(self, images_shape, location_shape):
        return (images_shape[0], self.scales, self.size, self.size, images_shape[3])

    def get_config(self):
        return {**super().get_config(), "size": self.size, "scales": self.scales, "growth": self.growth}


@keras.saving.register_keras_serializable(package="keras_attn")
class GlimpsePolicy(keras.layers.Layer):
    """Says where to look next: a place drawn in training around the one that the state proposes.

    `μ = tanh(W h + c)`; in training `l ~ N(μ, std²)`, moved to the edge if it is beyond -1 or 1; otherwise `l = μ`.

    How the policy learns is up to who trains. In a `keras_attn.ReinforceModel` it gets the score-function gradient
    (REINFORCE), from log N of what was drawn, before it was moved to the edge. In any other model the draw is
    `μ + std ε` and its gradient passes through what looks there, such as `Glimpse`.

    Args:
        std: standard deviation of the draw, in units of half an image, above 0.
        learned_baseline: whether to learn from the state which reward to expect. Only a `ReinforceModel` trains it.
        seed: an integer that makes the draws repeatable.

    Call arguments:
        state: `(B, D)`.
        training: whether to draw.

    Returns:
        The location `(B, 2)`, (x, y) from -1 to 1.

    Example:
    >>> tuple(GlimpsePolicy()(keras.random.normal((3, 7)), training=True).shape)
    (3, 2)

    Reference: Mnih et al., 2014, https://arxiv.org/abs/1406.6247, sections 3.1 and 3.2 (eq. 3) and section 4.
    """

    def __init__(self, std=0.1, learned_baseline=False, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.std = number("std", std, low=0.0)
        self.learned_baseline = flag("learned_baseline", learned_baseline)
        self.seed = seed
        self._chance = keras.random.SeedGenerator(seed)
        # Half precision is too coarse for coordinates: the state is not rounded at the door.
        self.autocast = False

    def build(self, state_shape):
        self.mean_dense = self._dense(2, "mean", state_shape)
        if self.learned_baseline:
            self.baseline_dense = self._dense(1, "baseline", state_shape)
        self.built = True

    def _dense(self, units, name, shape):
        dense = keras.layers.Dense(units, name=name, dtype="float32")
        dense.build(shape)
        return dense

    def call(self, state, training=None):
        state = ops.cast(state, "float32")
        location = mean = ops.tanh(self.mean_dense(state))
        if training:
            location = mean + self.std * keras.random.normal(ops.shape(mean), dtype="float32", seed=self._chance)
            if reinforce.is_recording():
                location = ops.stop_gradient(location)
                self._record(location, mean, state)
        return ops.cast(ops.clip(location, -1.0, 1.0), self.compute_dtype)

    def _record(self, location, mean, state):
        log_prob = reinforce.gaussian_log_prob(location, mean, self.std)
        baseline = self.baseline_dense(ops.stop_gradient(state))[:, 0] if self.learned_baseline else None
        reinforce.record(log_prob, baseline=baseline)

    def compute_output_shape(self, state_shape):
        return (state_shape[0], 2)

    def get_config(self):
        options = {"std": self.std, "learned_baseline": self.learned_baseline, "seed": self.seed}
        return {**super().get_config(), **options}
