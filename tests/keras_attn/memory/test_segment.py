import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import SegmentMemory
from tests.autodiff import gradient

B, T, D, N = 2, 23, 10, 6
LAYERS = {
    "one segment back": {},
    "two segments back": {"memory_segments": 2},
    "mean of two": {"compression": 2},
    "mean of three, two segments of them": {"compression": 3, "compressed_segments": 2, "memory_segments": 2},
    "learned map of two": {"compression": 2, "compress": "conv"},
}
every = pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS)
HOLES = np.random.default_rng(5).random((B, T)) < 0.7


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(numpy(actual), numpy(expected), rtol=tolerance, atol=tolerance)


def built(width=D, **options):
    layer = SegmentMemory(num_heads=2, **{"segment_length": N, **options})
    layer.build((None, None, width))
    layer.set_weights([0.5 * normal(*w.shape, seed=index) for index, w in enumerate(layer.get_weights())])
    return layer


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def sinusoid(distance):
    angles = distance / 10000.0 ** (np.arange(0, D, 2) / D)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(D)


def compressed(layer, rows, real):
    """One slot from c inputs `(c, D)`, or None if none of them is real."""
    if not real.any():
        return None
    if layer.compress == "mean":
        return rows[real].mean(axis=0)
    return sum(x @ w for x, w, there in zip(rows, numpy(layer.compress_kernel), real) if there)


def slots_of(layer, inputs, real, t):
    """What query t sees, as `(place among the N slots, input)`, from the definition."""
    own, c = t // N * N, layer.compression
    window = range(own - layer.memory_segments * N, t + 1)
    first = layer.slots - (layer.memory_segments + 1) * N
    seen = [(first + s - window[0], inputs[s]) for s in window if s >= 0 and real[s]]
    if c:
        for slot in range(first):
            start = window[0] - (first - slot) * c
            row = compressed(layer, inputs[start : start + c], real[start : start + c]) if start >= 0 else None
            seen += [] if row is None else [(slot, row)]
    return seen


def reference(layer, inputs, real):
    """The output and the weights, query by query."""
    wq, wk, wv, wr, wo = (
        numpy(getattr(layer, f"{name}_dense").kernel) for name in ("query", "key", "value", "distance", "output")
    )
    heads, weights = np.zeros(inputs.shape), np.zeros((B, 2, T, layer.slots))
    for b in range(B):
        for t in np.flatnonzero(real[b]):
            slots, rows = zip(*slots_of(layer, inputs[b], real[b], t))
            rows = np.stack(rows)
            for h in range(2):
                of = slice(5 * h, 5 * h + 5)
                q, u, v = (inputs[b, t] @ wq)[of], numpy(layer.content_bias)[of], numpy(layer.distance_bias)[of]
                own_slot = layer.slots - N + t % N
                waves = np.stack([sinusoid(own_slot - slot) @ wr[:, of] for slot in slots])
                p = softmax(((rows @ wk[:, of]) @ (q + u) + waves @ (q + v)) / np.sqrt(5))
                weights[b, h, t, list(slots)] = p
                heads[b, t, of] = p @ rows @ wv[:, of]
    return heads @ wo, weights


@every
@pytest.mark.parametrize("real", [np.ones((B, T), dtype=bool), HOLES], ids=["whole", "holes"])
def test_it_reads_its_segment_and_those_before_as_the_papers_say(options, real):
    inputs, layer = normal(B, T, D), built(**options)
    output, weights = reference(layer, inputs, real)
    poisoned = np.where(real[..., None], inputs, np.nan).astype("float32")
    mix, found = layer(poisoned, mask=real, return_attention_scores=True)
    close(found, weights, 1e-4)
    close(mix, output, 1e-4)


def test_a_segment_that_covers_everything_is_causal_attention_and_longer_ones_change_nothing():
    inputs = normal(B, T, D)
    once, longer = built(segment_length=T), built(segment_length=T + 6)
    close(once(inputs), longer(inputs))
    # As much memory as there is past, for any cut.
    close(built(segment_length=5, memory_segments=4)(inputs), once(inputs))
    seen = numpy(once(inputs, return_attention_scores=True)[1])[..., T:] > 0.0
    np.testing.assert_array_equal(seen, np.broadcast_to(np.tril(np.ones((T, T), dtype=bool)), seen.shape))


def test_a_compression_of_one_is_a_longer_memory():
    inputs = normal(B, T, D)
    close(built(compression=1, compressed_segments=2)(inputs), built(memory_segments=3)(inputs))


def test_compression_off_is_transformer_xl_and_on_it_adds_what_is_older():
    inputs = normal(B, T, D)
    plain, more = built(), built(compression=2)
    close(more(inputs)[:, : 2 * N], plain(inputs)[:, : 2 * N])
    assert not np.allclose(numpy(more(inputs))[:, 2 * N :], numpy(plain(inputs))[:, 2 * N :], atol=1e-2)


