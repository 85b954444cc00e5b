"""How heads find places in a memory: by content, by where they were, by what is free, by the order of writing.

B is the batch, H heads (R that read, W that write), N slots, d the width of a slot. Everything is differentiable, stays
finite at zeros, and is in float32 by whoever calls it.

Graves et al., 2014, https://arxiv.org/abs/1410.5401, eq. 3-9 (the Turing machine); Graves et al., 2016, "Hybrid
computing using a neural network with dynamic external memory", Nature 538, Methods (the computer).
"""

import functools
import operator

import keras
from keras import ops

#: Added to squared lengths, so that an empty slot has a gradient.
EPSILON = 1e-6
#: Stands for zero where its logarithm is taken: too little to change a sum, and its square is no number to divide by.
NEXT_TO_NOTHING = 1e-30


def content_weights(keys, strengths, memory, key_masks=None):
    """`softmax_i(β cos(k, M_i))`: `(B, H, N)` from keys `(B, H, d)`, strengths `(B, H)` and a memory `(B, N, d)`.

    With masks m `(B, H, d)` only what they let through is compared: `cos(k ∘ m, M_i ∘ m)`.
    """
    if keys.shape[-1] != memory.shape[-1]:
        raise ValueError(
            "Keys must be as wide as the memory's slots. "
            f"Received: keys of shape {tuple(keys.shape)}, memory of shape {tuple(memory.shape)}"
        )
    squares = ops.square(memory)
    if key_masks is None:
        # (B, 1, N)
        lengths = ops.sum(squares, axis=-1)[:, None]
    else:
        keys = keys * key_masks
        lengths = _product(ops.square(key_masks), squares)
    # The strength rides on the keys, which are fewer than the slots.
    scaled = keys * (strengths[..., None] * ops.rsqrt(ops.sum(ops.square(keys), axis=-1, keepdims=True) + EPSILON))
    scaled = scaled if key_masks is None else scaled * key_masks
    return ops.softmax(_product(scaled, memory) * ops.rsqrt(lengths + EPSILON), axis=-1)


def interpolate(content, previous, gates):
    """`g w_content + (1 - g) w_{t-1}`: `(B, H, N)` both, with gates `(B, H)`."""
    return previous + gates[..., None] * (content - previous)


def shift(weights, shares):
    """The circular convolution `w(i) = Σ_o s(o) w(i - o)` of weights `(B, H, N)`, offsets o from -r to r.

    `shares` `(B, H, 2r + 1)` has one share for each offset, the most negative first: what stands at slot i goes on to
    slot i + o.
    """
    slots, width = weights.shape[-1], shares.shape[-1]
    if width % 2 == 0 or width > slots:
        raise ValueError(
            f"A shift over {slots} slots has an odd number of shares, at most one for each slot. "
            f"Received: shares of shape {tuple(shares.shape)}"
        )
    if width == 1:
        return shares * weights
    reach = width // 2
    around = ops.concatenate([weights[..., slots - reach :], weights, weights[..., :reach]], axis=-1)
    # Offset o = m - r reads from i - o, which stands at i + r - o = i + 2r - m behind the edge.
    starts = range(2 * reach, -1, -1)
    moved = (shares[..., m : m + 1] * around[..., start : start + slots] for m, start in enumerate(starts))
    return functools.reduce(operator.add, moved)


def sharpen(weights, exponents):
    """`w_i^γ / Σ_j w_j^γ`: `(B, H, N)` with exponents `(B, H)`, at least 0; a row of zeros stays as it is."""
    # In logarithms: (1/N)^γ is 0 in float32 where γ is large.
    powers = exponents[..., None] * ops.log(ops.maximum(weights, NEXT_TO_NOTHING))
    return ops.where(ops.max(weights, axis=-1, keepdims=True) > 0.0, ops.softmax(powers, axis=-1), 0.0)


