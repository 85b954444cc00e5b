"""Where vectors of positions enter a model: its inputs, or what a layer within it makes of them.

Positions may stand on several axes, as pixels do: here they are one, row after row.
"""

import functools
import numbers

import keras
import numpy as np
from keras import ops

from keras_attn.inspection._calls import all_layers, called, replaced
from keras_attn.lookup import choose

#: Options of a call that say something of pairs: the last two axes are of queries and of keys.
OF_PAIRS = ("attention_mask", "attention_bias")
#: A baseline by name: an average word.
MEAN = "mean"
#: Bytes of all copies of what goes into a model, or comes out of it, at once.
ROOM = 2**23


def chosen(outputs, output):
    """What of the outputs counts, `(B, ..., Do)`."""
    outputs = output(outputs) if callable(output) else outputs
    if isinstance(outputs, (list, tuple, dict)):
        raise ValueError(
            "The model has several outputs: say by a function `output` what counts of them. "
            f"Received: output={output}, outputs of type {type(outputs).__name__}"
        )
    outputs = ops.cast(outputs, "float32")
    outputs = outputs[:, None] if len(outputs.shape) == 1 else outputs
    return outputs if output is None or callable(output) else _channel(outputs, output)


def _channel(outputs, output):
    """One of the last axis, which stays."""
    count = outputs.shape[-1]
    if not isinstance(output, numbers.Integral) or isinstance(output, bool):
        raise ValueError(f"`output` must be a channel's number, a function or None. Received: output={output!r}")
    if not -count <= output < count:
        raise ValueError(f"There is no such number among {count}. Received: output={output}")
    return outputs[..., output : output + 1 or None]


def one_number(outputs):
    """The only number of each row, `(B,)`."""
    if len(outputs.shape) != 2 or outputs.shape[1] != 1:
        raise ValueError(
            "One number of each row is explained: say in `output` which, a channel or a function to (B,). "
            f"Received: outputs of shape {tuple(outputs.shape)}"
        )
    return outputs[:, 0]


def nothing_there(baseline, x, layer):
    """What stands in the place of x, the inputs or what a layer made of them, where nothing is."""
    if baseline is None:
        return np.zeros_like(x)
    if isinstance(baseline, str):
        return np.broadcast_to(_average_word(choose("baseline", baseline, (MEAN,)), layer), x.shape)
    baseline = np.asarray(baseline, "float32")
    if baseline.size in (x.size, x[0].size):
        # As the inputs are, with positions on several axes.
        baseline = baseline.reshape(-1, *x.shape[1:])
    try:
        return np.broadcast_to(baseline, x.shape)
    except ValueError:
        raise ValueError(
            f"`baseline` stands in the place of x, of shape {x.shape}, or is broadcast to it. "
            f"Received: an array of shape {baseline.shape}"
        ) from None


def _average_word(name, layer):
    """The mean of an embedding's table, `(Di,)`."""
    if not isinstance(layer, keras.layers.Embedding):
        where = "the inputs" if layer is None else f"the output of {layer.name!r}"
        raise ValueError(
            f"`baseline={name!r}` is the mean vector of an embedding's table, where x is its output. "
            f"Received: a model that is entered at {where}"
        )
    # Asked as the model asks: its table may be quantized, or changed by LoRA.
    return ops.convert_to_numpy(ops.mean(ops.cast(layer(ops.arange(layer.input_dim)), "float32"), axis=0))


def entered(model, inputs, at):
    """The layer whose output is x; None if the inputs themselves are."""
    leaves = keras.tree.flatten(inputs)
    if at is None and len(leaves) == 1 and _is_float(leaves[0]):
        return None
    return _layer(model, at, whole=not all(map(_is_float, leaves)))


