import contextlib
import dataclasses
import functools
import inspect

import keras
import numpy as np
from keras import ops

from keras_attn import masks
from keras_attn._autodiff import pullback
from keras_attn.inspection._calls import called, replaced
from keras_attn.inspection._entrance import chosen, one_number
from keras_attn.inspection.weights import ASKING, _names


def attention_x_gradient(model, inputs, output=None, **options):
    """The weights of every explicit layer, times what the answer would gain if the weight were larger.

    `A ⊙ ∂f/∂A`: a large weight on a value that plays no part in the answer gets nothing, and one that speaks against
    the answer gets less than nothing. The derivative is by the weights alone, as they are used for the mix: to each is
    added a number that is zero, and the answer is differentiated by it. Neither the model nor its weights are changed.

    Reached are our explicit layers and poolings, `keras.layers.MultiHeadAttention`, `GroupQueryAttention`, `Attention`
    and `AdditiveAttention`, in the order of `weights`. Where a layer takes the largest weight alone, the answer has no
    derivative by its weights, and the map is zero.

    Args:
        model: a built Keras model or layer of whose rows none depends on another.
        inputs: what it is called with. The pass is one batch and keeps all weights at once.
        output: the number f of each row, as for `attribution`.
        **options: further arguments of the call; `training=False` unless given.

    Returns:
        A dictionary as of `weights`, to signed arrays `(B, H, T, S)`; `relevance` makes one map of them.

    Raises:
        ValueError: if no layer was reached that has weights, or one whose weights nothing can be added to.

    Example:
    >>> x = keras.Input((3, 2))
    >>> layer = keras.layers.Attention(name="look")
    >>> model = keras.Model(x, keras.ops.sum(layer([x, x]), axis=(1, 2)))
    >>> found = attention_x_gradient(model, np.array([[[1.0, 0.0], [1.0, 0.0], [1.0, -3.0]]], "float32"))["look"]
    >>> found[0, 0, 0].astype("float64").round(2).tolist()
    [0.33, 0.33, -0.67]

    Reference: Chefer et al., 2021, https://arxiv.org/abs/2103.15679, eq. 5, before the positive part and the mean over
    heads.
    """
    heard = []

    def hear(layer, weights):
        if len(weights.shape) != 4:
            raise ValueError(
                f"{layer.name!r} has weights over several axes of positions, of which no map is made. "
                f"Received: weights of shape {tuple(weights.shape)}"
            )
        heard.append((layer, ops.convert_to_numpy(weights)))
        return ops.zeros_like(weights)

    def answer(look):
        with _listening(model, look):
            return one_number(chosen(called(model, inputs, **{"training": False, **options}), output))

    answer(hear)
    if not heard:
        raise ValueError(
            f"No layer of {model.name!r} with weights over positions was reached. "
            f"Received: a model of layers {', '.join(layer.name for layer in model._flatten_layers())}"
        )
    weights = [each for _, each in heard]
    slopes = _slopes(answer, weights)
    return dict(zip(_names([layer for layer, _ in heard]), (a * slope for a, slope in zip(weights, slopes))))


def _slopes(answer, weights):
    """The gradients of the answer by the weights, all in one backward pass, by way of one tensor of zeros."""
    sizes = [each[0].size for each in weights]

    def function(more):
        ends = iter(np.cumsum(sizes).tolist())

        def look(layer, found):
            end = next(ends)
            size = int(np.prod(found.shape[1:]))
            return ops.cast(ops.reshape(more[:, end - size : end], (-1, *found.shape[1:])), found.dtype)

        return answer(look)

    nothing = np.zeros((len(weights[0]), sum(sizes)), "float32")
    ones = np.ones(len(nothing), "float32")
    found = ops.convert_to_numpy(pullback(function)(*map(ops.convert_to_tensor, (nothing, ones))))
    parts = np.split(found, np.cumsum(sizes)[:-1], axis=1)
    return [part.reshape(each.shape) for part, each in zip(parts, weights)]


