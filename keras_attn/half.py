"""What numbers are held in: half precision has little room, and whole numbers have no fractions."""

import keras
from keras import ops

LARGEST_FLOAT16 = 65504.0


def as_held(x, dtype):
    """`x` in a dtype; what is too large for float16 becomes the largest number there is, and not infinity."""
    if keras.backend.standardize_dtype(dtype) == "float16":
        x = ops.clip(ops.cast(x, "float32"), -LARGEST_FLOAT16, LARGEST_FLOAT16)
    return ops.cast(x, dtype)


def with_fractions(x, dtype):
    """`x` itself, or where it holds whole numbers or booleans those in a dtype that has fractions, as weights have."""
    if x is None or keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype)):
        return x
    return ops.cast(x, dtype)
