"""Decoding with a state: prompts, padding, empty slots and beams."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import decoding, mixers
from tests.families import first_of_families

# Room for more than comes, and a width that every number of heads here divides.
B, T, L, D = 3, 7, 11, 12
CACHES = {
    "additive": {"mixer": "additive", "units": 5},
    "window": {"mixer": "multi_head", "num_heads": 2, "sliding_window": 3},
    "rotary": {"mixer": "multi_head", "num_heads": 2, "positions": "rotary"},
    "alibi": {"mixer": "multi_head", "num_heads": 3, "positions": "alibi"},
    "relative_bias": {"mixer": "multi_head", "num_heads": 3, "positions": "relative_bias"},
    "grouped": {"mixer": "multi_head", "num_heads": 6, "num_key_value_heads": 2, "use_gate": True},
    "window_rotary": {"mixer": "multi_head", "num_heads": 2, "positions": "rotary", "sliding_window": 3},
    "sparse": {"mixer": "multi_head", "num_heads": 2, "normalizer": "entmax15", "soft_cap": 3.0},
    "memory": {"mixer": "key_value_memory", "slots": 2, "hops": 2},
    "local": {"mixer": "local", "alignment": "monotonic", "width": 2},
    "predictive": {"mixer": "local", "alignment": "predictive", "width": 2},
    "hard": {"mixer": "stochastic_hard", "units": 5},
}
caches = pytest.mark.parametrize("spec", CACHES.values(), ids=CACHES)
LEFT_PADDED = np.arange(T)[None] >= np.array([0, 2, 5])[:, None]


def steppers():
    names = [name for name in mixers.names() if mixers.get(name).can_step]
    return pytest.mark.parametrize("name", first_of_families(names))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(numpy(actual), numpy(expected), rtol=tolerance, atol=tolerance)


def built(spec, length=None, **kwargs):
    layer = mixers.get(spec, **kwargs)
    layer.build((None, length, D))
    rng = np.random.default_rng(1)
    layer.set_weights([(0.4 * rng.normal(size=w.shape)).astype(w.dtype) for w in layer.get_weights()])
    return layer


@caches
def test_a_prompt_in_parts_and_then_steps_equal_all_at_once(spec):
    layer, inputs = built(spec), normal(B, T, D)
    state, outputs = layer.initial_state(B, L), []
    for first, last in ((0, 2), (2, 5)):
        output, state = layer.prefill(inputs[:, first:last], state)
        outputs.append(output)
    for t in range(5, T):
        output, state = layer.step(ops.convert_to_tensor(inputs[:, t]), state)
        outputs.append(output[:, None])
    close(ops.concatenate(outputs, axis=1), layer(inputs, use_causal_mask=True))


@caches
def test_a_prompt_behind_padding_goes_on_as_it_would_without(spec):
    layer, inputs, after = built(spec), normal(B, T, D), normal(B, D, seed=1)
    poisoned = np.where(LEFT_PADDED[..., None], inputs, np.nan).astype("float32")
    outputs, state = layer.prefill(poisoned, layer.initial_state(B, L), LEFT_PADDED)
    next_outputs, _ = layer.step(ops.convert_to_tensor(after), state)
    for b in range(B):
        alone = np.concatenate([inputs[b][LEFT_PADDED[b]], after[b : b + 1]])[None]
        expected = numpy(layer(alone, use_causal_mask=True))[0]
        close(numpy(outputs)[b][LEFT_PADDED[b]], expected[:-1])
        assert np.all(numpy(outputs)[b][~LEFT_PADDED[b]] == 0.0)
        close(numpy(next_outputs)[b], expected[-1])


@caches
def test_what_stands_in_empty_slots_does_not_matter(spec):
    layer, inputs = built(spec), normal(B, T, D)
    state = layer.initial_state(B, L)
    filled = keras.tree.map_structure(
        lambda x: x + 50.0 if keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype)) else x, state
    )
    close(layer.prefill(inputs, filled)[0], layer.prefill(inputs, state)[0])


@steppers()
def test_beams_that_go_on_are_those_hypotheses_from_scratch(name):
    layer, inputs, rows = built(name, T), normal(B, T, D), [2, 0, 2, 1]
    after = normal(len(rows), D, seed=1)
    _, state = layer.prefill(inputs[:, : T - 1], layer.initial_state(B, T))
    actual, _ = layer.step(ops.convert_to_tensor(after), decoding.reorder(state, rows))
    hypotheses = np.concatenate([inputs[rows, : T - 1], after[:, None]], axis=1)
    close(actual, numpy(layer(hypotheses, use_causal_mask=True))[:, -1])


@pytest.mark.parametrize("spec", ["multi_head", "location", "key_value_memory", "monotonic", "gaussian_window"])
def test_more_positions_than_a_state_was_made_for_are_refused(spec):
    layer = mixers.get(spec)
    x = np.random.default_rng(0).normal(size=(2, 4, 8)).astype("float32")
    layer.build(x.shape)
    _, state = layer.prefill(ops.convert_to_tensor(x[:, :3]), layer.initial_state(2, 3))
    with pytest.raises(ValueError, match="made for 3 positions"):
        layer.step(ops.convert_to_tensor(x[:, 3]), state)


def test_rows_are_repeated_next_to_each_other_and_counters_left_alone():
    state = {"kept": [ops.arange(3), ops.reshape(ops.arange(6), (3, 2))], "position": ops.array(5)}
    repeated = decoding.repeat(state, 2)
    assert numpy(repeated["kept"][0]).tolist() == [0, 0, 1, 1, 2, 2] and int(repeated["position"]) == 5
    assert numpy(repeated["kept"][1])[:, 0].tolist() == [0, 0, 2, 2, 4, 4]
    chosen = decoding.reorder(state, [1, 1])
    assert numpy(chosen["kept"][1]).tolist() == [[2, 3], [2, 3]] and int(chosen["position"]) == 5


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@steppers()
def test_a_state_keeps_its_shapes_and_dtypes_so_that_a_step_compiles_once(name, policy):
    layer = built(name, T, dtype=policy)
    describe = lambda state: keras.tree.map_structure(lambda x: (tuple(x.shape), str(x.dtype)), state)  # noqa: E731
    state = layer.initial_state(B, T)
    before = describe(state)
    inputs = ops.cast(normal(B, D), layer.compute_dtype)
    for _ in range(2):
        output, state = layer.step(inputs, state)
        assert describe(state) == before
        assert tuple(output.shape) == (B, D) and output.dtype == inputs.dtype


@pytest.mark.parametrize("spec", ["additive", "location"])
def test_a_cache_says_that_it_needs_a_length(spec):
    with pytest.raises(ValueError, match="max_length"):
        built(spec, T).initial_state(B)
