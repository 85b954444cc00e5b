"""Patterns against loops over pairs of positions."""

import json
import random

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import patterns


def numpy(x):
    return ops.convert_to_numpy(x)


def window(r, c, width, dilation=1, global_tokens=0):
    seen = [r + step * dilation for step in range(-width + 1, width)]
    return c in seen or 0 <= r < global_tokens or 0 <= c < global_tokens


def block(r, c, size):
    return any(r in range(b, b + size) and c in range(b, b + size) for b in range(-10 * size, 300, size))


def strided(r, c, stride):
    return window(r, c, stride) or c in range(r % stride, 300, stride)


def place(p, shape):
    row, column = 0, p
    while column >= shape[1]:
        row, column = row + 1, column - shape[1]
    return row, column


def axial(r, c, shape, axis=None):
    (row, column), (row_of_key, column_of_key) = place(r, shape), place(c, shape)
    return (row == row_of_key and axis != 0) or (column == column_of_key and axis != 1)


def window_2d(r, c, shape, width):
    high, wide = width if isinstance(width, (tuple, list)) else (width, width)
    (row, column), (row_of_key, column_of_key) = place(r, shape), place(c, shape)
    return abs(row - row_of_key) < high and abs(column - column_of_key) < wide


SLOW = {"window": window, "block": block, "strided": strided, "axial": axial, "window_2d": window_2d}


def slow(spec, rows, cols):
    if spec is None:
        return np.ones((len(rows), len(cols)), dtype=bool)
    if isinstance(spec, list):
        return np.all([slow(part, rows, cols) for part in (None, *spec)], axis=0)
    options = {option: value for option, value in spec.items() if option != "pattern"}
    return np.array([[SLOW[spec["pattern"]](r, c, **options) for c in cols] for r in rows])


SPECS = [
    None,
    {"pattern": "window", "width": 1},
    {"pattern": "window", "width": 4},
    {"pattern": "window", "width": 3, "dilation": 4},
    {"pattern": "window", "width": 2, "global_tokens": 3},
    {"pattern": "window", "width": 2, "dilation": 2, "global_tokens": 1},
    {"pattern": "block", "size": 1},
    {"pattern": "block", "size": 7},
    {"pattern": "strided", "stride": 5},
    {"pattern": "axial", "shape": [5, 7]},
    {"pattern": "axial", "shape": [5, 7], "axis": 0},
    {"pattern": "axial", "shape": [5, 7], "axis": 1},
    {"pattern": "window_2d", "shape": [5, 7], "width": 2},
    {"pattern": "window_2d", "shape": [5, 7], "width": [3, 1]},
    [],
    [{"pattern": "window", "width": 5}, {"pattern": "block", "size": 3}],
    [{"pattern": "axial", "shape": [5, 7]}, None, [{"pattern": "window", "width": 9}]],
]
every = pytest.mark.parametrize("spec", SPECS, ids=str)


@every
def test_a_pattern_equals_a_loop_over_all_pairs(spec):
    got = patterns.get(spec).allowed(range(35), np.arange(35))
    assert keras.backend.standardize_dtype(got.dtype) == "bool"
    np.testing.assert_array_equal(numpy(got), slow(spec, range(35), range(35)))


@every
def test_a_block_is_a_part_of_the_whole(spec):
    rows, cols = [13, 14, 15, 2], [11, 3, 12, 13, 14, 15, 34]
    got = numpy(patterns.get(spec).allowed(ops.convert_to_tensor(rows), ops.convert_to_tensor(cols)))
    np.testing.assert_array_equal(got, numpy(patterns.get(spec).allowed(range(35), range(35)))[np.ix_(rows, cols)])


def drawings(rows):
    return ["".join(".x"[seen] for seen in row) for row in numpy(rows).astype(int)]


def test_patterns_by_hand():
    def drawn(spec, rows=6):
        return drawings(patterns.get(spec).allowed(range(rows), range(6)))

    assert drawn({"pattern": "window", "width": 2}) == ["xx....", "xxx...", ".xxx..", "..xxx.", "...xxx", "....xx"]
    assert drawn({"pattern": "window", "width": 2, "dilation": 3}, 4) == ["x..x..", ".x..x.", "..x..x", "x..x.."]
    assert drawn({"pattern": "window", "width": 1, "global_tokens": 1}, 3) == ["xxxxxx", "xx....", "x.x..."]
    assert drawn({"pattern": "block", "size": 4}) == 4 * ["xxxx.."] + 2 * ["....xx"]
    assert drawn({"pattern": "axial", "shape": (2, 3)}, 2) == ["xxxx..", "xxx.x."]
    assert drawn({"pattern": "axial", "shape": (2, 3), "axis": 1}, 2) == ["xxx...", "xxx..."]
    assert drawn({"pattern": "axial", "shape": (2, 3), "axis": 0}, 2) == ["x..x..", ".x..x."]
    assert drawn({"pattern": "window_2d", "shape": (2, 3), "width": 2}, 2) == ["xx.xx.", "xxxxxx"]
    assert drawn({"pattern": "window_2d", "shape": (2, 3), "width": (1, 2)}, 2) == ["xx....", "xxx..."]


