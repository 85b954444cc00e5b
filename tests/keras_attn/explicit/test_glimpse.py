import numpy as np
import pytest
from keras import ops

from keras_attn import Glimpse, GlimpsePolicy, reinforce
from tests.autodiff import gradient

B, H, W, C = 2, 13, 17, 3


def numpy(x):
    return ops.convert_to_numpy(x)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


IMAGES = normal(B, H, W, C)


def crop(image, top, left, side):
    """A square of the image by its upper left pixel, zero beyond the edges."""
    patch = np.zeros((side, side, image.shape[-1]))
    for i, j in np.ndindex(side, side):
        if 0 <= top + i < image.shape[0] and 0 <= left + j < image.shape[1]:
            patch[i, j] = image[top + i, left + j]
    return patch


def average(patch, size):
    """A square averaged down to `size` in either direction."""
    f = len(patch) // size
    return np.array(
        [[patch[i * f : (i + 1) * f, j * f : (j + 1) * f].mean((0, 1)) for j in range(size)] for i in range(size)]
    )


@pytest.mark.parametrize("row, column", [(4, 11), (12, 3)])
def test_around_the_centre_of_a_pixel_odd_glimpses_are_exact_crops(row, column):
    at = np.array([[(2 * column + 1) / W - 1, (2 * row + 1) / H - 1]] * B, "float32")
    seen = numpy(Glimpse(size=5, scales=2, growth=3)(IMAGES, at))
    for b in range(B):
        np.testing.assert_allclose(seen[b, 0], crop(IMAGES[b], row - 2, column - 2, 5), atol=1e-4)
        wide = average(crop(IMAGES[b], row - 7, column - 7, 15), 5)
        np.testing.assert_allclose(seen[b, 1], wide, atol=1e-4)


@pytest.mark.parametrize("row, column", [(4, 11), (12, 3)])
def test_around_a_corner_between_pixels_even_glimpses_are_exact_crops(row, column):
    at = np.array([[2 * column / W - 1, 2 * row / H - 1]] * B, "float32")
    seen = numpy(Glimpse(size=4, scales=2)(IMAGES, at))
    for b in range(B):
        for scale, reach in enumerate((2, 4)):
            expected = average(crop(IMAGES[b], row - reach, column - reach, 2 * reach), 4)
            np.testing.assert_allclose(seen[b, scale], expected, atol=1e-4)


@pytest.mark.parametrize("size", [4, 5])
def test_a_glimpse_is_never_shifted_by_half_a_pixel(size):
    # What is seen of the mirrored image at the mirrored place is the mirror of what is seen.
    at = np.array([[0.23, -0.41]] * B, "float32")
    glimpse = Glimpse(size=size, scales=2)
    seen, mirrored = numpy(glimpse(IMAGES, at)), numpy(glimpse(IMAGES[:, ::-1, ::-1].copy(), -at))
    np.testing.assert_allclose(mirrored, seen[:, :, ::-1, ::-1], atol=1e-4)


def test_between_pixels_the_place_has_a_gradient():
    ramp = np.broadcast_to(np.arange(W, dtype="float32")[None, None, :, None], (1, H, W, 1))
    glimpse = Glimpse(size=3, scales=1)
    slope = gradient(lambda at: ops.sum(glimpse(ramp, at)), np.array([[0.05, 0.1]]))
    # Each of the nine pixels rises by one for a step of 2 / W to the right, and by nothing downwards.
    np.testing.assert_allclose(slope, [[9 * W / 2, 0.0]], atol=1e-3)


def test_without_training_the_policy_proposes_its_mean():
    policy, state = GlimpsePolicy(), normal(B, 5)
    kernel, bias = (policy(state), policy.get_weights()[:2])[1]
    np.testing.assert_allclose(numpy(policy(state)), np.tanh(state @ kernel + bias), rtol=1e-4, atol=1e-6)


def test_in_training_the_policy_draws_around_its_mean():
    policy, state = GlimpsePolicy(std=0.05, seed=2), np.repeat(normal(1, 5), 2000, axis=0)
    off = numpy(policy(state, training=True)) - numpy(policy(state))
    assert np.all(np.abs(off.mean(0)) < 4 * 0.05 / np.sqrt(2000))
    np.testing.assert_allclose(off.std(0), 0.05, rtol=0.1)
    again = GlimpsePolicy(std=0.05, seed=2)
    again.build(state.shape)
    again.mean_dense.set_weights(policy.mean_dense.get_weights())
    np.testing.assert_allclose(numpy(again(state, training=True)) - numpy(policy(state)), off, atol=1e-5)


def test_the_log_probability_is_that_of_the_draw_before_it_was_moved_to_the_edge():
    policy, state = GlimpsePolicy(std=5.0, learned_baseline=True), normal(64, 5)
    with reinforce.recording() as draws:
        at = numpy(policy(state, training=True))
    mean = numpy(policy(state))
    assert np.abs(at).max() == 1.0
    whole = np.sum(-0.5 * np.square((at - mean) / 5.0) - np.log(5.0 * np.sqrt(2 * np.pi)), axis=-1)
    inside = np.all(np.abs(at) < 1.0, axis=-1)
    found = numpy(draws[0].log_prob)
    np.testing.assert_allclose(found[inside], whole[inside], rtol=1e-4)
    # Farther from the mean than the edge, so less likely.
    assert np.all(found[~inside] < whole[~inside])
    kernel, bias = (numpy(w) for w in policy.baseline_dense.weights)
    np.testing.assert_allclose(numpy(draws[0].baseline), (state @ kernel + bias)[:, 0], rtol=1e-3, atol=1e-5)


def test_the_gradient_passes_through_the_place_only_where_no_reward_comes():
    policy, glimpse = GlimpsePolicy(seed=1), Glimpse(size=3, scales=1)
    policy.build((B, 5))

    def seen(state, reward):
        if not reward:
            return ops.sum(ops.square(glimpse(IMAGES, policy(state, training=True))))
        with reinforce.recording():
            return ops.sum(ops.square(glimpse(IMAGES, policy(state, training=True)))) + 0.0 * ops.sum(state)

    assert np.all(gradient(lambda state: seen(state, True), normal(B, 5)) == 0.0)
    assert np.all(gradient(lambda state: seen(state, False), normal(B, 5)) != 0.0)


def test_neither_baseline_nor_draw_sends_a_gradient_to_the_state():
    policy = GlimpsePolicy(learned_baseline=True)
    policy.build((B, 5))

    def expected(state):
        with reinforce.recording() as draws:
            policy(state, training=True)
        return ops.sum(draws[0].baseline) + 0.0 * ops.sum(state)

    assert np.all(gradient(expected, normal(B, 5)) == 0.0)


def test_impossible_options_are_refused():
    for options in ({"size": 0}, {"size": 3, "scales": 0}, {"size": 3, "growth": 1.5}):
        with pytest.raises(ValueError, match=list(options)[-1]):
            Glimpse(**options)
    with pytest.raises(ValueError, match="std"):
        GlimpsePolicy(std=0.0)
