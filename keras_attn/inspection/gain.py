from typing import NamedTuple

import numpy as np

from keras_attn.inspection.sensitivity import sensitivity


class Gain(NamedTuple):
    """The singular value decomposition of each row's Jacobian, the largest values first.

    `values` `(B, K)`: by how much a small change of the inputs in each direction is made larger. `inputs`
    `(B, K, S, Di)`: these directions, each of length one. `outputs` `(B, K, T, Do)`, or `(B, K, Do)` without
    positions: what then changes, of length one too.
    """

    values: np.ndarray
    inputs: np.ndarray
    outputs: np.ndarray


def gain(model, inputs, count=None, **options):
    """How sensitive a model is at all, and in which directions: `J = U Σ V'` of the whole Jacobian of each row.

    The largest of the values is how much farther apart the outputs for two inputs very near to each other can lie than
    these. The whole Jacobian is held at once: T Do S Di numbers for each row.

    Args:
        model: a built Keras model or layer of whose rows none depends on another.
        inputs: what it is called with, as for `sensitivity`.
        count: K, how many values to keep, at least 1; None for all that there are.
        **options: `output`, `at`, `causal` and what else `sensitivity` takes, but `reduce`.

    Returns:
        A `Gain`.

    Example:
    >>> layer = keras.layers.Dense(2, kernel_initializer="ones")
    >>> layer.build((None, 3, 2))
    >>> gain(layer, np.ones((1, 3, 2), "float32")).values.round(3).tolist()
    [[2.0, 2.0, 2.0, 0.0, 0.0, 0.0]]

    Reference: Novak et al., 2018, https://arxiv.org/abs/1802.08760, section 3.1 (the norm of the input-output
    Jacobian as a measure of sensitivity).
    """
    if count is not None and count < 1:
        raise ValueError(f"`count` says how many singular values to keep, at least 1. Received: count={count}")
    jacobian = sensitivity(model, inputs, reduce=None, **options)
    if not np.isfinite(jacobian).all():
        raise ValueError("The Jacobian must be finite. Received: a model and inputs of which it is not")
    outputs, places = jacobian.shape[1:-2], jacobian.shape[-2:]
    left, values, right = np.linalg.svd(
        jacobian.reshape(len(jacobian), np.prod(outputs), np.prod(places)), full_matrices=False
    )
    left = np.moveaxis(left, 2, 1)[:, :count]
    return Gain(
        values[:, :count],
        right[:, :count].reshape(len(left), -1, *places),
        left.reshape(len(left), -1, *outputs),
    )