@contextlib.contextmanager
def _listening(model, look):
    """While it lasts, `look(layer, weights)` is asked for what to add to a layer's weights, `(B, H, T, S)`, once made.

    Every change is made while the layer is called and no longer: a decoder that asks it step by step is no such call.
    """
    looks, running = [], []

    def counted(weights):
        # As in `weights` the outer layer counts, whatever within it makes them.
        looks.append(running[0])
        return look(running[0], weights)

    with contextlib.ExitStack() as stack:
        for layer in model._flatten_layers():
            if ASKING in inspect.signature(layer.call).parameters:
                within = functools.partial(_within, layer=layer, look=counted, looks=looks, running=running)
                stack.enter_context(replaced(layer, within))
        yield


def _within(call, layer, look, looks, running):
    parts = _parts(layer, look)

    @functools.wraps(call)
    def made(*args, **kwargs):
        before = len(looks)
        with contextlib.ExitStack() as stack:
            running.append(layer)
            stack.callback(running.pop)
            for place, name, make in parts:
                stack.enter_context(replaced(place, make, name))
            found = _asked(call, *args, **kwargs) if parts and hasattr(layer, "_softmax") else call(*args, **kwargs)
        if len(looks) == before:
            raise ValueError(
                f"{type(layer).__name__} {layer.name!r} has weights, but nothing can be added to them from outside, so "
                "that the answer cannot be differentiated by them: use `attribution`, or a model without it"
            )
        return found

    return made


def _asked(call, *args, **kwargs):
    """The output alone, unless the caller wants more, of a call that was asked for weights: Keras makes them then."""
    given = inspect.signature(call).bind(*args, **kwargs)
    wanted = given.arguments.get(ASKING, False)
    given.arguments[ASKING] = True
    output, weights = call(*given.args, **given.kwargs)
    return (output, weights) if wanted else output


def _parts(layer, look):
    """What of a layer must do something else, so that what `look(weights)` says is added to its weights."""
    if hasattr(layer, "compute_mix") and hasattr(layer, "_attend"):
        return [(layer, "_attend", functools.partial(_attending, layer=layer, look=look))]
    # A memory's `_mix` takes other things.
    if hasattr(layer, "_mix") and list(inspect.signature(layer._mix).parameters) == ["weights", "inputs"]:
        return [(layer, "_mix", lambda mix: lambda weights, inputs: mix(weights + look(weights), inputs))]
    if isinstance(getattr(layer, "_softmax", None), keras.layers.Softmax):
        return [(layer._softmax, "call", functools.partial(_more, look=look))]
    if hasattr(layer, "_apply_scores"):
        return [(layer, "_apply_scores", functools.partial(_applying, look=look))]
    return []


def _attending(attend, layer, look):
    """Of our explicit layers: the mix, and what it would be more with other weights."""

    @functools.wraps(attend)
    def made(query, value, key, query_mask, source_mask, asked):
        mix, weights = attend(query, value, key, query_mask, source_mask, dataclasses.replace(asked, weights=True))
        more = look(weights)
        query, value = masks.zero(query, query_mask), masks.zero(value, source_mask)
        gain = layer.compute_mix(weights + more, value, query) - layer.compute_mix(weights, value, query)
        chosen = weights if isinstance(asked.weights, bool) else ops.take(weights, list(asked.weights), axis=2)
        return mix + masks.zero(gain, query_mask), chosen

    return made


def _more(call, look):
    @functools.wraps(call)
    def made(*args, **kwargs):
        weights = call(*args, **kwargs)
        return weights + look(weights)

    return made


def _applying(apply, look):
    @functools.wraps(apply)
    def made(scores, value, *args, **kwargs):
        mix, weights = apply(scores, value, *args, **kwargs)
        # (B, T, S), as these have no heads.
        return mix + ops.matmul(look(weights[:, None])[:, 0], value), weights

    return made
