"""Yardsticks: what does not beat them has not learned where to look."""

import keras
from keras import ops

from keras_attn.mixer import Implicit, Mixing


@keras.saving.register_keras_serializable(package="keras_attn")
class Identity(Implicit):
    """No mixing at all: `y_t = x_t`.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions.
        use_causal_mask: changes nothing.

    Returns:
        The inputs, zero at padded positions.

    Example:
    >>> bool(keras.ops.all(Identity()(keras.ops.ones((2, 3, 5))) == 1.0))
    True
    """

    control = True
    can_step = True

    def mixing(self, inputs, mask, causal):
        return Mixing(inputs, mix=lambda x: x, gated=False)

    def initial_state(self, batch_size, max_length=None):
        return ()

    def step(self, inputs, state):
        return ops.cast(inputs, self.compute_dtype), state

    def go_on(self, inputs, state):
        return ops.cast(inputs, self.compute_dtype), state


@keras.saving.register_keras_serializable(package="keras_attn")
class Pooling(Implicit):
    """The mean over all positions, at every position: looking everywhere alike. Causal: the mean so far.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; the others do not count.
        use_causal_mask: whether position t gets the mean of positions up to t only.

    Returns:
        `(B, T, D)`, zero at padded positions.

    Example:
    >>> pooled = Pooling()(keras.ops.array([[[1.0], [3.0]]]))
    >>> keras.ops.convert_to_numpy(pooled).tolist()
    [[[2.0], [2.0]]]

    Reference: Yu et al., 2022, https://arxiv.org/abs/2111.11418 (a stack with nothing but pooling for a mixer).
    """

    control = True
    can_step = True

    def build(self, input_shape):
        self._width = input_shape[-1]
        self.built = True

    def mixing(self, inputs, mask, causal):
        # Sums of many half-precision numbers lose the small ones.
        values = ops.cast(inputs, "float32")
        real = ops.ones_like(values[..., :1]) if mask is None else ops.cast(mask, "float32")[..., None]
        return Mixing(
            values,
            mix=lambda x: _mean_so_far(x, real) if causal else _mean(x, real),
            read=lambda mix: ops.cast(mix, inputs.dtype),
            gated=False,
        )

    def initial_state(self, batch_size, max_length=None):
        return {"sum": ops.zeros((batch_size, self._width)), "count": ops.zeros((batch_size, 1))}

    def step(self, inputs, state):
        total, count = state["sum"] + ops.cast(inputs, "float32"), state["count"] + 1.0
        return ops.cast(total / count, self.compute_dtype), {"sum": total, "count": count}

    def go_on(self, inputs, state):
        total = state["sum"][:, None] + ops.cumsum(ops.cast(inputs, "float32"), axis=1)
        count = state["count"][:, None] + ops.arange(1, inputs.shape[1] + 1, dtype="float32")[None, :, None]
        return ops.cast(total / count, self.compute_dtype), {"sum": total[:, -1], "count": count[:, -1]}


def _mean(x, real):
    mean = ops.sum(x, axis=1, keepdims=True) / ops.maximum(ops.sum(real, axis=1, keepdims=True), 1.0)
    return ops.broadcast_to(mean, ops.shape(x))


def _mean_so_far(x, real):
    return ops.cumsum(x, axis=1) / ops.maximum(ops.cumsum(real, axis=1), 1.0)
