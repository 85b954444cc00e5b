"""Diagonal linear systems `x' = λ x + u`, each number of the state by itself, sampled at steps of length Δ.

Complex numbers are pairs of real ones, `(real, imaginary)`. As the rates stay the same at all steps, a state is a sum
of what came in, times powers of `exp(Δ λ)`: products of matrices within blocks, and the same again from block to
block. Only powers occur, never quotients.
"""

import math

import keras
from keras import ops

from keras_attn._slices import first, last, one_later

BLOCK = 32
# Levels of blocks when the length is unknown, enough for 32 to the 4th positions, about a million.
UNKNOWN_LENGTH_LEVELS = 3
#: Steps Δ start in this range, evenly on a log scale.
STEPS = 0.001, 0.1


def log_steps():
    """An initializer for log Δ."""
    return keras.initializers.RandomUniform(*map(math.log, STEPS))


def poles(log_rate, frequency, log_step):
    """`Δ λ` with `λ = -exp(log_rate) + i frequency`, whose real part is below zero whatever the weights."""
    step = ops.exp(log_step)
    return -step * ops.exp(log_rate), step * frequency


def held(log_rate, frequency, log_step):
    """`(exp(Δ λ) - 1) / λ`: what a constant input of 1 adds to the state in a step of length Δ."""
    real, imaginary = poles(log_rate, frequency, log_step)
    # exp(a + i b) - 1 without the loss of digits where both are small
    grown = ops.expm1(real) * ops.cos(imaginary) - 2.0 * ops.square(ops.sin(0.5 * imaginary))
    turned = ops.exp(real) * ops.sin(imaginary)
    rate = ops.exp(log_rate)
    square = ops.square(rate) + ops.square(frequency)
    return (turned * frequency - grown * rate) / square, -(grown * frequency + turned * rate) / square


def powers(pole, exponents):
    """`exp(pole)^e`, `(..., E)`, for poles `(...)` and integers e `(E,)`; 0 for e < 0."""
    exponents = ops.cast(exponents, "float32")
    real, imaginary = (part[..., None] * ops.maximum(exponents, 0.0) for part in pole)
    size = ops.where(exponents >= 0.0, ops.exp(real), 0.0)
    return size * ops.cos(imaginary), size * ops.sin(imaginary)


def times(a, b, product=ops.multiply):
    """The product of two complex numbers."""
    return product(a[0], b[0]) - product(a[1], b[1]), product(a[0], b[1]) + product(a[1], b[0])


def scan(pole, inputs, levels=UNKNOWN_LENGTH_LEVELS):
    """States of `x_t = exp(pole) x_{t-1} + b_t`, from zeros.

    Args:
        pole: `(K,)`, real part at most 0.
        inputs: b, `(K, B, T)`.
        levels: how many levels of blocks there may be where T is unknown.

    Returns:
        `(K, B, T)`.
    """
    length = inputs[0].shape[2]
    if length is not None and length <= BLOCK:
        return _within(pole, inputs, length)
    shape = ops.shape(inputs[0])
    if length is None and levels == 0:
        padded = tuple(ops.pad(x, ((0, 0), (0, 0), (0, BLOCK)))[..., :BLOCK] for x in inputs)
        return tuple(x[..., : shape[2]] for x in _within(pole, padded, BLOCK))
    states = _within(pole, tuple(blocks(x, BLOCK) for x in inputs), BLOCK)
    # (K, B blocks, BLOCK) -> (K, B, blocks, BLOCK)
    states = tuple(ops.reshape(x, (shape[0], shape[1], -1, BLOCK)) for x in states)
    carried = scan(tuple(BLOCK * x for x in pole), tuple(last(x, 3) for x in states), levels - 1)
    left = powers(pole, ops.arange(1, BLOCK + 1))
    carried = times(tuple(one_later(x, 2)[..., None] for x in carried), tuple(x[:, None, None] for x in left))
    return tuple(joined(ops.add(*pair), shape[2]) for pair in zip(states, carried))


def _within(pole, inputs, length):
    place = ops.arange(length)
    # From s, a row, to t, a column: `(K, length, length)`.
    left = powers(pole, ops.reshape(place[None] - place[:, None], (-1,)))
    return times(inputs, tuple(ops.reshape(x, (-1, length, length)) for x in left), ops.matmul)


def blocks(x, size):
    """`(K, B, T)` to `(K, B blocks, size)`, with zeros behind the end."""
    shape = ops.shape(x)
    count = (shape[2] + size - 1) // size
    if not (isinstance(shape[2], int) and shape[2] % size == 0):
        x = ops.pad(x, ((0, 0), (0, 0), (0, size - 1)))[..., : count * size]
    return ops.reshape(x, (shape[0], -1, size))


def joined(x, length):
    """`(K, B, blocks, size)` to `(K, B, length)`."""
    shape = ops.shape(x)
    return first(ops.reshape(x, (shape[0], shape[1], -1)), length, 2)
