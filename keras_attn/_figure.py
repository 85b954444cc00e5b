"""What all pictures share: colours, labels shown as they are, and files that are the same for the same picture."""

import math
import os
from pathlib import Path

import numpy as np
from keras import ops

from keras_attn.lookup import number

#: Two colour maps that colour-blind people can read, of which the second is the half above zero of the first.
SIGNED, UNSIGNED = "RdBu", "Blues"
#: Okabe and Ito's colours, which colour-blind people can tell apart.
LINES = ("#000000", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#0072b2")
#: The ground on which what has no number is left blank: neither of the colours of a number.
BARE = "#e6e6e6"
ENDINGS = (".png", ".svg", ".pdf")
#: Letters of a label.
LONGEST = 40


def new_figure(width, height):
    """A `matplotlib.figure.Figure` of so many inches, which belongs to no window."""
    # Late: layers need no pictures. Not pyplot: it keeps figures alive, and asks for a screen.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def check_path(path, endings=ENDINGS):
    """The path, if a file of one of these endings can be written there; None for None."""
    if path is None:
        return None
    path = Path(path)
    if path.suffix.lower() not in endings:
        raise ValueError(f"A file to write ends in one of {', '.join(endings)}. Received: {path.name!r}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(path.parent)!r} to write {path.name!r} into: make it first.")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ValueError(f"{str(path)!r} cannot be written: it is a folder, or may not be changed.")
    return path


def save(figure, path):
    """Writes a figure by the path's ending; the same figure gives the same file."""
    if path is None:
        return
    import matplotlib

    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(Path(path).suffix.lower())
    with matplotlib.rc_context({"svg.hashsalt": "keras-attn"}):
        figure.savefig(path, metadata=undated)


def shown(label):
    """A label as a picture can show it: all in one line, and not too long."""
    label = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(label))
    return label if len(label) <= LONGEST else label[: LONGEST - 1] + "…"


def literal(**style):
    """The style of a text whose dollar signs begin no formula."""
    return {"parse_math": False, **style}


def array(values, what, *ndims, mask=None):
    """Values as float32, of so many axes, all of them finite.

    With a mask, booleans of the last axis or axes, they are a masked array: where it is False they may be anything.
    A mask of one axis is that of both axes of a square map, whose positions look at themselves.
    """
    values = np.array(ops.convert_to_numpy(values), dtype="float32")
    if values.ndim not in ndims or not values.size:
        axes = " or ".join(map(str, ndims))
        raise ValueError(f"The {what} must be an array of {axes} axes, not empty. Received: shape {values.shape}")
    if mask is not None:
        mask = np.array(ops.convert_to_numpy(mask), dtype=bool)
        square = mask.ndim == 1 and values.ndim > 1 and values.shape[-1] == values.shape[-2]
        mask = np.outer(mask, mask) if square else mask
        if not 1 <= mask.ndim <= values.ndim or mask.shape != values.shape[-mask.ndim :]:
            raise ValueError(
                f"`mask` must have the shape of the {what}'s last axes. Received: a mask of shape {mask.shape} for the "
                f"shape {values.shape}"
            )
        values = np.ma.array(values, mask=np.broadcast_to(~mask, values.shape))
    if not np.isfinite(np.ma.filled(values, 0.0)).all():
        raise ValueError(f"The {what} must be finite, without NaN or infinity.")
    return values


def over_time(values):
    """A series as a masked array `(T, C)`: NaN is what is missing. Something is there."""
    values = ops.convert_to_numpy(values)
    missing = np.isnan(np.asarray(values, dtype="float32"))
    if missing.size and missing.all():
        raise ValueError("A series must have a number that is not missing. Received: NaN only")
    values = array(values, "series", 1, 2, mask=~missing)
    return values[:, None] if values.ndim == 1 else values


def by_name(maps, *ndims, mask=None):
    """Maps by name, as arrays; that of one alone has the name ""."""
    maps = maps if isinstance(maps, dict) else {"": maps}
    if not maps:
        raise ValueError("There must be one map or more to show. Received: none")
    return {
        str(name): array(each, f"map {name!r}" if name else "map", *ndims, mask=mask) for name, each in maps.items()
    }


def check_labels(what, labels, count):
    """The labels as texts, so many of them; None for their numbers."""
    if labels is None:
        return None
    labels = [shown(label) for label in labels]
    if len(labels) != count:
        raise ValueError(f"There must be {count} `{what}`. Received: {len(labels)}")
    return labels


def colours(values, limit=None):
    """How numbers are coloured, as arguments of `imshow`: about zero if some are below it, else upwards from zero.

    The colour is full at `limit`, or at the greatest size of a number.
    """
    number("limit", limit, low=0.0, optional=True)
    values = np.ma.filled(values, 0.0)
    limit = limit if limit is not None else float(np.abs(values).max()) or 1.0
    if values.min() < 0.0:
        return {"cmap": SIGNED, "vmin": -limit, "vmax": limit}
    return {"cmap": UNSIGNED, "vmin": 0.0, "vmax": limit}


def ticks(axis, labels, inches):
    """Labels along an axis, as many of them as there is room for; numbers if there are none."""
    if labels is None:
        from matplotlib.ticker import MaxNLocator

        axis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        return
    # A line of small print needs a seventh of an inch.
    step = max(1, math.ceil(len(labels) / max(1.0, inches * 7.0)))
    axis.set_ticks(range(0, len(labels), step), labels[::step], **literal(fontsize=8))
