import functools

import keras
import numpy as np
from keras import ops

from keras_attn._autodiff import pullbacks
from keras_attn.inspection._calls import all_layers, called
from keras_attn.inspection._entrance import OF_PAIRS, as_arrays, at_once, chosen, entrance, shape_of
from keras_attn.lookup import choose

REDUCTIONS = ("norm", "sum")
#: Into how many pieces a causal model's positions are cut: 5/8 of the pairs are computed. More compile more often.
PIECES = 4
#: A causal model's answer may move by so many roundings of what it computes in: other lengths are summed otherwise.
ROUNDINGS = 4
#: What a rounding is, of a number near one, where it is not small.
HALVES = {"float16": 2**-11, "bfloat16": 2**-8}


def sensitivity(model, inputs, output=None, reduce="norm", at=None, causal=False, **options):
    """How strongly each position of a model's output depends on each of its input: the Jacobian, place by place.

    `J[t, s] = ∂y_t / ∂x_s` is a matrix `(Do, Di)` for each pair of positions, of which its norm or its sum is shown. It
    is exact, and needs no attention in the model. A unit that saturates has a derivative near zero: that a map is dark
    does not prove that a position plays no part.

    The rows of the Jacobian are pulled back a few at a time: on jax by one forward pass, elsewhere as copies of the
    batch with a row each, so that all that the model must be able to do is a backward pass.

    Args:
        model: a built Keras model or layer of whose rows none depends on another.
        inputs: what it is called with. A floating-point array `(B, S, Di)` is x itself, and so is one of pixels,
            `(B, H, W, Di)`, which are positions row after row, S = H W, or of numbers, `(B, S)`. For whole numbers, or
            several inputs, x is what the model's embedding makes of them.
        output: what of the output counts: None for all, a channel's number, or a function of the output.
        reduce: "norm" for `sqrt(Σ J²)` over both widths, "sum" for their signed sum, None for the Jacobian itself.
        at: name or path of the layer whose output is x; None for the model's only `keras.layers.Embedding`, where there
            is need of one.
        causal: whether no output depends on later positions, as many as there are of the input. Then a part of the
            outputs is asked for with a part of the input, which saves three eighths and more of the work.
        **options: further arguments of the call; `training=False` unless given.

    Returns:
        An array `(B, T, S)`, or `(B, S)` for an output without positions, `(B, Do)`, or `(B, H, W, S)` for one of
        pixels. With `reduce=None`
        `(B, T, Do, S, Di)` or `(B, Do, S, Di)`.

    Raises:
        ValueError: if x cannot be told, or has no positions; or if the model is said to be causal
            and its output changes when later positions are left out.

    Example:
    >>> layer = keras.layers.Conv1D(5, kernel_size=3, padding="causal")
    >>> layer.build((None, 4, 2))
    >>> (sensitivity(layer, np.ones((1, 4, 2), "float32")) > 0.0).astype(int)[0].tolist()
    [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1]]

    Reference: Graves et al., 2013, https://arxiv.org/abs/1308.0850, and "Attention and Memory in Deep Learning" (the
    sequential Jacobian).
    """
    if reduce is not None:
        choose("reduce", reduce, REDUCTIONS)
    options = as_arrays({"training": False, **options})
    slopes = _in_pieces if causal else _whole
    found = slopes(model, inputs, output, functools.partial(_reduced, how=reduce), at, options)
    if reduce is None:
        return found
    # (B, lead..., Do, S) -> (B, lead..., S)
    return np.sqrt(found.sum(axis=-2)) if reduce == "norm" else found.sum(axis=-2)


def _whole(model, inputs, output, reduced, at, options):
    """Of each number of the output the gradient by x, reduced: `(B, lead..., Do, S)`, with Di behind if it is not."""
    x, run = entrance(model, inputs, at, options)
    shape = tuple(chosen(run(x, 1), output).shape)
    found = _rows(x, lambda x, copies: chosen(run(x, copies), output), shape, reduced)
    return found.reshape(*shape, *found.shape[2:])


def _in_pieces(model, inputs, output, reduced, at, options):
    """The same of a causal model: of each piece of the output by the input up to its end, zero behind it."""
    inputs = keras.tree.map_structure(ops.convert_to_numpy, inputs)
    whole = ops.convert_to_numpy(chosen(called(model, inputs, **options), output))
    length = whole.shape[1]
    if whole.ndim != 3:
        raise ValueError(f"A causal model has an output `(B, T, Do)`. Received: outputs of shape {whole.shape}")
    rounding = max([HALVES.get(layer.compute_dtype, 0.0) for layer in all_layers(model)], default=0.0)
    ends = [length * piece // PIECES for piece in range(1, PIECES + 1)]
    pieces = []
    for start, end in zip([0, *ends], ends):
        if start < end:
            seen = keras.tree.map_structure(functools.partial(_first, count=end, length=length), inputs)
            some = {name: _first_of(name, option, len(whole), end, length) for name, option in options.items()}
            _check_causal(ops.convert_to_numpy(chosen(called(model, seen, **some), output)), whole, end, rounding)
            piece = _whole(model, seen, lambda y, start=start: chosen(y, output)[:, start:], reduced, at, some)
            pieces.append(np.pad(piece, [(0, length - end) if axis == 3 else (0, 0) for axis in range(piece.ndim)]))
    return np.concatenate(pieces, axis=1)


def _first(x, count, length):
    if x.ndim < 2 or x.shape[1] != length:
        raise ValueError(
            "A causal model has as many positions in each of its inputs as in its output. "
            f"Received: {length} in its output, and an input of shape {x.shape}"
        )
    return x[:, :count]


def _first_of(name, option, batch, count, length):
    """An option of the call, as a mask, for the first positions alone if it has all of them."""
    shape = shape_of(option)
    if name in OF_PAIRS and len(shape) >= 2:
        rows, columns = (slice(count) if side == length else slice(None) for side in shape[-2:])
        return option[..., rows, columns]
    return option[:, :count] if shape[:2] == (batch, length) else option


def _check_causal(found, whole, end, rounding):
    """Refuses a model whose first outputs change, by more than its precision, once later positions are left out."""
    expected, near = whole[:, :end], max(1e-4, ROUNDINGS * rounding)
    close = {"rtol": max(1e-3, near), "atol": near * np.abs(whole).max()}
    if found.shape != expected.shape or not np.allclose(found, expected, **close):
        raise ValueError(
            f"The model is not causal: its first {end} outputs are others once the later positions are left out. "
            "Leave `causal` at False. Received: causal=True"
        )


def _rows(x, function, shape, reduced):
    """Of each output number the gradient by `x`, reduced: `(B, numbers, ...)`; `function(x, copies)` is of `shape`."""
    batch, count = shape[0], int(np.prod(shape[1:]))
    copies = at_once(count, x, batch * count)
    pull = pullbacks(lambda x, copies: ops.reshape(function(x, copies), (-1, count)), ops.convert_to_tensor(x), copies)
    found = []
    for first in range(0, count, copies):
        # Copy i asks for number first + i; behind the last one copies ask for nothing.
        asked = np.eye(copies, count, k=first, dtype=x.dtype)
        asked = ops.convert_to_tensor(np.repeat(asked[:, None], batch, axis=1))
        found.append(reduced(ops.convert_to_numpy(pull(asked))))
    return np.moveaxis(np.concatenate(found)[:count], 0, 1)


def _reduced(slopes, how):
    if how is None:
        return slopes
    return np.square(slopes).sum(axis=-1) if how == "norm" else slopes.sum(axis=-1)
