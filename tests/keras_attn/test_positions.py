"""Positions against loops from the papers' equations, tables by hand, and what they are good for."""

import json
import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import positions
from tests.autodiff import gradient

FAR = [0, 1, 2, 1023, 1024, 1025, 99_991, 100_000, 999_983, -1, -5, -2_000]
LAYOUTS = positions.LAYOUTS


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32") if "float" in keras.backend.standardize_dtype(x.dtype) else x)


def normal(*shape, seed=0):
    return ops.convert_to_tensor(np.random.default_rng(seed).normal(size=shape).astype("float32"))


def slow_sinusoid(places, width):
    table = np.zeros((len(places), width))
    for t, p in enumerate(places):
        for column in range(width):
            angle = p / 10000.0 ** (2 * (column // 2) / width)
            table[t, column] = math.cos(angle) if column % 2 else math.sin(angle)
    return table


def slow_rotary(x, places, layout, base=10000.0, width=None):
    """Each pair of columns as a complex number, times e^(i p θ)."""
    x = numpy(x)
    turned = x.astype("float64")
    pairs = (x.shape[-1] if width is None else width) // 2
    for b, h, t in np.ndindex(x.shape[:3]):
        p = places[b][t] if np.ndim(places) == 2 else places[t]
        for i in range(pairs):
            first, second = (i, i + pairs) if layout == "half" else (2 * i, 2 * i + 1)
            z = complex(x[b, h, t, first], x[b, h, t, second]) * np.exp(1j * p * base ** (-i / pairs))
            turned[b, h, t, first], turned[b, h, t, second] = z.real, z.imag
    return turned


@pytest.mark.parametrize("width", [1, 2, 7])
def test_the_sinusoid_equals_the_paper_s(width):
    places = list(range(13))
    np.testing.assert_allclose(numpy(positions.sinusoid(places, width)), slow_sinusoid(places, width), atol=1e-6)


def test_the_sinusoid_by_hand():
    table = [[0.0, 1.0, 0.0, 1.0], [0.841471, 0.540302, 0.0099998, 0.99995], [0.909297, -0.416147, 0.0199987, 0.9998]]
    np.testing.assert_allclose(numpy(positions.sinusoid([0, 1, 2], 4)), table, atol=1e-6)


def test_the_sinusoid_takes_positions_of_any_shape():
    places = np.array([[0, 1, 2], [7, 8, 9]])
    got = numpy(positions.sinusoid(ops.convert_to_tensor(places), 5))
    assert got.shape == (2, 3, 5) and got.dtype == "float32"
    np.testing.assert_allclose(got[1], slow_sinusoid(places[1], 5), atol=1e-6)


def test_far_positions_are_as_sharp_as_near_ones():
    np.testing.assert_allclose(numpy(positions.sinusoid(FAR, 7)), slow_sinusoid(FAR, 7), atol=3e-6)
    x = ops.ones((1, 1, len(FAR), 6))
    np.testing.assert_allclose(numpy(positions.rotary(x, FAR)), slow_rotary(x, FAR, "half"), atol=5e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "d, options, places",
    [
        (6, {}, [3, 4, 5, 6, 7]),
        (6, {"base": 500.0}, [[0, 1, 2, 3, 4], [9, 2, 0, 0, 31]]),
        (7, {}, [3, 4, 5, 6, 7]),
        (7, {"width": 5}, [3, 4, 5, 6, 7]),
        (1, {}, [3, 4, 5, 6, 7]),
    ],
)
def test_rotary_equals_a_product_of_complex_numbers(layout, d, options, places):
    x = normal(2, 3, 5, d)
    got = positions.rotary(x, ops.convert_to_tensor(places), layout, **options)
    np.testing.assert_allclose(numpy(got), slow_rotary(x, places, layout, **options), atol=1e-5)


def test_rotary_by_hand():
    # Four columns: the pairs turn by 1 and by 0.01 radians at position 1.
    x = ops.convert_to_tensor([[[[1.0, 2.0, 3.0, 4.0]]]])
    half = [0.540302 - 3 * 0.841471, 2 * 0.99995 - 4 * 0.0099998, 0.841471 + 3 * 0.540302, 2 * 0.0099998 + 4 * 0.99995]
    pairs = [0.540302 - 2 * 0.841471, 0.841471 + 2 * 0.540302, 3 * 0.99995 - 4 * 0.0099998, 3 * 0.0099998 + 4 * 0.99995]
    np.testing.assert_allclose(numpy(positions.rotary(x, [1], "half")).ravel(), half, atol=1e-5)
    np.testing.assert_allclose(numpy(positions.rotary(x, [1], "interleaved")).ravel(), pairs, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_scores_of_rotary_depend_on_the_difference_only(layout):
    query, key = normal(2, 3, 5, 8), normal(2, 3, 7, 8, seed=1)

    def scores(shift):
        q = positions.rotary(query, np.arange(5) + shift, layout)
        k = positions.rotary(key, np.arange(7) + shift, layout)
        return numpy(ops.matmul(q, ops.swapaxes(k, -1, -2)))

    np.testing.assert_allclose(scores(11), scores(0), atol=1e-5)
    np.testing.assert_allclose(scores(100_000), scores(0), atol=5e-5)
    moved = ops.matmul(
        positions.rotary(query, np.arange(5)), ops.swapaxes(positions.rotary(key, np.arange(7) + 1), -1, -2)
    )
    assert np.abs(numpy(moved) - scores(0)).max() > 0.1


def test_one_layout_of_rotary_is_the_other_with_its_columns_in_another_order():
    x = normal(2, 3, 5, 8)
    order = [0, 4, 1, 5, 2, 6, 3, 7]
    half = numpy(positions.rotary(x, np.arange(5), "half"))
    interleaved = numpy(positions.rotary(ops.take(x, order, axis=-1), np.arange(5), "interleaved"))
    np.testing.assert_allclose(interleaved, half[..., order], atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_gradient_of_rotary_turns_back(layout):
    x, factors = normal(2, 3, 5, 7), normal(2, 3, 5, 7, seed=1)
    place = np.arange(5)
    got = gradient(lambda x: ops.sum(positions.rotary(x, place, layout) * factors), numpy(x))
    np.testing.assert_allclose(got, numpy(positions.rotary(factors, -place, layout)), atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_turned_in_single_precision(dtype):
    x = ops.cast(300.0 * normal(2, 3, 5, 7), dtype)
    place = np.arange(5) + 3_000
    got = positions.rotary(x, place)
    assert keras.backend.standardize_dtype(got.dtype) == dtype
    np.testing.assert_array_equal(numpy(got), numpy(ops.cast(positions.rotary(ops.cast(x, "float32"), place), dtype)))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"layout": "halves"}, "Unknown layout 'halves'. Did you mean 'half'"),
        ({"width": 9}, "at most the width of a head, 7"),
    ],
)
def test_rotary_refuses_what_is_not_possible(options, message):
    with pytest.raises(ValueError, match=message):
        positions.rotary(normal(2, 3, 5, 7), np.arange(5), **options)


@pytest.mark.parametrize(
    "heads, exponents",
    [
        (1, [8]),
        (2, [4, 8]),
        (3, [4, 8, 2]),
        (6, [2, 4, 6, 8, 1, 3]),
        (8, [1, 2, 3, 4, 5, 6, 7, 8]),
        (11, [1, 2, 3, 4, 5, 6, 7, 8, 0.5, 1.5, 2.5]),
    ],
)
def test_slopes_of_alibi_by_hand(heads, exponents):
    np.testing.assert_allclose(positions.alibi_slopes(heads), [2.0**-e for e in exponents], rtol=1e-12)


def test_alibi_falls_with_the_distance_on_either_side():
    rows, cols, heads = [4, 5, 100], [0, 3, 4, 5, 9], 3
    expected = [[[-slope * abs(r - c) for c in cols] for r in rows] for slope in (2.0**-4, 2.0**-8, 2.0**-2)]
    got = positions.alibi(rows, cols, heads)
    assert numpy(got).dtype == "float32"
    np.testing.assert_allclose(numpy(got), expected, rtol=1e-6)


#: T5's own setting: where each bucket of distances begins.
BOTH_WAYS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91]
ONE_WAY = [*range(16), 16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113]


