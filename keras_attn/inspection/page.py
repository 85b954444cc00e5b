import base64
import hashlib
import io
import itertools
from importlib import resources
from pathlib import Path

import numpy as np
from keras import ops

from keras_attn._figure import by_name, check_labels, check_path, over_time
from keras_attn.inspection.pictures.image import grid_of, pixels

#: Numbers of all maps together: some 30 megabytes of text.
ROOM = 2**22
ENDINGS = (".html", ".htm")


def page(
    maps, positions=None, outputs=None, image=None, series=None, grid=None, mask=None, title="", notes=(), path=None
):
    """A page on which one moves over a position and sees what it looks at: one file, which asks for nothing else.

    Positions are words, or cells of an image, or spans of a series. Of several maps and of their heads one chooses; the
    arrow keys do what the mouse does. The page runs without a network and is forbidden to use one.

    Args:
        maps: a dictionary from names to maps, or one map: `(T, S)` or `(H, T, S)`, of which the row of the position
            is shown that one is on; or `(S,)`, or T = 1, which are shown at once.
        positions: S labels, shown as they are; None for their numbers, or their places on the image or in the series.
        outputs: T labels of positions that look, if they are others than those that are looked at; None if not.
        image: `(H, W)` or `(H, W, C)` that the positions are cells of; None for a text.
        series: `(N,)` or `(N, C)` that each position is an equal share of, NaN for what is missing; None for a text.
        grid: `(rows, columns)` of an image's positions; None for the grid of square-like cells.
        mask: booleans `(S,)`, False for padding, which is left blank; None if all positions are real.
        title: what the page is about.
        notes: further lines, below the title.
        path: where to write the page too, ending in .html; None for nowhere.

    Returns:
        The page, as text.

    Example:
    >>> text = page({"look": np.eye(3)}, ["not", "<b>", "bad"], title="An example")
    >>> "<title>An example</title>" in text, "&lt;b&gt;" in text, "<b>" in text
    (True, True, False)
    """
    check_path(path, ENDINGS)
    maps = by_name(maps, 1, 2, 3, mask=mask if outputs is None else None)
    count = next(iter(maps.values())).shape[-1]
    looking = count if outputs is None else len(outputs)
    mask = np.ones(count, dtype=bool) if mask is None else np.array(ops.convert_to_numpy(mask), dtype=bool)
    if mask.shape != (count,):
        raise ValueError(f"`mask` must have the shape {(count,)}. Received: a mask of shape {mask.shape}")
    maps = {name: np.where(mask, np.ma.filled(each, 0.0), 0.0) for name, each in maps.items()}
    if image is not None and series is not None:
        raise ValueError("A page shows an image or a series, not both. Received: both")
    if sum(each.size for each in maps.values()) > ROOM:
        raise ValueError(f"A page holds {ROOM} numbers at most: leave some maps out. Received: more")
    columns = None
    if image is not None:
        rows, columns = grid_of(count, *np.shape(image)[:2]) if grid is None else grid
        if rows * columns != count:
            raise ValueError(f"`grid` must be (rows, columns) of {count} positions together. Received: grid={grid}")
    data = {
        "columns": columns or 1,
        "mask": mask.tolist(),
        "maps": [_as_data(name, each, count, looking) for name, each in maps.items()],
    }
    text = _render(
        title=title or "What it looks at",
        notes=notes,
        labels=check_labels("positions", positions, count) or _places(count, columns, series),
        outputs=check_labels("outputs", outputs, looking),
        mask=mask.tolist(),
        kind="image" if image is not None else "series" if series is not None else "text",
        picture=None if image is None else _png(pixels(image)),
        lines=None if series is None else _lines(over_time(series)),
        data=data,
    )
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text


def _places(count, columns, series):
    """What positions are called that have no names."""
    if columns is not None:
        return [f"row {place // columns}, column {place % columns}" for place in range(count)]
    if series is not None:
        ends = np.linspace(0, len(series), count + 1).round(1)
        return [f"time {start:g} to {end:g}" for start, end in itertools.pairwise(ends)]
    return [str(place) for place in range(count)]


def _as_data(name, values, count, looking):
    """A map as plain data: of each head its rows one behind the other."""
    values = values.reshape((1,) * (3 - values.ndim) + values.shape)
    rows, columns = values.shape[1:]
    if columns != count or rows not in (1, looking):
        raise ValueError(
            f"The maps of this page are of {looking} positions, or of one, on {count}. Received: {name!r} of shape "
            f"{values.shape}"
        )
    return {
        "name": name or "map",
        "rows": rows,
        "signed": bool(values.min() < 0.0),
        "limit": _short(float(np.abs(values).max()) or 1.0),
        "heads": [[_short(number) for number in head.ravel().tolist()] for head in values],
    }


def _short(number):
    return float(f"{number:.4g}")


def _png(image):
    """An image as the text of a page holds it."""
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(file, image, cmap="gray", vmin=0.0, vmax=1.0, format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _lines(values):
    """Each channel as points of a line in a box of N times 100, straight over what is missing."""
    low, high = values.min(), values.max()
    heights = 95.0 - 90.0 * (values - low) / (high - low if high > low else 1.0)
    points = [
        " ".join(f"{place + 0.5:g},{line[place]:.2f}" for place in np.flatnonzero(~line.mask)) for line in heights.T
    ]
    return {"count": len(values), "points": points}


def _render(**words):
    # Late: layers need no pages.
    import jinja2

    files = resources.files("keras_attn.inspection")
    style, script = ((files / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string((files / "page.html.jinja").read_text(encoding="utf-8"))
    return template.render(style=style, script=script, style_hash=_hash(style), script_hash=_hash(script), **words)


def _hash(text):
    """How a content-security policy names the one text that it lets through."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
