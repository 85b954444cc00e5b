"""Where a token stands, told to attention that cannot tell by itself.

All work on blocks: positions are absolute whole numbers, `rows` `(t,)` those of some queries and `cols` `(s,)` those of
some keys, of whichever part of the sequence is at hand. A position may be negative.

A spec is plain data: None, a name, or a dictionary `{"positions": name, **options}`; `get` makes a part of it.
"""

import functools
import math
from dataclasses import asdict, dataclass, fields
from typing import ClassVar

import numpy as np
from keras import ops

from keras_attn.lookup import choose, flag, number, read_spec, whole_number

LAYOUTS = ("half", "interleaved")


def sinusoid(positions, width):
    """sin(p / 10000^(2i / width)) in column 2i and the cosine of the same in column 2i + 1.

    Right to 3e-6 for positions up to a million.

    Args:
        positions: whole numbers of any shape.
        width: number of columns; an odd one ends with a sine.

    Returns:
        `(..., width)`, float32.

    Example:
    >>> tuple(sinusoid([0, 1, 2], width=5).shape)
    (3, 5)

    Reference: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.5.
    """
    angles = _angles(positions, [10000.0 ** (-column / width) for column in range(0, width, 2)])
    return _join(ops.sin(angles), ops.cos(angles), "interleaved")[..., :width]


def rotary(x, positions, layout="half", base=10000.0, width=None):
    """Pairs of columns (a, b) turned by p θ_i with θ_i = base^(-2i / width): (a cos - b sin, a sin + b cos).

    Between a query and a key that are turned so, a dot product depends on the difference of their positions only.
    Computed in float32; angles are right to 3e-6 for positions up to a million, where a product of floats would be off
    by a hundredth at 100000 already.

    Args:
        x: `(B, H, T, d)`.
        positions: whole numbers `(T,)` or `(B, T)`.
        layout: which columns are a pair: "half", i and i + width / 2 (GPT-NeoX, Llama), or "interleaved", 2i and 2i + 1
            (RoFormer, GPT-J).
        base: how slow the slowest pair is, above 1.
        width: how many columns turn, from the first; None for all. The last of an odd number stays as it is.

    Returns:
        `(B, H, T, d)`, in the dtype of `x`.

    Reference: Su et al., 2021, https://arxiv.org/abs/2104.09864, eq. 15 and 34.
    """
    choose("layout", layout, LAYOUTS)
    if (width or 0) > x.shape[-1]:
        raise ValueError(f"`width` must be at most the width of a head, {x.shape[-1]}. Received: width={width}")
    width = (x.shape[-1] if width is None else width) // 2 * 2
    angles = _angles(positions, [base ** (-column / width) for column in range(0, width, 2)])
    # (T, width / 2), or (B, 1, T, width / 2)
    angles = ops.expand_dims(angles, 1) if len(angles.shape) == 3 else angles
    sin, cos = ops.sin(angles), ops.cos(angles)
    a, b = _split(ops.cast(x[..., :width], "float32"), layout)
    turned = ops.cast(_join(a * cos - b * sin, a * sin + b * cos, layout), x.dtype)
    return turned if width == x.shape[-1] else ops.concatenate([turned, x[..., width:]], axis=-1)


def alibi_slopes(heads):
    """How steep the bias of each head is, as a tuple of floats.

    2^(-8 h / H) for heads h = 1..H if H is a power of two. If not: those of the next lower power, then every other one
    of the next higher power, as in the code of the paper.

    Example:
    >>> alibi_slopes(3)
    (0.0625, 0.00390625, 0.25)
    """
    lower = 2 ** (heads.bit_length() - 1)
    slopes = [2.0 ** (-8.0 * head / lower) for head in range(1, lower + 1)]
    between = [2.0 ** (-4.0 * head / lower) for head in range(1, 2 * lower, 2)]
    return tuple((slopes + between)[:heads])


def alibi(rows, cols, heads):
    """-slope_h |row - col|: the bias `(H, t, s)`, float32, that pulls each head to what is near.

    Reference: Press et al., 2022, https://arxiv.org/abs/2108.12409, section 3; the distance is taken on both sides.
    """
    slopes = ops.convert_to_tensor(alibi_slopes(heads), dtype="float32")
    distance = ops.cast(ops.abs(_difference(rows, cols)), "float32")
    return -slopes[:, None, None] * distance


