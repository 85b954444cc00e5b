"""Why keys and values stand as columns: the same product with a narrow result and with a wide one, compiled.

    KERAS_BACKEND=tensorflow python benchmarks/products.py

The gradient of the keys is a product of the slopes `(t, S)` and the queries `(t, d)` over t. It can be written as
`slopes' query` `(S, d)` or as `query' slopes` `(d, S)`: the same numbers and the same operations.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import ops

REPEATS, CALLS = 7, 20
ROWS, KEYS, WIDTH = 256, 8192, 64


def compiled(function):
    """`function` of two tensors under XLA, or as it is on torch; waits for the result."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        quick = tf.function(function, jit_compile=True)
        return lambda *args: quick(*args).numpy()
    if keras.config.backend() == "jax":
        import jax

        quick = jax.jit(function)
        return lambda *args: quick(*args).block_until_ready()
    return function


def milliseconds(function, *args):
    function(*args)
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(CALLS):
            function(*args)
        taken.append((time.perf_counter() - start) / CALLS * 1e3)
    return np.median(taken)


def main():
    rng = np.random.default_rng(0)
    slopes, query = (ops.convert_to_tensor(rng.normal(size=(ROWS, n)).astype("float32")) for n in (KEYS, WIDTH))
    narrow = compiled(lambda slopes, query: ops.matmul(ops.transpose(slopes), query))
    wide = compiled(lambda slopes, query: ops.matmul(ops.transpose(query), slopes))
    times = [milliseconds(function, slopes, query) for function in (narrow, wide)]
    print(
        f"{keras.config.backend()}: narrow {times[0]:.2f} ms, wide {times[1]:.2f} ms, {times[0] / times[1]:.1f} times"
    )


if __name__ == "__main__":
    main()
