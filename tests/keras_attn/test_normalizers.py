"""Normalizers against slow, obvious versions of themselves, at their edges, and their gradients against differences."""

import pickle

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import normalizers
from tests.autodiff import gradient

H = 3
LEARNED = np.array([-1.0, 0.3, 2.0], "float32")

CASES = [
    *normalizers.names(),
    {"normalizer": "entmax", "alpha": 1.05},
    {"normalizer": "entmax", "alpha": 1.9},
    {"normalizer": "entmax", "alpha": "learned"},
    {"normalizer": "sigmoid", "bias": -1.5},
    {"normalizer": "sigmoid", "bias": "learned"},
    {"normalizer": "top_k", "k": 3},
    {"normalizer": "gumbel_hard", "temperature": 0.5},
]


def label(spec):
    return spec if isinstance(spec, str) else ",".join(str(value) for value in spec.values())


def cases(condition=lambda normalizer: True):
    return pytest.mark.parametrize("spec", [s for s in CASES if condition(normalizers.get(s))], ids=label)


def is_smooth(normalizer):
    return normalizer.function not in (normalizers.hard, normalizers.gumbel_hard)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def tensors(spec, learned=LEARNED):
    return tuple(ops.convert_to_tensor(learned) for _ in normalizers.get(spec).learned)


def weights(spec, scores, mask=None, noise=None):
    noise = None if noise is None else ops.convert_to_tensor(noise)
    got = normalizers.get(spec)(ops.convert_to_tensor(scores), mask, tensors(spec), noise)
    return ops.convert_to_numpy(got)


def by_bisection(z, alpha):
    """The weights [(α-1) z - τ]_+^{1/(α-1)} in float64, by searching τ."""
    z = (alpha - 1.0) * (z - z.max())
    low, high = -1.0, 0.0
    for _ in range(100):
        middle = (low + high) / 2.0
        over = (np.maximum(z - middle, 0.0) ** (1.0 / (alpha - 1.0))).sum() >= 1.0
        low, high = (middle, high) if over else (low, middle)
    return np.maximum(z - low, 0.0) ** (1.0 / (alpha - 1.0))


def slow_softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def slow_row(spec, z, learned):
    """Weights of one row of scores, all of which may be looked at; `learned` is the learned number of its head."""
    options = spec if isinstance(spec, dict) else {"normalizer": spec}
    name = options["normalizer"]
    if name == "entmax":
        alpha = options.get("alpha", 1.5)
        return by_bisection(z, 1.001 + 0.998 / (1.0 + np.exp(-learned)) if alpha == "learned" else alpha)
    if name == "sigmoid":
        bias = options.get("bias", "length")
        bias = {"length": -np.log(len(z)), "learned": learned - np.log(len(z))}.get(bias, bias)
        return (1.0 + np.tanh((z + bias) / 2.0)) / 2.0
    if name in ("sink", "off_by_one"):
        # One more position, which is then forgotten.
        return slow_softmax(np.append(z, learned if name == "sink" else 0.0))[:-1]
    if name == "top_k":
        chosen = np.argsort(-z, kind="stable")[: options.get("k", 8)]
        return np.bincount(chosen, slow_softmax(z[chosen]), minlength=len(z))
    if name in ("hard", "gumbel_hard"):
        return np.eye(len(z))[z.argmax()]
    return slow_softmax(z) if name == "softmax" else by_bisection(z, {"sparsemax": 2.0, "entmax15": 1.5}[name])


def slow(spec, scores, mask=None, learned=LEARNED):
    """Weights `(B, H, T, S)` row by row, each from its allowed scores alone."""
    mask = np.ones(scores.shape, "bool") if mask is None else np.broadcast_to(mask, scores.shape)
    result = np.zeros(scores.shape)
    for b, h, t in np.ndindex(scores.shape[:-1]):
        some = mask[b, h, t]
        if some.any():
            result[b, h, t, some] = slow_row(spec, scores[b, h, t, some].astype("float64"), float(learned[h]))
    return result


@cases()
@pytest.mark.parametrize("positions", [1, 13, 1000])
def test_weights_equal_the_slow_ones_at_any_scale(spec, positions):
    scale = np.array([1e-6, 0.1, 1.0, 30.0, 1e4], "float32")[:, None]
    scores = scale * random(2, H, 5, positions)
    np.testing.assert_allclose(weights(spec, scores), slow(spec, scores), atol=2e-6)


