"""Vector-Jacobian products, and compiled functions, on each backend: the only file that names one."""

import functools

import keras
from keras import ops


def with_gradient(function, gradient):
    """`function`, whose gradients with respect to its tensors are `gradient(*tensors, result, upstream)`.

    Both are of ordinary operations, so that gradients of gradients can be taken.
    """
    if keras.config.backend() == "torch":
        return functools.partial(_written_down().apply, function, gradient)

    @ops.custom_gradient
    def call(*tensors):
        result = function(*tensors)
        return result, lambda upstream: gradient(*tensors, result, upstream)

    return call


@functools.cache
def _written_down():
    """Keras's own custom gradient on torch is refused by the function transforms."""
    import torch

    class WrittenDown(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(function, gradient, *tensors):
            return function(*tensors)

        @staticmethod
        def setup_context(context, arguments, result):
            _, context.gradient, *tensors = arguments
            context.save_for_backward(*tensors, result)

        @staticmethod
        def backward(context, upstream):
            return None, None, *context.gradient(*context.saved_tensors, upstream)

    return WrittenDown


def pullback(function):
    """A compiled function `(x, v) -> v' ∂function(x)/∂x`, for a `function` from one tensor to one tensor.

    Zeros where the function does not depend on x.
    """
    return {"tensorflow": _on_tensorflow, "jax": _on_jax, "torch": _on_torch}[keras.config.backend()](function)


def pullbacks(function, x, copies):
    """`products(upstreams)`, `(copies, B, ...)` from `(copies, B, N)`: as many pullbacks at once of `function(x, 1)`.

    On jax they share one forward pass. Elsewhere not all that a model may be made of can be vectorised: there x is
    copied along the batch, and `function(x, copies)` is a pass with them all.
    """
    if keras.config.backend() == "jax":
        return _vectorised_on_jax(lambda x: function(x, 1), x)
    pull, many = pullback(lambda x: function(x, copies)), ops.tile(x, (copies, *(1 for _ in x.shape[1:])))

    def products(upstreams):
        return ops.reshape(pull(many, ops.reshape(upstreams, (-1, upstreams.shape[-1]))), (copies, *x.shape))

    return products


def compiled(function):
    """The function from one tensor to one tensor, compiled where the backend does that, without a backward pass."""
    return {"tensorflow": _compiled_on_tensorflow, "jax": _compiled_on_jax, "torch": _bare_on_torch}[
        keras.config.backend()
    ](function)


def _on_tensorflow(function):
    import tensorflow as tf

    @tf.function
    def product(x, v):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x, output_gradients=v, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    return product


def _on_jax(function):
    import jax

    return jax.jit(lambda x, v: jax.vjp(function, x)[1](v)[0])


def _on_torch(function):
    import torch

    def product(x, v):
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            y = function(x)
            if not y.requires_grad:  # It depends on nothing that could have a slope.
                return torch.zeros_like(x)
            (slope,) = torch.autograd.grad(y, x, v, allow_unused=True, materialize_grads=True)
        return slope

    return product


def _vectorised_on_jax(function, x):
    import jax

    @jax.jit
    def products(x, upstreams):
        return jax.vmap(jax.vjp(function, x)[1])(upstreams)[0]

    return lambda upstreams: products(x, upstreams)


def _compiled_on_tensorflow(function):
    import tensorflow as tf

    return tf.function(function)


def _compiled_on_jax(function):
    import jax

    return jax.jit(function)


def _bare_on_torch(function):
    import torch

    return torch.no_grad()(function)