def bucket_by_hand(begins, distance):
    return max(bucket for bucket, first in enumerate(begins) if distance >= first)


def test_relative_buckets_equal_the_table_by_hand():
    ahead = np.arange(-300, 301)
    got = numpy(positions.relative_buckets([0], ahead))[0]
    assert got.dtype == "int32"
    assert got.tolist() == [bucket_by_hand(BOTH_WAYS, abs(k)) + 16 * (k > 0) for k in ahead]
    got = numpy(positions.relative_buckets([0], ahead, bidirectional=False))[0]
    assert got.tolist() == [bucket_by_hand(ONE_WAY, max(-k, 0)) for k in ahead]


@pytest.mark.parametrize(
    "buckets, max_distance, bidirectional, begins",
    [
        # Alone 0..1, then 2 * 4^(k/2): 2, 4.
        (8, 8, True, [0, 1, 2, 4]),
        # Alone 0, then 1 * 9^(k/1): all the rest.
        (2, 9, False, [0, 1]),
        # Alone 0..1, then 2 * (27/2)^(k/3): 2, 4.76, 11.3.
        (5, 27, False, [0, 1, 2, 5, 12]),
        # Alone 0..2, then 3 * (24/3)^(k/3): 3, 6 and 12, to the number.
        (6, 24, False, [0, 1, 2, 3, 6, 12]),
    ],
)
def test_relative_buckets_of_other_sizes_by_hand(buckets, max_distance, bidirectional, begins):
    ahead = np.arange(-41, 42)
    got = numpy(positions.relative_buckets([1000], 1000 + ahead, buckets, max_distance, bidirectional))[0]
    distance = np.abs(ahead) if bidirectional else np.maximum(-ahead, 0)
    expected = [bucket_by_hand(begins, d) for d in distance]
    assert got.tolist() == [e + len(begins) * (bidirectional and k > 0) for e, k in zip(expected, ahead)]


