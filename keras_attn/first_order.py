"""Gradients by hand that must not be differentiated again say so; torch would return wrong numbers in silence."""

from keras import ops


def first_order_only(gradients, inputs):
    """The gradients with respect to the inputs, with an error when they are differentiated in their turn."""
    return tuple(_guarded(gradient, x) for gradient, x in zip(gradients, inputs))


@ops.custom_gradient
def _guarded(gradient, x):
    # The input is an argument so that backends know of what the gradient is a function.
    def refuse(*args, upstream=None):
        raise NotImplementedError(
            "The quick paths by chunks have no second derivatives. Make the attention layer with `chunk_size=None`."
        )

    return gradient, refuse
