from typing import NamedTuple

import numpy as np
from keras import ops

from keras_attn._autodiff import pullback
from keras_attn.inspection._entrance import at_once, chosen, entered, entrance, nothing_there, one_number, tiled
from keras_attn.lookup import choose, whole_number


class Attribution(NamedTuple):
    """Shares of an answer that fall to positions, `map` `(B, S)`, and `gap` `(B,)`, what they leave unexplained.

    The gap is `f(x) - f(baseline) - Σ_s map_s`. Of integrated gradients it is what too few steps cost; of the other
    methods no promise is made that it vanishes.
    """

    map: np.ndarray
    gap: np.ndarray


def attribution(
    model, inputs, output=None, method="integrated_gradients", baseline=None, steps=32, at=None, seed=0, **options
):
    """How much each position of the input adds to one number that a model says.

    - "gradient_x_input": `Σ_d (x - x°) ∂f/∂x`, one backward pass.
    - "integrated_gradients": the same with the gradient's mean along the straight line from the baseline to x, in the
      middle of so many `steps`.
    - "smooth_grad": the same with the gradient's mean over so many `steps` copies of x, to which normal noise is added,
      a tenth as large as the range of that row's x.
    - "occlusion": `f(x) - f(x with that position's vector from the baseline)`, S passes and no gradient.

    Args:
        model: a built Keras model or layer of whose rows none depends on another.
        inputs: what it is called with, as for `sensitivity`.
        output: the number f of each row: a channel's number, or a function of the output to `(B,)`; None if the model
            says one number only.
        method: one of the above.
        baseline: x°, what stands for "nothing there": an array that broadcasts to `(B, S, Di)`; None for zeros; "mean",
            where x is what an embedding made of words, for the mean of its table. Where a model normalises the vectors
            of words and adds nothing to them, zeros are no word at all: the answer jumps at once when it leaves them,
            where no step sees it, and the gap is large.
        steps: of the methods that have steps, how many, at least 1.
        at: as for `sensitivity`.
        seed: of the noise.
        **options: further arguments of the call; `training=False` unless given.

    Returns:
        An `Attribution`: `map` `(B, S)`, signed, and `gap` `(B,)`. Of images the pixels' shares stand row after row:
        `map.reshape(B, H, W)`.

    Example:
    >>> layer = keras.layers.Conv1D(1, kernel_size=2, kernel_initializer="ones")
    >>> layer.build((None, 2, 1))
    >>> found = attribution(layer, np.array([[[1.0], [-2.0]]], "float32"), output=lambda y: y[:, 0, 0])
    >>> found.map.tolist(), found.gap.tolist()
    ([[1.0, -2.0]], [0.0])

    Reference: Sundararajan et al., 2017, https://arxiv.org/abs/1703.01365, eq. 1 and 3 (integrated gradients); Smilkov
    et al., 2017, https://arxiv.org/abs/1706.03825 (SmoothGrad); Zeiler and Fergus, 2014,
    https://arxiv.org/abs/1311.2901 (occlusion).
    """
    choose("method", method, METHODS)
    whole_number("steps", steps)
    x, run = entrance(model, inputs, at, {"training": False, **options})
    start = nothing_there(baseline, x, entered(model, inputs, at))

    def function(x, copies):
        return one_number(chosen(run(x, copies), output))

    answer, nothing = (ops.convert_to_numpy(function(ops.convert_to_tensor(each), 1)) for each in (x, start))
    found = METHODS[method](function, x, start, steps, seed)
    return Attribution(found, answer - nothing - found.sum(axis=1))


def _gradient_x_input(function, x, start, steps, seed):
    return ((x - start) * _mean_slope(function, x, [lambda: x])).sum(axis=-1)


def _integrated_gradients(function, x, start, steps, seed):
    shares = (np.arange(steps, dtype="float32") + 0.5) / steps
    # The share is bound at once, the points are made one after the other.
    points = [lambda share=share: start + share * (x - start) for share in shares]
    return ((x - start) * _mean_slope(function, x, points)).sum(axis=-1)


def _smooth_grad(function, x, start, steps, seed):
    random, scale = np.random.default_rng(seed), 0.1 * np.ptp(x, axis=(1, 2), keepdims=True)
    points = [lambda: x + scale * random.normal(size=x.shape).astype("float32")] * steps
    return ((x - start) * _mean_slope(function, x, points)).sum(axis=-1)


def _occlusion(function, x, start, steps, seed):
    here, found = ops.convert_to_numpy(function(ops.convert_to_tensor(x), 1)), []
    for place in range(x.shape[1]):
        without = np.array(x)
        without[:, place] = start[:, place]
        found.append(here - ops.convert_to_numpy(function(ops.convert_to_tensor(without), 1)))
    return np.stack(found, axis=1)


def _mean_slope(function, x, points):
    """The mean over the points of the gradient of `function`, some points at a time."""
    copies = at_once(len(points), x)
    pull, total = pullback(lambda x: function(x, copies)), np.zeros_like(x)
    for first in range(0, len(points), copies):
        some = [point() for point in points[first : first + copies]]
        # Copies behind the last point ask for nothing.
        asked = np.repeat(np.arange(copies) < len(some), len(x)).astype("float32")
        some = np.concatenate([*some, tiled(x, copies - len(some))])
        slopes = ops.convert_to_numpy(pull(ops.convert_to_tensor(some), ops.convert_to_tensor(asked)))
        total += slopes.reshape(copies, *x.shape).sum(axis=0)
    return total / len(points)


METHODS = {
    "gradient_x_input": _gradient_x_input,
    "integrated_gradients": _integrated_gradients,
    "smooth_grad": _smooth_grad,
    "occlusion": _occlusion,
}