@every
@pytest.mark.parametrize("parts", [(23,), (1, 4, 9, 1, 8), (1,) * 23], ids=str)
def test_streaming_equals_the_whole_in_a_state_of_fixed_size(options, parts):
    inputs, layer = normal(B, T, D), built(**options)
    poisoned = np.where(HOLES[..., None], inputs, np.nan).astype("float32")
    state, outputs, first = layer.initial_state(B), [], 0
    shapes = {name: tuple(x.shape) for name, x in state.items()}
    for count in parts:
        part = slice(first, first + count)
        output, state = layer.prefill(poisoned[:, part], state, HOLES[:, part])
        outputs.append(output)
        first += count
    assert {name: tuple(x.shape) for name, x in state.items()} == shapes
    close(ops.concatenate(outputs, axis=1), layer(poisoned, mask=HOLES))


@every
def test_no_gradient_passes_into_earlier_segments(options):
    inputs, layer = normal(B, T, D), built(**options)
    last = T // N * N
    slope = gradient(lambda x: ops.sum(ops.square(layer(x)[:, last:])), inputs)
    assert np.all(slope[:, :last] == 0.0) and np.all(np.any(slope[:, last:] != 0.0, axis=-1))


@every
def test_the_gradient_is_that_of_a_memory_that_stands_still(options):
    inputs, layer, step, last = normal(1, T, D), built(**options), 1e-2, T // N * N

    def loss(x):
        return ops.sum(ops.sin(2.0 * layer(x)[:, last:]))

    slope = gradient(loss, inputs)
    for t, column in ((last, 1), (T - 1, 7)):
        nudge = np.zeros_like(inputs)
        nudge[0, t, column] = step
        difference = np.subtract(*(numpy(loss(ops.convert_to_tensor(inputs + s * nudge))) for s in (1, -1)))
        np.testing.assert_allclose(slope[0, t, column], difference / (2 * step), rtol=2e-2, atol=2e-2)


def test_what_makes_the_memory_is_trained_by_what_reads_it():
    layer = built(compression=2, compress="conv")
    before = numpy(layer.compress_kernel).copy()
    model = keras.Sequential([keras.Input((T, D)), layer])
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    model.train_on_batch(normal(B, 2 * N, D), normal(B, 2 * N, D, seed=1))
    np.testing.assert_array_equal(numpy(layer.compress_kernel), before)
    model.train_on_batch(normal(B, T, D), normal(B, T, D, seed=1))
    assert np.all(np.any(numpy(layer.compress_kernel) != before, axis=(1, 2)))


def test_a_learned_map_starts_as_the_mean():
    layers = [SegmentMemory(2, segment_length=N, compression=3, compress=name) for name in ("mean", "conv")]
    outputs = []
    for layer in layers:
        # The same start for what both have.
        keras.utils.set_random_seed(0)
        outputs.append(layer(normal(B, T, D)))
    close(*outputs)


def test_a_reset_hides_what_came_before():
    inputs, layer = normal(B, T, D), built(compression=2)
    first, state = layer.prefill(inputs[:, :15], layer.initial_state(B))
    kept = {name: numpy(x).copy() for name, x in state.items()}
    second, _ = layer.prefill(inputs[:, 15:], layer.reset(state, np.array([False, True])))
    close(ops.concatenate([first, second], axis=1)[0], layer(inputs)[0])
    alone = np.arange(T)[None] >= np.array([[0], [15]])
    close(second[1], layer(inputs, mask=alone)[1, 15:])
    close(layer.prefill(inputs[:, 15:], layer.reset(state))[0][1], second[1])
    assert all(np.array_equal(numpy(state[name]), x) for name, x in kept.items())


def test_a_memory_that_does_not_fit_is_refused_and_left_as_it_was():
    layer = built(compression=2)
    _, state = layer.prefill(normal(B, 4, D), layer.initial_state(B))
    before = {name: numpy(x).copy() for name, x in state.items()}
    for wrong, inputs in (
        (layer, normal(B + 1, 4, D)),
        (built(width=D + 4, compression=2), normal(B, 4, D + 4)),
        (built(compression=3), normal(B, 4, D)),
        (built(), normal(B, 4, D)),
    ):
        with pytest.raises(ValueError, match="neither it nor these inputs"):
            wrong.prefill(inputs, state)
    assert all(np.array_equal(numpy(state[name]), x) for name, x in before.items())


def test_a_mean_of_inputs_is_taken_in_full_precision():
    layer = SegmentMemory(2, segment_length=N, compression=N, dtype="mixed_float16")
    layer.build((None, None, D))
    same = {id(layer.value_dense.kernel), id(layer.output_dense.kernel)}
    layer.set_weights([np.eye(D) if id(w) in same else np.zeros(w.shape) for w in layer.weights])
    # The sum of so many is beyond what half precision can hold.
    large = np.full((1, 3 * N, D), 2e4, "float32")
    close(ops.cast(layer(large), "float32"), large, 1e-2)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"segment_length": 0}, "segment_length"),
        ({"memory_segments": 0}, "memory_segments"),
        ({"compression": 4}, "divide `segment_length`"),
        ({"compressed_segments": 0}, "compressed_segments"),
        ({"compress": "max"}, "compress"),
        ({"normalizer": "sink"}, "draws nothing"),
    ],
)
def test_an_impossible_option_is_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        built(**options)
