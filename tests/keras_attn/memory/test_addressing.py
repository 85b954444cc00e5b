import inspect
import itertools
import types

import numpy as np
import pytest
from keras import ops

from keras_attn.memory import addressing
from tests.autodiff import gradient
from tests.keras_attn.memory import loops

B, H, N, WIDTH = 2, 3, 7, 5


def _on_arrays(function):
    return lambda *args: function(*(ops.convert_to_tensor(x) if isinstance(x, np.ndarray) else x for x in args))


#: The functions, called with arrays.
on = types.SimpleNamespace(**{name: _on_arrays(f) for name, f in inspect.getmembers(addressing, inspect.isfunction)})


def numpy(x):
    return ops.convert_to_numpy(x)


def uniform(*shape, seed=0):
    return np.random.default_rng(seed).uniform(size=shape).astype("float32")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def distributions(*shape, seed=0):
    weights = np.exp(normal(*shape, seed=seed))
    return weights / weights.sum(-1, keepdims=True)


def slopes(function, x):
    """Finite differences of a scalar function of an array, in float64."""
    x, step = np.asarray(x, "float64"), 1e-6
    found = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[place] += step
        down[place] -= step
        found[place] = (function(up) - function(down)) / (2 * step)
    return found


def same_slopes(function, by_loops, x, tolerance=2e-3):
    """Both are functions of an array to an array; compared are the gradients of a weighted sum."""
    mix = normal(*numpy(function(ops.convert_to_tensor(x))).shape, seed=99)
    found = gradient(lambda x: ops.sum(ops.multiply(function(x), mix)), x)
    expected = slopes(lambda x: np.sum(by_loops(x) * mix), x)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


def test_content_weights_follow_the_definition_and_so_do_their_slopes():
    keys, strengths, memory = normal(B, H, WIDTH), 3.0 * uniform(B, H), normal(B, N, WIDTH, seed=1)

    def by_loops(keys, memory, masks=None):
        return np.array(
            [
                [
                    loops.content(keys[b, h], strengths[b, h], memory[b], None if masks is None else masks[b, h])
                    for h in range(H)
                ]
                for b in range(B)
            ]
        )

    np.testing.assert_allclose(
        numpy(on.content_weights(keys, strengths, memory)), by_loops(keys, memory), rtol=1e-4, atol=1e-6
    )
    masks = uniform(B, H, WIDTH, seed=2)
    np.testing.assert_allclose(
        numpy(on.content_weights(keys, strengths, memory, masks)),
        by_loops(keys, memory, masks),
        rtol=1e-4,
        atol=1e-6,
    )
    same_slopes(lambda x: on.content_weights(keys, strengths, x), lambda x: by_loops(keys, x), memory)
    same_slopes(lambda x: on.content_weights(keys, strengths, memory, x), lambda x: by_loops(keys, memory, x), masks)


def test_a_memory_of_zeros_passes_finite_gradients():
    keys, strengths = normal(B, H, WIDTH), uniform(B, H)
    mix = normal(B, H, N)
    for x in (np.zeros((B, N, WIDTH)), np.full((B, N, WIDTH), 1e-6)):
        grad = gradient(lambda x: ops.sum(ops.multiply(on.content_weights(keys, strengths, x), mix)), x)
        assert np.isfinite(grad).all() and np.any(grad)


def test_a_key_of_another_width_than_the_memory_is_refused():
    with pytest.raises(ValueError, match="as wide as"):
        on.content_weights(normal(B, H, WIDTH), uniform(B, H), normal(B, N, WIDTH + 1))


@pytest.mark.parametrize("reach", [0, 1, 2, 3])
def test_a_shift_by_an_offset_alone_moves_everything_that_far_around_the_end(reach):
    weights = distributions(B, H, N)
    for place in range(2 * reach + 1):
        shares = np.zeros((B, H, 2 * reach + 1), "float32")
        shares[..., place] = 1.0
        np.testing.assert_allclose(
            numpy(on.shift(weights, shares)), np.roll(weights, place - reach, axis=-1), rtol=1e-6
        )


def test_a_shift_follows_the_convolution():
    weights, shares = distributions(B, H, N), distributions(B, H, 5, seed=1)
    expected = [[loops.shift(weights[b, h], shares[b, h]) for h in range(H)] for b in range(B)]
    np.testing.assert_allclose(numpy(on.shift(weights, shares)), expected, rtol=1e-5)


