"""Gradients for tests, on every backend."""

import keras
import numpy as np


def gradient(function, x):
    """The gradient at the array `x` of the scalar `function(x)`, as an array."""
    return gradients(function, [x])[0]


def gradients(function, arrays):
    """The gradients at the arrays of the scalar `function(*arrays)`, as arrays."""
    arrays = [np.asarray(x, dtype="float32") for x in arrays]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        arrays = [tf.convert_to_tensor(x) for x in arrays]
        with tf.GradientTape() as tape:
            tape.watch(arrays)
            y = function(*arrays)
        return [x.numpy() for x in tape.gradient(y, arrays)]
    if keras.backend.backend() == "jax":
        import jax

        return [np.asarray(x) for x in jax.grad(function, argnums=tuple(range(len(arrays))))(*arrays)]
    import torch

    arrays = [torch.tensor(x, requires_grad=True) for x in arrays]
    function(*arrays).backward()
    return [x.grad.numpy() for x in arrays]


def tangent(function, arrays, tangents):
    """By how much `function(*arrays)` changes for changes `tangents` of the arrays, in forward mode, as an array."""
    arrays, tangents = (tuple(np.asarray(x, dtype="float32") for x in each) for each in (arrays, tangents))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        arrays, tangents = ([tf.convert_to_tensor(x) for x in each] for each in (arrays, tangents))
        with tf.autodiff.ForwardAccumulator(arrays, tangents) as forward:
            y = function(*arrays)
        return forward.jvp(y).numpy()
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.jvp(function, arrays, tangents)[1])
    import torch

    arrays, tangents = (tuple(torch.tensor(x) for x in each) for each in (arrays, tangents))
    return torch.func.jvp(function, arrays, tangents)[1].detach().numpy()


def second_gradient(function, x):
    """The gradient at `x` of the sum of squares of the gradient of the scalar `function(x)`, as an array."""
    x = np.asarray(x, dtype="float32")
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        x = tf.convert_to_tensor(x)
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = function(x)
            squares = tf.reduce_sum(tf.square(tape.gradient(y, x)))
        return outer.gradient(squares, x).numpy()
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(lambda x: (jax.grad(function)(x) ** 2).sum())(x))
    import torch

    x = torch.tensor(x, requires_grad=True)
    (slope,) = torch.autograd.grad(function(x), x, create_graph=True)
    return torch.autograd.grad((slope**2).sum(), x)[0].numpy()
