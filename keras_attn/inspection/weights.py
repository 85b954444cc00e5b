import collections
import contextlib
import functools
import inspect

import keras
from keras import ops

from keras_attn.inspection._calls import called, replaced

ASKING = "return_attention_scores"


def weights(model, inputs, **options):
    """The weights of every layer of a model that can return them, from one pass.

    Those are all layers whose `call` takes `return_attention_scores`, wherever in the model they stand: ours, Keras's
    own and anybody's. The model is neither rebuilt nor changed, and need not have been made for it. Of layers within
    such a layer only the outer one counts.

    Args:
        model: a built Keras model or layer.
        inputs: what it is called with. The pass is one batch and keeps all weights at once.
        **options: further arguments of the call; `training=False` unless given.

    Returns:
        A dictionary in the order in which the layers were reached, from their names to weights as they return them, as
        arrays: `(B, H, T, S)` from most of them, without H from some that have no heads. A name that several layers
        share is their path; if they share that too, as in models within the model, it has "#" and how many layers were
        reached before. A layer that is reached several times has its name with ":0", ":1" and so on.

    Raises:
        ValueError: if no layer was reached that can return weights.

    Example:
    >>> x = keras.Input((7, 8))
    >>> model = keras.Model(x, keras.layers.MultiHeadAttention(num_heads=2, key_dim=4, name="look")(x, x))
    >>> {name: found.shape for name, found in weights(model, keras.random.normal((3, 7, 8))).items()}
    {'look': (3, 2, 7, 7)}
    """
    layers = [layer for layer in model._flatten_layers() if ASKING in inspect.signature(layer.call).parameters]
    heard = _Heard()
    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(replaced(layer, functools.partial(_listening, layer=layer, heard=heard)))
        called(model, inputs, **{"training": False, **options})
    if not heard.found:
        names = ", ".join(layer.name for layer in model._flatten_layers(include_self=False))
        raise ValueError(
            f"No layer of {model.name!r} returned weights: none whose `call` takes `{ASKING}` was reached. What "
            f"attends without weights has none. Received: a model of layers {names or '(none)'}"
        )
    return dict(zip(_names([layer for layer, _ in heard.found]), (each for _, each in heard.found)))


class _Heard:
    """Layers and what they returned; `within` counts how many that can return weights are running."""

    def __init__(self):
        self.found = []
        self.within = 0


def _listening(call, layer, heard):
    """The layer's call, asked for its weights whoever calls it, who notices nothing."""

    @functools.wraps(call)
    def asked(*args, **kwargs):
        if heard.within:
            return call(*args, **kwargs)
        given = inspect.signature(call).bind(*args, **kwargs)
        wanted = given.arguments.get(ASKING, False)
        given.arguments[ASKING] = True if isinstance(wanted, bool) else wanted
        heard.within += 1
        try:
            output, found, *rest = call(*given.args, **given.kwargs)
        finally:
            heard.within -= 1
        heard.found.append((layer, keras.tree.map_structure(ops.convert_to_numpy, found)))
        return output if isinstance(wanted, bool) and not wanted else (output, found, *rest)

    return asked


def _names(layers):
    """A name for each call of a layer, none of them twice."""
    different = list(dict.fromkeys(layers))
    called_so = _apart({layer: layer.name for layer in different}, lambda layer, name: layer.path or name)
    called_so = _apart(called_so, lambda layer, name: f"{name}#{different.index(layer)}")
    calls = [called_so[layer] for layer in layers]
    for place, name in enumerate(calls):
        yield f"{name}:{calls[:place].count(name)}" if calls.count(name) > 1 else name


def _apart(names, otherwise):
    """The names of layers, but of each whose name is not its alone another."""
    taken = collections.Counter(names.values())
    return {layer: name if taken[name] == 1 else otherwise(layer, name) for layer, name in names.items()}