def test_a_query_before_the_first_key_is_no_global_token():
    pattern = patterns.get({"pattern": "window", "width": 2, "global_tokens": 2})
    assert drawings(pattern.allowed([-2, -1, 0], range(5))) == ["xx...", "xx...", "xxxxx"]
    assert pattern.reach(-2, -1, 5) == (0, 2)


def columns_seen(spec, first_row, last_row, length):
    return np.nonzero(slow(spec, range(first_row, last_row + 1), range(length)).any(axis=0))[0]


def random_spec(draw):
    shape = [draw.randint(1, 7), draw.randint(1, 7)]
    return draw.choice(
        [
            {
                "pattern": "window",
                "width": draw.randint(1, 9),
                "dilation": draw.randint(1, 4),
                "global_tokens": draw.randint(0, 3),
            },
            {"pattern": "block", "size": draw.randint(1, 11)},
            {"pattern": "strided", "stride": draw.randint(1, 7)},
            {"pattern": "axial", "shape": shape, "axis": draw.choice([None, 0, 1])},
            {"pattern": "window_2d", "shape": shape, "width": [draw.randint(1, 4), draw.randint(1, 4)]},
        ]
    )


def test_nothing_outside_the_reach_is_seen():
    draw = random.Random(0)
    for _ in range(400):
        spec = random_spec(draw) if draw.random() < 0.7 else [random_spec(draw), random_spec(draw)]
        length = draw.randint(1, 47)
        first_row = draw.randint(0, length - 1)
        last_row = draw.randint(first_row, length - 1)
        first, stop = patterns.get(spec).reach(first_row, last_row, length)
        seen = columns_seen(spec, first_row, last_row, length)
        said = (spec, first_row, last_row, length)
        assert type(first) is int and type(stop) is int and 0 <= first <= stop <= length, said
        assert first <= seen.min(initial=length) and seen.max(initial=-1) < stop, said
        pattern = spec["pattern"] if isinstance(spec, dict) else None
        if pattern == "block" or (pattern == "window" and spec["dilation"] == 1):
            assert (first, stop) == (seen.min(), seen.max() + 1), said


@pytest.mark.parametrize(
    "spec, rows, reach",
    [
        (None, (40, 50), (0, 100)),
        ({"pattern": "window", "width": 5}, (40, 50), (36, 55)),
        ({"pattern": "window", "width": 5}, (2, 98), (0, 100)),
        ({"pattern": "window", "width": 5, "dilation": 3}, (40, 50), (28, 63)),
        ({"pattern": "window", "width": 5, "global_tokens": 2}, (40, 50), (0, 55)),
        ({"pattern": "window", "width": 5, "global_tokens": 2}, (1, 1), (0, 100)),
        ({"pattern": "block", "size": 16}, (40, 50), (32, 64)),
        ({"pattern": "block", "size": 16}, (97, 99), (96, 100)),
        ({"pattern": "axial", "shape": (10, 10), "axis": 1}, (43, 51), (40, 60)),
        ({"pattern": "axial", "shape": (10, 10)}, (43, 51), (0, 100)),
        ({"pattern": "window_2d", "shape": (10, 10), "width": 2}, (43, 43), (32, 55)),
        ({"pattern": "window_2d", "shape": (10, 10), "width": (1, 3)}, (43, 58), (41, 60)),
        ([{"pattern": "window", "width": 5}, {"pattern": "block", "size": 16}], (40, 50), (36, 55)),
        ([{"pattern": "window", "width": 5}, {"pattern": "block", "size": 16}], (47, 47), (43, 48)),
        ([], (40, 50), (0, 100)),
        # Queries that stand where there are no keys.
        ({"pattern": "window", "width": 5}, (-9, -7), (0, 0)),
        ({"pattern": "window", "width": 5}, (-9, -4), (0, 1)),
        ({"pattern": "block", "size": 16}, (-9, -4), (0, 0)),
        ({"pattern": "block", "size": 16}, (120, 121), (100, 100)),
    ],
    ids=str,
)
def test_reaches_by_hand(spec, rows, reach):
    assert patterns.get(spec).reach(*rows, length=100) == reach


