import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_attn
from keras_attn import inspection
from keras_attn.inspection import _entrance

B, S, D = 3, 7, 2


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


class Function(layers.Layer):
    """A function of the inputs as a layer."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


def total(x):
    return ops.sum(x, axis=(1, 2))


def trapezoid(curve):
    return (curve[0] / 2 + curve[1:-1].sum(axis=0) + curve[-1] / 2) / (len(curve) - 1)


def test_of_a_sum_all_is_known_by_hand():
    parts = np.array([[5.0, 1.0, 3.0, 0.0, 2.0]], dtype="float32")
    found = inspection.faithfulness(Function(total), parts[..., None], map=np.array([[9, 8, 7, 6, 5]]))
    np.testing.assert_allclose(found.removed, [np.arange(6) / 5])
    np.testing.assert_allclose(found.deleting, [[11, 6, 5, 2, 2, 0]])
    np.testing.assert_allclose(found.inserting, [[0, 5, 6, 9, 9, 11]])
    np.testing.assert_allclose(found.map.deletion, 20.5 / 5)
    np.testing.assert_allclose(found.map.insertion, 34.5 / 5)
    # 1, 5, 10 and 20 % are one position of five, half of them are three.
    np.testing.assert_allclose(found.map.comprehensiveness, (4 * 5 + 9) / 5)
    np.testing.assert_allclose(found.map.sufficiency, (4 * 6 + 2) / 5)
    # The oracle goes by size: 5, 3, 2, 1, 0.
    np.testing.assert_allclose(found.oracle.deletion, trapezoid(np.array([11, 6, 3, 1, 0, 0])), rtol=1e-6)
    np.testing.assert_allclose(found.oracle.insertion, trapezoid(np.array([0, 5, 8, 10, 11, 11])), rtol=1e-6)
    np.testing.assert_allclose(found.oracle.comprehensiveness, (4 * 5 + 10) / 5)
    np.testing.assert_allclose(found.oracle.sufficiency, (4 * 6 + 1) / 5)


def test_its_parts_are_the_best_map_of_a_sum_and_a_random_one_is_worth_nothing():
    # Of a sum the mean over all orders falls straight from one end to the other.
    x = np.abs(normal(200, S, D))
    found = inspection.faithfulness(Function(total), x, x.sum(-1), truth=x[..., 0] > 0.8, draws=64)
    np.testing.assert_allclose(found.random.deletion, x.sum((1, 2)) / 2, rtol=0.2)
    np.testing.assert_allclose(found.random.deletion.mean(), x.sum((1, 2)).mean() / 2, rtol=0.01)
    assert np.all(found.spread.deletion > 0.0)
    for each in (*found.normalised(), *found.overall()):
        np.testing.assert_allclose(each, 1.0, rtol=1e-3)
    assert all(0.2 < each < 0.8 for each in found.overall("truth"))
    for nothing in (np.random.default_rng(1).random((200, S)), np.zeros((200, S))):
        guess = inspection.faithfulness(Function(total), x, nothing, draws=64)
        np.testing.assert_allclose(guess.overall(), 0.0, atol=0.12)
    worst = inspection.faithfulness(Function(total), x, -x.sum(-1), draws=64)
    np.testing.assert_allclose(worst.overall()[:2], -1.0, atol=0.1)


@pytest.mark.parametrize("place", [0, 4])
def test_a_model_that_looks_at_one_position_falls_as_soon_as_it_is_gone(place):
    x, map = np.ones((1, S, 1), dtype="float32"), np.zeros((1, S))
    map[0, place] = 1.0
    model = Function(lambda x: x[:, place])
    for found in (
        inspection.faithfulness(model, x, map).map,
        inspection.faithfulness(model, x, map).oracle,
        inspection.faithfulness(model, x, -map, truth=map > 0.0).truth,
    ):
        np.testing.assert_allclose(np.ravel(found), [0.5 / S, 1 - 0.5 / S, 1.0, 0.0], rtol=1e-6)
    found = inspection.faithfulness(model, x, -map).map
    np.testing.assert_allclose(np.ravel(found), [1 - 0.5 / S, 0.5 / S, 0.0, 1.0], rtol=1e-6)


@pytest.mark.parametrize(
    "both", [lambda x: x[:, 2] * x[:, 5], lambda x: ops.maximum(x[:, 2], x[:, 5])], ids=["both needed", "either does"]
)
def test_the_oracle_sees_what_only_two_positions_together_do(both):
    truth = np.zeros((1, S), dtype=bool)
    truth[0, [2, 5]] = True
    x = np.ones((1, S, 1), dtype="float32")
    found = inspection.faithfulness(Function(both), x, truth.astype("float32"), truth=truth, rounds=S)
    np.testing.assert_allclose(found.oracle, found.truth, rtol=1e-6)
    np.testing.assert_allclose(found.map, found.truth, rtol=1e-6)


def test_where_nothing_matters_there_is_nothing_to_tell():
    found = inspection.faithfulness(Function(lambda x: total(x) * 0.0 + 3.0), normal(B, S, D), normal(B, S))
    np.testing.assert_allclose(found.map.deletion, 3.0)
    assert all(np.all(np.isnan(each)) for each in (*found.normalised(), *found.overall()))


def test_padding_is_neither_removed_nor_counted():
    x, map, mask = normal(B, S, D), normal(B, S, seed=1), np.ones((B, S), dtype=bool)
    mask[1, 4:] = False
    # The function sees padding too, which would show.
    model, options = Function(lambda x: ops.sum(x**2, axis=(1, 2))), {"rounds": S, "draws": 3}
    found = inspection.faithfulness(model, x, np.where(mask, map, np.nan), mask=mask, **options)
    bare = inspection.faithfulness(model, x[1:2, :4], map[1:2, :4], **options)
    left = (x[1, 4:] ** 2).sum()
    np.testing.assert_allclose(found.deleting[1, [0, -1]], [(x[1] ** 2).sum(), left], rtol=1e-5)
    np.testing.assert_allclose(found.map.deletion[1], bare.map.deletion[0] + left, rtol=1e-5)
    np.testing.assert_allclose(found.oracle.insertion[1], bare.oracle.insertion[0] + left, rtol=1e-5)
    np.testing.assert_allclose(found.map.comprehensiveness[1], bare.map.comprehensiveness[0], rtol=1e-4)
    np.testing.assert_allclose(np.unique(found.removed[1]), np.arange(5) / 4)


def test_a_few_states_at_a_time_tell_the_same(monkeypatch):
    x, map = normal(B, S, D), normal(B, S, seed=1)
    model = Function(lambda x: ops.tanh(total(x**3)))
    whole = inspection.faithfulness(model, x, map, rounds=3)
    monkeypatch.setattr(_entrance, "ROOM", 5 * x.nbytes)
    few = inspection.faithfulness(model, x, map, rounds=3)
    for name in ("map", "random", "spread", "oracle"):
        np.testing.assert_allclose(getattr(few, name), getattr(whole, name), rtol=1e-4, atol=1e-6)


def test_fewer_steps_go_along_the_same_curve():
    x, map = normal(B, S, D), normal(B, S, seed=1)
    every = inspection.faithfulness(Function(total), x, map, draws=1)
    some = inspection.faithfulness(Function(total), x, map, draws=1, steps=3)
    assert some.deleting.shape == (B, 4)
    np.testing.assert_allclose(some.deleting, every.deleting[:, [0, 2, 5, 7]], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(some.removed[0], [0, 2 / 7, 5 / 7, 1])
    np.testing.assert_allclose(some.map.sufficiency, every.map.sufficiency, rtol=1e-5, atol=1e-6)


def test_several_maps_are_compared_with_the_same_orders():
    x, maps = normal(B, S, D), {"one": normal(B, S, seed=1), "other": normal(B, S, seed=2)}
    both = inspection.faithfulness(Function(total), x, maps)
    assert list(both) == ["one", "other"]
    np.testing.assert_array_equal(both["one"].random, both["other"].random)
    for name, map in maps.items():
        alone = inspection.faithfulness(Function(total), x, map)
        np.testing.assert_allclose(both[name].map, alone.map, rtol=1e-5)
        np.testing.assert_allclose(both[name].oracle, alone.oracle, rtol=1e-5)
    with pytest.raises(ValueError, match=r"`other`.*must be finite"):
        inspection.faithfulness(Function(total), x, {**maps, "other": np.full((B, S), np.nan)})


def test_what_is_removed_becomes_the_baseline():
    x, mean = normal(B, S, D), normal(D, seed=1)
    found = inspection.faithfulness(Function(total), x, normal(B, S, seed=2), baseline=mean)
    np.testing.assert_allclose(found.deleting[:, -1], S * mean.sum(), rtol=1e-4)
    np.testing.assert_allclose(found.inserting[:, 0], S * mean.sum(), rtol=1e-4)
    np.testing.assert_allclose(found.inserting[:, -1], x.sum((1, 2)), rtol=1e-4, atol=1e-5)


def reader():
    """A model of words and a number beside them."""
    ids, beside = keras.Input((S,), dtype="int32"), keras.Input((1,))
    words = layers.Embedding(11, 5, mask_zero=True, embeddings_initializer="normal")(ids)
    hidden = layers.GRU(3)(words)
    return keras.Model([ids, beside], layers.Dense(2, activation="softmax")(layers.concatenate([hidden, beside])))


def test_words_are_removed_where_they_became_vectors():
    model, ids, beside = reader(), np.array([[3, 1, 4, 1, 5, 0, 0], [9, 2, 6, 5, 3, 5, 8]]), normal(2, 1)
    words = model.layers[1]
    words.set_weights([3.0 * normal(11, 5)])
    map, mask = normal(2, S), ids != 0
    found = inspection.faithfulness(model, [ids, beside], map, output=1, mask=mask, draws=2, rounds=2)
    whole = ops.convert_to_numpy(model([ids, beside]))[:, 1]
    np.testing.assert_allclose(found.deleting[:, 0], whole, rtol=1e-5)
    np.testing.assert_allclose(found.inserting[:, -1], whole, rtol=1e-5)
    # A word without a vector: the first of the map of row 0, put by hand in the place of another number.
    first = int(np.argmax(np.where(mask[0], map[0], -np.inf)))
    without = np.array(ids)
    without[0, first] = 10
    table = words.get_weights()[0]
    assert 10 not in ids
    table[10] = 0.0
    words.set_weights([table])
    np.testing.assert_allclose(
        found.deleting[0][found.removed[0] > 0.0][0], ops.convert_to_numpy(model([without, beside]))[0, 1], rtol=1e-4
    )


def test_the_same_seed_draws_the_same_orders():
    x, map = normal(B, S, D), normal(B, S, seed=1)
    one, same, other = (inspection.faithfulness(Function(total), x, map, seed=seed).random for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one.deletion, other.deletion)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"map": np.ones((B, S + 1))}, r"`map`.*\(3, 7\).*\(3, 8\)"),
        ({"map": np.full((B, S), np.inf)}, "must be finite"),
        ({"mask": np.zeros((B, S), dtype=bool)}, r"needs a real position.*\[0, 1, 2\]"),
        ({"truth": np.zeros((B, S))}, "`truth`.*float64"),
        ({"draws": 0}, "draws=0"),
        ({"rounds": 0}, "rounds=0"),
        ({"steps": 0}, "steps=0"),
        ({"output": None}, r"say in `output` which.*, 2\)"),
    ],
)
def test_what_cannot_be_told_is_refused(change, message):
    model = Function(lambda x: ops.sum(x, axis=1))
    asked = {"map": np.ones((B, S)), "output": 0, **change}
    with pytest.raises(ValueError, match=message):
        inspection.faithfulness(model, normal(B, S, D), **asked)


def test_a_layer_alone_is_asked_with_its_mask():
    layer, x = keras_attn.MinGRU(), np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    mask = np.array([[True, True, False, False], [True] * 4])

    def last(y):
        return y[:, 1, 0]

    expected = keras.ops.convert_to_numpy(last(layer(x, mask=mask)))
    found = inspection.faithfulness(layer, x, np.ones((2, 4)), output=last, mask=mask, draws=1, rounds=1)
    np.testing.assert_allclose(found.deleting[:, 0], expected, atol=1e-6)
