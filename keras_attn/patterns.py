"""Who may look at whom, by position alone.

All work on blocks: positions are absolute whole numbers, `rows` `(t,)` those of some queries and `cols` `(s,)` those of
some keys, of whichever part of the sequence is at hand.

A spec is plain data: None, a name, a dictionary `{"pattern": name, **options}`, or a list of specs, which allows what
all of them allow; `get` makes a part of it.
"""

from dataclasses import asdict, dataclass, fields
from typing import ClassVar

from keras import ops

from keras_attn.lookup import plain, read_spec, whole_number


def segments(query_segments, key_segments):
    """Sequences packed into one row that do not see each other: `(B, 1, T, S)`, True where the segments are equal.

    Args:
        query_segments: `(B, T)`, whole numbers: which sequence each query is of; below 0 is padding, equal to nothing.
        key_segments: `(B, S)`, the same of keys.
    """
    query_segments, key_segments = (ops.convert_to_tensor(x, dtype="int32") for x in (query_segments, key_segments))
    same = query_segments[:, None, :, None] == key_segments[:, None, None, :]
    return ops.logical_and(same, query_segments[:, None, :, None] >= 0)


@dataclass(frozen=True)
class Pattern:
    """Everyone may look at everyone. Other patterns override both methods.

    Attributes:
        spec: the whole spec as plain data, defaults filled in; None if everything is allowed.
    """

    name: ClassVar[str | None] = None

    @property
    def spec(self):
        return None if self.name is None else {"pattern": self.name, **plain(asdict(self))}

    def allowed(self, rows, cols):
        """Boolean `(t, s)`, True where the query may look at the key."""
        rows, cols = _positions(rows, cols)
        return ops.ones((ops.shape(rows)[0], ops.shape(cols)[0]), dtype="bool")

    def reach(self, first_row, last_row, length):
        """The range `(first, stop)` of the keys 0..length - 1 that holds all that queries first_row..last_row may see.

        Plain integers, for skipping blocks; it may hold more, but `Window` (undilated) and `Block` are exact.
        """
        return 0, length


@dataclass(frozen=True)
class Window(Pattern):
    """Keys fewer than `width` steps away on either side, a step being `dilation` positions; others are not seen.

    The first `global_tokens` positions see all and are seen by all.

    Reference: Beltagy et al., 2020, https://arxiv.org/abs/2004.05150, section 3.1.
    """

    name: ClassVar[str] = "window"
    width: int = None
    dilation: int = 1
    global_tokens: int = 0

    def __post_init__(self):
        whole_number("width", self.width)
        whole_number("dilation", self.dilation)
        whole_number("global_tokens", self.global_tokens, least=0)

    def allowed(self, rows, cols):
        rows, cols = _positions(rows, cols)
        difference = rows[:, None] - cols[None, :]
        near = ops.abs(difference) < self.width * self.dilation
        if self.dilation > 1:
            near = ops.logical_and(near, ops.mod(difference, self.dilation) == 0)
        if self.global_tokens:
            row_is_global, col_is_global = (
                ops.logical_and(positions >= 0, positions < self.global_tokens) for positions in (rows, cols)
            )
            near = ops.logical_or(near, ops.logical_or(row_is_global[:, None], col_is_global[None, :]))
        return near

    def reach(self, first_row, last_row, length):
        if max(first_row, 0) <= min(last_row, self.global_tokens - 1):
            return 0, length
        span = (self.width - 1) * self.dilation
        first = 0 if self.global_tokens else first_row - span
        return _range(first, max(last_row + span + 1, self.global_tokens), length)


