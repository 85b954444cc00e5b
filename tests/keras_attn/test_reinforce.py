import itertools
import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import GlimpsePolicy, ReinforceModel, StochasticHardAttention, reinforce
from keras_attn.explicit import stochastic_hard

# Torch's compiler takes minutes.
COMPILE = keras.backend.backend() != "torch"


def numpy(x):
    return ops.convert_to_numpy(x)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_the_score_function_loss_by_hand():
    log_prob, entropy = np.log([[0.5, 0.2], [0.1, 0.4]]), np.array([[0.6, 0.7], [0.3, 0.2]])
    loss = reinforce.score_function_loss(
        ops.convert_to_tensor(log_prob), np.array([3.0, -1.0]), 0.5, ops.convert_to_tensor(entropy), 0.1
    )
    expected = [-2.5 * np.log(0.5 * 0.2) - 0.1 * 1.3, 1.5 * np.log(0.1 * 0.4) - 0.1 * 0.5]
    np.testing.assert_allclose(numpy(loss), expected, rtol=1e-6)


def test_each_choice_may_have_its_own_reward_and_baseline():
    log_prob, reward, baseline = normal(2, 3), normal(2, 3, seed=1), normal(2, 3, seed=2)
    loss = reinforce.score_function_loss(ops.convert_to_tensor(log_prob), reward, baseline)
    np.testing.assert_allclose(numpy(loss), (-(reward - baseline) * log_prob).sum(1), rtol=1e-5)
    square = reinforce.baseline_loss(ops.convert_to_tensor(baseline), reward[:, 0])
    np.testing.assert_allclose(numpy(square), ((reward[:, :1] - baseline) ** 2).sum(1), rtol=1e-5)


def test_the_gaussian_s_log_density_by_hand():
    x, mean, std = normal(3, 2), normal(3, 2, seed=1), 0.7
    density = np.exp(-((x - mean) ** 2) / (2 * std**2)) / (std * math.sqrt(2 * math.pi))
    found = reinforce.gaussian_log_prob(ops.convert_to_tensor(x), mean, std)
    np.testing.assert_allclose(numpy(found), np.log(density).sum(1), rtol=1e-4)


def test_nothing_is_recorded_unless_asked_and_recordings_nest():
    assert not reinforce.is_recording()
    with reinforce.recording() as outer:
        with reinforce.recording() as inner:
            reinforce.record("draw")
        assert reinforce.is_recording()
    assert not reinforce.is_recording()
    assert (outer, inner) == ([], [reinforce.Draw("draw")])


LOSSES = [
    "mse",
    keras.losses.MeanSquaredError(),
    keras.losses.MeanAbsoluteError(reduction="sum"),
    keras.losses.Huber(reduction="mean_with_sample_weight"),
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: getattr(loss, "reduction", loss))
@pytest.mark.parametrize("weights", [None, np.array([0.5, 2.0, 0.0], "float32")], ids=["plain", "weighted"])
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
def test_the_losses_of_the_examples_have_the_mean_that_keras_makes_of_them(loss, weights, masked):
    y, y_pred = normal(3, 5, 2), ops.convert_to_tensor(normal(3, 5, 2, seed=1))
    if masked:
        y_pred._keras_mask = ops.convert_to_tensor(np.arange(5)[None] < np.array([[5], [2], [3]]))
    weights = None if weights is None else np.repeat(weights[:, None], 5, axis=1)
    losses, counts = reinforce.example_losses(loss, y, y_pred, weights)
    whole = loss if isinstance(loss, keras.losses.Loss) else keras.losses.MeanSquaredError()
    np.testing.assert_allclose(np.mean(numpy(losses) * numpy(counts)), numpy(whole(y, y_pred, weights)), rtol=1e-5)
    if weights is None and not masked:
        rows = [numpy(whole(y[n : n + 1], y_pred[n : n + 1])) for n in range(3)]
        each = np.array(rows) / (5.0 if whole.reduction == "sum" else 1.0)
        np.testing.assert_allclose(numpy(losses), each, rtol=1e-5)


def test_targets_without_the_last_axis_are_not_spread_over_the_batch():
    y, y_pred = np.array([0.0, 1.0, 1.0], "float32"), np.array([[0.2], [0.9], [0.5]], "float32")
    losses, _ = reinforce.example_losses("binary_crossentropy", y, ops.convert_to_tensor(y_pred))
    np.testing.assert_allclose(numpy(losses), -np.log([0.8, 0.9, 0.5]), rtol=1e-4)


