"""How well a query matches a key.

Each function takes queries `(..., T, d)` and keys `(..., S, d)` and returns scores `(..., T, S)`: any real numbers,
larger for a better match. `keras_attn.normalizers` turns them into weights.
"""

import keras
from keras import ops

from keras_attn.first_order import first_order_only


def dot(query, key):
    """q·k (Luong et al., 2015, https://arxiv.org/abs/1508.04025, eq. 8)."""
    return ops.matmul(query, ops.swapaxes(key, -1, -2))


def scaled_dot(query, key):
    """q·k / sqrt(d) (Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, eq. 1)."""
    return dot(scaled(query), key)


def general(query, key, kernel):
    """The product q'W k with a learned `kernel` W of shape `(d_q, d_k)` (Luong et al., 2015, eq. 8)."""
    return dot(ops.matmul(query, kernel), key)


def cosine(query, key, strength=1.0):
    """β q·k / (|q| |k|) with strength β > 0 (Graves et al., 2014, https://arxiv.org/abs/1410.5401, eq. 5-6)."""
    return strength * dot(unit(query), unit(key))


def l2(query, key):
    """-|q - k|² / sqrt(d) (Kim et al., 2021, https://arxiv.org/abs/2006.04710, section 4, without tied weights)."""
    q, k = ops.cast(query, "float32"), ops.cast(key, "float32")
    # |q - k|² = |q|² + |k|² - 2 q·k, with no array of differences.
    square_of_key = ops.swapaxes(ops.sum(ops.square(k), axis=-1, keepdims=True), -1, -2)
    distance = ops.sum(ops.square(q), axis=-1, keepdims=True) + square_of_key - 2.0 * dot(q, k)
    return ops.cast(-distance * float(query.shape[-1]) ** -0.5, query.dtype)


def additive(query, key, scale=None):
    """Σ_u v_u tanh(q_u + k_u) with `scale` v of shape `(d,)`, ones if None.

    Bahdanau et al., 2015, https://arxiv.org/abs/1409.0473, appendix A.1.2, with the projections already applied.
    """
    hidden = _hidden(query, key)
    return ops.sum(hidden if scale is None else hidden * scale, axis=-1)


def lean_additive(query, key, scale=None):
    """As `additive`, with fewer passes over the `(..., T, S, d)` sums in its gradient.

    Everywhere but on torch the gradient is by hand, and has no second derivatives.
    """
    column = ops.ones((query.shape[-1], 1), dtype=query.dtype) if scale is None else ops.reshape(scale, (-1, 1))
    if keras.config.backend() == "torch":
        # What a gradient by hand remembers stays there until all of the backward pass is done: every chunk's sums.
        return ops.matmul(_hidden(query, key), column)[..., 0]

    @ops.custom_gradient
    def scores(query, key, column):
        hidden = _hidden(query, key)

        def gradient(*args, upstream=None):
            # u_ts is the upstream gradient; that of q_t is v Σ_s u_ts (1 - h_ts²), that of k_s is v Σ_t of the same.
            upstream = args[0] if upstream is None else upstream
            square = hidden * hidden
            of_query = ops.matmul(ops.expand_dims(upstream, -2), square)[..., 0, :]
            of_key = _sum_of_queries(ops.expand_dims(upstream, -1) * square)
            # Σ_ts u_ts h_ts, as one product of a row and a matrix.
            of_scale = ops.matmul(ops.reshape(upstream, (1, -1)), ops.reshape(hidden, (-1, column.shape[0])))
            slopes = (
                (ops.sum(upstream, axis=-1)[..., None] - of_query) * column[:, 0],
                (ops.sum(upstream, axis=-2)[..., None] - of_key) * column[:, 0],
                ops.swapaxes(of_scale, 0, 1),
            )
            return first_order_only(slopes, (query, key, column))

        return ops.matmul(hidden, column)[..., 0], gradient

    return scores(query, key, column)


def _hidden(query, key):
    """Tanh of all sums: `(..., T, S, d)`."""
    return ops.tanh(ops.expand_dims(query, -2) + ops.expand_dims(key, -3))


def _sum_of_queries(x):
    """`x` `(..., T, S, d)` to `(..., S, d)`, by adding halves: XLA is slow at sums over a leading axis."""
    rest, count = [], x.shape[-3]
    if count is None:
        return ops.sum(x, axis=-3)
    while count > 1:
        if count % 2:
            rest.append(x[..., count - 1, :, :])
        count //= 2
        x = x[..., :count, :, :] + x[..., count : 2 * count, :, :]
    return sum(rest, x[..., 0, :, :])


def scaled(query):
    """The query over sqrt(d): the query and not the product, which in float16 may overflow first."""
    return query * ops.cast(float(query.shape[-1]) ** -0.5, query.dtype)


def unit(x, axis=-1):
    """`x` at length one, in float32: in float16 the squares overflow.

    A row shorter than 1e-4 points nowhere and stays as it is: what made it one long would have a slope beyond float16.
    """
    x32 = ops.cast(x, "float32")
    square = ops.sum(ops.square(x32), axis=axis, keepdims=True)
    # The root's slope at zero is infinite, and infinity times zero would come through the other branch.
    return ops.cast(x32 / ops.sqrt(ops.where(square > 1e-8, square, 1.0)), x.dtype)
