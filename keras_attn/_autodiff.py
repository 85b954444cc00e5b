"""Vector-Jacobian products, and compiled functions, on each backend: the only file that names one."""

import functools

import keras
from keras import ops


def with_derivatives(function, gradient, tangent):
    """`function` from tensors to one, with derivatives that are written down, of any order, backward and forward.

    Args:
        function: what is computed.
        gradient: `gradient(*tensors, result, upstream)`, the gradients of the tensors. On jax it is not asked: there
            they are what the tangent is when transposed.
        tangent: `tangent(*tensors, result, *tangents)`, by how much the result changes, linear in the tangents. On jax
            whatever in it is not to be transposed step by step is to be a `solution`.

    All three are of ordinary operations, so that derivatives of derivatives can be taken.
    """
    with_both = {"tensorflow": _derived_on_tensorflow, "jax": _derived_on_jax, "torch": _derived_on_torch}
    return with_both[keras.config.backend()](function, gradient, tangent)


def solution(equation, right, solve, solve_transposed):
    """`solve(right)`, the x of `equation(x) = right`, linear in x, whose transpose `solve_transposed(upstream)` solves.

    On jax it is then transposed as that, and not step by step; elsewhere `solve` has derivatives of its own.
    """
    if keras.config.backend() != "jax":
        return solve(right)
    import jax

    return jax.lax.custom_linear_solve(
        equation, right, lambda _, x: solve(x), transpose_solve=lambda _, x: solve_transposed(x)
    )


def _derived_on_tensorflow(function, gradient, tangent):
    @ops.custom_gradient
    def call(*tensors):
        result = function(*tensors)
        return result, lambda upstream: gradient(*tensors, result, upstream)

    return call


def _derived_on_jax(function, gradient, tangent):
    import jax

    call = jax.custom_jvp(function)

    @call.defjvp
    def _(tensors, tangents):
        result = call(*tensors)
        return result, tangent(*tensors, result, *tangents)

    return call


def _derived_on_torch(function, gradient, tangent):
    return functools.partial(_written_down().apply, function, gradient, tangent)


@functools.cache
def _written_down():
    """Keras's own custom gradient on torch is refused by the function transforms."""
    import torch
    from torch.autograd import forward_ad

    class WrittenDown(torch.autograd.Function):
        @staticmethod
        def forward(function, gradient, tangent, *tensors):
            return function(*tensors)

        @staticmethod
        def setup_context(context, arguments, result):
            _, context.gradient, context.tangent, *tensors = arguments
            context.save_for_backward(*tensors, result)
            context.save_for_forward(*tensors, result)

        @staticmethod
        def backward(context, upstream):
            return None, None, None, *context.gradient(*context.saved_tensors, upstream)

        @staticmethod
        def jvp(context, *tangents):
            # Torch has forward mode off here, for any tangent around this one too, which would then be lost in silence.
            with forward_ad._set_fwd_grad_enabled(True):
                values = (forward_ad.unpack_dual(x).primal for x in context.saved_tensors)
                return context.tangent(*values, *tangents[3:])

        @staticmethod
        def vmap(info, axes, *arguments):
            # Not torch's own rule: `unpack_dual` knows no vmap, which has to be within the three functions therefore.
            each = [torch.vmap(function, randomness=info.randomness) for function in arguments[:3]]
            tensors = (
                x.expand(info.batch_size, *x.shape) if axis is None else x.movedim(axis, 0)
                for x, axis in zip(arguments[3:], axes[3:])
            )
            return WrittenDown.apply(*each, *tensors), 0

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
