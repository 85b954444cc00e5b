import unicodedata

import numpy as np

from keras_attn._figure import BARE, by_name, check_labels, colours, literal
from keras_attn.inspection.pictures.drawing import Drawing, draw_together

#: Letters in a line; a letter's width and a line's height in inches.
LINE, LETTER, LEADING = 90, 0.105, 0.27
#: Letters that the scale beside a name takes.
SCALE = 22


def draw_tokens(tokens, maps, mask=None, limit=None, path=None):
    """Draws a text as strips of tokens, each coloured by its number in a map; a strip for each map.

    Numbers below zero are red and those above it blue, both fuller the larger they are. Long texts go on in new lines.

    Args:
        tokens: S labels, shown as they are.
        maps: `(S,)`, or a dictionary from names to such maps. Numbers of several maps need not be of one kind: each
            strip has a scale of its own.
        mask: booleans `(S,)`, False for padding, which is left blank; None if all tokens are real.
        limit: the number at which colours are full, for all strips alike; None for each strip's largest.
        path: where to write the picture too, by its ending as PNG, SVG or PDF; None for nowhere.

    Returns:
        The `matplotlib.figure.Figure`; it belongs to no window.

    Example:
    >>> figure = draw_tokens(["not", "bad"], {"gradient x input": [-0.5, 1.5], "weights": [0.2, 0.8]})
    >>> len(figure.axes), figure.axes[0].images[0].get_clim()
    (2, (-1.5, 1.5))
    """
    return draw_together([tokens_drawing(tokens, maps, mask, limit)], path=path)


def tokens_drawing(tokens, maps, mask=None, limit=None):
    """As `draw_tokens`, as a part for `draw_together`."""
    maps = by_name(maps, 1, mask=mask)
    count = len(next(iter(maps.values())))
    tokens = check_labels("tokens", tokens, count)
    for name, values in maps.items():
        if len(values) != count:
            raise ValueError(f"Each map must have {count} numbers, one a token. Received: {len(values)} in {name!r}")
    places = _places(tokens)
    lines = 1 + max(line for line, _, _ in places)
    long = max(SCALE + max(map(len, maps)), max(start + width for _, start, width in places))

    def fill(figure):
        panels = figure.subplots(len(maps), 1, squeeze=False)[:, 0]
        for panel, (name, values) in zip(panels, maps.items()):
            _strip(panel, name, values, tokens, places, lines, long, limit)

    return Drawing(0.3 + LETTER * long, 0.1 + len(maps) * (1.6 + lines) * LEADING, fill)


def _places(tokens):
    """Line, first letter and width of each token: as many in a line as there is room for."""
    places, line, start = [], 0, 0
    for token in tokens:
        width = 1 + max(1, sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in token))
        if start and start + width > LINE:
            line, start = line + 1, 0
        places.append((line, start, width))
        start += width
    return places


def _strip(panel, name, values, tokens, places, lines, long, limit):
    from matplotlib.patches import Rectangle

    scale = colours(values, limit)
    # The scale stands in the line above the text, beside the name.
    ramp = np.linspace(scale["vmin"], scale["vmax"], 64)[None]
    image = panel.imshow(ramp, extent=(long - 15, long - 6, -0.35, -0.85), aspect="auto", **scale)
    panel.text(0.0, -0.6, name, **literal(va="center", fontweight="bold", fontsize=10))
    for place, number, side in ((long - 15.4, scale["vmin"], "right"), (long - 5.6, scale["vmax"], "left")):
        panel.text(place, -0.6, f"{number:.3g}", va="center", ha=side, fontsize=8)
    for token, value, (line, start, width) in zip(tokens, values, places):
        blank = np.ma.is_masked(value)
        colour = "none" if blank else image.cmap(image.norm(value))
        edge = BARE if blank else "#bbbbbb"
        panel.add_patch(Rectangle((start + 0.04, line + 0.06), width - 0.08, 0.88, facecolor=colour, edgecolor=edge))
        panel.text(
            start + width / 2,
            line + 0.5,
            token,
            **literal(ha="center", va="center", family="monospace", fontsize=9),
            color="#999999" if blank else _ink(colour),
        )
    panel.set(xlim=(-0.1, long + 0.1), ylim=(lines, -1.1))
    panel.set_axis_off()


def _ink(colour):
    """Black or white, whichever can be read on the colour."""
    red, green, blue, _ = colour
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
