"""The linear recurrence `h_t = a_t h_{t-1} + b_t`, all steps at once.

Positions are cut into blocks of `BLOCK`, and all blocks go through their positions at the same time, one after another:
each reads two slices of the array and writes one, while a slice is still in the cache. The last states of the blocks
form a shorter recurrence of the same kind, which says with what each block should have begun. Only products of decays
occur, never quotients, so a decay of exactly 0 is as good as any; and only slices and elementwise steps, which every
backend compiles, differentiates and vectorises, at a length known or not.

The gradient is such a recurrence too, from the end to the start: `g_t = a_{t+1} g_{t+1} + dL/dh_t` is that of b_t, and
`g_t h_{t-1}` that of a_t. It is written down: under XLA, going back through every step takes some three times as long.
And so is the tangent, from the start to the end: `dh_t = a_t dh_{t-1} + da_t h_{t-1} + db_t`. Derivatives of any order
are there, backward and forward; on jax the gradient is what the tangent is when transposed.
"""

import functools

from keras import ops

from keras_attn._autodiff import solution, with_derivatives

BLOCK = 16
# Levels of blocks when the length is unknown, enough for 16 to the 5th positions, about a million.
UNKNOWN_LENGTH_LEVELS = 4


def linear_scan(decay, inputs, reverse=False, average=False):
    """States `(B, T, D)` of `h_t = decay_t h_{t-1} + inputs_t` from a state of zero; both arguments `(B, T, D)`.

    With `average`, of `h_t = decay_t h_{t-1} + (1 - decay_t) inputs_t`: the products never stand in memory as a whole.
    With `reverse` from the last position to the first, with `h_{t+1}` in the place of `h_{t-1}`.
    """
    return _with_derivatives(reverse, average)(decay, inputs)


def running_max(x, levels=UNKNOWN_LENGTH_LEVELS):
    """The largest of x `(B, T, D)` along the positions so far, by blocks of the same kind."""
    slices = list(_cut(x, levels))
    for place in range(1, len(slices)):
        slices[place] = ops.maximum(slices[place], slices[place - 1])
    if slices[0].shape[1] != 1:
        largest = running_max(slices[-1], levels - 1)
        # Before the first block nothing came: there its own first one says nothing new.
        before = ops.concatenate([slices[0][:, :1], largest[:, :-1]], axis=1)
        slices = [ops.maximum(each, before) for each in slices]
    return _join(slices, x)


@functools.cache
def _with_derivatives(reverse, average):
    options = {"reverse": reverse, "average": average}
    return with_derivatives(*(functools.partial(each, **options) for each in (_scan, _slopes, _tangent)))


def _scan(decay, inputs, reverse, average=False, levels=UNKNOWN_LENGTH_LEVELS):
    decays, fresh = _cut(decay, levels), _cut(inputs, levels)
    if average:
        fresh = [x - decay * x for decay, x in zip(decays, fresh)]
    return _join(_states(decays, fresh, reverse, levels), inputs)


def _slopes(decay, inputs, states, upstream, reverse, average):
    """The gradients of decay and inputs, given that of the states."""
    decays, states, upstreams = (_cut(x, UNKNOWN_LENGTH_LEVELS) for x in (decay, states, upstream))
    # a_{t+1} and h_{t-1}
    after, sources = _one_on(decays, not reverse), _one_on(states, reverse)
    slopes = _states(after, upstreams, not reverse, UNKNOWN_LENGTH_LEVELS)
    of_inputs = slopes
    if average:
        sources = [before - x for before, x in zip(sources, _cut(inputs, UNKNOWN_LENGTH_LEVELS))]
        of_inputs = [slope - decay * slope for decay, slope in zip(decays, slopes)]
    return _join([slope * source for slope, source in zip(slopes, sources)], inputs), _join(of_inputs, inputs)


def _tangent(decay, inputs, states, of_decay, of_inputs, reverse, average):
    """By how much the states change, `(B, T, D)`, given by how much decay and inputs do."""
    sources = _shift(states, reverse)
    if average:
        sources, of_inputs = sources - inputs, of_inputs - decay * of_inputs
    # h_t - a_t h_{t-1} = b_t, and of its transpose g_t - a_{t+1} g_{t+1} = dL/dh_t
    return solution(
        lambda x: x - decay * _shift(x, reverse),
        of_decay * sources + of_inputs,
        lambda x: linear_scan(decay, x, reverse),
        lambda x: linear_scan(_shift(decay, not reverse), x, not reverse),
    )


def _states(decays, inputs, reverse, levels):
    """The states, slice by slice, from slices `(B, blocks, D)` of decays and inputs, one for each place in a block."""
    order = slice(None, None, -1 if reverse else 1)
    decays, inputs = decays[order], inputs[order]
    products, states = [decays[0]], [inputs[0]]
    for decay, fresh in zip(decays[1:], inputs[1:]):
        products.append(decay * products[-1])
        states.append(decay * states[-1] + fresh)
    if inputs[0].shape[1] != 1:
        before = _shift(_scan(products[-1], states[-1], reverse, levels=levels - 1), reverse)
        states = [state + product * before for product, state in zip(products, states)]
    return states[order]


def _cut(x, levels):
    """`(B, T, D)` to a list of `(B, blocks, D)`, one for each place in a block, with zeros behind the end."""
    length = x.shape[1]
    if length is not None and length <= BLOCK:
        size, blocks = length, 1
    elif length is None:
        x = ops.pad(x, ((0, 0), (0, BLOCK - 1 if levels else BLOCK), (0, 0)))
        size, blocks = BLOCK, ops.shape(x)[1] // BLOCK if levels else 1
    else:
        size, blocks = BLOCK, -(-length // BLOCK)
        x = ops.pad(x, ((0, 0), (0, blocks * size - length), (0, 0))) if length % size else x
    if length is None:
        x = x[:, : blocks * size]
    return ops.unstack(ops.reshape(x, (ops.shape(x)[0], blocks, size, ops.shape(x)[-1])), size, axis=2)


def _join(slices, like):
    """What `_cut` has cut, with the length of `like`."""
    x = ops.stack(slices, axis=2)
    x = ops.reshape(x, (ops.shape(x)[0], -1, ops.shape(x)[-1]))
    return x if x.shape[1] is not None and x.shape[1] == like.shape[1] else x[:, : ops.shape(like)[1]]


def _one_on(slices, reverse):
    """The slices one position later, or with `reverse` earlier."""
    if reverse:
        return [*slices[1:], _shift(slices[0], True)]
    return [_shift(slices[-1], False), *slices[:-1]]


def _shift(x, reverse):
    """`x` `(B, T, D)` or `(B, blocks, D)` one on, or with `reverse` one back, with zeros where nothing comes from."""
    if reverse:
        return ops.pad(x[:, 1:], ((0, 0), (0, 1), (0, 0)))
    return ops.pad(x[:, :-1], ((0, 0), (1, 0), (0, 0)))