@pytest.mark.parametrize("width", [2, N + 2])
def test_an_even_shift_and_one_that_meets_itself_are_refused(width):
    with pytest.raises(ValueError, match="odd number"):
        on.shift(distributions(B, H, N), distributions(B, H, width))


def test_sharpening_follows_the_definition_and_so_do_its_slopes():
    weights, exponents = distributions(B, H, N), 1.0 + 2.0 * uniform(B, H)

    def by_loops(weights):
        return np.array([[loops.sharpen(weights[b, h], exponents[b, h]) for h in range(H)] for b in range(B)])

    np.testing.assert_allclose(numpy(on.sharpen(weights, exponents)), by_loops(weights), rtol=1e-4)
    same_slopes(lambda x: on.sharpen(x, exponents), by_loops, weights)


def test_sharpening_is_safe_at_zero_at_nothing_and_at_large_powers():
    rows = np.array([[[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0.0]]], "float32")
    exponents = np.array([[1.0, 1.0, 90.0, 21.0]], "float32")
    np.testing.assert_allclose(numpy(on.sharpen(rows, exponents)), rows, atol=1e-6)
    mix = normal(1, 4, 3)
    assert np.isfinite(gradient(lambda x: ops.sum(ops.multiply(on.sharpen(x, exponents), mix)), rows)).all()
    assert np.isfinite(gradient(lambda x: ops.sum(ops.multiply(on.sharpen(rows, x), mix)), exponents)).all()


def test_nothing_less_than_nothing_is_kept_where_weights_round_to_more_than_one():
    kept = numpy(addressing.retention(np.full((1, 1, 2), [1.0000001, 0.5], "float32"), np.ones((1, 1), "float32")))
    assert kept.tolist() == [[0.0, 0.5]]


def test_usage_follows_the_definition():
    previous, written, read, free = uniform(B, N), distributions(B, 2, N), distributions(B, H, N, seed=1), uniform(B, H)
    expected = [loops.usage(previous[b], written[b], read[b], free[b]) for b in range(B)]
    found = on.usage(previous, written, on.retention(read, free))
    np.testing.assert_allclose(numpy(found), expected, rtol=1e-5)


def test_allocation_follows_the_sequential_formula_and_so_do_its_slopes():
    usage = uniform(B, N)
    usage[1] = [0.25, 0.75, 0.25, 0.0, 1.0, 0.75, 0.25]

    def by_loops(usage):
        return np.array([loops.allocation(row) for row in usage])

    np.testing.assert_allclose(numpy(on.allocation(usage)), by_loops(usage), rtol=1e-4, atol=3e-6)
    same_slopes(on.allocation, by_loops, usage[:1])


def test_an_empty_memory_gives_all_to_its_first_slot_and_passes_a_gradient():
    empty = np.zeros((1, N), "float32")
    np.testing.assert_allclose(numpy(on.allocation(empty))[0], np.eye(N)[0], atol=2e-6)
    grad = gradient(lambda x: on.allocation(x)[0, 1], empty)
    # What the first slot uses is what the second is given.
    np.testing.assert_allclose(grad[0, 0], 1.0, rtol=1e-4)


def test_a_later_writing_head_is_given_what_the_earlier_one_leaves():
    usage, gates = uniform(B, N), uniform(B, 2)
    found = numpy(on.allocations(usage, gates))
    for b in range(B):
        first = loops.allocation(usage[b])
        later = loops.allocation(usage[b] + (1.0 - usage[b]) * gates[b, 0] * first)
        np.testing.assert_allclose(found[b], [first, later], rtol=1e-4, atol=3e-6)


def written_over_time(count, steps):
    """Write weights `(steps, B, N)` that sum to less than one, some nearly one-hot."""
    weights = distributions(steps, B, count, seed=3) ** 3
    return 0.9 * weights / weights.sum(-1, keepdims=True)