def test_relative_buckets_of_a_block():
    rows, cols = [7, 8, 30], [0, 8, 9, 10, 200]
    got = numpy(positions.relative_buckets(rows, cols))
    for (i, r), (j, c) in ((a, b) for a in enumerate(rows) for b in enumerate(cols)):
        assert got[i, j] == bucket_by_hand(BOTH_WAYS, abs(c - r)) + 16 * (c > r)


SPECS = ["rotary", "alibi", "relative_bias", "sinusoid", {"positions": "rotary", "layout": "interleaved", "width": 4}]
every = pytest.mark.parametrize("spec", [None, *SPECS], ids=str)


def weights_of(part, heads):
    return tuple(normal(*shape, seed=3) for _, shape, _ in part.learned(heads))


def test_every_name_has_a_spec_that_is_plain_data():
    assert positions.names() == ("rotary", "alibi", "relative_bias", "sinusoid")
    for spec in SPECS:
        part = positions.get(spec)
        assert part.spec["positions"] == (spec["positions"] if isinstance(spec, dict) else spec)
        assert positions.get(json.loads(json.dumps(part.spec))) == part and hash(part) == hash(positions.get(spec))
    assert positions.get({"positions": "relative_bias", "buckets": 8}).spec == {
        "positions": "relative_bias",
        "buckets": 8,
        "max_distance": 128,
        "bidirectional": True,
    }


def test_no_positions_change_nothing():
    part = positions.get(None)
    x = normal(2, 3, 5)
    assert part.spec is None and part.learned(3) == () and part.bias([0], [0], 3) is None
    assert part.embed(x, np.arange(3)) is x and part.rotate(x, np.arange(5)) is x


@every
def test_a_part_does_one_thing_and_leaves_the_rest(spec):
    part = positions.get(spec)
    name = None if spec is None else part.spec["positions"]
    x, heads = normal(2, 3, 5, 6), normal(2, 5, 6)
    assert (part.rotate(x, np.arange(5)) is x) == (name != "rotary")
    assert (part.embed(heads, np.arange(5)) is heads) == (name != "sinusoid")
    assert (part.bias(range(5), range(7), 3, weights_of(part, 3)) is None) == (name not in ("alibi", "relative_bias"))
    assert (part.learned(3) == ()) == (name != "relative_bias")


def test_options_reach_the_functions():
    x, place = normal(2, 3, 5, 6), np.arange(5)
    options = {"layout": "interleaved", "base": 50, "width": 4}
    got = positions.get({"positions": "rotary", **options}).rotate(x, place)
    np.testing.assert_array_equal(numpy(got), numpy(positions.rotary(x, place, **options)))
    np.testing.assert_array_equal(
        numpy(positions.get("alibi").bias(range(5), range(7), 3)), numpy(positions.alibi(range(5), range(7), 3))
    )


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("place", [[2, 3, 4], [[2, 3, 4], [9, 8, 7]]], ids=["shared", "batched"])
def test_the_sinusoid_is_added_to_the_inputs(dtype, place):
    x = ops.cast(normal(2, 3, 5), dtype)
    got = positions.get("sinusoid").embed(x, place)
    assert keras.backend.standardize_dtype(got.dtype) == dtype
    waves = np.stack([slow_sinusoid(row, 5) for row in np.broadcast_to(place, (2, 3))])
    np.testing.assert_allclose(numpy(got), numpy(x) + waves, atol={"float32": 1e-6}.get(dtype, 3e-2))


def test_a_relative_bias_is_looked_up_for_each_head():
    part = positions.get({"positions": "relative_bias", "buckets": 8, "max_distance": 11})
    ((name, shape, initializer),) = part.learned(3)
    assert name == "relative_bias" and shape == (8, 3)
    table = keras.Variable(normal(8, 3), dtype="float32")
    assert keras.initializers.get(initializer)(shape) is not None
    rows, cols = [4, 5], [0, 1, 5, 8, 20]
    buckets = numpy(positions.relative_buckets(rows, cols, 8, 11))
    got = numpy(part.bias(rows, cols, 3, (table,)))
    assert got.shape == (3, 2, 5) and got.dtype == "float32"
    for h, i, j in np.ndindex(got.shape):
        assert got[h, i, j] == numpy(table)[buckets[i, j], h]