@cases(lambda normalizer: normalizer.sums_to_one)
@pytest.mark.parametrize("positions", [1, 13, 1000])
def test_rows_sum_to_one_and_a_shift_changes_nothing(spec, positions):
    scores = random(2, H, 5, positions)
    got = weights(spec, scores)
    np.testing.assert_allclose(got.sum(-1), 1.0, atol=1e-5)
    np.testing.assert_allclose(weights(spec, scores + 1e3), got, atol=1e-3)


@cases(lambda normalizer: not normalizer.sums_to_one)
def test_weights_that_need_not_sum_to_one_vanish_where_all_scores_are_low(spec):
    got = weights(spec, random(2, H, 5, 13) - 40.0)
    assert np.all(got > 0.0) and np.all(got < 1e-12)


@pytest.mark.parametrize("spec", ["softmax", "sparsemax", "entmax15", "entmax", {"normalizer": "entmax", "alpha": 2.0}])
@pytest.mark.parametrize("positions", [13, 1000])
def test_equal_scores_share_alike(spec, positions):
    got = weights(spec, np.full((2, H, 5, positions), 3.0, "float32"))
    np.testing.assert_allclose(got, 1.0 / positions, rtol=2e-6)


@pytest.mark.parametrize("spec", ["sparsemax", "entmax15", "entmax", {"normalizer": "entmax", "alpha": 1.9}])
@pytest.mark.parametrize("spread", [1e-1, 1e-3, 1e-5])
def test_a_crowd_at_the_edge_of_the_support_is_weighed_right(spec, spread):
    """Scores 1 / (α - 1) below the largest get next to nothing each, and a thousand of them get much together."""
    alpha = {"sparsemax": 2.0, "entmax15": 1.5, "entmax": 1.5}[spec] if isinstance(spec, str) else spec["alpha"]
    scores = spread * np.random.default_rng(0).uniform(-1.0, 1.0, (2, H, 5, 1000)).astype("float32")
    scores[..., 1:] -= np.float32(1.0 / (alpha - 1.0))
    scores[..., 0] = 0.0
    got = weights(spec, scores)
    np.testing.assert_allclose(got, slow(spec, scores), atol=1e-6)
    np.testing.assert_allclose(got.sum(-1), 1.0, atol=1e-4)


def test_sparse_weights_are_exactly_zero():
    scores = np.array([[[[0.0, -0.9, -1.1, -2.1]]]], "float32")
    assert (weights("sparsemax", scores) == 0.0).tolist() == [[[[False, False, True, True]]]]
    assert (weights("entmax15", scores) == 0.0).tolist() == [[[[False, False, False, True]]]]
    assert (weights({"normalizer": "entmax", "alpha": 1.9}, scores) == 0.0)[0, 0, 0, 3]


@pytest.mark.parametrize("spec", ["hard", "gumbel_hard", {"normalizer": "top_k", "k": 1}], ids=label)
def test_the_first_of_equals_is_taken(spec):
    assert weights(spec, np.array([[[[1.0, 5.0, 5.0]]]], "float32")).tolist() == [[[[0.0, 1.0, 0.0]]]]


@pytest.mark.parametrize("k", [1, 3, 8, 17])
def test_of_equal_scores_top_k_keeps_the_first_and_never_more_than_k(k):
    scores = np.random.default_rng(0).integers(0, 3, (2, H, 5, 13)).astype("float32")
    scores[0] = 4.0
    mask = np.random.default_rng(1).random((2, H, 5, 13)) < 0.7
    spec = {"normalizer": "top_k", "k": k}
    got = weights(spec, scores, ops.convert_to_tensor(mask))
    np.testing.assert_allclose(got, slow(spec, scores, mask), atol=1e-6)
    assert np.array_equal((got > 0.0).sum(-1), np.minimum(mask.sum(-1), k))


@pytest.mark.parametrize("alpha", [1.0 + 1e-12, 1.0 + 1e-6, 1.0001])
def test_entmax_near_one_is_softmax(alpha):
    scores = random(2, H, 5, 13)
    got = weights({"normalizer": "entmax", "alpha": alpha}, scores)
    np.testing.assert_allclose(got, weights("softmax", scores), atol=1e-6 + 2.0 * (alpha - 1.0))


@pytest.mark.parametrize("alpha, name", [(1.5, "entmax15"), (2.0, "sparsemax")])
def test_entmax_has_the_others_among_it(alpha, name):
    scores = 2.0 * random(2, H, 5, 13)
    got = weights({"normalizer": "entmax", "alpha": alpha}, scores)
    np.testing.assert_allclose(got, weights(name, scores), atol=1e-6)