def relative_buckets(rows, cols, buckets=32, max_distance=128, bidirectional=True):
    """Which bucket the distance of each query and key is in: small distances alone, larger ones in growing groups.

    In each direction the first half of its buckets are the distances 0, 1, 2, ..., the others grow like powers up to
    `max_distance`, and the last holds all beyond. T5's buckets, to the number.

    Args:
        rows, cols: positions of queries and of keys.
        buckets: how many in all, at least 2; if bidirectional even and at least 4.
        max_distance: from here on all distances count as one; more than the distances that have a bucket of their own.
        bidirectional: whether later keys have the upper half of the buckets; if not, they count as distance 0.

    Returns:
        `(t, s)`, int32, in [0, buckets).

    Reference: Raffel et al., 2020, https://arxiv.org/abs/1910.10683, section 2.1.
    """
    _check_buckets(buckets, max_distance, bidirectional)
    one_way = buckets // 2 if bidirectional else buckets
    # Positive for later keys.
    ahead = -_difference(rows, cols)
    distance = ops.abs(ahead) if bidirectional else ops.maximum(-ahead, 0)
    table = ops.convert_to_tensor(_bucket_of_distance(one_way, max_distance), dtype="int32")
    bucket = ops.take(table, ops.minimum(distance, max_distance), axis=0)
    return ops.where(ahead > 0, bucket + one_way, bucket) if bidirectional else bucket


@dataclass(frozen=True)
class Positions:
    """No positions: everything stays as it is. Other parts override what they do.

    Attributes:
        spec: the whole spec as plain data, defaults filled in; None if there are no positions.
    """

    name: ClassVar[str | None] = None
    #: Whether `bias` ever gives one.
    has_bias: ClassVar[bool] = False

    @property
    def spec(self):
        return None if self.name is None else {"positions": self.name, **asdict(self)}

    def learned(self, heads):
        """What must be learned: a tuple of `(name, shape, initializer)`."""
        return ()

    def embed(self, x, positions):
        """Inputs of queries or keys `(B, T, D)` with their positions `(T,)` or `(B, T)` in them."""
        return x

    def rotate(self, x, positions):
        """Queries or keys `(B, H, T, d)` turned by their positions `(T,)` or `(B, T)`."""
        return x

    def bias(self, rows, cols, heads, learned=()):
        """What to add to the scores: `(H, t, s)`, float32, or None for nothing; `learned` in the order of `learned`."""
        return None

    def falls(self, heads):
        """For each head, by how much its bias falls for each position of distance; None for a bias that does not."""
        return None


@dataclass(frozen=True)
class Rotary(Positions):
    """Queries and keys turned by angles that grow with the position: `rotary`."""

    name: ClassVar[str] = "rotary"
    layout: str = "half"
    base: float = 10000.0
    width: int | None = None

    def __post_init__(self):
        choose("layout", self.layout, LAYOUTS)
        whole_number("width", self.width, least=2, optional=True)
        number("base", self.base, low=1.0)

    def rotate(self, x, positions):
        return rotary(x, positions, self.layout, self.base, self.width)


@dataclass(frozen=True)
class Alibi(Positions):
    """A fixed bias towards what is near: `alibi`."""

    name: ClassVar[str] = "alibi"
    has_bias: ClassVar[bool] = True

    def bias(self, rows, cols, heads, learned=()):
        return alibi(rows, cols, heads)

    def falls(self, heads):
        return alibi_slopes(heads)


@dataclass(frozen=True)
class RelativeBias(Positions):
    """A learned bias for each head and each of `relative_buckets`."""

    name: ClassVar[str] = "relative_bias"
    has_bias: ClassVar[bool] = True
    buckets: int = 32
    max_distance: int = 128
    bidirectional: bool = True

    def __post_init__(self):
        _check_buckets(self.buckets, self.max_distance, self.bidirectional)

    def learned(self, heads):
        return (("relative_bias", (self.buckets, heads), "zeros"),)

    def bias(self, rows, cols, heads, learned=()):
        (table,) = learned
        buckets = relative_buckets(rows, cols, self.buckets, self.max_distance, self.bidirectional)
        return ops.take(ops.transpose(ops.cast(table, "float32")), buckets, axis=1)


@dataclass(frozen=True)
class Sinusoid(Positions):
    """Fixed waves added to what queries and keys are projected from: `sinusoid`."""

    name: ClassVar[str] = "sinusoid"

    def embed(self, x, positions):
        return x + ops.cast(sinusoid(positions, x.shape[-1]), x.dtype)


