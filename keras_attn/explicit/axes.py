"""Attention over chosen axes: fold those into one axis of positions and the others into the batch, and back."""

import math

from keras import ops


def resolve(axes, rank):
    """Axes to attend over, counted from the front, of a tensor of this rank; None means all but batch and width."""
    if axes is None:
        return tuple(range(1, rank - 1))
    return tuple(axis % rank for axis in ((axes,) if isinstance(axes, int) else axes))


def fold(x, axes):
    """`(B, ..., D)` to `(B', T, D)`: `axes` become the positions, in their order, the others join the batch."""
    others = [axis for axis in range(len(x.shape) - 1) if axis not in axes]
    positions = math.prod(ops.shape(x)[axis] for axis in axes)
    x = ops.transpose(x, (*others, *axes, len(x.shape) - 1))
    return ops.reshape(x, (-1, positions, x.shape[-1]))


def fold_mask(mask, axes):
    """A mask of shape `(B, ...)` to `(B', T)`, as `fold` does its tensor."""
    return None if mask is None else fold(ops.expand_dims(mask, -1), axes)[..., 0]


def fold_attention_mask(mask, axes, query, key):
    """A mask `([B, [H,]] [others,] *T axes, *S axes)` to `(B', 1 or H, T, S)` for the given unfolded tensors."""
    count = len(axes)
    targets, sources = (math.prod(ops.shape(x)[axis] for axis in axes) for x in (query, key))
    lead = ops.shape(mask)[: len(mask.shape) - 2 * count]
    if not lead:
        return ops.reshape(mask, (1, 1, targets, sources))
    others = [ops.shape(query)[axis] for axis in range(len(query.shape) - 1) if axis not in axes]
    # A mask with fewer leading axes than the batch has holds for all of the missing ones.
    mask = ops.reshape(mask, (*lead, *(1 for _ in others[len(lead) :]), targets, sources))
    mask = ops.broadcast_to(mask, (*others, targets, sources))
    return ops.reshape(mask, (-1, 1, targets, sources))


def unfold(x, axes, like):
    """`(B', T, D)` back to the arrangement of `like`, whatever its own width."""
    others = [axis for axis in range(len(like.shape) - 1) if axis not in axes]
    order = (*others, *axes)
    x = ops.reshape(x, (*(ops.shape(like)[axis] for axis in order), *x.shape[2:]))
    back = [order.index(axis) for axis in range(len(order))]
    return ops.transpose(x, (*back, *range(len(order), len(x.shape))))


def unfold_weights(weights, axes, query, key):
    """`(B', H, T, S)` to `(B, others, H, *T axes, *S axes)`, as Keras arranges them."""
    others = [ops.shape(query)[axis] for axis in range(len(query.shape) - 1) if axis not in axes]
    sizes = (ops.shape(x)[axis] for x in (query, key) for axis in axes)
    return ops.reshape(weights, (*others, weights.shape[1], *sizes))
