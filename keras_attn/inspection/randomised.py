import contextlib
import dataclasses
import functools
import itertools
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_attn.inspection._calls import called, replaced
from keras_attn.inspection._ranks import average_ranks, checked, real_positions
from keras_attn.lookup import choose

WAYS = ("cascading", "each", "all")


class Randomised(NamedTuple):
    """Maps of a model whose weights were drawn anew, and how much of the true map's order is left in them.

    Attributes:
        correlation: `(L, B)`, Spearman's rank correlation with the true map; NaN where one of the two is constant.
        layers: of each of the L times, the names of the layers whose weights were anew.
        map: the true one, `(B, S)`.
        maps: the others, `(L, B, S)`.
    """

    correlation: np.ndarray
    layers: list
    map: np.ndarray
    maps: np.ndarray


def randomised(model, inputs, method, way="cascading", mask=None, seed=0):
    """Whether a map depends on what the model learned: it must change when the weights are drawn anew.

    A map whose rank correlation with the true one stays near 1 shows the inputs, or how the model is built, and not
    what it knows. Where the sign of a map says nothing, compare `abs` of it, as the paper does beside the signed one.

    The numbers of each weight are put in random order among themselves. So they stay of the size that they had, and
    where the layer can use them (scales stay positive), which an initialiser does not promise; a weight of one number,
    or of equal ones, stays as it is, and a layer of such alone has no turn. Afterwards the model has its weights again,
    bit for bit, whatever happens.

    Layers are those of the model and of the models within it, in the order in which a call reaches them; what a layer
    has within itself goes with it.

    Args:
        model: a built Keras model or layer.
        inputs: what `method` takes.
        method: a function `method(model, inputs)` to a map `(B, S)`.
        way: "cascading" from the output to the input, each time one layer more; "each" layer alone; or "all" at once.
        mask: boolean `(B, S)`, False at padding, which is not compared; None for no padding.
        seed: of the random order.

    Returns:
        A `Randomised`.

    Raises:
        ValueError: if the model has no weights that could be drawn, or a map is not `(B, S)`.

    Example:
    >>> model = keras.Sequential([keras.Input((3, 2)), keras.layers.Dense(4, name="hidden"), keras.layers.Flatten(),
    ...                           keras.layers.Dense(1, name="last")])
    >>> found = randomised(model, np.ones((5, 3, 2)), lambda model, x: model(x) * np.array([[3.0, 1.0, 2.0]]))
    >>> found.layers, found.correlation.shape
    ([['last'], ['last', 'hidden']], (2, 5))

    Reference: Adebayo et al., 2018, https://arxiv.org/abs/1810.03292, section 3 (the model parameter randomisation
    test).
    """
    choose("way", way, WAYS)
    random, layers = np.random.default_rng(seed), _last_first(model, inputs)
    if not layers:
        raise ValueError(
            f"No layer of {model.name!r} has weights of floating-point numbers that differ, which could be drawn anew"
        )

    def of_model():
        found = np.array(ops.convert_to_numpy(method(model, inputs)), dtype="float64")
        return checked("map", found, real_positions(found.shape, mask))

    map, maps = of_model(), []
    turns = [layers] if way == "all" else [[layer] for layer in layers]
    with _restored(layers) as restore:
        for some in turns:
            if way == "each":
                restore()
            for layer in some:
                _shuffle(layer, random)
            maps.append(of_model())
    real, names = real_positions(map.shape, mask), [[layer.name for layer in some] for some in turns]
    return Randomised(
        correlation=np.stack([_correlation(map, other, real) for other in maps]),
        layers=list(itertools.accumulate(names)) if way == "cascading" else names,
        map=map,
        maps=np.stack(maps),
    )


def _last_first(model, inputs):
    """The layers with weights, in the order of their first calls, the last one first; those never reached last."""
    layers = [part for part in {part.layer: part for part in _parts(model)}.values() if _drawable(part)]
    reached = []

    def noting(call, layer):
        @functools.wraps(call)
        def noted(*args, **kwargs):
            reached.append(layer)
            return call(*args, **kwargs)

        return noted

    with contextlib.ExitStack() as stack:
        for part in layers:
            stack.enter_context(replaced(part.layer, functools.partial(noting, layer=part)))
        called(model, inputs, training=False)
    return [*list(dict.fromkeys(reached))[::-1], *(layer for layer in layers if layer not in reached)]


@dataclasses.dataclass(frozen=True, eq=False)
class _Part:
    """A layer with its weights; of a model those that no layer of it has."""

    layer: object
    weights: list

    @property
    def name(self):
        return self.layer.name


def _parts(model):
    """What a model is made of, models within it taken apart."""
    if not isinstance(model, keras.Model):
        return [_Part(model, model.weights)]
    parts = [part for layer in model.layers for part in _parts(layer)]
    held = {id(weight) for part in parts for weight in part.weights}
    return [*parts, _Part(model, [weight for weight in model.weights if id(weight) not in held])]


def _drawable(layer):
    """Its weights of numbers that differ."""
    floats = (weight for weight in layer.weights if keras.backend.is_float_dtype(weight.dtype))
    return [weight for weight in floats if np.ptp(_numbers(weight)) > 0.0]


def _numbers(weight):
    return ops.convert_to_numpy(weight.value).reshape(-1)


@contextlib.contextmanager
def _restored(layers):
    """While it lasts the weights may change, and by the function it gives are as before; as they are behind it."""
    # A copy: on torch a variable's value is changed in its place.
    kept = [(weight, ops.copy(weight.value)) for layer in layers for weight in _drawable(layer)]

    def restore():
        for weight, value in kept:
            weight.assign(value)

    try:
        yield restore
    finally:
        restore()


def _shuffle(layer, random):
    for weight in _drawable(layer):
        weight.assign(random.permutation(_numbers(weight)).reshape(weight.shape))


def _correlation(one, other, real):
    """Spearman's of each row, `(B,)`."""
    found = []
    for a, b, kept in zip(one, other, real):
        a, b = (ranks - ranks.mean() for ranks in (average_ranks(a[kept]), average_ranks(b[kept])))
        size = np.sqrt((a**2).sum() * (b**2).sum())
        found.append((a * b).sum() / size if size > 0.0 else np.nan)
    return np.array(found)
