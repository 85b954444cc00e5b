"""Training examples, changed a little by chance, every one in its own way: images are `(N, H, W, C)` in and out."""

import numpy as np


def shift(random, images, most):
    """Moved by up to so many pixels along each side; what comes in repeats the edge."""
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    down, right = random.integers(0, 2 * most + 1, (2, len(images)))
    moved = [each[row : row + height, column : column + width] for each, row, column in zip(padded, down, right)]
    return np.stack(moved)


def turn(random, images):
    """Half of them turned left to right."""
    turned = random.random(len(images)) < 0.5
    return np.where(turned[:, None, None, None], images[:, :, ::-1], images)


def cut_out(random, images, side):
    """A square of so many pixels a side set to 0, the mean of images with mean 0 (DeVries and Taylor, 2017)."""
    sizes = images.shape[1:3]
    if not 1 <= side <= min(sizes):
        raise ValueError(f"`side` must be from 1 to {min(sizes)}, the image's smaller side. Received: side={side!r}")
    rows, columns = (_span(random.integers(0, size - side + 1, len(images)), side, size) for size in sizes)
    return images * ~(rows[:, :, None, None] & columns[:, None, :, None])


def _span(first, side, size):
    """Where the square is along one side, `(N, size)`."""
    places = np.arange(size) - first[:, None]
    return (places >= 0) & (places < side)


def move(x, places, last):
    """What stands at these places `(B, T)`, whole or not, of `x` `(B, T, C)`; beyond the last one, that."""
    places = np.clip(places, 0, last)
    below = places.astype("int64")
    share, rows = (places - below)[..., None], np.arange(len(x))[:, None]
    return (1 - share) * x[rows, below] + share * x[rows, np.minimum(below + 1, last)]
