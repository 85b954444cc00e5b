"""The path by chunks gives the numbers of the plain one, whatever the layer does, and skips what no query sees."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import AdditiveAttention, MultiHeadAttention, attend, flash, patterns, sight, turns
from tests.autodiff import gradient, second_gradient

B, T, S, D = 2, 37, 41, 12
RNG = np.random.default_rng(0)
X, SOURCE = RNG.normal(size=(B, T, D)).astype("float32"), RNG.normal(size=(B, S, D)).astype("float32")
ALLOWED = RNG.random((B, T, S)) < 0.5
BIAS = RNG.normal(size=(B, 1, T, S)).astype("float32")
SEGMENTS = np.sort(RNG.integers(0, 3, (B, T)), axis=1), np.sort(RNG.integers(0, 3, (B, S)), axis=1)


def numpy(x):
    return ops.convert_to_numpy(x)


def pair(size, **options):
    """Two layers with the same weights: one that does all at once, one that goes by chunks."""
    layers = [MultiHeadAttention(4, use_bias=False, chunk_size=n, **options) for n in (None, size)]
    for layer in layers:
        layer.build((B, T, D), (B, S, D))
    layers[1].set_weights(layers[0].get_weights())
    return layers


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sliding_window": 5},
        {"pattern": {"pattern": "block", "size": 7}, "num_key_value_heads": 2},
        {"positions": "relative_bias", "talking_heads": True},
        {"normalizer": "sparsemax", "positions": "rotary"},
        {"normalizer": "sink", "score": "cosine"},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "call",
    [
        {"use_causal_mask": True},
        {"attention_bias": BIAS, "attention_mask": ALLOWED, "segment_ids": SEGMENTS},
    ],
    ids=["causal", "bias, mask and segments"],
)
def test_values_and_gradients_are_those_of_the_plain_path(options, call):
    plain, by_chunks = pair(8, **options)
    np.testing.assert_allclose(numpy(by_chunks(X, SOURCE, **call)), numpy(plain(X, SOURCE, **call)), atol=1e-5)
    slopes = [gradient(lambda x, f=f: ops.sum(ops.square(f(x, SOURCE, **call))), X) for f in (plain, by_chunks)]
    np.testing.assert_allclose(*slopes, atol=1e-5 * np.abs(slopes[0]).max())


@pytest.mark.parametrize("options", [{"dropout": 0.4}, {"normalizer": "gumbel_hard", "dropout": 0.1}], ids=str)
def test_random_numbers_belong_to_positions_not_to_chunks(options):
    plain, by_chunks = pair(5, seed=3, **options)
    outputs = [numpy(layer(X, SOURCE, use_causal_mask=True, training=True)) for layer in (plain, by_chunks)]
    np.testing.assert_allclose(*outputs, atol=1e-5)
    assert not np.allclose(outputs[0], numpy(plain(X, SOURCE, use_causal_mask=True)), atol=1e-3)


def test_a_gradient_reaches_the_bias_of_a_caller():
    plain, by_chunks = pair(8)
    slopes = [
        gradient(lambda b, f=f: ops.sum(ops.square(f(X, SOURCE, attention_bias=b))), BIAS) for f in (plain, by_chunks)
    ]
    assert np.abs(slopes[0]).max() > 1e-4
    np.testing.assert_allclose(*slopes, atol=1e-5)


def test_a_training_step_is_the_same_by_chunks():
    weights = []
    for size in (None, 8):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((None, D))
        layer = AdditiveAttention(units=7, chunk_size=size, score="normalized")
        model = keras.Model(inputs, layer(inputs, use_causal_mask=True))
        model.compile(keras.optimizers.SGD(1.0), "mse")
        model.train_on_batch(X, X)
        weights.append(model.get_weights())
    for plain, by_chunks in zip(*weights):
        np.testing.assert_allclose(by_chunks, plain, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"use_scale": False}, {"units": 7, "score": "concat"}], ids=str)
def test_additive_scores_have_the_same_gradients_by_chunks(options):
    plain, by_chunks = (AdditiveAttention(chunk_size=size, **options) for size in (None, 8))
    for layer in (plain, by_chunks):
        layer.build((B, T, D), (B, S, D))
    by_chunks.set_weights(plain.get_weights())

    def loss(layer, x, which):
        return ops.sum(ops.square(layer(*(x if at == which else y for at, y in enumerate((X, SOURCE))))))

    for which, x in enumerate((X, SOURCE)):
        slopes = [gradient(lambda x, f=f, at=which: loss(f, x, at), x) for f in (plain, by_chunks)]
        np.testing.assert_allclose(*slopes, atol=1e-5 * np.abs(slopes[0]).max())


@pytest.mark.parametrize("loss", [ops.sum, lambda x: ops.sum(ops.sin(x))], ids=["linear", "curved"])
@pytest.mark.parametrize("kind", [MultiHeadAttention, AdditiveAttention])
def test_second_derivatives_are_right_all_at_once_and_by_chunks_right_or_refused(kind, loss):
    def curvature(size):
        keras.utils.set_random_seed(0)
        options = {"num_heads": 4} if kind is MultiHeadAttention else {}
        return second_gradient(lambda x: loss(kind(chunk_size=size, **options)(x)), X)

    whole = curvature(None)
    assert np.isfinite(whole).all()
    if kind is AdditiveAttention and keras.config.backend() == "torch":
        return np.testing.assert_allclose(curvature(8), whole, atol=1e-4 * np.abs(whole).max())
    # On tensorflow the recomputed chunk refuses in its own words.
    with pytest.raises(NotImplementedError, match=r"chunk_size=None|recompute_grad"):
        curvature(8)


@pytest.mark.compiles
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(
    "of",
    [
        lambda n: MultiHeadAttention(2, chunk_size=n, positions="alibi", dropout=0.1, seed=1),
        lambda n: AdditiveAttention(chunk_size=n),
    ],
    ids=["multi_head", "additive"],
)
def test_batches_of_several_lengths_train_by_chunks_as_all_at_once(of, jit):
    if jit and keras.config.backend() == "torch":
        jit = False
    weights = []
    for size in (None, 3):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((None, D))
        model = keras.Model(inputs, of(size)(inputs, inputs))
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit)
        # From the second length on, tensorflow compiles for lengths that are not known.
        for length in (5, 11, 1):
            model.train_on_batch(X[:, :length], X[:, :length])
        weights.append(model.get_weights())
    assert len(weights[0]) > 0
    for plain, by_chunks in zip(*weights):
        np.testing.assert_allclose(by_chunks, plain, atol=1e-5)


def test_weights_of_chosen_queries_are_those_that_were_drawn():
    x = RNG.normal(size=(B, 5, D)).astype("float32")
    found = []
    for asked in (True, [3, 0, -1]):
        layer = MultiHeadAttention(2, normalizer="gumbel_hard", seed=5)
        keras.utils.set_random_seed(0)
        layer.build(x.shape)
        found.append(layer(x, return_attention_scores=asked, training=True))
    (mix, every), (same_mix, chosen) = found
    np.testing.assert_array_equal(numpy(same_mix), numpy(mix))
    np.testing.assert_array_equal(numpy(chosen), numpy(every)[:, :, [3, 0, 4]])


def test_weights_of_queries_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="of the 37 queries"):
        pair(8)[0](X, return_attention_scores=[1, T])


@pytest.mark.parametrize("normalizer", ["softmax", "sparsemax", "sigmoid"])
def test_a_bias_at_padded_queries_reaches_nobody(normalizer):
    layer = pair(None, normalizer=normalizer)[0]
    mask = np.arange(T)[None] < np.array([[T], [11]])
    bias = np.where(mask[:, None, :, None], RNG.normal(size=(B, 1, T, T)), np.nan).astype("float32")
    slope = gradient(lambda x: ops.sum(ops.square(layer(x, mask=mask, attention_bias=bias))), X)
    assert np.isfinite(slope).all() and np.abs(slope[0]).max() > 0.0


def test_a_mask_that_is_to_be_added_is_refused():
    added = np.where(ALLOWED, 0.0, -1e9).astype("float32")
    with pytest.raises(ValueError, match="attention_bias"):
        pair(8)[0](X, SOURCE, attention_mask=added)
    # Ones and zeros are as good as True and False.
    ones = pair(8)[0](X, SOURCE, attention_mask=ALLOWED.astype("float32"))
    assert numpy(ones).shape == (B, T, D)


def test_weights_of_chosen_queries_see_what_those_queries_see():
    _, layer = pair(8, sliding_window=9)
    call = {"use_causal_mask": True, "attention_bias": BIAS, "attention_mask": ALLOWED, "segment_ids": SEGMENTS}
    every = numpy(layer(X, SOURCE, return_attention_scores=True, **call)[1])
    chosen = numpy(layer(X, SOURCE, return_attention_scores=[36, 0, 11], **call)[1])
    np.testing.assert_allclose(chosen, every[:, :, [36, 0, 11]], atol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("pattern", [None, {"pattern": "window", "width": 3}], ids=str)
def test_loops_cover_every_query_once_and_reach_all_they_may_see(causal, pattern):
    seen = sight.of_lengths(T, S, causal=causal, pattern=patterns.get(pattern))
    allowed = np.broadcast_to(True if seen.mask() is None else numpy(seen.mask())[0, 0], (T, S))
    loops = turns.loops(T, 2, seen)
    assert [loop.queries.start for loop in loops] == [0] + [loop.queries.stop for loop in loops[:-1]]
    assert loops[-1].queries.stop == T
    looked_at = 0
    for loop in loops:
        firsts = range(loop.queries.start, loop.queries.stop, 2)
        for turn, first in enumerate(firsts):
            low = loop.keys.start if loop.starts is None else loop.starts[turn]
            high = loop.keys.stop if loop.starts is None else low + loop.width
            last = min(first + 2, loop.queries.stop)
            assert not allowed[first:last, :low].any() and not allowed[first:last, high:].any()
            looked_at += (last - first) * (high - low)
    share = {(False, None): 1.0, (True, None): 0.64, (False, "window"): 0.16, (True, "window"): 0.12}
    assert looked_at <= share[causal, pattern and "window"] * T * S


def test_the_layer_chooses_chunks_by_what_they_need():
    assert attend.chunk_size("auto", (1, 8, 8192, 8192), 1) == 128
    assert attend.chunk_size("auto", (1, 8, 8192, 8192), 1, 1, flash.ROOM) == 256
    assert attend.chunk_size("auto", (4, 1, 2048, 2048), 64) == 16
    assert attend.chunk_size("auto", (None, 8, 256, 256), 1) is None
    assert attend.chunk_size("auto", (4, 8, None, 8192), 1) is None
    # An unknown batch may be large.
    assert attend.chunk_size("auto", (None, 8, 512, 512), 1) == 64
    assert attend.chunk_size(None, (1, 8, 8192, 8192), 1) is None
    assert attend.chunk_size(7, (1, 8, 8192, 8192), 1) == 7


@pytest.mark.parametrize("size", ["auto", 3])
def test_shapes_are_inferred_through_a_layer_around_it(size):
    class Around(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.attention = MultiHeadAttention(2, chunk_size=size)

        def build(self, shape):
            self.attention.build(shape)

        def call(self, inputs):
            return self.attention(inputs, use_causal_mask=True)

    assert Around()(keras.Input((None if size == "auto" else T, D))).shape[-1] == D


@pytest.mark.parametrize("normalizer", ["softmax", "sparsemax"])
def test_no_array_of_all_pairs_is_made_by_chunks(normalizer, monkeypatch):
    _, layer = pair(8, normalizer=normalizer)
    largest = []
    products = {"softmax": (flash, "_product"), "sparsemax": (MultiHeadAttention, "compute_scores")}[normalizer]
    original = getattr(*products)

    def watched(*args):
        found = original(*args)
        largest.append(found.shape[2] * found.shape[3])
        return found

    monkeypatch.setattr(*products, watched)
    layer(X, SOURCE)
    assert largest and max(largest) == 8 * S


def test_a_sight_of_some_queries_keeps_what_is_theirs():
    seen = sight.of_lengths(T, S, causal=True, given=ops.convert_to_tensor(ALLOWED[:, None]))
    seen = dataclasses.replace(seen, segments=tuple(map(ops.convert_to_tensor, SEGMENTS)))
    whole, part = numpy(seen.mask()), numpy(seen.block(slice(5, 11), slice(3, 29)).mask())
    np.testing.assert_array_equal(part, whole[:, :, 5:11, 3:29])
    np.testing.assert_array_equal(numpy(seen.take([9, 2]).mask()), whole[:, :, [9, 2]])
