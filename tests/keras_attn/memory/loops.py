"""The papers' equations as loops over numbers, in float64, for one sequence."""

import numpy as np


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def softplus(z):
    return np.logaddexp(0.0, z)


def softmax(z):
    e = np.exp(z - np.max(z))
    return e / e.sum()


def content(key, strength, memory, mask=None):
    mask = np.ones_like(key) if mask is None else mask
    near = []
    for row in memory:
        dot = sum(k * m * r * m for k, m, r in zip(key, mask, row))
        lengths = np.sqrt(sum((k * m) ** 2 for k, m in zip(key, mask)) + 1e-6)
        near.append(strength * dot / (lengths * np.sqrt(sum((r * m) ** 2 for r, m in zip(row, mask)) + 1e-6)))
    return softmax(np.array(near))


def shift(weights, shares):
    count, reach = len(weights), len(shares) // 2
    moved = np.zeros(count)
    for i in range(count):
        for offset in range(-reach, reach + 1):
            moved[(i + offset) % count] += weights[i] * shares[offset + reach]
    return moved


def sharpen(weights, exponent):
    powers = np.array([w**exponent for w in weights])
    return powers / powers.sum() if powers.sum() > 0.0 else np.zeros(len(weights))


def allocation(usage):
    given, left = np.zeros(len(usage)), 1.0
    for slot in sorted(range(len(usage)), key=lambda i: usage[i]):
        given[slot] = (1.0 - usage[slot]) * left
        left *= usage[slot]
    return given


def usage(previous, written, read, free):
    used = []
    for i, u in enumerate(previous):
        for w in written:
            u = u + w[i] - u * w[i]
        for w, f in zip(read, free):
            u *= 1.0 - f * w[i]
        used.append(u)
    return np.array(used)


def link(links, written, precedence):
    count = len(written)
    after = np.zeros((count, count))
    for i in range(count):
        for j in range(count):
            if i != j:
                after[i, j] = (1.0 - written[i] - written[j]) * links[i, j] + written[i] * precedence[j]
    return after


def write(memory, weights, erase, add):
    after = memory.copy()
    for i in range(len(after)):
        for w, e in zip(weights, erase):
            after[i] = after[i] * (1.0 - w[i] * e)
        for w, a in zip(weights, add):
            after[i] = after[i] + w[i] * a
    return after


def lstm(x, previous, carry, parts):
    """The controller's step: its output and what it carries."""
    z = x @ parts["input_kernel"] + previous @ parts["kernel"] + parts["bias"]
    let_in, keep, let_out, candidate = np.split(z, 4)
    carry = sigmoid(keep) * carry + sigmoid(let_in) * np.tanh(candidate)
    return sigmoid(let_out) * np.tanh(carry), carry


def taken(asked, *shape):
    """The next numbers of an interface, in this shape, and the rest."""
    size = int(np.prod(shape))
    return asked[:size].reshape(shape), asked[size:]
