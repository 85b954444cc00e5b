"""Pooling against loops from the papers' equations, and what of the mixers' contract holds for a layer that is none."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import AttentionPooling
from tests.autodiff import gradient

# Torch's compiler takes minutes.
COMPILED = keras.backend.backend() != "torch"
B, S, D = 3, 7, 10
RAGGED = np.arange(S)[None] < np.array([S, 5, 2])[:, None]

OPTIONS = [
    {},
    {"seeds": 3, "units": 13, "normalizer": "sparsemax"},
    {"score": "dot", "units": 11},
    {"score": "dot", "seeds": 2, "num_heads": 3, "normalizer": "sink"},
]
every = pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ",".join(map(str, options.values())) or "plain")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(numpy(actual), numpy(expected), rtol=tolerance, atol=tolerance)


def built(options, **kwargs):
    layer = AttentionPooling(**options, **kwargs)
    layer.build((None, None, D))
    rng = np.random.default_rng(1)
    layer.set_weights([(0.4 * rng.normal(size=w.shape)).astype(w.dtype) for w in layer.get_weights()])
    return layer


def parts(layer):
    return {w.path.split("/", 1)[1]: numpy(w).astype("float64") for w in layer.weights}


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def test_additive_pooling_follows_the_paper_s_equations():
    layer, inputs = built({"seeds": 3, "units": 13}), normal(B, S, D)
    pooled, weights = layer(inputs, mask=RAGGED, return_attention_scores=True)
    w = parts(layer)
    for b in range(B):
        x = inputs[b, : RAGGED[b].sum()]
        for k in range(3):
            a = softmax(np.array([w["queries"][0, k] @ np.tanh(h @ w["key/kernel"] + w["key/bias"]) for h in x]))
            close(weights[b, k, : len(x)], a)
            close(pooled[b, k], a @ x)


def test_dot_pooling_is_multi_head_attention_with_learned_queries():
    layer, inputs = built({"score": "dot", "seeds": 2, "num_heads": 3, "units": 5}), normal(B, S, D)
    pooled, weights = layer(inputs, mask=RAGGED, return_attention_scores=True)
    w = parts(layer)
    for b in range(B):
        x = inputs[b, : RAGGED[b].sum()]
        for k in range(2):
            heads = []
            for h in range(3):
                keys, values = (x @ w[f"{name}/kernel"][:, 5 * h : 5 * h + 5] for name in ("key", "value"))
                a = softmax(keys @ w["queries"][h, k] / np.sqrt(5.0))
                close(weights[b, h, k, : len(x)], a)
                heads.append(a @ values)
            close(pooled[b, k], np.concatenate(heads) @ w["output/kernel"])


def test_one_seed_keeps_its_axis_and_none_has_no_axis():
    inputs = normal(B, S, D)
    none, one = built({}), built({"seeds": 1})
    close(one(inputs)[:, 0], none(inputs))
    assert tuple(none(inputs, return_attention_scores=True)[1].shape) == (B, 1, S)


@every
@pytest.mark.parametrize("length", [S, None])
def test_shapes_are_known_before_the_values(options, length):
    symbolic = AttentionPooling(**options)(keras.Input((length, D), batch_size=B), return_attention_scores=True)
    eager = built(options)(normal(B, S, D), return_attention_scores=True)
    assert symbolic[0].shape == tuple(eager[0].shape) == built(options).compute_output_shape((B, length, D))
    assert symbolic[1].shape == (*eager[1].shape[:-1], length)


@every
def test_what_stands_at_padding_never_reaches_the_output_nor_the_gradients(options):
    layer, inputs = built(options), normal(B, S, D)
    expected = layer(np.where(RAGGED[..., None], inputs, 0.0).astype("float32"), mask=RAGGED)
    close(expected[1:2], layer(inputs[1:2, : RAGGED[1].sum()]))
    for poison in (np.inf, -1e30, np.nan):
        poisoned = np.where(RAGGED[..., None], inputs, poison).astype("float32")
        close(layer(poisoned, mask=RAGGED), expected)
    grad = gradient(lambda x: ops.sum(ops.square(layer(x, mask=RAGGED))), poisoned)
    assert np.isfinite(grad).all() and np.all(grad[~RAGGED] == 0.0) and np.any(grad[RAGGED])


@every
def test_a_sequence_of_padding_alone_gives_zeros_and_finite_gradients(options):
    layer, mask = built(options), np.ones((B, S), dtype=bool)
    mask[1] = False
    pooled, weights = layer(normal(B, S, D), mask=mask, return_attention_scores=True)
    assert np.all(numpy(pooled)[1] == 0.0) and np.all(numpy(weights)[1] == 0.0)
    assert np.any(numpy(pooled)[0])
    grad = gradient(lambda x: ops.sum(ops.square(layer(x, mask=mask))), normal(B, S, D))
    assert np.isfinite(grad).all() and np.all(grad[1] == 0.0)


@every
def test_a_mask_from_keras_equals_the_same_by_hand_and_ends_here(options):
    layer = built(options)
    inputs = np.where(RAGGED[..., None], normal(B, S, D), 0.0).astype("float32")
    pooled = layer(keras.layers.Masking()(inputs))
    close(pooled, layer(inputs, mask=RAGGED))
    assert getattr(pooled, "_keras_mask", None) is None


@every
def test_a_saved_model_computes_the_same(options, tmp_path):
    inputs = keras.Input((None, D))
    model = keras.Model(inputs, built({**options, "dropout": 0.1, "seed": 2})(inputs))
    model.save(tmp_path / "model.keras")
    close(keras.models.load_model(tmp_path / "model.keras")(normal(B, S, D)), model(normal(B, S, D)))


@every
def test_a_training_step_moves_every_weight(options):
    layer = built(options)
    before = [w.copy() for w in layer.get_weights()]
    inputs = keras.Input((S, D))
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.Adam(1e-2), "mse", jit_compile=False)
    model.train_on_batch(normal(B, S, D), normal(*model.compute_output_shape((B, S, D)), seed=1))
    assert before and not any(np.array_equal(old, new) for old, new in zip(before, layer.get_weights()))


@pytest.mark.compiles
@pytest.mark.parametrize("options", [{}, {"score": "dot", "seeds": 2, "num_heads": 3}], ids=["additive", "dot"])
def test_an_unknown_length_trains_and_predicts_compiled(options):
    layer, inputs = built(options), keras.Input((None, D))
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", "mse", jit_compile=COMPILED)
    for length in (5, 11):
        x = normal(2, length, D)
        model.train_on_batch(x, normal(*model.compute_output_shape(x.shape), seed=1))
        close(model.predict_on_batch(x), layer(x), 1e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
@every
def test_half_precision_stays_finite_with_large_inputs(options, policy):
    pooled = built(options, dtype=policy)(300.0 * normal(B, S, D), mask=RAGGED)
    assert keras.backend.standardize_dtype(pooled.dtype) == keras.DTypePolicy(policy).compute_dtype
    assert np.isfinite(numpy(ops.cast(pooled, "float32"))).all()


def test_dropout_acts_in_training_only_and_not_on_the_weights_shown():
    plain, dropping = built({"score": "dot"}), built({"score": "dot", "dropout": 0.5, "seed": 3})
    inputs = normal(B, S, D)
    close(dropping(inputs), plain(inputs))
    pooled, weights = dropping(inputs, training=True, return_attention_scores=True)
    assert not np.allclose(numpy(pooled), numpy(plain(inputs)), atol=1e-3)
    close(weights, plain(inputs, return_attention_scores=True)[1])


def test_a_normalizer_that_draws_does_so_in_training_only():
    layer = built({"normalizer": {"normalizer": "gumbel_hard"}, "seed": 3})
    first, second = (numpy(layer(normal(B, 31, D), return_attention_scores=True)[1]) for _ in range(2))
    assert np.array_equal(first, second)
    third, fourth = (numpy(layer(normal(B, 31, D), training=True, return_attention_scores=True)[1]) for _ in range(2))
    assert not np.array_equal(third, fourth)
    assert layer.get_config()["normalizer"] == {"normalizer": "gumbel_hard"}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"score": "dott"}, "Did you mean 'dot'"),
        ({"num_heads": 2}, "has one head"),
        ({"seeds": 0}, "seeds"),
        ({"units": 0}, "units"),
        ({"dropout": 1.0}, "dropout"),
        ({"normalizer": "soft_max"}, "normalizer"),
    ],
)
def test_an_impossible_option_is_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        AttentionPooling(**options)
