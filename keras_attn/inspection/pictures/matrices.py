import math

import numpy as np

from keras_attn._figure import by_name, check_labels, colours, literal, ticks
from keras_attn.inspection.pictures.drawing import Drawing, draw_together

#: Panels side by side.
SIDE = 4


def draw_matrices(maps, outputs=None, inputs=None, limit=None, path=None):
    """Draws who looks at whom: rows are positions that look, columns what they look at; layers and heads side by side.

    All panels have one scale, so that they can be compared. Of many labels some are shown.

    Args:
        maps: `(T, S)` or `(H, T, S)`, or a dictionary from names to such maps. Each head is a panel.
        outputs: labels of the T rows; None for their numbers.
        inputs: labels of the S columns; None for those of the rows, if T = S.
        limit: the number at which colours are full; None for the largest.
        path: where to write the picture too, by its ending as PNG, SVG or PDF; None for nowhere.

    Returns:
        The `matplotlib.figure.Figure`; it belongs to no window.

    Example:
    >>> figure = draw_matrices({"look": np.ones((2, 3, 5)) / 5}, inputs="abcde")
    >>> [panel.get_title() for panel in figure.axes[:2]]
    ['look, head 0', 'look, head 1']
    """
    return draw_together([matrices_drawing(maps, outputs, inputs, limit)], path=path)


def matrices_drawing(maps, outputs=None, inputs=None, limit=None):
    """As `draw_matrices`, as a part for `draw_together`."""
    panels = heads(by_name(maps, 2, 3))
    rows, columns = next(iter(panels.values())).shape
    for name, each in panels.items():
        if each.shape != (rows, columns):
            raise ValueError(
                f"Maps side by side must be of one shape, and the first is {(rows, columns)}. "
                f"Received: {name!r} of shape {each.shape}"
            )
    inputs = outputs if inputs is None and rows == columns else inputs
    outputs, inputs = check_labels("outputs", outputs, rows), check_labels("inputs", inputs, columns)
    scale = colours(np.stack(list(panels.values())), limit)
    side, down = min(SIDE, len(panels)), math.ceil(len(panels) / SIDE)
    wide, high = (min(5.0, max(1.8, 0.16 * count)) for count in (columns, rows))

    def fill(figure):
        grid = figure.subplots(down, side, squeeze=False).ravel()
        for place, (panel, (name, each)) in enumerate(zip(grid, panels.items())):
            image = panel.imshow(each, aspect="auto", interpolation="nearest", **scale)
            panel.set_title(name, **literal(fontsize=9))
            # The lowest panel of each column and the first of each row have the labels.
            lowest, first = place + side >= len(panels), place % side == 0
            ticks(panel.xaxis, inputs, wide)
            ticks(panel.yaxis, outputs, high)
            panel.tick_params(axis="x", labelbottom=lowest, rotation=90 if inputs else 0)
            panel.tick_params(axis="y", labelleft=first)
            panel.set_xlabel("position looked at" if lowest else "")
            panel.set_ylabel("position that looks" if first else "")
        for panel in grid[len(panels) :]:
            panel.remove()
        figure.colorbar(image, ax=grid[: len(panels)].tolist(), fraction=0.05, pad=0.02)

    labels = 0.08 * max((len(label) for label in (inputs or [""]) + (outputs or [""])), default=0)
    return Drawing(1.4 + labels + side * (wide + 0.2), 0.7 + labels + down * (high + 0.4), fill)


def heads(maps):
    """Matrices `(T, S)` by name, those of heads one by one."""
    panels = {}
    for name, each in maps.items():
        if each.ndim == 2:
            panels[name] = each
        else:
            front = f"{name}, " if name else ""
            panels.update({f"{front}head {head}": one for head, one in enumerate(each)})
    return panels

