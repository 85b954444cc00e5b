import functools

import keras
import numpy as np
from keras import ops

from keras_attn._autodiff import pullback
from keras_attn.inspection._calls import replaced
from keras_attn.lookup import choose

#: Bytes of the inputs of all copies that are pulled back at once.
ROOM = 2**23
REDUCTIONS = ("norm", "sum")


def sensitivity(model, inputs, output=None, reduce="norm", at=None, **options):
    """How strongly each position of a model's output depends on each of its input: the Jacobian, place by place.

    `J[t, s] = ∂y_t / ∂x_s` is a matrix `(Do, Di)` for each pair of positions, of which its norm or its sum is shown. It
    is exact, and needs no attention in the model. A unit that saturates has a derivative near zero: that a map is dark
    does not prove that a position plays no part.

    The rows of the Jacobian are pulled back a few at a time, as copies of the batch with a row each, so that all that
    the model must be able to do is a backward pass.

    Args:
        model: a built Keras model or layer of whose rows none depends on another.
        inputs: what it is called with. A floating-point array `(B, S, Di)` is x itself; for whole numbers, or several
            inputs, x is what the model's embedding makes of them.
        output: what of the output counts: None for all, a channel's number, or a function of the output.
        reduce: "norm" for `sqrt(Σ J²)` over both widths, "sum" for their signed sum, None for the Jacobian itself.
        at: name or path of the layer whose output is x; None for the model's only `keras.layers.Embedding`, where there
            is need of one.
        **options: further arguments of the call; `training=False` unless given.

    Returns:
        An array `(B, T, S)`, or `(B, S)` for an output without positions, `(B, Do)`. With `reduce=None`
        `(B, T, Do, S, Di)` or `(B, Do, S, Di)`.

    Raises:
        ValueError: if x cannot be told, or has not one vector for each position.

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
    x, run = _entrance(model, inputs, at, {"training": False, **options})
    if len(x.shape) != 3:
        raise ValueError(
            "`sensitivity` differentiates by vectors of positions, (B, S, Di). "
            f"Received: {'the inputs' if at is None else at} of shape {tuple(x.shape)}"
        )
    shape = tuple(_chosen(run(x, 1), output).shape)
    found = _rows(x, lambda x, copies: _chosen(run(x, copies), output), shape, functools.partial(_reduced, how=reduce))
    if reduce is None:
        return found.reshape(*shape, *x.shape[1:])
    # (B, lead..., Do, S) -> (B, lead..., S)
    found = found.reshape(*shape, x.shape[1])
    return np.sqrt(found.sum(axis=-2)) if reduce == "norm" else found.sum(axis=-2)


def _rows(x, function, shape, reduced):
    """Of each output number the gradient by `x`, reduced: `(B, numbers, ...)`; `function(x, copies)` is of `shape`."""
    batch, count = shape[0], int(np.prod(shape[1:]))
    copies = max(1, min(count, ROOM // max(1, x.nbytes)))
    tiled = ops.convert_to_tensor(np.tile(x, (copies, *(1 for _ in x.shape[1:]))))
    pull, found = pullback(lambda x: ops.reshape(function(x, copies), (copies * batch, count))), []
    for first in range(0, count, copies):
        # Copy i asks for number first + i; behind the last one copies ask for nothing.
        asked = np.eye(count, dtype=x.dtype)[first : first + copies]
        asked = np.pad(asked, ((0, copies - len(asked)), (0, 0)))
        slopes = pull(tiled, ops.convert_to_tensor(np.repeat(asked, batch, axis=0)))
        found.append(reduced(ops.convert_to_numpy(slopes).reshape(copies, *x.shape)))
    return np.moveaxis(np.concatenate(found)[:count], 0, 1)


def _reduced(slopes, how):
    if how is None:
        return slopes
    return np.square(slopes).sum(axis=-1) if how == "norm" else slopes.sum(axis=-1)


def _chosen(outputs, output):
    """What of the outputs counts, `(B, ..., Do)`."""
    if callable(output):
        outputs = output(outputs)
    elif output is not None:
        outputs = outputs[..., output : output + 1] if output != -1 else outputs[..., -1:]
    if isinstance(outputs, (list, tuple, dict)):
        raise ValueError(
            "The model has several outputs: say by a function `output` what counts of them. "
            f"Received: output={output}, outputs of type {type(outputs).__name__}"
        )
    outputs = ops.cast(outputs, "float32")
    return outputs[:, None] if len(outputs.shape) == 1 else outputs


def _entrance(model, inputs, at, options):
    """X as an array, and a function `run(x, copies)` to the model's output with copies of the batch side by side."""
    if at is None and not isinstance(inputs, (list, tuple, dict)) and _is_float(inputs):
        return np.array(ops.convert_to_numpy(inputs), dtype="float32"), lambda x, copies: model(x, **options)
    inputs = keras.tree.map_structure(lambda x: np.array(ops.convert_to_numpy(x)), inputs)
    layer = _layer(model, at)
    made = []

    def recording(call):
        @functools.wraps(call)
        def recorded(*args, **kwargs):
            made.append(call(*args, **kwargs))
            return made[-1]

        return recorded

    with replaced(layer, recording):
        model(inputs, **options)
    if len(made) != 1:
        raise ValueError(
            f"x is the output of {layer.name!r}, which must be called once in a pass: name another layer in `at`. "
            f"Received: a model that calls it {len(made)} times"
        )

    def run(x, copies):
        tiled = keras.tree.map_structure(lambda x: np.tile(x, (copies, *(1 for _ in x.shape[1:]))), inputs)
        with replaced(layer, lambda call: functools.wraps(call)(lambda *args, **kwargs: x)):
            return model(tiled, **options)

    return np.array(ops.convert_to_numpy(made[0]), dtype="float32"), run


def _is_float(x):
    return keras.backend.standardize_dtype(getattr(x, "dtype", None) or np.asarray(x).dtype).startswith("float")


def _layer(model, at):
    """The layer of that name or path, or the only embedding."""
    layers = model._flatten_layers(include_self=False)
    if at is None:
        found = [layer for layer in layers if isinstance(layer, keras.layers.Embedding)]
        what = "Whole numbers have no derivative, and the model has not exactly one embedding"
    else:
        found = [layer for layer in layers if at in (layer.name, layer.path)]
        what = f"There is not exactly one layer of the name or path {at!r}"
    if len(found) != 1:
        paths = ", ".join(layer.path or layer.name for layer in (found or layers))
        raise ValueError(f"{what}: name a layer in `at`. Received: {len(found)} among {paths or '(no layers)'}")
    return found[0]