def test_what_is_learned_starts_at_what_it_would_be_if_it_were_fixed():
    scores = ops.convert_to_tensor(random(2, H, 5, 13))
    for learned, fixed in {"entmax": "entmax15", "sigmoid": "sigmoid", "sink": "off_by_one"}.items():
        spec = {"entmax": {"alpha": "learned"}, "sigmoid": {"bias": "learned"}, "sink": {}}[learned]
        normalizer = normalizers.get({"normalizer": learned, **spec})
        ((_, initializer),) = normalizer.learned
        start = keras.initializers.get(initializer)((H,))
        got, expected = normalizer(scores, learned=(start,)), normalizers.get(fixed)(scores)
        np.testing.assert_allclose(ops.convert_to_numpy(got), ops.convert_to_numpy(expected), atol=1e-6)


def some_masks(*shape):
    """A mask with a row of one, a row of all, and the others by chance, none of them empty."""
    mask = np.random.default_rng(1).random(shape) < 0.5
    mask[..., 4] = True
    mask[0, 0, 0] = np.arange(shape[-1]) == 2
    mask[0, 0, 1] = True
    return mask


@cases()
def test_masked_positions_count_for_nothing(spec):
    scores, mask = random(2, H, 5, 13), some_masks(2, H, 5, 13)
    expected = slow(spec, scores, mask)
    for outside in (1e30, np.inf, np.nan):
        got = weights(spec, np.where(mask, scores, outside).astype("float32"), ops.convert_to_tensor(mask))
        np.testing.assert_allclose(got, expected, atol=1e-6)
        assert np.all(got[~mask] == 0.0)


@cases()
def test_a_mask_may_broadcast(spec):
    scores, mask = random(2, H, 5, 13), some_masks(2, 1, 5, 13)
    np.testing.assert_allclose(weights(spec, scores, ops.convert_to_tensor(mask)), slow(spec, scores, mask), atol=1e-6)


@cases()
def test_a_row_with_nothing_allowed_is_zero_and_so_is_its_gradient(spec):
    scores, factors, mask = random(2, H, 5, 13), random(2, H, 5, 13, seed=1), some_masks(2, H, 5, 13)
    mask[:, :, 3] = False
    scores[:, :, 3, 2] = np.nan
    mask, normalizer = ops.convert_to_tensor(mask), normalizers.get(spec)
    assert np.all(weights(spec, scores, mask)[:, :, 3] == 0.0)
    loss = lambda z, w: ops.sum(normalizer(z, mask, w) * ops.convert_to_tensor(factors))  # noqa: E731
    grad = gradient(lambda z: loss(z, tensors(spec)), scores)
    assert np.isfinite(grad).all() and np.all(grad[:, :, 3] == 0.0)
    if normalizer.learned:
        grad = gradient(lambda w: loss(ops.convert_to_tensor(scores), (w,)), LEARNED)
        rest = gradient(lambda w: ops.sum(normalizer(ops.convert_to_tensor(scores), mask, (w,))[:, :, 3]), LEARNED)
        assert np.isfinite(grad).all() and np.all(rest == 0.0)


def differences(function, x):
    """The gradient of a function of float64 arrays, by central differences."""
    x, result = x.astype("float64"), np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = 1e-5
        result[index] = (function(x + step) - function(x - step)) / 2e-5
    return result


@cases(is_smooth)
def test_the_gradient_equals_finite_differences(spec):
    scores, factors, mask = random(2, H, 5, 13), random(2, H, 5, 13, seed=1), some_masks(2, H, 5, 13)
    given, f = ops.convert_to_tensor(mask), ops.convert_to_tensor(factors)
    grad = gradient(lambda z: ops.sum(normalizers.get(spec)(z, given, tensors(spec)) * f), scores)
    scores, factors, mask, grad = (x[:1, :, 1:2] for x in (scores, factors, mask, grad))
    np.testing.assert_allclose(grad, differences(lambda z: np.sum(slow(spec, z, mask) * factors), scores), atol=2e-5)


