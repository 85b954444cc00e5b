"""Random numbers that depend on where they stand, and on nothing else.

The number for batch entry b, head h, query t and key s is a hash of the seed and these four. So a layer drops the same
weights whether it computes them all at once, by chunks of any size, or a second time in the backward pass, and on every
backend alike.
"""

from keras import ops


def uniform(seed, shape, first_query=0, first_key=0, first_head=0, stream=0):
    """Numbers `(B, H, T, S)` in (0, 1), float32.

    Args:
        seed: two integers, as `keras.random.SeedGenerator.next()` gives them.
        shape: `(B, H, T, S)`.
        first_query, first_key, first_head: which of all the first of the T queries, S keys and H heads is.
        stream: different numbers from one seed.
    """
    hashed = _bits(seed, shape, (0, first_head, first_query, first_key), stream)
    # 23 bits are all that float32 tells apart below one; the half keeps zero out.
    return (ops.cast(_shift(hashed, 9), "float32") + 0.5) * 2.0**-23


def kept(seed, rate, shape, first_query=0, first_key=0, first_head=0):
    """What dropout leaves: boolean `(B, H, T, S)`, False for a share `rate`; arguments as those of `uniform`."""
    # Whole numbers are compared as they are, with the one that stands at `rate` of the way through all of them.
    least = round(rate * 2**32) - 2**31
    return _bits(seed, shape, (0, first_head, first_query, first_key), stream=0) >= least


def dropout(x, rate, seed, first_query=0, first_key=0):
    """`x` of shape `(B, H, T, S)` with a share `rate` of it at zero and the rest scaled up."""
    left = kept(seed, rate, ops.shape(x), first_query, first_key)
    return ops.where(left, x * ops.cast(1.0 / (1.0 - rate), x.dtype), ops.zeros_like(x))


def _bits(seed, shape, firsts, stream):
    """32 well-mixed bits for each position, as int32."""
    hashed = _mix(ops.cast(seed[0], "int32") + _mix(ops.cast(seed[1], "int32") + _mix(ops.array(stream, "int32"))))
    for axis, (size, first) in enumerate(zip(shape, firsts)):
        place = ops.reshape(ops.arange(size, dtype="int32") + first, [-1 if other == axis else 1 for other in range(4)])
        hashed = _mix(hashed + place * _odd(0x9E3779B9))
    return hashed


def _mix(x):
    """A bijection of 32 bits in which each bit of the input moves half of those of the output.

    Constants: https://github.com/skeeto/hash-prospector, the first entry of its table.
    """
    x = ops.bitwise_xor(x, _shift(x, 16)) * _odd(0x7FEB352D)
    x = ops.bitwise_xor(x, _shift(x, 15)) * _odd(0x846CA68B)
    return ops.bitwise_xor(x, _shift(x, 16))


def _shift(x, by):
    """`x` shifted to the right with zeros coming in: int32 would bring copies of its sign."""
    return ops.bitwise_and(ops.right_shift(x, by), 2 ** (32 - by) - 1)


def _odd(constant):
    """An unsigned 32-bit constant as the int32 with the same bits."""
    return constant - 2**32 if constant >= 2**31 else constant