def test_links_and_what_they_point_at_follow_the_definition():
    links, before = np.zeros((B, N, N), "float32"), np.zeros((B, N), "float32")
    expected, expected_before = np.zeros((B, N, N)), np.zeros((B, N))
    for written in written_over_time(N, 5):
        links, before = on.link(links, written, before), on.precedence(before, written)
        for b in range(B):
            expected[b] = loops.link(expected[b], written[b], expected_before[b])
            expected_before[b] = (1.0 - written[b].sum()) * expected_before[b] + written[b]
    np.testing.assert_allclose(numpy(before), expected_before, rtol=1e-5)
    np.testing.assert_allclose(numpy(links), expected, rtol=1e-4, atol=1e-7)
    read = distributions(B, H, N)
    forward, backward = on.follow(links, read)
    np.testing.assert_allclose(numpy(forward), np.einsum("bij,bhj->bhi", expected, read), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(numpy(backward), np.einsum("bij,bhi->bhj", expected, read), rtol=1e-4, atol=1e-6)


def test_forward_is_to_what_was_written_after():
    links, before = np.zeros((1, 3, 3), "float32"), np.zeros((1, 3), "float32")
    for slot in (0, 2, 1):
        written = np.eye(3, dtype="float32")[None, slot]
        links, before = on.link(links, written, before), on.precedence(before, written)
    forward, backward = on.follow(links, np.eye(3, dtype="float32")[None, 2:])
    assert np.argmax(numpy(forward)) == 1 and np.argmax(numpy(backward)) == 0


def sparse_links(written, keep):
    count = written.shape[-1]
    strengths, places = on.no_sparse_links(B, count, keep)
    before = np.zeros((B, count), "float32")
    for now in written:
        strengths, places = on.sparse_link(strengths, places, ops.convert_to_tensor(now), before)
        before = on.precedence(before, now)
    return strengths, places


def test_sparse_links_that_keep_all_are_the_full_ones():
    written, read = written_over_time(N, 5), distributions(B, H, N)
    links, before = np.zeros((B, N, N), "float32"), np.zeros((B, N), "float32")
    for now in written:
        links, before = on.link(links, now, before), on.precedence(before, now)
    strengths, places = sparse_links(written, N)
    assert np.all(np.sort(numpy(places), axis=-1) == np.arange(N))
    for found, expected in zip(on.sparse_follow(strengths, places, read), on.follow(links, read)):
        np.testing.assert_allclose(numpy(found), numpy(expected), rtol=1e-4, atol=1e-6)


def test_sparse_links_keep_the_strongest_when_slots_are_written_one_by_one():
    order = [4, 1, 6, 0, 3]
    written = np.zeros((len(order), B, N), "float32")
    for step, slot in enumerate(order):
        written[step, :, slot] = 1.0
    strengths, places = sparse_links(written, 2)
    for earlier, later in itertools.pairwise(order):
        read = np.broadcast_to(np.eye(N, dtype="float32")[earlier], (B, 1, N))
        np.testing.assert_allclose(numpy(on.sparse_follow(strengths, places, read)[0])[0, 0, later], 1.0)
        read = np.broadcast_to(np.eye(N, dtype="float32")[later], (B, 1, N))
        np.testing.assert_allclose(numpy(on.sparse_follow(strengths, places, read)[1])[0, 0, earlier], 1.0)


def test_slopes_through_sparse_links_that_keep_all_are_those_through_the_full_ones():
    written, read = written_over_time(N, 3), ops.convert_to_tensor(distributions(B, H, N))
    mix = normal(B, H, N)

    def followed(last, sparse):
        links, before = np.zeros((B, N, N), "float32"), np.zeros((B, N), "float32")
        strengths, places = on.no_sparse_links(B, N, N)
        for now in (*map(ops.convert_to_tensor, written), last):
            strengths, places = on.sparse_link(strengths, places, now, before)
            links, before = on.link(links, now, before), on.precedence(before, now)
        parts = on.sparse_follow(strengths, places, read) if sparse else on.follow(links, read)
        return ops.sum(ops.multiply(parts[0] + 2.0 * parts[1], mix))

    last = written_over_time(N, 4)[-1]
    found, expected = (gradient(lambda x, sparse=sparse: followed(x, sparse), last) for sparse in (True, False))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_all_heads_erase_and_then_all_add():
    memory, weights = normal(B, N, WIDTH), distributions(B, 2, N)
    erase, add = uniform(B, 2, WIDTH), normal(B, 2, WIDTH, seed=1)
    expected = [loops.write(memory[b], weights[b], erase[b], add[b]) for b in range(B)]
    np.testing.assert_allclose(numpy(on.write(memory, weights, erase, add)), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        numpy(on.read(memory, weights)), np.einsum("bhn,bnd->bhd", weights, memory), rtol=1e-4, atol=1e-6
    )
