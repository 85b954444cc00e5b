import numpy as np

from keras_attn._figure import BARE, LINES, by_name, check_labels, colours, literal, over_time
from keras_attn.inspection.pictures.drawing import Drawing, draw_together

STYLES = ("-", "--", "-.", ":")
#: More lines than that are not named: nobody could tell them apart.
NAMED = 24
#: If one channel's range is so many times another's, that would be a flat line: then each is drawn over its own range.
FLAT = 50


def draw_series(values, maps, channels=None, marks=None, mask=None, limit=None, path=None):
    """Draws a series with its background shaded by a map: a panel for each map.

    Args:
        values: `(T,)` or `(T, C)`, one line for each channel, which goes straight over what is missing, NaN. Where one
            channel's range is more than 50 times another's each is drawn from 0 to 1 over its own.
        maps: `(S,)`, or a dictionary from names to such maps, each of which has a scale of its own. S may be less than
            T: then each position stands for an equal share of the time.
        channels: labels of the C channels; None for their numbers. More than 24 are not named in the picture.
        marks: times in [0, T) at which the truth is, such as those of beats: triangles above and thin lines; None for
            none.
        mask: booleans `(S,)`, False for padding, which is left blank; None if all times are real.
        limit: the number at which colours are full, for all maps alike; None for each map's largest.
        path: where to write the picture too, by its ending as PNG, SVG or PDF; None for nowhere.

    Returns:
        The `matplotlib.figure.Figure`; it belongs to no window.

    Example:
    >>> figure = draw_series(np.sin(np.arange(12.0)), {"weights": [0.1, 0.7, 0.2]}, marks=[5])
    >>> figure.axes[0].get_title(loc="left")
    'weights'
    """
    return draw_together([series_drawing(values, maps, channels, marks, mask, limit)], path=path)


def series_drawing(values, maps, channels=None, marks=None, mask=None, limit=None):
    """As `draw_series`, as a part for `draw_together`."""
    values, maps = over_time(values), by_name(maps, 1, mask=mask)
    length, count = values.shape
    channels = check_labels("channels", channels, count) or [f"channel {channel}" for channel in range(count)]
    for name, each in maps.items():
        if len(each) > length:
            raise ValueError(
                f"A map of a series of {length} times has at most so many numbers. Received: {len(each)} in {name!r}"
            )
    marks = np.array([] if marks is None else marks, dtype="float32")
    if marks.ndim != 1 or (marks < 0).any() or (marks >= length).any():
        raise ValueError(f"`marks` are times in [0, {length}). Received: marks={marks.tolist()}")
    values, unit = _side_by_side(values)
    low, high = float(values.min()), float(values.max())
    room = 0.08 * (high - low) or 1.0

    def fill(figure):
        panels = figure.subplots(len(maps), 1, sharex=True, squeeze=False)[:, 0]
        drawn = []
        for panel, (name, each) in zip(panels, maps.items()):
            drawn.clear()
            shape = {"extent": (-0.5, length - 0.5, low - room, high + room), "aspect": "auto"}
            image = panel.imshow(each[None], interpolation="nearest", alpha=0.75, **shape, **colours(each, limit))
            panel.set_facecolor(BARE)
            for channel, (label, line) in enumerate(zip(channels, values.T)):
                style = STYLES[channel // len(LINES) % len(STYLES)]
                # A number between two that are missing would be no line.
                known, marker = np.flatnonzero(~line.mask), "." if line.mask.any() else ""
                look = {"color": LINES[channel % len(LINES)], "linewidth": 1.1, "marker": marker}
                drawn.append((label, panel.plot(known, line[known], style, **look)[0]))
            if len(marks):
                panel.vlines(marks, low - room, high + room, color="#444444", linewidth=0.6, linestyle=":")
                top = np.full(len(marks), high + 0.5 * room)
                drawn.append(("mark", panel.plot(marks, top, "v", color="#444444", markersize=6)[0]))
            panel.set_title(name, **literal(loc="left", fontsize=10))
            panel.set_ylabel(unit)
            figure.colorbar(image, ax=panel, fraction=0.03, pad=0.01)
        panels[-1].set_xlabel("time step")
        if 1 < len(drawn) <= NAMED:
            # Named afterwards: the legend would leave out a name that begins with "_".
            lines, order = [line for _, line in drawn], map(str, range(len(drawn)))
            legend = figure.legend(lines, order, loc="outside lower center", ncols=6)
            for text, (label, _) in zip(legend.get_texts(), drawn):
                text.set(text=label, **literal(fontsize=8))

    return Drawing(9.0, 0.6 + 1.7 * len(maps), fill)


def _side_by_side(values):
    """The channels as they can be seen in one panel, and what the axis counts."""
    low, high = values.min(axis=0), values.max(axis=0)
    ranges = high - low
    varied = ranges[ranges > 0]
    if len(varied) < 2 or varied.max() <= FLAT * varied.min():
        return values, "value"
    return (values - low) / np.where(ranges > 0, ranges, 1), "share of range"