@cases(lambda normalizer: normalizer.learned)
def test_the_gradient_with_respect_to_what_is_learned_equals_finite_differences(spec):
    scores, factors, mask = random(2, H, 5, 13), random(2, H, 5, 13, seed=1), some_masks(2, H, 5, 13)
    z, given, f = map(ops.convert_to_tensor, (scores, mask, factors))
    for start in (LEARNED, np.zeros(H, "float32"), np.array([-5.0, 0.0, 5.0], "float32")):
        grad = gradient(lambda w: ops.sum(normalizers.get(spec)(z, given, (w,)) * f), start)
        expected = differences(lambda w: np.sum(slow(spec, scores, mask, w) * factors), start)
        np.testing.assert_allclose(grad, expected, atol=5e-5)
        assert np.all(np.abs(grad) > 1e-5)


@pytest.mark.parametrize("alpha", [1.01, 1.3, 1.7, 1.99])
def test_the_gradient_with_respect_to_alpha_equals_finite_differences(alpha):
    scores, factors = 2.0 * random(2, H, 5, 13), random(2, H, 5, 13, seed=1)
    z, f = ops.convert_to_tensor(scores), ops.convert_to_tensor(factors)
    grad = gradient(lambda a: ops.sum(normalizers.entmax(z, alpha=a) * f), np.float32(alpha))
    row = lambda a: np.sum(slow({"normalizer": "entmax", "alpha": float(a)}, scores) * factors)  # noqa: E731
    np.testing.assert_allclose(grad, differences(row, np.array(alpha)), rtol=1e-3, atol=1e-3)


def test_the_gradient_of_hard_is_that_of_softmax():
    scores, factors = random(2, 13), ops.convert_to_tensor(random(2, 13, seed=1))
    hard, soft = (
        gradient(lambda z, f=f: ops.sum(f(z) * factors), scores) for f in (normalizers.hard, normalizers.softmax)
    )
    np.testing.assert_allclose(hard, soft, rtol=1e-6)


def draws(*shape):
    return np.random.default_rng(2).random(shape).astype("float32")


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_gumbel_draws_with_the_chances_of_softmax_at_any_temperature(temperature):
    scores, mask = random(H, 1, 7), np.arange(7) != 4
    spec = {"normalizer": "gumbel_hard", "temperature": temperature}
    got = weights(spec, np.repeat(scores, 5003, 1), ops.convert_to_tensor(mask), draws(H, 5003, 7))
    assert set(np.unique(got)) == {0.0, 1.0} and np.all(got.sum(-1) == 1.0)
    np.testing.assert_allclose(got.mean(1)[None, None], slow("softmax", scores[None, None, :, 0], mask), atol=0.02)


def test_the_gradient_of_a_gumbel_draw_is_that_of_the_softmax_of_the_noisy_scores():
    scores, noise, factors = random(2, 13), draws(2, 13), ops.convert_to_tensor(random(2, 13, seed=1))
    normalizer = normalizers.get({"normalizer": "gumbel_hard", "temperature": 0.5})
    drawn = gradient(lambda z: ops.sum(normalizer(z, noise=ops.convert_to_tensor(noise)) * factors), scores)
    noisy = scores - np.log(-np.log(noise))
    soft = 2.0 * gradient(lambda z: ops.sum(normalizers.softmax(z) * factors), 2.0 * noisy)
    np.testing.assert_allclose(drawn, soft, rtol=1e-4, atol=1e-6)


def test_a_gumbel_draw_survives_noise_of_zero_and_one():
    scores, noise = random(2, 13), draws(2, 13)
    noise[:, :3] = 0.0, 1.0, 0.0
    assert np.array_equal(weights("gumbel_hard", scores, noise=noise), np.eye(13)[[1, 1]])
    grad = gradient(lambda z: ops.sum(normalizers.gumbel_hard(z, noise=ops.convert_to_tensor(noise))[:, 2]), scores)
    assert np.isfinite(grad).all()


@cases()
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_comes_back_as_half_precision_and_survives_infinities(spec, dtype):
    scores = np.round(random(2, H, 5, 13))
    scores[:, :, 1, :3] = np.inf, 0.0, -np.inf
    scores[:, :, 2, :3] = 300.0, -300.0, 298.0
    normalizer = normalizers.get(spec)
    got = normalizer(ops.cast(ops.convert_to_tensor(scores), dtype), learned=tensors(spec))
    assert keras.backend.standardize_dtype(got.dtype) == dtype
    got = ops.convert_to_numpy(ops.cast(got, "float32"))
    finite = np.clip(scores, -1e30, 1e30)
    np.testing.assert_allclose(got, slow(spec, finite), atol=1e-2)
    total = lambda z: ops.sum(ops.cast(normalizer(ops.cast(z, dtype), learned=tensors(spec)), "float32")[..., 1])  # noqa: E731
    assert np.isfinite(gradient(total, scores)).all()


