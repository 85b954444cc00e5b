"""What lies between a position and the one before it, in shares that each channel learns."""

from keras import ops

from keras_attn._slices import one_later


def token_shift(x, before, share):
    """`share ⊙ x_t + (1 - share) ⊙ x_{t-1}`, given `x_t` and `x_{t-1}` `(..., D)`."""
    return before + ops.cast(share, x.dtype) * (x - before)


def one_before(x):
    """`x_{t-1}` of `x` `(B, T, D)`, zero before the first."""
    return one_later(x, 1)


def all_before(x, state):
    """`x_{t-1}` of `x` `(B, n, D)`, of which the first is the state `(B, D)`."""
    return ops.concatenate([state[:, None], x[:, :-1]], axis=1)


def spread_shares(shape, dtype=None):
    """From 0, wholly the position before, in the first channel to 1, wholly its own, in the last."""
    return ops.linspace(0.0, 1.0, shape[0], dtype=dtype)
