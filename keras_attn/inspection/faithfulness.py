import dataclasses
import inspect
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_attn._autodiff import compiled
from keras_attn.inspection._entrance import at_once, chosen, entered, entrance, nothing_there, one_number
from keras_attn.inspection._ranks import checked, places, ranked, real_positions
from keras_attn.inspection.pointing import true_positions
from keras_attn.lookup import whole_number

#: How many of the positions, in percent, comprehensiveness and sufficiency are the means over.
PERCENTS = np.array([1, 5, 10, 20, 50])
#: Of the largest effect, the share below which a difference is taken for rounding.
ALIKE = 1e-5


class Measures(NamedTuple):
    """What an order of positions says about the function, a number for each row `(B,)`.

    Attributes:
        deletion: area under f while positions are removed, the first of the order first. Lower is better.
        insertion: area under f while they are added to the baseline. Higher is better.
        comprehensiveness: `f(x) - f(x without the first k)`, mean over k of 1, 5, 10, 20 and 50 % of the positions,
            each rounded up. Higher is better.
        sufficiency: `f(x) - f(the first k alone)`, mean over the same. Lower is better.
    """

    deletion: np.ndarray
    insertion: np.ndarray
    comprehensiveness: np.ndarray
    sufficiency: np.ndarray


#: Which way is better: an order that removes what matters makes the area under f small.
BETTER = Measures(-1.0, 1.0, 1.0, -1.0)


@dataclasses.dataclass(frozen=True)
class Faithfulness:
    """Whether a map tells what a model's answer depends on.

    Attributes:
        map: the map's `Measures`.
        random: those of random orders, their mean.
        spread: and their standard deviation over the draws.
        oracle: the best that was found by asking the function itself.
        truth: those of an order with the true positions first, or None if none were given.
        removed: `(B, K)`, shares of the positions from 0 to 1.
        deleting: `(B, K)`, f without that share, by the map's order.
        inserting: `(B, K)`, f of that share alone.
    """

    map: Measures
    random: Measures
    spread: Measures
    oracle: Measures
    truth: Measures | None
    removed: np.ndarray
    deleting: np.ndarray
    inserting: np.ndarray

    def normalised(self, which="map"):
        """Measures `(B,)` by the function's own range: 0 as good as random, 1 as good as the oracle, below 0 worse.

        NaN in rows where the oracle finds nothing better than random orders, so that there is nothing to tell. A row
        where the two are near rules the mean over rows: `overall` is steadier.
        """
        return self._normalised(which, lambda x: x)

    def overall(self, which="map"):
        """`normalised`, of the means over all rows: four numbers."""
        return Measures(*(each.item() for each in self._normalised(which, np.mean)))

    def _normalised(self, which, over_rows):
        noise = over_rows(ALIKE * np.abs(self.deleting).max(axis=1))
        found, random, oracle = (
            Measures(*(over_rows(each) for each in measures))
            for measures in (getattr(self, which), self.random, self.oracle)
        )
        return Measures(*(_share(*four, noise) for four in zip(found, random, oracle, BETTER)))