# The gradient against the exact one: all that could be drawn, each with its chance, as one batch.

B, T, S, D = 2, 2, 3, 2
DRAWS = list(itertools.product(range(S), repeat=T))


def chances_of(kernel, query, value):
    """π `(B, T, S)`."""
    z = np.einsum("btd,de,bse->bts", query, kernel, value)
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def probability(drawn, chances):
    """How likely it is, in each example, that the queries read the positions `drawn`: `(B,)`."""
    return np.prod([chances[:, t, s] for t, s in enumerate(drawn)], axis=0)


def expected_loss(kernel, output, query, value, y, entropy_weight):
    chances = chances_of(kernel, query, value)
    loss = np.mean(entropy_weight * (chances * np.log(chances)).sum((1, 2)))
    for drawn in DRAWS:
        read = value[:, list(drawn)].mean(1) @ output
        loss += np.mean(probability(drawn, chances) * np.mean((read - y) ** 2, axis=-1))
    return loss


def slope(function, at):
    """The gradient of a function of one array, by central differences."""
    at = at.astype("float64")
    steps = [1e-5 * np.eye(at.size)[n].reshape(at.shape) for n in range(at.size)]
    return np.array([(function(at + h) - function(at - h)) / 2e-5 for h in steps]).reshape(at.shape)


@pytest.mark.parametrize(
    "momentum, entropy_weight, learned", [(None, 0.0, False), (0.9, 0.3, False), (0.9, 0.0, True)], ids=str
)
def test_over_all_draws_the_gradient_is_that_of_the_expected_loss(monkeypatch, momentum, entropy_weight, learned):
    query, value, y = normal(B, T, D), normal(B, S, D, seed=1), normal(B, 1, seed=2)
    layer = StochasticHardAttention(soft_chance=0.0, learned_baseline=learned)
    dense = keras.layers.Dense(1, use_bias=False)
    inputs = keras.Input((T, D)), keras.Input((S, D))
    model = keras.Model(inputs, dense(keras.layers.GlobalAveragePooling1D()(layer(*inputs))))
    learner = ReinforceModel(model, entropy_weight=entropy_weight, momentum=momentum)
    learner.compile(keras.optimizers.SGD(1.0), "mse", run_eagerly=True)
    kernel, output = numpy(layer.kernel).copy(), numpy(dense.kernel).copy()
    # Any baseline that was there before the draws will do.
    learner.average.assign([0.7, 0.5])

    # Each example once for each draw, weighted by its chance.
    there = np.repeat(np.eye(S, dtype="float32")[DRAWS], B, axis=0)[:, None]
    monkeypatch.setattr(stochastic_hard, "draw", lambda *_: ops.convert_to_tensor(there))
    chances = np.concatenate([probability(drawn, chances_of(kernel, query, value)) for drawn in DRAWS])
    batch = [np.tile(x, (len(DRAWS), *(1 for _ in x.shape[1:]))) for x in (query, value, y)]
    shown = learner.train_on_batch(batch[:2], batch[2], sample_weight=len(DRAWS) * chances)

    data = (query, value, y)
    np.testing.assert_allclose(shown, expected_loss(kernel, output, *data, 0.0), rtol=1e-4)
    exact = slope(lambda w: expected_loss(w, output, *data, entropy_weight), kernel)
    np.testing.assert_allclose(kernel - numpy(layer.kernel), exact, atol=1e-5)
    exact = slope(lambda w: expected_loss(kernel, w, *data, entropy_weight), output)
    np.testing.assert_allclose(output - numpy(dense.kernel), exact, atol=1e-5)


def test_over_all_places_the_policy_s_gradient_is_that_of_the_expected_loss(monkeypatch):
    state, std = normal(1, 3), 0.1
    policy = GlimpsePolicy(std=std)
    inputs = keras.Input((3,))
    learner = ReinforceModel(keras.Model(inputs, policy(inputs)[:, :1]))
    learner.compile(keras.optimizers.SGD(1.0), "mse", run_eagerly=True)
    kernel = numpy(policy.mean_dense.kernel).copy()
    learner.average.assign([0.7, 0.5])
    # The places along x by Gauss's quadrature, exact for polynomials up to degree nine; y does not matter.
    nodes, chances = np.polynomial.hermite_e.hermegauss(5)
    noise = np.stack([nodes, 0.0 * nodes], axis=-1).astype("float32")
    monkeypatch.setattr(keras.random, "normal", lambda *_, **__: ops.convert_to_tensor(noise))
    weights = 5.0 * chances / chances.sum()
    learner.train_on_batch(np.repeat(state, 5, axis=0), np.full((5, 1), 0.4), sample_weight=weights)
    exact = slope(lambda w: (np.tanh(state @ w)[0, 0] - 0.4) ** 2 + std**2, kernel)
    np.testing.assert_allclose(kernel - numpy(policy.mean_dense.kernel), exact, atol=1e-4)


