"""How much a model computes, counted by listening to it, the same on every backend."""

import contextlib
import functools
import math

import keras
from keras.src import backend

#: A backward pass has two products for each of the forward's: by the inputs, and by the weights.
PASSES_IN_A_STEP = 3


def of_step(model, inputs):
    """Floating-point operations of a training step for one of its examples.

    A step is counted as three passes forward: its backward pass has two products for each one of the forward's. What
    is computed once for a whole batch is shared among its examples.

    Args:
        model: a built Keras model.
        inputs: a batch, as big as a step's.
    """
    return PASSES_IN_A_STEP * count(model, inputs) / len(keras.tree.flatten(inputs)[0])


def count(model, inputs):
    """Floating-point operations of one pass forward, an integer.

    Counted are, whatever layer asks for them through `keras.ops`, products of matrices (`matmul`, `dot`, `tensordot`,
    `einsum`), convolutions, attention in one piece, two for each multiply-add; and Fourier transforms, 5 N log2 N for N
    complex numbers and half of that for real ones. Loops are counted as often as they turn. Not counted is what is done
    to each number by itself: sums, gates, norms, activations, softmax. It grows with the width where the products grow
    with its square. For the digits' models of width 24 XLA's own count, which has it, is 1.19 (gated_conv) to 2.07
    (s4d) times as large (`benchmarks/flops.py` on jax); for the five whose loops it counts as if they turned once, 0.37
    (location_sensitive) to 1.06 (gru) times. Its products alone, loops as often as they turn, are the same to 0.16 %,
    but for the two with Fourier transforms, which are none.

    The model is run once, without compiling.

    Args:
        model: a built Keras model or layer.
        inputs: what it is called with.

    Example:
    >>> layer = keras.layers.Dense(3)
    >>> layer.build((None, 5))
    >>> count(layer, keras.ops.ones((7, 5)))
    210
    """
    heard = _Heard()
    with contextlib.ExitStack() as stack:
        for module, name, cost in COSTS:
            listening = functools.partial(heard.call, getattr(module, name), cost)
            stack.enter_context(_replaced(module, name, listening))
        stack.enter_context(_every_turn())
        _run(model, inputs, heard)
    return round(heard.total)


def _run(model, inputs, heard):
    """A pass; on jax one of shapes alone, since each operation would be compiled by itself otherwise."""
    if keras.backend.backend() != "jax":
        model(inputs, training=False)
        return
    import jax

    inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
    try:
        jax.eval_shape(lambda inputs: model(inputs, training=False), inputs)
    except jax.errors.ConcretizationTypeError:
        # A loop that asks its numbers when to end needs numbers.
        heard.total = 0.0
        model(inputs, training=False)


class _Heard:
    """Adds up; within a call that is counted, those it makes itself are not."""

    def __init__(self):
        self.total, self.within = 0.0, False

    def call(self, function, cost, *args, **kwargs):
        if self.within:
            return function(*args, **kwargs)
        self.within = True
        try:
            result = function(*args, **kwargs)
        finally:
            self.within = False
        self.total += cost(result, *args, **kwargs)
        return result


@contextlib.contextmanager
def _every_turn():
    """Loops turn in Python, each turn a call, where a backend would write them down once or hand them to a device."""
    rnn = backend.rnn
    with contextlib.ExitStack() as stack:
        if keras.backend.backend() == "jax":
            import jax

            stack.enter_context(jax.disable_jit())
        stack.enter_context(_replaced(backend, "rnn", lambda *args, **kwargs: rnn(*args, **{**kwargs, "unroll": True})))
        for name in ("gru", "lstm"):
            stack.enter_context(_replaced(backend, name, _in_one_piece))
        yield


def _in_one_piece(*args, **kwargs):
    # What Keras expects of a backend that cannot do it.
    raise NotImplementedError


@contextlib.contextmanager
def _replaced(module, name, value):
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def _size(x):
    return math.prod(x.shape)


def _matmul(result, x1, x2, **kwargs):
    return 2 * _size(result) * x1.shape[-1]


def _tensordot(result, x1, x2, *args, **kwargs):
    # Of M K numbers and K N come M N, by M N K multiply-adds.
    return 2 * math.sqrt(_size(x1) * _size(x2) * max(1, _size(result))) if len(x1.shape) and len(x2.shape) else 0


def _einsum(result, subscripts, *operands, **kwargs):
    """Every letter's size once, if two are multiplied; of more, as if all were multiplied at once."""
    if len(operands) < 2:
        return 0
    inputs, _, output = subscripts.replace(" ", "").partition("->")
    sizes = {}
    for letters, operand in zip(inputs.split(","), operands, strict=True):
        before, dots, after = letters.partition("...")
        middle = len(operand.shape) - len(before) - len(after)
        # What the dots stand for is counted from the right, as broadcasting does.
        names = [*before, *(f"...{place}" for place in range(middle, 0, -1) if dots), *after]
        for letter, size in zip(names, operand.shape, strict=True):
            sizes[letter] = max(sizes.get(letter, 1), size)
    summed = any(letter not in output for letter in sizes if not letter.startswith("..."))
    return (len(operands) if summed else len(operands) - 1) * math.prod(sizes.values())


def _conv(result, inputs, kernel, *args, **kwargs):
    return 2 * _size(result) * math.prod(kernel.shape[:-1])


def _depthwise_conv(result, inputs, kernel, *args, **kwargs):
    return 2 * _size(result) * math.prod(kernel.shape[:-2])


def _conv_transpose(result, inputs, kernel, *args, **kwargs):
    return 2 * _size(inputs) * math.prod(kernel.shape[:-1])


def _attention(result, query, key, value, *args, **kwargs):
    batch, queries, heads, width = query.shape
    return 2 * batch * heads * queries * key.shape[1] * (width + value.shape[-1])


def _fft(result, x, *args, **kwargs):
    return _transforms(x[0].shape, x[0].shape[-1], 5.0)


def _rfft(result, x, fft_length=None, **kwargs):
    return _transforms(x.shape, fft_length or x.shape[-1], 2.5)


def _irfft(result, x, fft_length=None, **kwargs):
    return _transforms(x[0].shape, fft_length or 2 * (x[0].shape[-1] - 1), 2.5)


def _transforms(shape, length, each):
    return each * math.prod(shape[:-1]) * length * math.log2(max(2, length))


#: Where a backend keeps what is counted, its name there, and what it costs by its result and arguments.
COSTS = (
    (backend.numpy, "matmul", _matmul),
    (backend.numpy, "dot", _tensordot),
    (backend.numpy, "tensordot", _tensordot),
    (backend.numpy, "einsum", _einsum),
    (backend.nn, "conv", _conv),
    (backend.nn, "depthwise_conv", _depthwise_conv),
    (backend.nn, "conv_transpose", _conv_transpose),
    (backend.nn, "dot_product_attention", _attention),
    (backend.math, "fft", _fft),
    (backend.math, "rfft", _rfft),
    (backend.math, "irfft", _irfft),
)