def faithfulness(
    model,
    inputs,
    map,
    output=None,
    baseline=None,
    mask=None,
    truth=None,
    steps=None,
    draws=8,
    rounds=8,
    at=None,
    seed=0,
    **options,
):
    """Whether the positions that a map is large at are those that the answer depends on, told by removing them.

    A position is removed by putting the baseline's vector in its place: what the model says of such inputs, which it
    never saw, is part of every number. So each is given beside that of random orders, which lose as much, and of an
    oracle. Its orders come from the function itself: what changes f most when it is removed, or added, comes first, and
    after each of so many `rounds` all the others are asked again. Of the two the better one counts, measure by measure.
    It is a search, not a bound: a map may do better.

    Among equal numbers of a map the order is random.

    Args:
        model: a built Keras model or layer of whose rows none depends on another.
        inputs: what it is called with, as for `sensitivity`.
        map: `(B, S)`, larger for what adds more to f, or an `Attribution`; or a dictionary of several, which are then
            compared with the same random orders and the same oracle.
        output: the number f of each row, as for `attribution`; a probability makes rows comparable.
        baseline: what stands for "nothing there", as for `attribution`.
        mask: boolean `(B, S)`, False at padding, which is neither removed nor counted; None for no padding. A layer
            whose call has an argument `mask` is given it too; a model knows its padding by its inputs.
        truth: boolean `(B, S)`, True at the positions that are known to matter, or None.
        steps: how many steps the curves have, at least 1; None for one position at a time.
        draws: random orders of each row, at least 1.
        rounds: of the oracle, at least 1, each a pass for every position that is left; 1 is the order by occlusion.
        at: as for `sensitivity`.
        seed: of the random orders.
        **options: further arguments of the call; `training=False` unless given.

    Returns:
        A `Faithfulness`, or of a dictionary one for each of its maps.

    Raises:
        ValueError: for a map or masks that do not fit the inputs, or rows of padding alone.

    Example:
    >>> model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1, kernel_initializer="ones")])
    >>> x = np.array([[[4.0], [0.0], [1.0], [3.0]]], "float32")
    >>> model.build(x.shape)
    >>> found = faithfulness(model, x, x[..., 0])
    >>> found.deleting.tolist(), found.map.deletion.tolist()
    ([[8.0, 4.0, 1.0, 0.0, 0.0]], [2.25])
    >>> [round(number, 3) for number in found.overall()]
    [1.0, 1.0, 1.0, 1.0]

    Reference: Petsiuk et al., 2018, https://arxiv.org/abs/1806.07421 (deletion and insertion); DeYoung et
    al., 2020, https://arxiv.org/abs/1911.03429, eq. 1 to 3 (comprehensiveness, sufficiency and their means).
    """
    for name, number in (("draws", draws), ("rounds", rounds)):
        whole_number(name, number)
    whole_number("steps", steps, optional=True)
    x, run = entrance(model, inputs, at, {"training": False, **_as_option(model, mask), **options})
    real, layer = real_positions(x.shape[:2], mask), entered(model, inputs, at)
    if not np.all(real.any(axis=1)):
        raise ValueError(
            "Each row needs a real position. "
            f"Received: a mask without any in rows {np.flatnonzero(~real.any(axis=1)).tolist()}"
        )
    maps, random = {"map": map} if not isinstance(map, dict) else map, np.random.default_rng(seed)
    maps = {name: checked(name, each, real) for name, each in maps.items()}
    truth = None if truth is None else true_positions(truth, real)
    counts = _counts(real, steps or x.shape[1])
    # A quarter of an order's states at once, for room that the oracle's questions, which are fewer, do not waste.
    copies = at_once(-(-len(counts) // 2), x)
    start = nothing_there(baseline, x, layer)
    function = _of_kept(x, start, copies, lambda x: one_number(chosen(run(x, copies), output)))

    def measured(order):
        return _measured(function, order, real, counts)

    drawn = [measured(ranked(np.zeros(real.shape), real, random))[0] for _ in range(draws)]
    orders = [_greedy(function, real, rounds, random, removing) for removing in (True, False)]
    beside = {
        "random": Measures(*np.mean(drawn, axis=0)),
        "spread": Measures(*np.std(drawn, axis=0)),
        "oracle": _best(*(measured(order)[0] for order in orders)),
        "truth": None if truth is None else measured(ranked(truth.astype("float64"), real, random))[0],
        "removed": _curve(counts).T / real.sum(axis=1, keepdims=True),
    }
    found = {}
    for name, each in maps.items():
        measures, deleting, inserting = measured(ranked(each, real, random))
        found[name] = Faithfulness(map=measures, deleting=deleting, inserting=inserting, **beside)
    return found if isinstance(map, dict) else found["map"]


def _as_option(model, mask):
    """The mask among a call's options, where a layer alone is called."""
    alone = isinstance(model, keras.Layer) and not isinstance(model, keras.Model)
    wants = alone and "mask" in inspect.signature(model.call).parameters
    return {"mask": np.asarray(ops.convert_to_numpy(mask), "bool")} if wants and mask is not None else {}


def _of_kept(x, start, copies, function):
    """A function from which positions are kept, booleans `(K, B, S)`, to f `(K, B)`; the others are the baseline's."""
    function = compiled(function)

    def of_kept(kept):
        found = []
        for first in range(0, len(kept), copies):
            some = kept[first : first + copies]
            # Every call has the same shape, for one compilation: what stands behind the last one is not looked at.
            some = np.concatenate([some, np.repeat(some[-1:], copies - len(some), axis=0)])
            states = np.where(some[..., None], x, start).reshape(-1, *x.shape[1:])
            answers = ops.convert_to_numpy(function(ops.convert_to_tensor(states)))
            found.append(answers.reshape(copies, -1))
        return np.concatenate(found)[: len(kept)]

    return of_kept


def _counts(real, steps):
    """How many positions are removed: on the curves, in equal steps from none to all, and by percents; `(K, B)`."""
    length = real.sum(axis=1)
    curve = (np.arange(steps + 1)[:, None] * length + steps // 2) // steps
    return np.concatenate([curve, -(-PERCENTS[:, None] * length // 100)])


def _measured(function, order, real, counts):
    """The measures of an order, and its curves `(B, K)` of f without the first ones, and of these alone."""
    first = places(order) < counts[..., None]
    without, alone = np.split(function(np.concatenate([~first, first]) | ~real), 2)
    shares, curves = _curve(counts) / counts.max(axis=0), (_curve(without), _curve(alone))
    areas = (np.trapezoid(curve, shares, axis=0) for curve in curves)
    lost = ((without[0] - found[-len(PERCENTS) :]).mean(axis=0) for found in (without, alone))
    return Measures(*areas, *lost), *(curve.T for curve in curves)


def _curve(found):
    """Of what is known for all of `_counts`, that of the curves."""
    return found[: -len(PERCENTS)]


def _greedy(function, real, rounds, random, removing):
    """The order in which positions are removed, or added, if always those go first that change f most just then."""
    length, rows = real.sum(axis=1), np.arange(len(real))[:, None]
    order, scale = ranked(np.zeros(real.shape), real, random), np.full(len(real), np.finfo("float32").tiny)
    rounds = min(rounds, real.shape[1])
    for turn in range(rounds):
        done = turn * length // rounds
        place, asked = places(order), np.arange(done.min(), length.max())
        gone = place < done[:, None]
        # Nobody more, and then one more, from those that stand behind.
        states = np.concatenate([gone[None], gone | (place == asked[:, None, None])])
        found = function((~states if removing else states) | ~real)
        effect = (found[0] - found[1:] if removing else found[1:] - found[0]).T
        scale = np.maximum(scale, np.abs(effect).max(axis=1))
        keys = np.zeros(real.shape)
        keys[:, asked] = -np.round(effect / (ALIKE * scale[:, None]))
        standing = np.arange(real.shape[1])
        keys = np.where(standing < done[:, None], -np.inf, np.where(standing < length[:, None], keys, np.inf))
        # Stable: those that are alike keep the order of the turn before.
        order = order[rows, np.argsort(keys, axis=1, kind="stable")]
    return order


def _best(*measures):
    return Measures(*(sign * np.max(sign * np.array(each), axis=0) for sign, *each in zip(BETTER, *measures)))


def _share(found, random, oracle, sign, noise):
    """How far from random to the oracle, where the one is better than the other by more than noise."""
    room = oracle - random
    return np.divide(found - random, room, out=np.full(np.shape(room), np.nan), where=sign * room > noise)