POSITIONS = {part.name: part for part in (Rotary, Alibi, RelativeBias, Sinusoid)}


def names():
    """The names in the table."""
    return tuple(POSITIONS)


def get(spec):
    """The part that a spec describes.

    Args:
        spec: None, a name, or `{"positions": name, **options}`.

    Returns:
        A `Positions`.

    Raises:
        ValueError: for a name or an option that is not known, or an option with a value that is not possible.

    Example:
    >>> get({"positions": "rotary", "layout": "interleaved"}).spec
    {'positions': 'rotary', 'layout': 'interleaved', 'base': 10000.0, 'width': None}
    """
    if spec is None:
        return Positions()
    name, given = read_spec(
        "positions", spec, POSITIONS, lambda name: [field.name for field in fields(POSITIONS[name])]
    )
    return POSITIONS[name](**given)


def _angles(positions, frequencies):
    """Positions times frequencies in radians, less whole turns: `(..., F)` in [-π, π], float32.

    An angle is kept as a whole number of 2^-32 turns, from which whole turns fall off by overflow. With p = 1024 q + r
    each of the two frequencies is rounded once, so that the error is (q + r) 2^-33 turns at most, and not p 2^-33.
    """
    positions = ops.expand_dims(ops.convert_to_tensor(positions, dtype="int32"), -1)
    q, r = ops.floor_divide(positions, 1024), ops.mod(positions, 1024)
    coarse, fine = (_parts_of_a_turn(tuple(step * f for f in frequencies)) for step in (1024.0, 1.0))
    turned = q * ops.convert_to_tensor(coarse) + r * ops.convert_to_tensor(fine)
    return ops.cast(turned, "float32") * (2.0 * math.pi / 2**32)


@functools.lru_cache
def _parts_of_a_turn(angles):
    """Angles in radians as whole numbers of 2^-32 turns, less whole turns, int32."""
    parts = (round(angle / (2.0 * math.pi) * 2**32) for angle in angles)
    # As an array: a list is slow to convert, at every step of decoding.
    return np.array([(part + 2**31) % 2**32 - 2**31 for part in parts], dtype="int32")


def _split(x, layout):
    """The first and the second columns of all pairs."""
    half = x.shape[-1] // 2
    return (x[..., :half], x[..., half:]) if layout == "half" else (x[..., 0::2], x[..., 1::2])


def _join(first, second, layout):
    """`(..., 2 F)` from the first and the second columns `(..., F)` of all pairs."""
    if layout == "half":
        return ops.concatenate([first, second], axis=-1)
    paired = ops.stack([first, second], axis=-1)
    return ops.reshape(paired, (*ops.shape(first)[:-1], 2 * first.shape[-1]))


def _difference(rows, cols):
    """How far before its query each key stands: `(t, s)`, int32."""
    rows, cols = (ops.convert_to_tensor(positions, dtype="int32") for positions in (rows, cols))
    return rows[:, None] - cols[None, :]


def _check_buckets(buckets, max_distance, bidirectional):
    whole_number("buckets", buckets, least=4 if flag("bidirectional", bidirectional) else 2)
    if bidirectional and buckets % 2:
        raise ValueError(f"`buckets` must be even if bidirectional, half for each side. Received: buckets={buckets}")
    alone = buckets // 4 if bidirectional else buckets // 2
    if whole_number("max_distance", max_distance) <= alone:
        raise ValueError(
            f"`max_distance` must be more than {alone}, the number of distances that have one of {buckets} buckets "
            f"alone. Received: max_distance={max_distance}"
        )


def _bucket_of_distance(buckets, max_distance):
    """The bucket of each distance 0..max_distance in one direction.

    From distance e = buckets // 2 on it is e + floor((n - e) log(d / e) / log(m / e)), here in whole numbers:
    logarithms in floats err at the borders.
    """
    alone = buckets // 2
    grouped = buckets - alone
    table, group = [], 0
    for distance in range(max_distance + 1):
        # (d / e)^grouped >= (m / e)^(group + 1), times e^(grouped + group + 1)
        while (
            group + 1 < grouped
            and distance**grouped * alone ** (group + 1) >= max_distance ** (group + 1) * alone**grouped
        ):
            group += 1
        table.append(distance if distance < alone else alone + group)
    return tuple(table)