@every
def test_a_spec_is_plain_data_and_comes_back_whole(spec):
    pattern = patterns.get(spec)
    assert patterns.get(json.loads(json.dumps(pattern.spec))) == pattern
    assert json.loads(json.dumps(pattern.spec)) == pattern.spec
    assert hash(pattern) == hash(patterns.get(spec))
    if isinstance(spec, dict):
        assert pattern.spec.items() >= spec.items()


def test_every_name_is_tried_here():
    assert patterns.names() == tuple(SLOW)
    assert patterns.get(None).spec is None
    assert patterns.get({"pattern": "window", "width": 3}).spec == {
        "pattern": "window",
        "width": 3,
        "dilation": 1,
        "global_tokens": 0,
    }


@pytest.mark.parametrize(
    "spec, message",
    [
        ("windows", "Unknown pattern 'windows'. Did you mean 'window'"),
        (3, "Unknown pattern 3"),
        ({"width": 3}, "`pattern` is a name or a dictionary"),
        ("window", "`width`: it must be an integer of at least 1. Received: width=None"),
        ({"pattern": "window", "with": 3}, "Unknown option of 'window' 'with'. Did you mean 'width'"),
        ({"pattern": "window", "width": 0}, "width=0"),
        ({"pattern": "window", "width": 3, "dilation": 0}, "dilation=0"),
        ({"pattern": "window", "width": 3, "global_tokens": -1}, "global_tokens=-1"),
        ({"pattern": "block", "size": 2.0}, "size=2.0"),
        ({"pattern": "strided"}, "stride=None"),
        ({"pattern": "axial"}, "`shape`: it must be two integers. Received: shape=None"),
        ({"pattern": "axial", "shape": [5]}, "two integers"),
        ({"pattern": "axial", "shape": [5, 0]}, "shape=0"),
        ({"pattern": "axial", "shape": [5, 7], "axis": 2}, "None, 0 or 1. Received: axis=2"),
        ({"pattern": "axial", "shape": [5, 7], "axis": True}, "axis=True"),
        ({"pattern": "window_2d", "shape": [5, 7]}, "width=None"),
        ({"pattern": "window_2d", "shape": [5, 7], "width": [1, 2, 3]}, "two integers"),
        ([{"pattern": "window", "width": 3}, "blok"], "Unknown pattern 'blok'. Did you mean 'block'"),
    ],
    ids=str,
)
def test_a_wrong_spec_says_what_would_be_right(spec, message):
    with pytest.raises(ValueError, match=message):
        patterns.get(spec)


def test_packed_sequences_see_themselves_alone_and_padding_sees_nothing():
    query_segments, key_segments = [[0, 0, 3], [1, -1, -2]], [[0, 3, 3, -1, 0], [-1, -2, 1, 1, 0]]
    got = patterns.segments(np.array(query_segments), ops.convert_to_tensor(key_segments))
    assert tuple(got.shape) == (2, 1, 3, 5) and keras.backend.standardize_dtype(got.dtype) == "bool"
    for b, t, s in np.ndindex(2, 3, 5):
        q, k = query_segments[b][t], key_segments[b][s]
        assert numpy(got)[b, 0, t, s] == (q == k and q >= 0 and k >= 0)


class Seen(keras.layers.Layer):
    """How many keys each query sees under each pattern, for inputs of unknown length."""

    def call(self, inputs):
        place = ops.arange(ops.shape(inputs)[1], dtype="int32")
        seen = [ops.sum(ops.cast(patterns.get(spec).allowed(place, place), "float32"), axis=-1) for spec in SPECS]
        return inputs[..., :1] * 0.0 + ops.stack(seen, axis=-1)[None]


@pytest.mark.compiles
def test_compiled_for_an_unknown_length_nothing_changes():
    inputs = keras.Input((None, 2))
    model = keras.Model(inputs, Seen()(inputs))
    # Torch takes minutes to compile all of them.
    model.compile(jit_compile=keras.backend.backend() != "torch")
    for length in (5, 35):
        expected = np.stack([slow(spec, range(length), range(length)).sum(axis=-1) for spec in SPECS], axis=-1)
        np.testing.assert_array_equal(model.predict_on_batch(np.zeros((1, length, 2), "float32"))[0], expected)