@dataclass(frozen=True)
class Block(Pattern):
    """Keys of the same block of `size` positions.

    Reference: Qiu et al., 2020, https://arxiv.org/abs/1911.02972, with the identity as its permutation.
    """

    name: ClassVar[str] = "block"
    size: int = None

    def __post_init__(self):
        whole_number("size", self.size)

    def allowed(self, rows, cols):
        rows, cols = (ops.floor_divide(positions, self.size) for positions in _positions(rows, cols))
        return rows[:, None] == cols[None, :]

    def reach(self, first_row, last_row, length):
        return _range(first_row // self.size * self.size, (last_row // self.size + 1) * self.size, length)


@dataclass(frozen=True)
class Strided(Pattern):
    """Keys fewer than `stride` positions away on either side, and each `stride`-th beyond.

    Reference: Child et al., 2019, https://arxiv.org/abs/1904.10509, its strided heads in one, looking both ways.
    """

    name: ClassVar[str] = "strided"
    stride: int = None

    def __post_init__(self):
        whole_number("stride", self.stride)

    def allowed(self, rows, cols):
        rows, cols = _positions(rows, cols)
        difference = rows[:, None] - cols[None, :]
        return ops.logical_or(ops.abs(difference) < self.stride, ops.mod(difference, self.stride) == 0)


@dataclass(frozen=True)
class Axial(Pattern):
    """Of an image that is read row by row, what stands in the same row or the same column.

    Position p is in row p // columns and in column p % columns; behind the last row the image goes on.

    Attributes:
        shape: rows and columns of the image.
        axis: the axis to look along, as in an array: 0 up and down the column, 1 along the row, None for both.

    Reference: Ho et al., 2019, https://arxiv.org/abs/1912.12180 (along one axis); with both axes Huang et al., 2019,
    https://arxiv.org/abs/1811.11721.
    """

    name: ClassVar[str] = "axial"
    shape: tuple[int, int] = None
    axis: int | None = None

    def __post_init__(self):
        _pair("shape", self.shape)
        if isinstance(self.axis, bool) or self.axis not in (None, 0, 1):
            raise ValueError(f"Invalid argument `axis`: it must be None, 0 or 1. Received: axis={self.axis!r}")

    def allowed(self, rows, cols):
        (row, row_of_key), (column, column_of_key) = _places(rows, cols, self.shape)
        same_row, same_column = row[:, None] == row_of_key[None, :], column[:, None] == column_of_key[None, :]
        if self.axis is None:
            return ops.logical_or(same_row, same_column)
        return same_row if self.axis == 1 else same_column

    def reach(self, first_row, last_row, length):
        return Block(self.shape[1]).reach(first_row, last_row, length) if self.axis == 1 else (0, length)


@dataclass(frozen=True)
class Window2D(Pattern):
    """Of an image that is read row by row, what is fewer than `width` rows and fewer than `width` columns away.

    Position p is in row p // columns and in column p % columns; behind the last row the image goes on.

    Attributes:
        shape: rows and columns of the image.
        width: one number, or one for rows and one for columns.

    Reference: Parmar et al., 2018, https://arxiv.org/abs/1802.05751, with a window around each query.
    """

    name: ClassVar[str] = "window_2d"
    shape: tuple[int, int] = None
    width: int | tuple[int, int] = None

    def __post_init__(self):
        _pair("shape", self.shape)
        _pair("width", self._widths)

    @property
    def _widths(self):
        return self.width if isinstance(self.width, (tuple, list)) else (self.width, self.width)

    def allowed(self, rows, cols):
        near = (
            ops.abs(place[:, None] - place_of_key[None, :]) < width
            for (place, place_of_key), width in zip(_places(rows, cols, self.shape), self._widths)
        )
        return ops.logical_and(*near)

    def reach(self, first_row, last_row, length):
        high, wide = self._widths
        columns = self.shape[1]
        top, left = first_row // columns - (high - 1), max(first_row % columns - (wide - 1), 0)
        bottom, right = last_row // columns + (high - 1), min(last_row % columns + (wide - 1), columns - 1)
        return _range(top * columns + left, bottom * columns + right + 1, length)


@dataclass(frozen=True)
class All(Pattern):
    """What all of its parts allow."""

    parts: tuple[Pattern, ...] = ()

    @property
    def spec(self):
        return [part.spec for part in self.parts]

    def allowed(self, rows, cols):
        allowed = super().allowed(rows, cols)
        for part in self.parts:
            allowed = ops.logical_and(allowed, part.allowed(rows, cols))
        return allowed

    def reach(self, first_row, last_row, length):
        reaches = [part.reach(first_row, last_row, length) for part in self.parts]
        firsts, stops = zip((0, length), *reaches)
        return _range(max(firsts), min(stops), length)


PATTERNS = {part.name: part for part in (Window, Block, Strided, Axial, Window2D)}


def names():
    """The names in the table."""
    return tuple(PATTERNS)


def get(spec):
    """The pattern that a spec describes.

    Args:
        spec: None, a name, `{"pattern": name, **options}`, or a list of specs.

    Returns:
        A `Pattern`.

    Raises:
        ValueError: for a name or an option that is not known, or an option with a value that is not possible.

    Example:
    >>> get({"pattern": "window", "width": 3}).reach(first_row=10, last_row=13, length=100)
    (8, 16)
    """
    if spec is None:
        return Pattern()
    if isinstance(spec, (list, tuple)):
        return All(tuple(get(part) for part in spec))
    name, given = read_spec("pattern", spec, PATTERNS, lambda name: [field.name for field in fields(PATTERNS[name])])
    return PATTERNS[name](**{option: tuple(v) if isinstance(v, list) else v for option, v in given.items()})


def _positions(*positions):
    return tuple(ops.convert_to_tensor(p, dtype="int32") for p in positions)


def _places(rows, cols, shape):
    """The rows of queries and of keys in an image, and their columns."""
    positions = _positions(rows, cols)
    return tuple(ops.floor_divide(p, shape[1]) for p in positions), tuple(ops.mod(p, shape[1]) for p in positions)


def _range(first, stop, length):
    """`(first, stop)` as far as it lies in 0..length."""
    first = min(max(first, 0), length)
    return first, min(max(stop, first), length)


def _pair(name, value):
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ValueError(f"Invalid argument `{name}`: it must be two integers. Received: {name}={value!r}")
    for item in value:
        whole_number(name, item)
