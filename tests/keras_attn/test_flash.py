"""The quick softmax has the numbers and the gradients of the definition, in all sights, groups and dtypes."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import MultiHeadAttention, MultiplicativeAttention, flash, noise, patterns, positions, sight
from tests.autodiff import gradients

B, H, G, T, S, D, DV = 2, 4, 2, 37, 41, 8, 5
RNG = np.random.default_rng(0)
QUERY, KEY, VALUE = (RNG.normal(size=s).astype("float32") for s in ((B, H, T, D), (B, G, S, D), (B, G, S, DV)))
UPSTREAM = RNG.normal(size=(B, H, T, DV)).astype("float32")
REAL = RNG.random((B, S)) < 0.7
GIVEN = RNG.random((B, 1, T, S)) < 0.5
SEGMENTS = np.sort(RNG.integers(0, 3, (B, T)), axis=1), np.sort(RNG.integers(0, 3, (B, S)), axis=1)

SIGHTS = {
    "everything": {},
    "causal": {"causal": True},
    "padding": {"source_mask": REAL},
    "causal, padding": {"causal": True, "source_mask": REAL},
    "a mask, segments": {"given": GIVEN, "segments": SEGMENTS},
    "window": {"pattern": {"pattern": "window", "width": 3}},
    "causal window, padding": {"causal": True, "pattern": {"pattern": "window", "width": 3}, "source_mask": REAL},
    "window, a mask, segments": {
        "pattern": {"pattern": "window", "width": 3},
        "given": GIVEN,
        "segments": SEGMENTS,
    },
    "window that sees from everywhere": {"pattern": {"pattern": "window", "width": 3, "global_tokens": 2}},
    "blocks": {"pattern": {"pattern": "block", "size": 7}},
    "nothing": {"source_mask": np.zeros((B, S), dtype=bool)},
}


def seen(queries=T, keys=S, **options):
    tensors = {k: ops.convert_to_tensor(options[k]) for k in ("source_mask", "given") if k in options}
    if "segments" in options:
        tensors["segments"] = tuple(map(ops.convert_to_tensor, options["segments"]))
    options = {**options, **tensors, "pattern": patterns.get(options.get("pattern"))}
    return sight.of_lengths(queries, keys, **options)


def allowed(seen):
    mask = seen.mask()
    return np.broadcast_to(True if mask is None else ops.convert_to_numpy(mask), (B, H, T, S))


def by_definition(query, key, value, allowed, bias=0.0, left=1.0):
    """The mix and the three gradients for the upstream gradient UPSTREAM, in float64, row by row.

    `bias` is added to the scores; `left` is what the weights are multiplied by once they are made.
    """
    query, key, value = (x.astype("float64") for x in (query, key, value))
    bias, left = np.broadcast_to(bias, (H, T, S)), np.broadcast_to(left, (B, H, T, S))
    mix, of_query = np.zeros((B, H, T, DV)), np.zeros_like(query)
    of_key, of_value = np.zeros_like(key), np.zeros_like(value)
    for b, h, t in np.ndindex(B, H, T):
        keys = np.flatnonzero(allowed[b, h, t])
        if not len(keys):
            continue
        k, v, g = key[b, h * G // H, keys], value[b, h * G // H, keys], h * G // H
        z = k @ query[b, h, t] + bias[h, t, keys]
        w = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        used = w * left[b, h, t, keys]
        mix[b, h, t] = used @ v
        slope = used * (v @ UPSTREAM[b, h, t]) - w * (used @ v @ UPSTREAM[b, h, t])
        of_query[b, h, t] = slope @ k
        of_key[b, g, keys] += slope[:, None] * query[b, h, t]
        of_value[b, g, keys] += used[:, None] * UPSTREAM[b, h, t]
    return mix, of_query, of_key, of_value


def of_flash(tensors, seen, size, *extras):
    mix = ops.convert_to_numpy(flash.attend(*map(ops.convert_to_tensor, tensors), seen, size, *extras))

    def loss(*tensors):
        return ops.sum(flash.attend(*tensors, seen, size, *extras) * ops.convert_to_tensor(UPSTREAM))

    return mix, *gradients(loss, tensors)


@pytest.mark.parametrize(
    ("name", "size"), [*((name, 4) for name in SIGHTS), ("causal, padding", 1), ("blocks", 1), ("window", T)]
)
def test_it_is_the_definition(name, size):
    here = seen(**SIGHTS[name])
    wanted = by_definition(QUERY, KEY, VALUE, allowed(here))
    for found, right in zip(of_flash((QUERY, KEY, VALUE), here, size), wanted):
        np.testing.assert_allclose(found, right, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "rate", "falls"),
    [
        ("causal", 0.0, positions.alibi_slopes(H)),
        ("causal", 0.3, None),
        ("causal, padding", 0.3, positions.alibi_slopes(H)),
        ("causal window, padding", 0.3, positions.alibi_slopes(H)),
        ("nothing", 0.3, None),
    ],
)
def test_dropped_weights_and_scores_that_fall_with_the_distance(name, rate, falls):
    here, seed = seen(**SIGHTS[name]), ops.convert_to_tensor((5, 7))
    bias = 0.0 if falls is None else ops.convert_to_numpy(positions.alibi(here.rows, here.cols, H))
    left = ops.convert_to_numpy(noise.dropout(ops.ones((B, H, T, S)), rate, seed))
    wanted = by_definition(QUERY, KEY, VALUE, allowed(here), bias, left)
    found = of_flash((QUERY, KEY, VALUE), here, 13, flash.Extras(falls, rate, seed))
    for one, right in zip(found, wanted):
        np.testing.assert_allclose(one, right, atol=2e-5)


@pytest.mark.parametrize("factor", [1e4, 1e-6])
def test_large_and_small_scores(factor):
    query = QUERY * factor
    wanted = by_definition(query, KEY, VALUE, np.ones((B, H, T, S), dtype=bool))
    for found, right in zip(of_flash((query, KEY, VALUE), seen(), 8), wanted):
        # In the keys' gradient the rounding of a slope is multiplied by the query.
        np.testing.assert_allclose(found, right, atol=5e-6 * max(4.0, factor, np.abs(right).max()))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["causal, padding", "causal window, padding"])
def test_in_half_precision(dtype, name):
    here = seen(**SIGHTS[name])
    wanted = by_definition(QUERY, KEY, VALUE, allowed(here))

    def loss(*tensors):
        mix = flash.attend(*(ops.cast(x, dtype) for x in tensors), here, 8)
        assert keras.backend.standardize_dtype(mix.dtype) == dtype
        return ops.sum(ops.cast(mix, "float32") * ops.convert_to_tensor(UPSTREAM))

    for found, right in zip(gradients(loss, (QUERY, KEY, VALUE)), wanted[1:]):
        np.testing.assert_allclose(found, right, atol={"float16": 5e-3, "bfloat16": 4e-2}[dtype] * np.abs(right).max())


def test_scores_that_overflow_in_half_precision_stay_numbers():
    query, key = (ops.cast(ops.convert_to_tensor(x * 300.0), "float16") for x in (QUERY, KEY))
    mix = flash.attend(query, key, ops.cast(ops.convert_to_tensor(VALUE), "float16"), seen(causal=True), 8)
    assert np.isfinite(ops.convert_to_numpy(mix)).all()


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.compiles)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"score": "cosine"},
        {"positions": "rotary", "num_key_value_heads": 2},
        {"positions": "alibi", "dropout": 0.2, "seed": 3},
    ],
    ids=str,
)
def test_a_layer_takes_it_and_trains_the_same(options, jit_compile, monkeypatch):
    taken = []
    monkeypatch.setattr(flash, "attend", lambda *args, _own=flash.attend: taken.append(1) or _own(*args))
    weights = []
    x = RNG.normal(size=(B, T, 12)).astype("float32")
    for size in (None, 8):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((None, 12))
        layer = MultiHeadAttention(4, chunk_size=size, **options)
        model = keras.Model(inputs, layer(inputs, use_causal_mask=True))
        model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=jit_compile and keras.config.backend() != "torch")
        model.train_on_batch(x, x)
        weights.append(model.get_weights())
    assert taken
    for plain, quick in zip(*weights):
        np.testing.assert_allclose(quick, plain, atol=1e-5)


@pytest.mark.parametrize("score", ["dot", "scaled_dot", "general", "cosine", "l2"])
def test_dot_products_of_every_kind_take_it(score, monkeypatch):
    taken = []
    monkeypatch.setattr(flash, "attend", lambda *args, _own=flash.attend: taken.append(1) or _own(*args))
    x = RNG.normal(size=(B, T, 12)).astype("float32")
    plain, quick = (MultiplicativeAttention(score=score, chunk_size=size) for size in (None, 8))
    for layer in (plain, quick):
        layer.build((B, T, 12))
    quick.set_weights(plain.get_weights())
    np.testing.assert_allclose(*(ops.convert_to_numpy(layer(x)) for layer in (plain, quick)), atol=1e-5)
    assert bool(taken) == (score != "l2")
