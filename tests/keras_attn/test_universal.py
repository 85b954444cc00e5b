"""The looped block against the same steps written out, and what of the mixers' contract it keeps."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import UniversalBlock
from tests.autodiff import gradient

# Torch's compiler takes minutes.
COMPILED = keras.backend.backend() != "torch"
B, T, D, STEPS = 3, 7, 6, 3
RAGGED = np.arange(T)[None] < np.array([T, 4, 2])[:, None]
MIXERS = ["pooling", {"mixer": "multi_head", "num_heads": 2}]
every = pytest.mark.parametrize("mixer", MIXERS, ids=["pooling", "multi_head"])
either = pytest.mark.parametrize("adaptive", [False, True], ids=["fixed", "adaptive"])


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(numpy(actual), numpy(expected), rtol=tolerance, atol=tolerance)


def built(mixer, length=None, **options):
    layer = UniversalBlock(mixer, **{"steps": STEPS, **options})
    layer.build((None, length, D))
    rng = np.random.default_rng(1)
    layer.set_weights([(0.4 * rng.normal(size=w.shape)).astype(w.dtype) for w in layer.get_weights()])
    return layer


def norm(x, layer):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * numpy(layer.gamma) + numpy(layer.beta)


def dense(x, layer):
    return x @ numpy(layer.kernel) + numpy(layer.bias)


def gelu(x):
    return 0.5 * x * (1.0 + np.vectorize(math.erf)(x / np.sqrt(2.0)))


def test_the_loop_is_the_steps_written_out():
    # Looking at nothing but itself, so that the mixer can be written out too.
    layer, inputs = built("pooling"), normal(B, T, D)
    x = inputs.astype("float64")
    for n in range(1, STEPS + 1):
        for i in range(D):
            x[..., i] += (np.cos if i % 2 else np.sin)(n * 10000.0 ** (-2 * (i // 2) / D))
        mixed = norm(x, layer.mixer_norm).mean(axis=1, keepdims=True)
        x = x + mixed
        hidden = gelu(dense(norm(x, layer.mlp_norm), layer.mlp_hidden))
        x = x + dense(hidden, layer.mlp_output)
    output, steps = layer(inputs, return_steps=True)
    close(output, x, 1e-4)
    assert np.all(numpy(steps) == STEPS) and not layer.losses


@pytest.mark.parametrize("bias, steps", [(-30.0, STEPS), (30.0, 1)])
@every
def test_an_adaptive_block_that_stops_everywhere_alike_is_a_fixed_one(mixer, bias, steps):
    layer = built(mixer, adaptive=True)
    fixed = UniversalBlock(mixer, steps=steps)
    fixed.build((None, None, D))
    layer.halting.kernel.assign(np.zeros((D, 1)))
    layer.halting.bias.assign([bias])
    fixed.set_weights([w for w in by_name(layer) if w is not None])
    output, taken = layer(normal(B, T, D), return_steps=True)
    close(output, fixed(normal(B, T, D)), 1e-4)
    assert np.all(numpy(taken) == steps)
    close(layer.losses[0], 0.01 * (steps + 1.0))


def by_name(layer):
    return [numpy(w) for w in layer.weights if "halting" not in w.path]


def test_steps_and_cost_differ_from_position_to_position():
    layer = built("pooling", adaptive=True, ponder_weight=2.0)
    layer.halting.kernel.assign(9.0 * normal(D, 1, seed=2))
    _, steps = layer(normal(B, T, D), mask=RAGGED, return_steps=True)
    assert len(set(numpy(steps)[RAGGED])) > 1 and np.all(numpy(steps)[~RAGGED] == 0.0)
    low, high = 2.0 * numpy(steps)[RAGGED].mean(), 2.0 * numpy(steps)[RAGGED].mean() + 2.0
    assert low < float(numpy(layer.losses[0])) < high


@either
@every
def test_more_steps_need_no_more_weights(mixer, adaptive):
    assert built(mixer, steps=7, adaptive=adaptive).count_params() == built(mixer, adaptive=adaptive).count_params()


@either
@every
def test_what_stands_at_padding_never_reaches_real_positions(mixer, adaptive):
    layer, inputs = built(mixer, adaptive=adaptive), normal(B, T, D)
    expected = numpy(layer(np.where(RAGGED[..., None], inputs, 0.0).astype("float32"), mask=RAGGED))
    for poison in (np.nan, np.inf):
        poisoned = np.where(RAGGED[..., None], inputs, poison).astype("float32")
        close(layer(poisoned, mask=RAGGED), expected)
    assert np.all(expected[~RAGGED] == 0.0)
    close(layer(inputs[:1, :4]), layer(inputs[:1], mask=np.arange(T)[None] < 4)[:, :4])
    grad = gradient(lambda x: ops.sum(ops.square(layer(x, mask=RAGGED))), poisoned)
    assert np.isfinite(grad).all() and np.all(grad[~RAGGED] == 0.0)


@either
@every
def test_causal_output_does_not_change_when_later_inputs_do(mixer, adaptive):
    layer, inputs = built(mixer, adaptive=adaptive), normal(B, T, D)
    before = numpy(layer(inputs, use_causal_mask=True))
    for t in (1, 4):
        changed = np.concatenate([inputs[:, :t], 7.0 * normal(B, T - t, D, seed=t)], axis=1)
        close(layer(changed, use_causal_mask=True)[:, :t], before[:, :t])


@either
@pytest.mark.parametrize("mixer", [*MIXERS, "gru"], ids=["pooling", "multi_head", "gru"])
def test_step_by_step_equals_all_at_once(mixer, adaptive):
    layer, inputs = built(mixer, adaptive=adaptive), normal(B, T, D)
    assert layer.can_step
    state, outputs = layer.initial_state(B, max_length=T), []
    for t in range(T):
        output, state = layer.step(ops.convert_to_tensor(inputs[:, t]), state)
        outputs.append(output)
    at_once = layer(inputs, use_causal_mask=True)
    close(ops.stack(outputs, axis=1), at_once, 1e-4)
    first, state = layer.prefill(ops.convert_to_tensor(inputs[:, :5]), layer.initial_state(B, max_length=T))
    close(first, at_once[:, :5], 1e-4)
    close(layer.prefill(ops.convert_to_tensor(inputs[:, 5:]), state)[0], at_once[:, 5:], 1e-4)


def test_it_is_what_its_mixer_is():
    for mixer in ("gru", "additive", "token_mlp", "pooling"):
        block = UniversalBlock(mixer)
        for what in ("kind", "control", "can_be_causal", "fixed_length", "can_step"):
            assert getattr(block, what) == getattr(block.mixer, what)
    with pytest.raises(ValueError, match="cannot be causal"):
        built("token_mlp", length=T)(normal(B, T, D), use_causal_mask=True)


@either
@every
def test_a_saved_model_computes_the_same(mixer, adaptive, tmp_path):
    layer = built(mixer, adaptive=adaptive)
    before = layer.get_config()
    inputs = keras.Input((None, D))
    model = keras.Model(inputs, layer(inputs, return_steps=True))
    assert [output.shape for output in model.outputs] == [(None, None, D), (None, None)]
    assert layer.get_config() == before and before["mixer"] == mixer
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for actual, expected in zip(loaded(normal(B, T, D)), model(normal(B, T, D))):
        close(actual, expected)


@either
def test_a_mask_from_keras_equals_the_same_by_hand_and_goes_on(adaptive):
    layer = built("pooling", adaptive=adaptive)
    inputs = np.where(RAGGED[..., None], normal(B, T, D), 0.0).astype("float32")
    output = layer(keras.layers.Masking()(inputs))
    close(output, layer(inputs, mask=RAGGED))
    assert np.array_equal(numpy(output._keras_mask), RAGGED)


@either
@every
def test_a_training_step_moves_every_weight(mixer, adaptive):
    layer = built(mixer, adaptive=adaptive)
    before = [w.copy() for w in layer.get_weights()]
    train(layer, length=T, jit_compile=False)
    assert not any(np.array_equal(old, new) for old, new in zip(before, layer.get_weights()))


@pytest.mark.compiles
@either
def test_an_unknown_length_trains_and_predicts_compiled(adaptive):
    layer = built(MIXERS[1], steps=2, adaptive=adaptive)
    for length in (5, 11):
        model = train(layer, length, jit_compile=COMPILED)
        close(model.predict_on_batch(normal(2, length, D)), layer(normal(2, length, D)), 1e-3)


def train(layer, length, jit_compile):
    inputs = keras.Input((None, D))
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.Adam(1e-2), "mse", jit_compile=jit_compile)
    assert np.isfinite(model.train_on_batch(normal(2, length, D), normal(2, length, D, seed=1)))
    return model


def test_dropout_acts_in_training_only_and_can_be_repeated():
    plain, inputs = built("pooling"), normal(B, T, D)
    first, second = (built("pooling", dropout=0.5, seed=3) for _ in range(2))
    close(first(inputs), plain(inputs))
    in_training = numpy(first(inputs, training=True))
    assert not np.allclose(in_training, numpy(plain(inputs)), atol=1e-3)
    close(second(inputs, training=True), in_training)


@either
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_stays_finite_with_large_inputs(adaptive, policy):
    output = built("pooling", adaptive=adaptive, dtype=policy)(300.0 * normal(B, T, D), mask=RAGGED)
    assert keras.backend.standardize_dtype(output.dtype) == keras.DTypePolicy(policy).compute_dtype
    assert np.isfinite(numpy(ops.cast(output, "float32"))).all()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"steps": 0}, "steps"),
        ({"steps": 1, "adaptive": True}, "at least 2"),
        ({"mlp_ratio": 0.0}, "mlp_ratio"),
        ({"adaptive": "no"}, "True or False"),
        ({"ponder_weight": -1.0}, "ponder_weight"),
        ({"mixer": {"mixer": "gru", "units": 3}}, "Unknown option of 'gru'"),
    ],
)
def test_an_impossible_option_is_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        UniversalBlock(**options)