def retention(read_weights, free_gates):
    """`ψ = Π_r (1 - f_r w_r)`, the share of each slot that the reading heads do not free: `(B, N)`."""
    # Modes and weights that sum to one do so up to rounding: a share below zero would end as NaN in `allocation`.
    kept = ops.maximum(1.0 - free_gates[..., None] * read_weights, 0.0)
    # Head by head: a product over an axis has a slow gradient, and there are few.
    return functools.reduce(operator.mul, (kept[:, head] for head in range(kept.shape[1])))


def usage(previous, write_weights, retained):
    """`u_t = (u + w - u ∘ w) ∘ ψ` from `(B, N)`, the last step's write weights `(B, W, N)` and ψ `(B, N)`."""
    used = previous
    for head in range(write_weights.shape[1]):
        used = used + write_weights[:, head] - used * write_weights[:, head]
    return used * retained


def allocation(used):
    """`a[φ_j] = (1 - u[φ_j]) Π_{i<j} u[φ_i]`, φ the slots from the least used on: `(B, N)` from `(B, N)`."""
    # Instead of sorting: (B, N, N), whether slot j comes before slot i; of equal ones the one with the lower number.
    rank = ops.where(used > 1e-20, used, 0.0)
    at_most = rank[:, None, :] <= rank[:, :, None]
    number = ops.arange(used.shape[-1])
    lower, higher = number[None, :] < number[:, None], number[None, :] > number[:, None]
    # One comparison for both orders, and none of a slot with itself: a compiler that computes `used` anew for each
    # operand may round it differently, and then even x < x is true.
    before = ops.logical_or(
        ops.logical_and(lower, at_most),
        ops.logical_and(higher, ops.logical_not(ops.swapaxes(at_most, -1, -2))),
    )
    # At zero the product would pass no gradient.
    logs = ops.log(used + NEXT_TO_NOTHING)[:, None, :]
    product = ops.exp(ops.sum(ops.where(before, logs, 0.0), axis=-1))
    return (1.0 - used) * product


def allocations(used, gates):
    """What each of several writing heads is given, `(B, W, N)`: a later one what the earlier leave.

    `gates` `(B, W)` say how much of it each will write.
    """
    given = []
    for head in range(gates.shape[1]):
        given.append(allocation(used))
        used = used + (1.0 - used) * gates[:, head : head + 1] * given[-1]
    return ops.stack(given, axis=1)


def precedence(previous, write_weights):
    """`p_t = (1 - Σ_i w_i) p_{t-1} + w`, how much each slot was the last that was written: `(..., N)`."""
    return (1.0 - ops.sum(write_weights, axis=-1, keepdims=True)) * previous + write_weights


def link(links, write_weights, previous_precedence):
    """`L_ij = (1 - w_i - w_j) L_ij + w_i p_j` and `L_ii = 0`, whether i was written right after j: `(..., N, N)`."""
    after, before = write_weights[..., :, None], write_weights[..., None, :]
    fresh = after * previous_precedence[..., None, :]
    number = ops.arange(write_weights.shape[-1])
    # What stands on the diagonal stays zero by itself once nothing is added there.
    return (1.0 - after - before) * links + ops.where(number[:, None] == number, 0.0, fresh)


def follow(links, read_weights):
    """Where the slots that are read lead: `f = L w` and `b = L' w`, `(..., R, N)` both, from `(..., N, N)`."""
    return ops.matmul(read_weights, ops.swapaxes(links, -1, -2)), ops.matmul(read_weights, links)


def link_and_follow(links, write_weights, previous_precedence, read_weights):
    """`link`, and where its links lead: `(..., N, N)` and twice `(..., R, N)`.

    For the gradient only what goes in is kept and the rest computed again: to keep three arrays of N^2 numbers for each
    step takes longer than to compute them.
    """

    def both(*parts):
        after = link(*parts[:3])
        return after, *follow(after, parts[3])

    return keras.remat(both)(links, write_weights, previous_precedence, read_weights)


def no_sparse_links(batch, slots, keep):
    """Links before anything was written, `(B, N, K)`: strengths of zero, at places that differ within a row."""
    places = ops.broadcast_to(ops.arange(keep, dtype="int32"), (batch, slots, keep))
    return ops.zeros((batch, slots, keep), dtype="float32"), places


