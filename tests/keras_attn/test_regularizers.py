"""Penalties on weights against loops from the papers' equations."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import MultiHeadAttention, WeightRegularization, regularizers
from tests.autodiff import gradient

# Torch's compiler takes minutes.
COMPILED = keras.backend.backend() != "torch"
B, H, T, S = 3, 2, 5, 7
QUERIES = np.arange(T)[None] < np.array([T, 3, 0])[:, None]
SOURCES = np.arange(S)[None] >= np.array([0, 4, 2])[:, None]
SPECS = [
    "entropy",
    "coverage",
    "doubly_stochastic",
    "orthogonality",
    {"regularizer": "orthogonality", "among": "queries"},
    {"regularizer": "guided", "width": 0.3},
]
every = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec if isinstance(spec, str) else str(spec.values()))


def random_weights(seed=0, zeros=False):
    """Rows that sum to one over real sources, and are zero elsewhere; row (0, 0, 2) is empty."""
    scores = np.random.default_rng(seed).normal(size=(B, H, T, S))
    e = np.exp(scores) * SOURCES[:, None, None]
    e[0, 0, 2] = 0.0
    if zeros:
        e[0, 1, 1, :4] = 0.0
    return (e / np.maximum(e.sum(-1, keepdims=True), 1e-30)).astype("float32")


def value(spec, weights, *given):
    return float(ops.convert_to_numpy(regularizers.get(spec)(ops.convert_to_tensor(weights), *given)))


def slow(spec, weights):
    """By loops over what is real: entry by entry, with only real queries and sources kept."""
    options = {"regularizer": spec} if isinstance(spec, str) else dict(spec)
    name, terms = options.pop("regularizer"), []
    for b in range(B):
        # (H, T, S) of this entry without its padding
        kept = weights[b][:, QUERIES[b]][:, :, SOURCES[b]].astype("float64")
        if name == "orthogonality" and options.get("among", "heads") == "heads":
            groups = [kept[:, t] for t in range(kept.shape[1])]
        else:
            groups = list(kept)
        for a in groups:
            terms += SLOW[name](a, **{k: v for k, v in options.items() if k != "among"})
    return np.mean(terms)


def slow_entropy(a):
    return [-sum(p * np.log(p) for p in row if p > 0.0) for row in a if row.any()]


def slow_coverage(a):
    terms, seen = [], np.zeros(a.shape[1])
    for row in a:
        if row.any():
            terms.append(sum(min(p, c) for p, c in zip(row, seen)))
        seen = seen + row
    return terms


def slow_doubly_stochastic(a):
    return [(1.0 - a[:, s].sum()) ** 2 for s in range(a.shape[1])] if a.any() else []


def slow_orthogonality(a):
    a = a[a.any(axis=1)]
    return [np.linalg.norm(a @ a.T - np.eye(len(a))) ** 2] if len(a) else []


def slow_guided(a, width):
    queries, sources = a.shape
    terms = []
    for t in range(1, queries + 1):
        costs = [1.0 - np.exp(-((s / sources - t / queries) ** 2) / (2 * width**2)) for s in range(1, sources + 1)]
        terms += [a[t - 1] @ costs] if a[t - 1].any() else []
    return terms


SLOW = {
    "entropy": slow_entropy,
    "coverage": slow_coverage,
    "doubly_stochastic": slow_doubly_stochastic,
    "orthogonality": slow_orthogonality,
    "guided": slow_guided,
}


def test_every_name_is_tested():
    assert set(SLOW) == set(regularizers.names())


@every
def test_a_penalty_equals_the_paper_s_equation_over_what_is_real(spec):
    weights = random_weights(zeros=True)
    np.testing.assert_allclose(value(spec, weights, QUERIES, SOURCES), slow(spec, weights), rtol=1e-5)


@every
@pytest.mark.parametrize("poison", [np.nan, np.inf, 3.0])
def test_what_stands_at_padding_counts_for_nothing(spec, poison):
    weights, real = random_weights(), (QUERIES[:, :, None] & SOURCES[:, None])[:, None]
    poisoned = np.where(real, weights, poison).astype("float32")
    assert value(spec, poisoned, QUERIES, SOURCES) == value(spec, weights, QUERIES, SOURCES)
    grad = gradient(lambda a: regularizers.get(spec)(a, QUERIES, SOURCES), poisoned)
    assert np.isfinite(grad).all() and np.all(grad[np.broadcast_to(~real, grad.shape)] == 0.0) and np.any(grad)


@every
def test_masks_of_all_true_equal_none(spec):
    weights = np.random.default_rng(0).dirichlet(np.ones(S), size=(B, H, T)).astype("float32")
    masked = value(spec, weights, np.ones((B, T), bool), np.ones((B, S), bool))
    np.testing.assert_allclose(masked, value(spec, weights), rtol=1e-6)


@every
def test_nothing_real_costs_nothing(spec):
    assert value(spec, random_weights(), np.zeros((B, T), bool), SOURCES) == 0.0
    assert np.all(gradient(regularizers.get(spec), np.zeros((B, H, T, S), "float32")) == 0.0)


@every
def test_the_gradient_equals_finite_differences(spec):
    weights = random_weights()
    grad = gradient(lambda a: regularizers.get(spec)(a, QUERIES, SOURCES), weights)
    rng = np.random.default_rng(3)
    # Not along zeros: an empty row stays one.
    direction = rng.normal(size=weights.shape) * (weights > 0.0)
    ahead, behind = (slow(spec, weights.astype("float64") + sign * 1e-5 * direction) for sign in (1, -1))
    np.testing.assert_allclose(np.sum(grad * direction), (ahead - behind) / 2e-5, rtol=2e-3, atol=2e-5)


@every
def test_weights_without_heads_are_as_of_one_head(spec):
    weights = random_weights()[:, 1]
    assert value(spec, weights, QUERIES, SOURCES) == value(spec, weights[:, None], QUERIES, SOURCES)


@every
def test_half_precision_is_computed_in_float32(spec):
    weights = ops.cast(random_weights(), "float16")
    penalty = regularizers.get(spec)(weights, QUERIES, SOURCES)
    assert keras.backend.standardize_dtype(penalty.dtype) == "float32"
    np.testing.assert_allclose(
        float(ops.convert_to_numpy(penalty)), value(spec, random_weights(), QUERIES, SOURCES), rtol=2e-3
    )


def test_values_known_by_heart():
    flat, diagonal = np.full((1, 1, 5, 5), 0.2, "float32"), np.eye(5, dtype="float32")[None, None]
    np.testing.assert_allclose(value("entropy", flat), np.log(5.0), rtol=1e-6)
    assert value("entropy", diagonal) == value("coverage", diagonal) == value("doubly_stochastic", diagonal) == 0.0
    assert value({"regularizer": "orthogonality", "among": "queries"}, diagonal) == 0.0
    assert value("guided", diagonal) == 0.0 < value("guided", diagonal[..., ::-1].copy())
    # Ones upon zero, one, two, three and four rows of 0.2 each
    np.testing.assert_allclose(value("coverage", flat), 4 / 5, rtol=1e-6)


def test_strength_scales_and_a_list_is_a_sum():
    weights = random_weights()
    both = [{"regularizer": "entropy", "strength": -0.5}, "coverage"]
    expected = -0.5 * value("entropy", weights) + value("coverage", weights)
    np.testing.assert_allclose(value(both, weights), expected, rtol=1e-6)
    assert regularizers.get(both) == regularizers.get(tuple(both)) and hash(regularizers.get(both))


@pytest.mark.parametrize(
    "spec, message",
    [
        ("entropi", "Unknown regularizer 'entropi'. Did you mean 'entropy'"),
        ({"regularizer": "guided", "widht": 0.1}, "Unknown option of 'guided' 'widht'. Did you mean 'width'"),
        ({"regularizer": "guided", "width": 0.0}, "above 0"),
        ({"regularizer": "orthogonality", "among": "head"}, "Did you mean 'heads'"),
        ({"regularizer": "entropy", "strength": "1"}, "strength"),
        ({"regularizer": "entropy", "strength": float("nan")}, "strength"),
        ({"strength": 1.0}, "A regularizer is a name"),
        ([], "one at least"),
        (None, "Unknown regularizer None"),
    ],
)
def test_a_wrong_spec_says_what_would_be_right(spec, message):
    with pytest.raises(ValueError, match=message):
        regularizers.get(spec)


def test_weights_of_another_rank_are_refused():
    with pytest.raises(ValueError, match="must have shape"):
        regularizers.entropy(np.ones((2, 3), "float32"))


def model_with(spec, length=None):
    inputs, mask = keras.Input((length, 8)), keras.Input((length,), dtype="bool")
    mix, weights = MultiHeadAttention(2, use_bias=False)(inputs, query_mask=mask, return_attention_scores=True)
    weights = WeightRegularization(spec)(weights, query_mask=mask, source_mask=mask)
    return keras.Model([inputs, mask], [mix, weights])


def test_the_layer_hands_weights_on_and_adds_the_penalty(tmp_path):
    inputs = np.random.default_rng(0).normal(size=(B, T, 8)).astype("float32")
    spec = [{"regularizer": "entropy", "strength": 0.3}, {"regularizer": "guided", "width": 0.3}]
    model = model_with(spec)
    model.save(tmp_path / "model.keras")
    for each in (model, keras.models.load_model(tmp_path / "model.keras")):
        weights = each([inputs, QUERIES])[1]
        assert tuple(weights.shape) == (B, 2, T, T)
        expected = value(spec, ops.convert_to_numpy(weights), QUERIES, QUERIES)
        np.testing.assert_allclose([float(ops.convert_to_numpy(loss)) for loss in each.losses], [expected], rtol=1e-6)


def test_the_layer_leaves_the_precision_of_the_weights():
    layer = WeightRegularization("entropy", dtype="mixed_float16")
    assert keras.backend.standardize_dtype(layer(ops.convert_to_tensor(random_weights())).dtype) == "float32"
    assert layer(keras.Input((H, T, S), dtype="float32")).dtype == "float32"


# The values of the attention have no part in the loss.
without_values = pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning")


def losses_of_training(spec, jit_compile, lengths):
    keras.utils.set_random_seed(0)
    model = model_with(spec)
    # No other loss: what moves the weights is the penalty.
    model.compile(keras.optimizers.Adam(0.02), jit_compile=jit_compile)
    data = []
    for n in lengths:
        inputs = np.random.default_rng(0).normal(size=(B, n, 8)).astype("float32")
        data.append([inputs, np.arange(n) < np.array([[n], [3], [2]])])
    return [float(model.train_on_batch(batch)) for batch in data]


@without_values
@every
def test_training_lessens_a_penalty(spec):
    strong = {**(spec if isinstance(spec, dict) else {"regularizer": spec}), "strength": 3.0}
    losses = losses_of_training(strong, False, [T] * 9)
    assert losses[-1] < losses[0]


@without_values
@pytest.mark.compiles
def test_all_penalties_compile_with_an_unknown_length():
    lengths = [T, 7]
    compiled, plain = (losses_of_training(SPECS, jit_compile, lengths) for jit_compile in (COMPILED, False))
    np.testing.assert_allclose(compiled[0], plain[0], rtol=1e-4)
    assert np.isfinite(compiled[1])
