"""Attention over chosen axes: fold those into one axis of positions and the others into the batch, and back."""

import math

from keras import ops


def resolve(axes, rank):
    """Axes to attend over, counted from the front, of a tensor of this rank; None means all but batch and width."""
    if axes is None:
        return tuple(range(1, rank - 1))
    given = (axes,) if isinstance(axes, int) else tuple(axes)
    found = tuple(axis + rank if axis < 0 else axis for axis in given)
    if not found or len(set(found)) < len(found) or not all(0 < axis < rank - 1 for axis in found):
        raise ValueError(
            f"`attention_axes` must name different axes between the batch (0) and the width ({rank - 1}). "
            f"Received: attention_axes={axes}"
        )
    return found


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
    """A mask `([B, others, [H,]] *T axes, *S axes)` to `(B', 1 or H, T, S)` for the given unfolded tensors."""
    targets, sources = (math.prod(ops.shape(x)[axis] for axis in axes) for x in (query, key))
    others = [ops.shape(query)[axis] for axis in range(len(query.shape) - 1) if axis not in axes]
    lead = list(ops.shape(mask)[: len(mask.shape) - 2 * len(axes)])
    heads = lead.pop() if len(lead) > len(others) else 1
    # A mask with fewer leading axes than the batch has holds for all along the missing ones.
    lead += [1] * (len(others) - len(lead))
    mask = ops.reshape(mask, (*lead, heads, targets, sources))
    mask = ops.broadcast_to(mask, (*others, heads, targets, sources))
    return ops.reshape(mask, (-1, heads, targets, sources))


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