@cases()
def test_each_row_is_computed_by_itself(spec):
    scores, mask, noise = random(2, H, 5, 13), some_masks(2, H, 5, 13), draws(2, H, 5, 13)
    whole = weights(spec, scores, ops.convert_to_tensor(mask), noise)
    part = weights(spec, scores[:, :, 1:3], ops.convert_to_tensor(mask[:, :, 1:3]), noise[:, :, 1:3])
    np.testing.assert_allclose(part, whole[:, :, 1:3], atol=1e-7)


def compiled(function):
    """Compiled for shapes that are not known beforehand."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        unknown = [tf.TensorSpec((None,) * 4, "float32"), tf.TensorSpec((None,) * 4, "bool")]
        return tf.function(function, input_signature=unknown, jit_compile=True)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function


@pytest.mark.compiles
@cases()
def test_compiling_changes_nothing(spec):
    fast = compiled(lambda z, mask: normalizers.get(spec)(z, mask, tensors(spec)))
    scores, mask = random(2, H, 5, 1000), some_masks(2, H, 5, 1000)
    got = ops.convert_to_numpy(fast(ops.convert_to_tensor(scores), ops.convert_to_tensor(mask)))
    np.testing.assert_allclose(got, slow(spec, scores, mask), atol=2e-6)


@cases()
def test_a_layer_can_keep_it_and_be_copied(spec):
    layer = keras.layers.Identity()
    layer.normalizer = normalizers.get(spec)
    copy = pickle.loads(pickle.dumps(layer.normalizer))
    assert copy == normalizers.get(spec) and copy.spec == spec


def test_a_function_may_be_called_without_a_spec():
    scores = ops.convert_to_tensor(random(2, 13))
    for name in normalizers.names():
        got = getattr(normalizers, name)(scores)
        if not normalizers.get(name).learned:
            np.testing.assert_array_equal(ops.convert_to_numpy(got), weights(name, random(2, 13)))


def test_what_each_one_says_of_itself():
    found = {name: normalizers.get(name) for name in normalizers.names()}
    assert {name for name, n in found.items() if not n.sums_to_one} == {"sigmoid", "off_by_one", "sink"}
    assert {name for name, n in found.items() if n.uses_noise} == {"gumbel_hard"}
    assert {name for name, n in found.items() if n.learned} == {"sink"}


def test_an_unknown_name_or_option_brings_near_ones():
    with pytest.raises(ValueError, match=r"Unknown normalizer 'sparse_max'. Did you mean 'sparsemax'"):
        normalizers.get("sparse_max")
    with pytest.raises(ValueError, match=r"Unknown option of 'entmax' 'alpa'. Did you mean 'alpha'"):
        normalizers.get({"normalizer": "entmax", "alpa": 1.5})
    with pytest.raises(ValueError, match="Unknown option of 'softmax' 'k'"):
        normalizers.get({"normalizer": "softmax", "k": 3})
    with pytest.raises(ValueError, match="a name or a dictionary"):
        normalizers.get({"name": "softmax"})


@pytest.mark.parametrize(
    "spec",
    [
        {"normalizer": "entmax", "alpha": 1.0},
        {"normalizer": "entmax", "alpha": 2.5},
        {"normalizer": "entmax", "alpha": float("nan")},
        {"normalizer": "entmax", "alpha": "learnt"},
        {"normalizer": "top_k", "k": 0},
        {"normalizer": "top_k", "k": 2.0},
        {"normalizer": "sigmoid", "bias": "none"},
        {"normalizer": "sigmoid", "bias": float("inf")},
        {"normalizer": "sigmoid", "bias": True},
        {"normalizer": "gumbel_hard", "temperature": 0.0},
    ],
    ids=str,
)
def test_an_impossible_value_is_refused(spec):
    option = list(spec)[1]
    with pytest.raises(ValueError, match=f"Invalid argument `{option}`: it must be .* Received: {option}="):
        normalizers.get(spec)


def test_learned_numbers_must_be_passed_in():
    with pytest.raises(ValueError, match="1 learned"):
        normalizers.get("sink")(random(2, H, 5, 13))
    with pytest.raises(ValueError, match="0 learned"):
        normalizers.get("softmax")(random(2, H, 5, 13), learned=tensors("sink"))
