"""Who may look at whom: boolean masks, True where looking is allowed, that broadcast to weights `(B, H, T, S)`.

T counts queries and S keys. Where S > T the last query stands at the last key (bottom-right alignment), as it does when
the keys hold a cache of earlier positions.
"""

import keras
from keras import ops

from keras_attn.lookup import known_values


def padding(mask):
    """From `(B, S)`, True for real positions, to `(B, 1, 1, S)`."""
    return ops.cast(mask, "bool")[:, None, None, :]


def causal(queries, keys):
    """`(1, 1, T, S)`: no query sees a later key."""
    return _distance(queries, keys) >= 0


def window(queries, keys, width):
    """`(1, 1, T, S)`: keys fewer than `width` positions away, on either side."""
    return ops.abs(_distance(queries, keys)) < width


def given(mask):
    """A caller's mask of shape `(T, S)`, `(B, T, S)` or `(B, H, T, S)`, as four axes."""
    mask = ops.convert_to_tensor(mask)
    known = known_values(mask) if "float" in keras.backend.standardize_dtype(mask.dtype) else None
    if known is not None and (known < 0.0).any():
        raise ValueError(
            "`attention_mask` is True, or 1, where looking is allowed. What is added to the scores goes into "
            f"`attention_bias`. Received: numbers from {known.min()} to {known.max()}"
        )
    return four_axes("attention_mask", ops.cast(mask, "bool"))


def four_axes(name, x):
    """What came as argument `name` with shape `(T, S)`, `(B, T, S)` or `(B, H, T, S)`, as four axes."""
    x = ops.convert_to_tensor(x)
    rank = len(x.shape)
    if rank not in (2, 3, 4):
        raise ValueError(f"`{name}` must have shape (T, S), (B, T, S) or (B, H, T, S). Received: {tuple(x.shape)}")
    return x if rank == 4 else x[:, None] if rank == 3 else x[None, None]


def combine(*masks):
    """What all of them allow; None stands for a mask that allows everything."""
    combined = None
    for mask in masks:
        if mask is not None:
            mask = ops.cast(mask, "bool")
            combined = mask if combined is None else ops.logical_and(combined, mask)
    return combined


def zero(x, mask):
    """`x` of shape `(B, T, ...)` with zeros where the `(B, T)` mask is False: not even NaN or inf gets through."""
    if mask is None:
        return x
    mask = ops.cast(mask, "bool")
    return ops.where(ops.reshape(mask, (*ops.shape(mask), *(1 for _ in x.shape[2:]))), x, ops.zeros_like(x))


def _distance(queries, keys):
    """How far before its query each key stands: `(1, 1, T, S)`, negative for later keys."""
    position = ops.arange(queries)[:, None] + (keys - queries)
    return (position - ops.arange(keys)[None, :])[None, None]
