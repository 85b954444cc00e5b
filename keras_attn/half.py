"""What half precision has room for."""

import keras
from keras import ops

LARGEST_FLOAT16 = 65504.0


def as_held(x, dtype):
    """`x` in a dtype; what is too large for float16 becomes the largest number there is, and not infinity."""
    if keras.backend.standardize_dtype(dtype) == "float16":
        x = ops.clip(ops.cast(x, "float32"), -LARGEST_FLOAT16, LARGEST_FLOAT16)
    return ops.cast(x, dtype)