def test_the_gradient_of_a_relative_bias_counts_where_it_is_used():
    part = positions.get({"positions": "relative_bias", "buckets": 4, "max_distance": 2})
    rows, cols, factors = np.arange(3), np.arange(5), normal(2, 3, 5)
    got = gradient(lambda w: ops.sum(part.bias(rows, cols, 2, (w,)) * factors), numpy(normal(4, 2)))
    expected = np.zeros((4, 2))
    for h, i, j in np.ndindex(*factors.shape):
        expected[min(abs(cols[j] - rows[i]), 1) + 2 * (cols[j] > rows[i]), h] += numpy(factors)[h, i, j]
    np.testing.assert_allclose(got, expected, atol=1e-5)


@every
def test_blocks_are_parts_of_the_whole(spec):
    part, heads = positions.get(spec), 3
    x, inputs = normal(2, heads, 11, 6), normal(2, 11, 6)
    place, weights = np.arange(11) + 5, weights_of(part, heads)
    rows, cols = slice(3, 8), slice(7, 11)
    np.testing.assert_array_equal(
        numpy(part.rotate(x, place))[:, :, rows], numpy(part.rotate(x[:, :, rows], place[rows]))
    )
    np.testing.assert_array_equal(
        numpy(part.embed(inputs, place))[:, rows], numpy(part.embed(inputs[:, rows], place[rows]))
    )
    whole = part.bias(place, place, heads, weights)
    if whole is not None:
        np.testing.assert_array_equal(
            numpy(whole)[:, rows, cols], numpy(part.bias(place[rows], place[cols], heads, weights))
        )


@pytest.mark.parametrize(
    "spec, message",
    [
        ("rotery", "Unknown positions 'rotery'. Did you mean 'rotary'"),
        (3, "Unknown positions 3"),
        ({"layout": "half"}, "`positions` is a name or a dictionary"),
        ({"positions": "rotary", "layuot": "half"}, "Unknown option of 'rotary' 'layuot'. Did you mean 'layout'"),
        ({"positions": "rotary", "layout": "interleave"}, "Did you mean 'interleaved'"),
        ({"positions": "rotary", "base": 1.0}, "a number above 1. Received: base=1.0"),
        ({"positions": "rotary", "base": "x"}, "a number above 1"),
        ({"positions": "rotary", "base": True}, "a number above 1"),
        ({"positions": "rotary", "width": 1}, "`width`: it must be an integer of at least 2 or None"),
        ({"positions": "alibi", "heads": 3}, "Unknown option of 'alibi' 'heads'"),
        ({"positions": "relative_bias", "buckets": 7}, "must be even if bidirectional"),
        ({"positions": "relative_bias", "buckets": 2}, "at least 4"),
        ({"positions": "relative_bias", "buckets": 1, "bidirectional": False}, "at least 2"),
        ({"positions": "relative_bias", "buckets": 32, "max_distance": 8}, "more than 8"),
        ({"positions": "relative_bias", "max_distance": 12.5}, "max_distance"),
        ({"positions": "relative_bias", "bidirectional": 1}, "True or False"),
    ],
    ids=str,
)
def test_a_wrong_spec_says_what_would_be_right(spec, message):
    with pytest.raises(ValueError, match=message):
        positions.get(spec)


class Everything(keras.layers.Layer):
    """What all parts do with the positions of inputs of unknown length."""

    def call(self, inputs):
        place = ops.arange(ops.shape(inputs)[1], dtype="int32") + 3
        results = [ops.sum(positions.get("sinusoid").embed(inputs, place), axis=-1)]
        for layout in LAYOUTS:
            part = positions.get({"positions": "rotary", "layout": layout, "width": 4})
            results.append(ops.sum(part.rotate(inputs[:, None], place), axis=(1, 3)))
        for part in map(positions.get, ("alibi", "relative_bias")):
            bias = part.bias(place, place, 2, weights_of(part, 2))
            results.append(results[0] + ops.sum(bias, axis=(0, 2)))
        return ops.stack(results, axis=-1)


@pytest.mark.compiles
def test_compiled_for_an_unknown_length_nothing_changes():
    inputs = keras.Input((None, 6))
    model = keras.Model(inputs, Everything()(inputs))
    # Torch takes minutes to compile all of them.
    model.compile(jit_compile=keras.backend.backend() != "torch")
    for length in (5, 7):
        x = normal(2, length, 6)
        np.testing.assert_allclose(model.predict_on_batch(numpy(x)), numpy(Everything()(x)), atol=1e-4)
