"""Parts of arrays whose gradients are quick.

On tensorflow the gradient of `x[:, :n]` fills an array with zeros and sets what is given, one number after another: it
takes some ten times as long as to split x, whose gradient joins two arrays.
"""

from keras import ops


def first(x, count, axis):
    """The `count` first of x along an axis."""
    axis, length = axis % len(x.shape), x.shape[axis]
    if not (isinstance(length, int) and isinstance(count, int)):
        return x[(slice(None),) * axis + (slice(None, count),)]
    return x if length == count else ops.split(x, (count,), axis=axis)[0]


def last(x, axis):
    """The last of x along an axis, without that axis."""
    length = x.shape[axis]
    return ops.squeeze(x if length == 1 else ops.split(x, (length - 1,), axis=axis)[1], axis=axis)


def one_later(x, axis, fill=0.0):
    """`x` one later along an axis, with `fill` in front."""
    axis, length = axis % len(x.shape), x.shape[axis]
    before = first(x, length - 1, axis) if isinstance(length, int) else x[(slice(None),) * axis + (slice(None, -1),)]
    return ops.pad(before, [(int(axis == at), 0) for at in range(len(x.shape))], constant_values=fill)