def test_the_loss_that_is_shown_is_that_of_the_task():
    inputs = keras.Input((7, 5))
    model = keras.Model(inputs, StochasticHardAttention(soft_chance=1.0)(inputs))
    x, y = normal(3, 7, 5), normal(3, 7, 5, seed=1)
    expected = np.mean((numpy(model(x)) - y) ** 2)
    learner = ReinforceModel(model, entropy_weight=0.5)
    learner.compile("sgd", "mse")
    np.testing.assert_allclose(learner.train_on_batch(x, y), expected, rtol=1e-4)


def test_the_baseline_is_a_moving_average_of_what_came_before():
    inputs = keras.Input((7, 5))
    learner = ReinforceModel(keras.Model(inputs, StochasticHardAttention()(inputs)), momentum=0.75)
    learner.compile("sgd", "mse")
    x, costs = normal(3, 7, 5), []
    for _ in range(3):
        # What is shown is the mean since the last reset.
        learner.reset_metrics()
        costs.append(float(learner.train_on_batch(x, x)))
    expected = 0.25 * (0.75**2 * costs[0] + 0.75 * costs[1] + costs[2])
    np.testing.assert_allclose(numpy(learner.average), [expected, 1.0 - 0.75**3], rtol=1e-4)


class Choose(keras.layers.Layer):
    """Draws one of three actions; nothing that can be differentiated tells which is good."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seeds = keras.random.SeedGenerator(0)

    def build(self, input_shape):
        self.logits = self.add_weight(name="logits", shape=(3,), initializer="zeros")

    def call(self, x, training=None):
        chances = ops.broadcast_to(ops.softmax(self.logits), (ops.shape(x)[0], 1, 1, 3))
        drawn = stochastic_hard.draw(chances, self.seeds.next())[:, 0, 0]
        if training:
            reinforce.record(ops.log(ops.sum(drawn * chances[:, 0, 0], -1)))
        return drawn

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 3)


@keras.saving.register_keras_serializable(package="tests")
def likes_the_last(y, y_pred):
    return y_pred[:, 2]


@pytest.mark.compiles
def test_a_reward_without_a_gradient_is_learned():
    inputs = keras.Input((1,))
    layer = Choose()
    learner = ReinforceModel(keras.Model(inputs, layer(inputs)), reward=likes_the_last)
    learner.compile(keras.optimizers.Adam(0.1), lambda y, y_pred: 0.0 * y_pred, jit_compile=COMPILE)
    learner.fit(np.zeros((64 * 16, 1)), np.zeros((64 * 16, 3)), batch_size=16, verbose=0)
    assert numpy(ops.softmax(layer.logits))[2] > 0.9


@pytest.mark.compiles
@pytest.mark.parametrize("options", [{}, {"learned_baseline": True}, {"units": 5}], ids=str)
def test_fit_finds_the_position_that_matters(options):
    # The value that is asked for stands at the third position; nothing else tells.
    value = normal(512, 5, 1)
    key = np.broadcast_to(np.eye(5, dtype="float32"), (512, 5, 5))
    query = np.ones((512, 1, 1), "float32")
    layer = StochasticHardAttention(soft_chance=0.0, seed=1, **options)
    inputs = keras.Input((1, 1)), keras.Input((5, 1)), keras.Input((5, 5))
    model = keras.Model(inputs, layer(*inputs))
    learner = ReinforceModel(model, entropy_weight=0.01)
    learner.compile(keras.optimizers.Adam(0.1), "mse", jit_compile=COMPILE)
    before = [numpy(w).copy() for w in model.trainable_weights]
    history = learner.fit([query, value, key], value[:, 2:3], batch_size=32, epochs=4, verbose=0)
    _, weights = layer(query, value, key, return_attention_scores=True)
    assert numpy(weights)[0, 0, 0, 2] > 0.9
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert not any(np.array_equal(a, numpy(b)) for a, b in zip(before, model.trainable_weights))
    # Nothing is drawn outside training.
    assert np.isfinite(learner.evaluate([query, value, key], value[:, 2:3], verbose=0))
    np.testing.assert_allclose(
        learner.predict([query, value, key], verbose=0), numpy(model([query, value, key])), rtol=1e-4, atol=1e-5
    )


def test_a_learner_can_be_saved_and_the_model_stands_on_its_own(tmp_path):
    inputs = keras.Input((7, 5))
    model = keras.Model(inputs, StochasticHardAttention(units=3)(inputs))
    learner = ReinforceModel(model, reward=likes_the_last, entropy_weight=0.25, momentum=None)
    x = normal(3, 7, 5)
    expected = numpy(learner(x))
    learner.save(tmp_path / "learner.keras")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "learner.keras")
    np.testing.assert_allclose(numpy(again(x)), expected, rtol=1e-5)
    np.testing.assert_allclose(numpy(keras.models.load_model(tmp_path / "model.keras")(x)), expected, rtol=1e-5)
    assert (again.reward, again.entropy_weight, again.momentum) == (likes_the_last, 0.25, None)


def test_a_mask_reaches_the_loss_and_padded_queries_have_no_part():
    inputs = keras.Input((7,), dtype="int32")
    hidden = keras.layers.Embedding(11, 5, mask_zero=True)(inputs)
    model = keras.Model(inputs, StochasticHardAttention(seed=3, soft_chance=0.0)(hidden))
    learner = ReinforceModel(model)
    learner.compile("sgd", "mse")
    tokens = np.array([[1, 2, 3, 0, 0, 0, 0], [4, 5, 6, 7, 8, 9, 10]])
    y = np.where(tokens[..., None] > 0, normal(2, 7, 5), 1e6)
    shown = learner.train_on_batch(tokens, y)
    assert shown < 100.0
    with reinforce.recording() as draws:
        model(tokens, training=True)
    for part in (draws[0].log_prob, draws[0].entropy):
        assert np.all((numpy(part) == 0.0) == (tokens == 0))


def test_padding_changes_nothing_of_what_is_learned():
    x, learned = normal(2, 3, 5), []
    for more in (0, 4):
        layer = StochasticHardAttention(soft_chance=1.0, learned_baseline=True)
        inputs = keras.Input((None, 5))
        learner = ReinforceModel(keras.Model(inputs, layer(keras.layers.Masking()(inputs))), entropy_weight=0.1)
        layer.set_weights([normal(*w.shape, seed=1) if w.ndim > 1 else w for w in layer.get_weights()])
        learner.compile(keras.optimizers.SGD(0.1), "mse")
        padded = np.pad(x, [(0, 0), (0, more), (0, 0)])
        learner.train_on_batch(padded, padded)
        learned.append([numpy(w) for w in layer.trainable_weights])
    for plain, with_padding in zip(*learned):
        np.testing.assert_allclose(with_padding, plain, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_reinforced_is_refused():
    inputs = keras.Input((7, 5))
    learner = ReinforceModel(keras.Model(inputs, keras.layers.Dense(5)(inputs)))
    learner.compile("sgd", "mse", run_eagerly=True)
    with pytest.raises(ValueError, match="there is nothing to reinforce"):
        learner.train_on_batch(normal(3, 7, 5), normal(3, 7, 5))
    drawing = StochasticHardAttention()(inputs)
    learner = ReinforceModel(keras.Model(inputs, [drawing, drawing]))
    learner.compile("sgd", ["mse", "mse"], run_eagerly=True)
    with pytest.raises(ValueError, match="must be told what to reward"):
        learner.train_on_batch(normal(3, 7, 5), [normal(3, 7, 5)] * 2)
    with pytest.raises(ValueError, match="momentum"):
        ReinforceModel(keras.Model(inputs, drawing), momentum=1.0)
    with pytest.raises(ValueError, match="entropy_weight"):
        ReinforceModel(keras.Model(inputs, drawing), entropy_weight=-1.0)
    with pytest.raises(ValueError, match="a value for each"):
        reinforce.example_losses(lambda y, y_pred: ops.mean(y_pred), np.ones((2, 3)), np.ones((2, 3)))
