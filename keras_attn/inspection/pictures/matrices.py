import numpy as np

from keras_attn._figure import BARE, by_name, check_labels, colours, literal, ticks
from keras_attn.inspection.pictures.drawing import Drawing, draw_together

#: Panels side by side.
SIDE = 4
#: Letters of a title in an inch.
LETTERS = 13


def draw_matrices(maps, outputs=None, inputs=None, mask=None, limit=None, path=None):
    """Draws who looks at whom: rows are positions that look, columns what they look at.

    Heads stand side by side and layers below each other. All panels have one scale, so that they can be compared: what
    is of two kinds, such as weights and sensitivities, belongs into two pictures, or two parts for `draw_together`. Of
    many labels some are shown.

    Args:
        maps: `(T, S)` or `(H, T, S)`, or a dictionary from names to such maps. Each head is a panel; maps of several
            heads begin a new row.
        outputs: labels of the T rows; None for their numbers.
        inputs: labels of the S columns; None for those of the rows, if T = S.
        mask: booleans `(S,)`, False for padding among the columns, which is left blank, and so are its rows if T = S;
            or `(T, S)`; None if all is real.
        limit: the number at which colours are full; None for the largest.
        path: where to write the picture too, by its ending as PNG, SVG or PDF; None for nowhere.

    Returns:
        The `matplotlib.figure.Figure`; it belongs to no window.

    Example:
    >>> figure = draw_matrices({"look": np.ones((2, 3, 5)) / 5}, inputs="abcde")
    >>> [panel.get_title() for panel in figure.axes[:2]]
    ['look, head 0', 'look, head 1']
    """
    return draw_together([matrices_drawing(maps, outputs, inputs, mask, limit)], path=path)


def matrices_drawing(maps, outputs=None, inputs=None, mask=None, limit=None):
    """As `draw_matrices`, as a part for `draw_together`."""
    maps = by_name(maps, 2, 3, mask=mask)
    maps = {name: each if each.ndim == 3 else each[None] for name, each in maps.items()}
    rows, columns = next(iter(maps.values())).shape[1:]
    for name, each in maps.items():
        if each.shape[1:] != (rows, columns):
            raise ValueError(
                f"Maps side by side must be of one shape, and the first is {(rows, columns)}. "
                f"Received: {name!r} of shape {each.shape[1:]}"
            )
    inputs = outputs if inputs is None and rows == columns else inputs
    outputs, inputs = check_labels("outputs", outputs, rows), check_labels("inputs", inputs, columns)
    scale = colours(np.ma.concatenate(list(maps.values())), limit)
    panels = in_rows({name: heads(name, each) for name, each in maps.items()})
    down, side = len(panels), max(map(len, panels))
    wide, high = (min(5.0, max(1.8, 0.16 * count)) for count in (columns, rows))
    if side == 1:
        # There is room for whole titles.
        wide = max(wide, min(4.0, max(map(len, maps)) / LETTERS + 0.1))

    def fill(figure):
        grid, drawn = figure.subplots(down, side, squeeze=False), []
        for row, line in enumerate(panels):
            for column, (name, each) in enumerate(line):
                panel = grid[row, column]
                image = panel.imshow(each, aspect="auto", interpolation="nearest", **scale)
                panel.set_facecolor(BARE)
                panel.set_title(fitting(name, int(LETTERS * wide)), **literal(fontsize=9))
                # The lowest panel of each column and the first of each row have the labels.
                lowest = row + 1 == down or column >= len(panels[row + 1])
                ticks(panel.xaxis, inputs, wide)
                ticks(panel.yaxis, outputs, high)
                panel.tick_params(axis="x", labelbottom=lowest, rotation=90 if inputs else 0)
                panel.tick_params(axis="y", labelleft=column == 0)
                panel.set_xlabel("position looked at" if lowest else "")
                panel.set_ylabel("position that looks" if column == 0 else "")
                drawn.append(panel)
            for panel in grid[row, len(line) :]:
                panel.remove()
        figure.colorbar(image, ax=drawn, fraction=0.05, pad=0.02)

    labels = 0.08 * max(map(len, (inputs or [""]) + (outputs or [""])))
    return Drawing(1.4 + labels + side * (wide + 0.2), 0.7 + labels + down * (high + 0.4), fill)


def heads(name, weights):
    """Titles and matrices of each head of `(H, T, S)`."""
    if len(weights) == 1:
        return [(name, weights[0])]
    front = f"{name}, " if name else ""
    return [(f"{front}head {head}", each) for head, each in enumerate(weights)]


def in_rows(panels):
    """Panels in rows of at most `SIDE`: those of each map by themselves, or all together where each has only one."""
    together = [panel for each in panels.values() for panel in each]
    groups = panels.values() if len(together) > len(panels) else [together]
    return [group[first : first + SIDE] for group in groups for first in range(0, len(group), SIDE)]


def fitting(title, letters):
    """A title in lines of so many letters: its parts below each other, of which only the ends are shown."""
    if len(title) <= letters:
        return title
    return "\n".join(part if len(part) <= letters else "…" + part[1 - letters :] for part in title.split(", "))
