"""Positions that are those of an image, row after row: which they are, and back and forth."""

import math

from keras import ops

from keras_attn.lookup import whole_number


def check(grid):
    """`(H, W)`, or None.

    Raises:
        ValueError: for anything but two positive integers.
    """
    if grid is None:
        return None
    try:
        height, width = grid
        return whole_number("H", height), whole_number("W", width)
    except (TypeError, ValueError):
        raise ValueError(
            f"Invalid argument `grid`: it must be [H, W], two positive integers. Received: grid={grid!r}"
        ) from None


def fitting(grid, input_shape):
    """`(H, W)` for inputs of this shape; where the grid is None, the one nearest to a square.

    Raises:
        ValueError: if the length is not known, zero, or not that of the grid.
    """
    length = input_shape[1]
    if not length:
        raise ValueError(
            "A grid has a fixed number of positions, at least 1: build the layer on inputs of a known length. "
            f"Received: input_shape={tuple(input_shape)}"
        )
    if grid is None:
        height = next(side for side in range(math.isqrt(length), 0, -1) if length % side == 0)
        return height, length // height
    if math.prod(grid) != length:
        raise ValueError(
            f"A grid of {grid[0]} rows and {grid[1]} columns has {math.prod(grid)} positions. "
            f"Received: input_shape={tuple(input_shape)}"
        )
    return tuple(grid)


def unflat(x, grid):
    """`(B, H W, ...)` to `(B, H, W, ...)`."""
    return ops.reshape(x, (-1, *grid, *x.shape[2:]))


def flat(x):
    """`(B, H, W, ...)` to `(B, H W, ...)`."""
    return ops.reshape(x, (-1, x.shape[1] * x.shape[2], *x.shape[3:]))