def entrance(model, inputs, at, options):
    """The vectors x `(B, S, Di)`, and a function `run(x, copies)` from copies of the batch to the model's output."""
    leaves, options = keras.tree.flatten(inputs), as_arrays(options)
    several, layer = functools.partial(_several, options, len(leaves[0])), entered(model, inputs, at)
    if layer is None:

        def run_all(x, copies):
            return called(model, keras.tree.pack_sequence_as(inputs, [x]), **several(copies))

        return _in_a_row(_vectors(leaves[0], "inputs"), _one_by_one(model, run_all))
    inputs = keras.tree.map_structure(lambda x: np.array(ops.convert_to_numpy(x)), inputs)
    made = []

    def recording(call):
        @functools.wraps(call)
        def recorded(*args, **kwargs):
            made.append(call(*args, **kwargs))
            return made[-1]

        return recorded

    with replaced(layer, recording):
        called(model, inputs, **options)
    if len(made) != 1:
        raise ValueError(
            f"x is the output of {layer.name!r}, which must be called once in a pass: name another layer in `at`. "
            f"Received: a model that calls it {len(made)} times"
        )

    def run(x, copies):
        many = keras.tree.map_structure(lambda x: tiled(x, copies), inputs)
        # As the layer's output is: what comes next may take neither arrays nor another precision.
        x = ops.cast(ops.convert_to_tensor(x), made[0].dtype)
        with replaced(layer, lambda call: functools.wraps(call)(lambda *args, **kwargs: x)):
            return called(model, many, **several(copies))

    return _in_a_row(_vectors(made[0], layer.name), _one_by_one(model, run))


def _in_a_row(x, run):
    """`x` `(B, ..., Di)` as `(B, S, Di)`, and a `run` of such; of `(B, S)` each vector is one number."""
    shape = x.shape[1:]
    flat = x.reshape(len(x), -1, shape[-1]) if len(shape) > 1 else x[..., None]
    return flat, lambda x, copies: run(ops.reshape(x, (-1, *shape)), copies)


def _one_by_one(model, run):
    """`run`, but for a model with a state for each row of the batch: for that one copy after another."""
    if not any(getattr(layer, "stateful", False) for layer in all_layers(model)):
        return run

    def run_each(x, copies):
        made = [run(each, 1) for each in ops.split(x, copies)]
        return keras.tree.map_structure(lambda *parts: ops.concatenate(parts), *made)

    return run_each


def _several(options, batch, copies):
    """The options of a call on so many copies of the batch: a mask, say, has a row for each example."""
    return {
        name: tiled(np.asarray(ops.convert_to_numpy(option)), copies) if _has_rows(name, option, batch) else option
        for name, option in options.items()
    }


def _has_rows(name, option, batch):
    """Whether an option has a row for each example: one of pairs with two axes is for all of them."""
    shape = shape_of(option)
    return shape[:1] == (batch,) and not (name in OF_PAIRS and len(shape) == 2)


def shape_of(option):
    """The shape of an option of a call; empty if it is no array."""
    return tuple(getattr(option, "shape", ()))


def as_arrays(options):
    """The options of a call, those that are lists of numbers as arrays."""
    return {name: np.array(option) if _is_list_of_numbers(option) else option for name, option in options.items()}


def _is_list_of_numbers(option):
    return isinstance(option, (list, tuple)) and all(
        isinstance(leaf, numbers.Number) for leaf in keras.tree.flatten(option)
    )


def tiled(x, copies):
    """So many copies of the batch, one behind the other."""
    return np.tile(x, (copies, *(1 for _ in x.shape[1:])))


def at_once(count, x, numbers=0):
    """How many of `count` copies of x there is room for, where each copy has so many numbers of output."""
    return max(1, min(count, ROOM // max(1, x.nbytes, numbers * x.itemsize)))


def _vectors(x, what):
    if isinstance(x, (list, tuple, dict)):
        raise ValueError(f"What is differentiated by is one array. Received: {what} of type {type(x).__name__}")
    x = np.array(ops.convert_to_numpy(x), dtype="float32")
    if x.ndim < 2:
        raise ValueError(
            "What is differentiated by are positions: vectors (B, S, Di), pixels (B, H, W, C), or numbers (B, S). "
            f"Received: {what} of shape {x.shape}"
        )
    return x


def _is_float(x):
    return keras.backend.is_float_dtype(getattr(x, "dtype", None) or np.asarray(x).dtype)


def _layer(model, at, whole):
    """The layer of that name or path, or the only embedding; `whole` says whether whole numbers go in."""
    layers = model._flatten_layers(include_self=False)
    if at is None:
        found = [layer for layer in layers if isinstance(layer, keras.layers.Embedding)]
        why = "Whole numbers have no derivative" if whole else "More than one array goes in"
        what = f"{why}, and the model has not exactly one embedding"
    else:
        found = [layer for layer in layers if at in (layer.name, layer.path)]
        what = f"There is not exactly one layer of the name or path {at!r}"
    if len(found) != 1:
        paths = ", ".join(layer.path or layer.name for layer in (found or layers))
        raise ValueError(f"{what}: name a layer in `at`. Received: {len(found)} among {paths or '(no layers)'}")
    return found[0]
