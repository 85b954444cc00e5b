from typing import NamedTuple

from keras_attn._figure import check_path, new_figure, save


class Drawing(NamedTuple):
    """A picture that is not drawn yet: inches, and a function that draws on a figure or on a part of one."""

    width: float
    height: float
    fill: object


def draw_together(drawings, title=None, path=None):
    """Draws several pictures in one figure, one below the other.

    Args:
        drawings: a list of `Drawing`, from the functions of this package whose names end so.
        title: a line above all; None for nothing.
        path: where to write the picture too, by its ending as PNG, SVG or PDF; None for nowhere.

    Returns:
        The `matplotlib.figure.Figure`; it belongs to no window.

    Example:
    >>> from keras_attn.inspection import pictures
    >>> strip = pictures.tokens_drawing(["a", "b"], [0.5, 0.5])
    >>> len(draw_together([strip, pictures.matrices_drawing([[1.0, 0.0], [0.5, 0.5]], ["a", "b"])]).subfigs)
    2
    """
    check_path(path)
    if not drawings:
        raise ValueError("There must be one drawing or more. Received: none")
    heights = [drawing.height for drawing in drawings]
    figure = new_figure(max(drawing.width for drawing in drawings), sum(heights) + (0.4 if title else 0.0))
    if title:
        figure.suptitle(title, parse_math=False)
    if len(drawings) == 1:
        drawings[0].fill(figure)
    else:
        for part, drawing in zip(figure.subfigures(len(drawings), 1, height_ratios=heights), drawings):
            drawing.fill(part)
    save(figure, path)
    return figure
