"""Gradients for tests, on every backend."""

import keras
import numpy as np


def gradient(function, x):
    """The gradient at the array `x` of the scalar `function(x)`, as an array."""
    x = np.asarray(x, dtype="float32")
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        x = tf.convert_to_tensor(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x).numpy()
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(function)(x))
    import torch

    x = torch.tensor(x, requires_grad=True)
    function(x).backward()
    return x.grad.numpy()


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
