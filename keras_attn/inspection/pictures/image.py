import numpy as np

from keras_attn._figure import array, by_name, colours, literal
from keras_attn.inspection.pictures.drawing import Drawing, draw_together


def draw_on_image(image, maps, grid=None, limit=None, path=None):
    """Draws maps over an image: the image alone, then in grey under each map.

    Each number is spread over the pixels of its position, without smoothing: what the map does not tell apart stays
    one block. Where the number is near zero the image shows through.

    Args:
        image: `(H, W)` or `(H, W, C)`, C of 1 or 3, whose least number is drawn black and whose largest white.
        maps: `(S,)` with positions row after row on a grid, or `(rows, columns)`; or a dictionary from names to such
            maps, each of which has a scale of its own.
        grid: `(rows, columns)`, whose product is S; None for the grid of square-like cells.
        limit: the number at which colours are full, for all maps alike; None for each map's largest.
        path: where to write the picture too, by its ending as PNG, SVG or PDF; None for nowhere.

    Returns:
        The `matplotlib.figure.Figure`; it belongs to no window.

    Example:
    >>> figure = draw_on_image(np.eye(4), {"weights": [0.1, 0.2, 0.3, 0.4]})
    >>> figure.axes[1].images[1].get_array().shape
    (2, 2)
    """
    return draw_together([image_drawing(image, maps, grid, limit)], path=path)


def image_drawing(image, maps, grid=None, limit=None, label="image"):
    """As `draw_on_image`, as a part for `draw_together`; `label` says what the image is."""
    image, maps = pixels(image), by_name(maps, 1, 2)
    high, wide = image.shape[:2]
    maps = {name: each if each.ndim == 2 else on_grid(each, grid, high, wide) for name, each in maps.items()}
    # Of about three inches each, whatever the number of pixels.
    size = 2.8 / max(high, wide)
    side, down = min(4, 1 + len(maps)), -(-(1 + len(maps)) // 4)

    def fill(figure):
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        panels = figure.subplots(down, side, squeeze=False).ravel()
        for panel in panels:
            panel.set_axis_off()
        panels[0].imshow(image, cmap="gray", vmin=0.0, vmax=1.0)
        panels[0].set_title(label, **literal(fontsize=9))
        grey = image if image.ndim == 2 else image @ np.array([0.299, 0.587, 0.114], "float32")
        for panel, (name, each) in zip(panels[1:], maps.items()):
            panel.imshow(grey, cmap="gray", vmin=0.0, vmax=1.0)
            scale = colours(each, limit)
            strength = np.minimum(1.0, np.abs(each) / scale["vmax"])
            shape = {"extent": (-0.5, wide - 0.5, high - 0.5, -0.5), "interpolation": "nearest"}
            panel.imshow(each, alpha=0.85 * np.sqrt(strength), **shape, **scale)
            panel.set_title(name, **literal(fontsize=9))
            full = ScalarMappable(Normalize(scale["vmin"], scale["vmax"]), scale["cmap"])
            figure.colorbar(full, ax=panel, fraction=0.046, pad=0.02)

    return Drawing(0.2 + side * (wide * size + 0.6), 0.2 + down * (high * size + 0.4), fill)


def pixels(image):
    """An image as float32 in [0, 1], `(H, W)` or `(H, W, 3)`."""
    image = array(image, "image", 2, 3)
    if image.ndim == 3 and image.shape[-1] not in (1, 3):
        raise ValueError(f"An image has one channel or three, the last axis. Received: shape {image.shape}")
    image = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    low, high = image.min(), image.max()
    return (image - low) / (high - low if high > low else 1.0)


def on_grid(values, grid, high, wide):
    """Numbers of positions, row after row, as `(rows, columns)`."""
    count = len(values)
    if grid is None:
        grid = grid_of(count, high, wide)
    elif len(grid) != 2 or grid[0] * grid[1] != count:
        raise ValueError(f"`grid` must be (rows, columns) of {count} positions together. Received: grid={grid}")
    return values.reshape(grid)


def grid_of(count, high, wide):
    """Rows and columns of so many positions whose cells are as near to squares as can be."""
    rows = [number for number in range(1, count + 1) if count % number == 0]
    best = min(rows, key=lambda number: abs(np.log((high / number) / (wide * number / count))))
    if abs(np.log((high / best) / (wide * best / count))) > np.log(2.0) + 1e-6:
        raise ValueError(
            f"{count} positions stand on no grid of square-like cells on an image of {high} x {wide}: "
            "say in `grid` how many rows and columns they have."
        )
    return best, count // best
