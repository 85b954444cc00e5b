"""Sequences made by a rule, on which memories are tried: copy, repeat copy, associative recall, priority sort.

Each function draws `count` examples from a `numpy.random.Generator` and returns inputs `(N, T, channels)`, targets
`(N, T, bits)` and what each step counts `(N, T)`, all float32. What was asked is over before the answer begins, during
which the inputs are zero. Shorter examples are padded behind with zeros that do not count.

Graves et al., 2014, https://arxiv.org/abs/1410.5401, sections 4.1, 4.2, 4.3 and 4.5.
"""

import numpy as np


def copy(numbers, count, longest=20, shortest=1, bits=8):
    """Random vectors of bits, a mark in a channel of its own, then the vectors again."""
    arrays = _empty(count, 2 * longest + 1, bits + 1, bits)
    for example in range(count):
        length = numbers.integers(shortest, longest + 1)
        item = numbers.integers(2, size=(length, bits))
        _ask(arrays, example, item, {length: (bits, 1.0)})
        _answer(arrays, example, length + 1, item)
    return arrays


def repeat_copy(numbers, count, longest=10, shortest=1, most=5, least=1, bits=8):
    """Random vectors of bits, then how often to repeat them (divided by 10), then so many copies and a mark."""
    arrays = _empty(count, longest * (most + 1) + 2, bits + 1, bits + 1)
    for example in range(count):
        length, repeats = numbers.integers(shortest, longest + 1), numbers.integers(least, most + 1)
        item = numbers.integers(2, size=(length, bits))
        _ask(arrays, example, item, {length: (bits, repeats / 10.0)})
        answer = np.zeros((length * repeats + 1, bits + 1))
        answer[:-1, :bits] = np.tile(item, (repeats, 1))
        answer[-1, bits] = 1.0
        _answer(arrays, example, length + 1, answer)
    return arrays


def associative_recall(numbers, count, most=6, least=2, item_length=3, bits=6):
    """Items of several vectors, each behind a mark; then one of them between two marks of another kind.

    The answer is the item behind it, so that the last one is never asked for.
    """
    steps = (most + 1) * (item_length + 1) + 1 + item_length
    arrays = _empty(count, steps, bits + 2, bits)
    for example in range(count):
        items = numbers.integers(least, most + 1)
        shown = numbers.integers(2, size=(items, item_length, bits))
        asked = numbers.integers(items - 1)
        inputs, at = arrays[0], 0
        for item in shown:
            inputs[example, at, bits] = 1.0
            inputs[example, at + 1 : at + 1 + item_length, :bits] = item
            at += item_length + 1
        inputs[example, [at, at + item_length + 1], bits + 1] = 1.0
        inputs[example, at + 1 : at + 1 + item_length, :bits] = shown[asked]
        _answer(arrays, example, at + item_length + 2, shown[asked + 1])
    return arrays


def priority_sort(numbers, count, items=20, answered=16, bits=8):
    """Random vectors of bits with a priority each, in [-1, 1), a mark, then those of the highest priority, in order."""
    arrays = _empty(count, items + 1 + answered, bits + 2, bits)
    for example in range(count):
        vectors, priorities = numbers.integers(2, size=(items, bits)), numbers.uniform(-1.0, 1.0, size=items)
        _ask(arrays, example, vectors, {items: (bits + 1, 1.0)})
        arrays[0][example, :items, bits] = priorities
        _answer(arrays, example, items + 1, vectors[np.argsort(-priorities)[:answered]])
    return arrays


def _empty(count, steps, channels, bits):
    shapes = (count, steps, channels), (count, steps, bits), (count, steps)
    return tuple(np.zeros(shape, dtype="float32") for shape in shapes)


def _ask(arrays, example, vectors, marks):
    """Writes vectors to the first steps, and marks `{step: (channel, value)}`."""
    inputs = arrays[0]
    inputs[example, : len(vectors), : vectors.shape[1]] = vectors
    for step, (channel, value) in marks.items():
        inputs[example, step, channel] = value


def _answer(arrays, example, start, vectors):
    """Writes what is right from a step on, which counts."""
    _, targets, weight = arrays
    targets[example, start : start + len(vectors)] = vectors
    weight[example, start : start + len(vectors)] = 1.0
