"""Adaptive computation time against loops over positions, from the papers' equations."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import AdaptiveComputation, mixers
from tests.autodiff import gradient

# Torch's compiler takes minutes.
COMPILED = keras.backend.backend() != "torch"
B, T, D, STEPS = 3, 7, 5, 4
RAGGED = np.arange(T)[None] < np.array([T, 4, 2])[:, None]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(numpy(actual), numpy(expected), rtol=tolerance, atol=tolerance)


def built(layer, length=None, bias=-0.5, **options):
    layer = AdaptiveComputation(layer, max_steps=STEPS, **options)
    layer.build((None, length, D))
    rng = np.random.default_rng(1)
    layer.set_weights([(0.4 * rng.normal(size=w.shape)).astype(w.dtype) for w in layer.get_weights()])
    # So that some positions stop early and some at the cap
    layer.halting.kernel.assign(2.0 * normal(D, 1, seed=2))
    layer.halting.bias.assign([bias])
    return layer


def dense():
    return keras.layers.Dense(D, activation="tanh")


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def slow(layer, x, epsilon=0.01, embed=False):
    """Output, N and R at one position `(D,)`, by the equations, for a dense layer."""
    kernel, bias = (numpy(w).astype("float64") for w in (layer.layer.kernel, layer.layer.bias))
    w, b = (numpy(v).astype("float64") for v in (layer.halting.kernel[:, 0], layer.halting.bias[0]))
    state, output, spent = x.astype("float64"), np.zeros(D), 0.0
    for n in range(1, STEPS + 1):
        if embed:
            rates = [10000.0 ** (-2 * (i // 2) / D) for i in range(D)]
            state = state + [np.cos(n * r) if i % 2 else np.sin(n * r) for i, r in enumerate(rates)]
        state = np.tanh(state @ kernel + bias)
        h = sigmoid(w @ state + b)
        if n == STEPS or spent + h >= 1.0 - epsilon:
            return output + (1.0 - spent) * state, n, 1.0 - spent
        output, spent = output + h * state, spent + h


@pytest.mark.parametrize("epsilon", [0.01, 0.3])
@pytest.mark.parametrize("embed", [False, True])
def test_output_steps_and_cost_follow_the_paper_s_equations(embed, epsilon):
    options = {"step_embedding": embed, "epsilon": epsilon, "bias": -2.5 if embed else -0.5}
    layer, inputs = built(dense(), ponder_weight=0.7, **options), 2.0 * normal(B, T, D)
    output, steps = layer(inputs, mask=RAGGED, return_steps=True)
    costs, taken = [], set()
    for b, t in np.ndindex(B, T):
        if not RAGGED[b, t]:
            assert np.all(numpy(output)[b, t] == 0.0) and numpy(steps)[b, t] == 0.0
            continue
        expected, number, remainder = slow(layer, inputs[b, t], epsilon, embed)
        close(output[b, t], expected)
        assert numpy(steps)[b, t] == number
        costs.append(number + remainder)
        taken.add(number)
    assert len(taken) > 1 and STEPS in taken
    close(layer.losses[0], 0.7 * np.mean(costs))


@pytest.mark.parametrize("bias", [-30.0, -2.0, 0.0, 1.0, 30.0])
def test_shares_sum_to_one_at_every_position_and_at_the_cap(bias):
    layer = built(keras.layers.Dense(D), bias=bias)
    # The last channel is always one, so that its output is the sum of the shares.
    kernel = np.pad(0.7 * normal(D - 1, D - 1), ((0, 1), (0, 1)))
    kernel[-1, -1] = 1.0
    layer.layer.kernel.assign(kernel)
    layer.layer.bias.assign(np.zeros(D))
    inputs = normal(B, T, D)
    inputs[..., -1] = 1.0
    output, steps = layer(inputs, return_steps=True)
    close(output[..., -1], np.ones((B, T)), 1e-6)
    if abs(bias) == 30.0:
        assert np.all(numpy(steps) == (STEPS if bias < 0.0 else 1))


def test_a_looped_identity_is_the_identity():
    layer, inputs = built("identity"), normal(B, T, D)
    close(layer(inputs), inputs, 1e-6)


def test_the_cost_has_a_gradient_through_the_remainder_alone():
    layer, x = built(dense(), ponder_weight=1.0), 2.0 * normal(1, T, D)

    def cost(inputs):
        layer(inputs)
        return layer.losses[0]

    grad, numbers = gradient(cost, x), set()
    for t in range(T):
        number = slow(layer, x[0, t])[1]
        numbers.add(number)
        for d in range(D):
            step = 1e-5 * np.eye(D)[d]
            (_, n, ahead), (_, m, behind) = (slow(layer, x[0, t] + sign * step) for sign in (1, -1))
            assert n == m == number
            assert abs(grad[0, t, d] - (ahead - behind) / 2e-5 / T) < 1e-5
        # One step leaves all for the remainder, which is then constant.
        assert np.any(grad[0, t]) == (number > 1)
    assert len(numbers) > 1


def test_the_output_has_the_gradient_of_the_equations():
    layer, x = built(dense()), 2.0 * normal(1, 2, D)
    factors = normal(2, D, seed=3)
    grad = gradient(lambda inputs: ops.sum(layer(inputs)[0] * ops.convert_to_tensor(factors)), x)
    for t, d in np.ndindex(2, D):
        step = 1e-5 * np.eye(D)[d]
        ahead, behind = (slow(layer, x[0, t] + sign * step)[0] @ factors[t] for sign in (1, -1))
        assert abs(grad[0, t, d] - (ahead - behind) / 2e-5) < 1e-4


def test_padding_changes_neither_output_nor_cost_nor_gradients():
    layer = built({"mixer": "multi_head", "num_heads": 1}, step_embedding=True)
    short = normal(B, T, D)
    expected, cost = numpy(layer(short)), float(numpy(layer.losses[0]))
    for poison in (np.nan, np.inf, 7.0):
        padded = np.concatenate([short, np.full((B, 4, D), poison, "float32")], axis=1)
        mask = np.broadcast_to(np.arange(T + 4) < T, (B, T + 4))
        output = layer(padded, mask=mask)
        close(output[:, :T], expected)
        assert np.all(numpy(output)[:, T:] == 0.0)
        close(layer.losses[0], cost)
    grad = gradient(lambda x: ops.sum(ops.square(layer(x, mask=mask))), padded)
    assert np.isfinite(grad).all() and np.all(grad[:, T:] == 0.0)


def test_a_batch_of_padding_alone_costs_nothing():
    layer = built(dense())
    assert np.all(numpy(layer(normal(B, T, D), mask=np.zeros((B, T), bool))) == 0.0)
    assert float(numpy(layer.losses[0])) == 0.0


def test_a_position_that_has_stopped_keeps_its_state_for_the_others_to_see():
    """By a loop over steps with the mixer itself in between."""
    layer, inputs = built("additive"), 2.0 * normal(B, T, D)
    state, output, spent, running = inputs, np.zeros_like(inputs), np.zeros((B, T)), np.ones((B, T), bool)
    for n in range(STEPS):
        state = np.where(running[..., None], numpy(layer.layer(state)), state)
        h = sigmoid(state @ numpy(layer.halting.kernel)[:, 0] + numpy(layer.halting.bias))
        enough = (spent + h >= 0.99) | (n == STEPS - 1)
        share = np.where(running, np.where(enough, 1.0 - spent, h), 0.0)
        output, spent, running = output + share[..., None] * state, spent + share, running & ~enough
    close(layer(inputs), output)


def test_the_halting_unit_starts_at_a_bias_of_one():
    layer = AdaptiveComputation("gru")
    layer.build((None, None, D))
    assert numpy(layer.halting.bias).tolist() == [1.0]


def test_causality_is_handed_on():
    layer, inputs = built("gru"), normal(B, T, D)
    before = numpy(layer(inputs, use_causal_mask=True))
    changed = np.concatenate([inputs[:, :3], 9.0 * normal(B, T - 3, D, seed=4)], axis=1)
    close(layer(changed, use_causal_mask=True)[:, :3], before[:, :3])
    with pytest.raises(ValueError, match="no call argument `use_causal_mask`"):
        built(dense())(inputs, use_causal_mask=True)
    with pytest.raises(ValueError, match="cannot be causal"):
        built({"mixer": "gru", "bidirectional": True})(inputs, use_causal_mask=True)


@pytest.mark.parametrize("wrapped", [{"mixer": "additive", "units": 3}, "dense", "lstm layer"], ids=str)
def test_a_saved_model_computes_the_same(wrapped, tmp_path):
    own = {"dense": dense, "lstm layer": lambda: keras.layers.LSTM(D, return_sequences=True)}
    layer = built(own[wrapped]() if wrapped in ("dense", "lstm layer") else wrapped, step_embedding=True)
    inputs = keras.Input((None, D))
    model = keras.Model(inputs, layer(inputs, return_steps=True))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for actual, expected in zip(loaded(normal(B, T, D)), model(normal(B, T, D))):
        close(actual, expected)


def test_shapes_are_known_before_the_values():
    output, steps = AdaptiveComputation("gru")(keras.Input((None, D), batch_size=B), return_steps=True)
    assert output.shape == (B, None, D) and steps.shape == (B, None)
    assert AdaptiveComputation("gru").compute_output_shape((B, None, D)) == (B, None, D)


def test_a_mask_from_keras_equals_the_same_by_hand_and_goes_on():
    layer = built("pooling")
    inputs = np.where(RAGGED[..., None], normal(B, T, D), 0.0).astype("float32")
    output = layer(keras.layers.Masking()(inputs))
    close(output, layer(inputs, mask=RAGGED))
    assert np.array_equal(numpy(output._keras_mask), RAGGED)


@pytest.mark.compiles
def test_an_unknown_length_trains_compiled_and_moves_every_weight():
    layer = built(dense())
    before = [w.copy() for w in layer.get_weights()]
    inputs = keras.Input((None, D))
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.Adam(1e-2), "mse", jit_compile=COMPILED)
    for length in (5, 11):
        assert np.isfinite(model.train_on_batch(normal(2, length, D), normal(2, length, D, seed=1)))
        close(model.predict_on_batch(normal(2, length, D)), layer(normal(2, length, D)), 1e-4)
    assert not any(np.array_equal(old, new) for old, new in zip(before, layer.get_weights()))


def test_a_dear_step_is_taken_less_often():
    def steps_after_training(ponder_weight):
        keras.utils.set_random_seed(0)
        layer = built(dense(), ponder_weight=ponder_weight)
        inputs = keras.Input((T, D))
        model = keras.Model(inputs, layer(inputs))
        model.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=False)
        for _ in range(12):
            model.train_on_batch(normal(B, T, D), normal(B, T, D, seed=1))
        return numpy(layer(normal(B, T, D), return_steps=True)[1]).mean()

    assert steps_after_training(3.0) < steps_after_training(0.0)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16"])
def test_half_precision_stays_finite_and_stops_where_float32_does(policy):
    layer = built("additive", dtype=policy)
    output, steps = layer(300.0 * normal(B, T, D), mask=RAGGED, return_steps=True)
    assert keras.backend.standardize_dtype(output.dtype) == keras.DTypePolicy(policy).compute_dtype
    assert np.isfinite(numpy(ops.cast(output, "float32"))).all()
    assert keras.backend.standardize_dtype(steps.dtype) == "float32"
    assert keras.backend.standardize_dtype(layer.losses[0].dtype) == "float32"


def test_a_layer_that_changes_the_shape_is_refused():
    with pytest.raises(ValueError, match="keeps the shape"):
        AdaptiveComputation(keras.layers.Dense(D + 1))(normal(B, T, D))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"max_steps": 1}, "at least 2"),
        ({"ponder_weight": -0.1}, "at least 0"),
        ({"epsilon": 0.0}, "epsilon"),
        ({"step_embedding": 1}, "True or False"),
        ({"layer": "grru"}, "Did you mean 'gru'"),
    ],
)
def test_an_impossible_option_is_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        AdaptiveComputation(**{"layer": mixers.get("gru"), **options})