def sparse_link(strengths, places, write_weights, previous_precedence):
    """`link` with the K strongest links of each slot: their strengths and the places j they lead from, `(B, N, K)`.

    Of the weights and the precedence `(B, N)` the K largest make new links. So N K numbers are moved and K^3 compared,
    where the full links have N^2.
    """
    slots, keep = strengths.shape[1:]
    at_places = _take(write_weights, places)
    strengths = (1.0 - write_weights[..., None] - at_places) * strengths
    # The rows of the K slots that are written most, (B, K) each, get links from the K slots written most before.
    written, rows = ops.top_k(write_weights, keep)
    before, sources = ops.top_k(previous_precedence, keep)
    # (B, K, N), and (B, K, K) of each the row's own links.
    chosen = ops.one_hot(rows, slots, dtype=strengths.dtype)
    own, own_places = ops.matmul(chosen, strengths), ops.take_along_axis(places, rows[..., None], axis=1)
    fresh = written[..., None] * before[:, None]
    # (B, K, K old, K new): a new link may be there already. Then it adds to the old one, and never counts by itself.
    same = own_places[..., None] == sources[:, None, None]
    own = own + ops.sum(ops.where(same, fresh[:, :, None], 0.0), axis=-1)
    taken = ops.logical_or(ops.any(same, axis=2), sources[:, None] == rows[..., None])
    own = ops.where(own_places == rows[..., None], 0.0, own)
    strongest, which = ops.top_k(ops.concatenate([own, ops.where(taken, -1.0, fresh)], axis=-1), keep)
    own_places = ops.concatenate([own_places, sources[:, None] + ops.zeros_like(own_places)], axis=-1)
    own_places = ops.take_along_axis(own_places, which, axis=-1)
    # Back to where they came from: (B, N, K).
    back = ops.swapaxes(chosen, 1, 2)
    is_chosen = ops.sum(back, axis=-1, keepdims=True)
    strengths = ops.matmul(back, strongest) + (1.0 - is_chosen) * strengths
    place_of = ops.argmax(back, axis=-1)[..., None]
    return strengths, ops.where(is_chosen > 0.5, ops.take_along_axis(own_places, place_of, axis=1), places)


def sparse_follow(strengths, places, read_weights):
    """`follow` for links `(B, N, K)`: f and b, `(B, R, N)` both, from read weights `(B, R, N)`."""
    batch, slots = ops.shape(strengths)[0], strengths.shape[1]
    # Numbers that differ from sequence to sequence, to sum over all of them at once.
    targets = ops.reshape(places + slots * ops.arange(batch, dtype="int32")[:, None, None], (-1,))
    forward, backward = [], []
    for head in range(read_weights.shape[1]):
        weights = read_weights[:, head]
        forward.append(ops.sum(strengths * _take(weights, places), axis=-1))
        shares = ops.reshape(strengths * weights[..., None], (-1,))
        backward.append(ops.reshape(ops.segment_sum(shares, targets, num_segments=batch * slots), (-1, slots)))
    return ops.stack(forward, axis=1), ops.stack(backward, axis=1)


def write(memory, weights, erase, add):
    """`M_i Π_h (1 - w_h(i) e_h) + Σ_h w_h(i) a_h`: `(B, N, d)`, with weights `(B, W, N)`, the rest `(B, W, d)`."""
    kept = memory
    for head in range(weights.shape[1]):
        kept = kept - weights[:, head, :, None] * (erase[:, head, None] * kept)
    return kept + ops.matmul(ops.swapaxes(weights, 1, 2), add)


def read(memory, weights):
    """`r_h = Σ_i w_h(i) M_i`: `(B, H, d)`."""
    return ops.matmul(weights, memory)


def _product(queries, rows):
    return ops.matmul(queries, ops.swapaxes(rows, -1, -2))


def _take(rows, places):
    """`(B, N, K)`: what `(B, N)` has at places `(B, N, K)`."""
    flat = ops.reshape(places, (-1, places.shape[1] * places.shape[2]))
    return ops.reshape(ops.take_along_axis(rows, flat, axis=1), (-1, *places.shape[1:]))
