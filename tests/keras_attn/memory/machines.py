"""What the tests of both machines share."""

import numpy as np
from keras import ops

B, T, D = 3, 5, 4


def numpy(x):
    return ops.convert_to_numpy(x)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def shaken(layer, batch=None):
    """The layer built, with weights that are not zero and large enough for gates to differ."""
    layer.build((batch, T, D))
    rng = np.random.default_rng(1)
    for weight in layer.trainable_weights:
        weight.assign((0.7 * rng.normal(size=weight.shape)).astype("float32"))
    return layer


def parts_of(layer):
    """The weights of the layer in float64, by the end of their path."""
    return {"/".join(w.path.split("/")[-2:]): numpy(w).astype("float64") for w in layer.weights}


def lstm_of(parts):
    return {name: parts[f"controller/{name}"] for name in ("input_kernel", "kernel", "bias")}
