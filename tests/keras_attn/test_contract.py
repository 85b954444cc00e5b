"""The contract of every mixer, clause by clause, for every name in the table and some telling options.

Every name keeps every clause on every backend, the options those clauses in which options differ most. On jax and torch
that is for `pytest -m slow`; without it one name of each family stands for the others.
"""

import keras
import numpy as np
import pytest
from keras import ops

import keras_attn
from keras_attn import mixers
from keras_attn.cached import Cached
from tests.autodiff import gradient
from tests.families import first_of_families

# Different primes (but the width), so that a swapped axis cannot pass.
B, T, S, D = 3, 7, 11, 10

VARIANTS = [
    {"mixer": "additive", "units": None},
    {"mixer": "additive", "normalizer": "sparsemax"},
    {"mixer": "multiplicative", "score": "dot"},
    {"mixer": "multiplicative", "score": "scaled_dot", "normalizer": "hard"},
    {"mixer": "multiplicative", "score": "cosine"},
    {"mixer": "multiplicative", "score": "l2", "normalizer": "sigmoid"},
    {"mixer": "additive", "score": "normalized", "normalizer": "gumbel_hard"},
    {"mixer": "additive", "score": "concat", "normalizer": "off_by_one"},
    {"mixer": "multi_head", "score": "cosine", "normalizer": "sink", "talking_heads": True},
    {"mixer": "multi_head", "positions": "rotary", "normalizer": {"normalizer": "entmax", "alpha": "learned"}},
    {"mixer": "multi_head", "num_heads": 2, "positions": "relative_bias", "soft_cap": 3.0},
    {"mixer": "multi_head", "num_heads": 5, "num_key_value_heads": 1, "use_gate": True},
    {"mixer": "multi_head", "num_heads": 2, "normalizer": "entmax15", "sliding_window": 3},
    {"mixer": "stochastic_hard", "units": 5, "inference": "argmax"},
    {"mixer": "gaussian_window", "components": 1, "speed": 0.3},
    {"mixer": "location", "positions": 13},
    {"mixer": "local", "alignment": "monotonic", "width": 2},
    {"mixer": "location_sensitive", "smoothing": True, "kernel_size": 4},
    {"mixer": "location_sensitive", "cumulative": True, "units": 7, "filters": 2},
    {"mixer": "linear_attention", "feature_map": "exp"},
    {"mixer": "retention", "use_rotary": False},
    {"mixer": "delta_rule", "gated": True},
    {"mixer": "key_value_memory", "slots": 0, "hops": 3},
    {"mixer": "persistent_memory", "num_heads": 2, "slots": 5, "normalizer": "sparsemax"},
    {"mixer": "hopfield", "num_heads": 2, "updates": 3, "tolerance": 0.3, "beta": 0.2},
    {"mixer": "hopfield", "num_heads": 1, "updates": 2, "normalizer": "entmax15"},
    {"mixer": "hopfield_lookup", "slots": 5, "updates": 3, "tolerance": 0.1},
    {"mixer": "product_key", "half_keys": 5, "k": 3, "key_dim": 6, "query_norm": None, "value_rate": 4.0},
    {"mixer": "nearest_memory", "num_heads": 2, "segment_length": 2, "neighbours": 1},
    {"mixer": "nearest_memory", "num_heads": 3, "segment_length": 3, "neighbours": 2, "normalizer": "sparsemax"},
    {"mixer": "segment_memory", "num_heads": 3, "segment_length": 2},
    {"mixer": "segment_memory", "num_heads": 2, "segment_length": 2, "compression": 2, "compress": "conv"},
    {"mixer": "segment_memory", "segment_length": 2, "memory_segments": 2, "compression": 1, "compressed_segments": 2},
    {"mixer": "neural_turing_machine", "slots": 5, "controller": "feed_forward", "initial_memory": "learned"},
    {"mixer": "neural_turing_machine", "read_heads": 2, "write_heads": 3, "shift": 2, "units": 7},
    {"mixer": "differentiable_neural_computer", "slots": 13, "links": 3, "read_heads": 2, "write_heads": 2},
    {"mixer": "differentiable_neural_computer", "links": None, "erase_freed": True, "masked_keys": True},
    {"mixer": "differentiable_neural_computer", "slots": 13, "sharpened_links": True, "controller": "gru"},
    {"mixer": "lstm", "bidirectional": True},
    {"mixer": "gru", "bidirectional": True},
    {"mixer": "gated_conv", "kernel_size": 2},
    {"mixer": "gated_conv", "kernel_size": 3, "dilation": 2},
    {"mixer": "linear_recurrence", "bidirectional": True},
    {"mixer": "rg_lru", "bidirectional": True},
    {"mixer": "depthwise_conv", "kernel_size": 3, "dilation": 2},
    {"mixer": "depthwise_conv", "kernel_size": 4, "grid": [7, 1]},
    {"mixer": "long_conv", "units": 5, "positions": 3},
    {"mixer": "s4d", "states": 6, "frequencies": "inverse"},
    {"mixer": "s5", "states": 6, "bidirectional": True},
    {"mixer": "selective_state_space", "num_heads": 3, "states": 4, "kernel_size": 1},
    {"mixer": "gmlp", "units": 5, "positions": 13},
    {"mixer": "across_grid", "rows": "rwkv", "columns": {"mixer": "gated_conv", "kernel_size": 2}, "grid": [7, 1]},
]


def label(spec):
    return spec if isinstance(spec, str) else ",".join(str(value) for value in spec.values())


def specs(condition=lambda layer: True, variants=False):
    every = [*mixers.names(), *(VARIANTS if variants else [])]
    chosen = [spec for spec in every if condition(mixers.get(spec))]
    return pytest.mark.parametrize("spec", first_of_families(chosen), ids=label)


def is_explicit(layer):
    return layer.kind == "explicit" and layer.weights_over == "positions"


def has_slots(layer):
    return layer.kind == "explicit" and layer.weights_over == "slots"


def has_cache(layer):
    """Whether the state is a cache, in which padding has a place that is never looked at."""
    return isinstance(layer, (keras_attn.Pairwise, Cached, keras_attn.SegmentMemory))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(numpy(actual), numpy(expected), rtol=tolerance, atol=tolerance)


def built(spec, length=T, **kwargs):
    layer = mixers.get(spec, **kwargs)
    layer.build((None, length, D))
    # The same weights each time, and no zeros, where some mistakes cannot be seen.
    rng = np.random.default_rng(1)
    layer.set_weights([(0.4 * rng.normal(size=w.shape)).astype(w.dtype) for w in layer.get_weights()])
    return layer


def model_of(layer, length=T, **call_options):
    inputs = keras.Input((length, D))
    return keras.Model(inputs, layer(inputs, **call_options))


RAGGED = np.arange(T)[None] < np.array([T, 5, 2])[:, None]
LEFT = RAGGED[:, ::-1]
HOLES = np.array([[1, 1, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0, 1], [1, 0, 0, 0, 0, 0, 1]], dtype=bool)


@specs()
def test_1_the_shape_is_kept_and_known_before_the_values(spec):
    layer = built(spec)
    inputs = normal(B, T, D)
    assert tuple(layer(inputs).shape) == (B, T, D)
    assert mixers.get(spec)(keras.Input((T, D), batch_size=B)).shape == (B, T, D)
    assert tuple(layer.compute_output_shape((B, T, D))) == (B, T, D)


@specs(is_explicit, variants=True)
def test_1_the_weights_shape_is_known_before_the_values(spec):
    query, value = normal(B, T, D), normal(B, S, D)
    symbolic = mixers.get(spec)(
        keras.Input((T, D), batch_size=B), keras.Input((S, D), batch_size=B), return_attention_scores=True
    )
    eager = mixers.get(spec)(query, value, return_attention_scores=True)
    assert [tuple(x.shape) for x in symbolic] == [tuple(x.shape) for x in eager]
    assert eager[1].shape[-2] == T and eager[1].shape[-1] == mixers.get(spec).extra_keys + S


@specs(has_slots, variants=True)
def test_1_the_shape_of_weights_over_slots_is_known_before_the_values(spec):
    layer = mixers.get(spec)
    symbolic = layer(keras.Input((T, D), batch_size=B), return_attention_scores=True)
    eager = layer(normal(B, T, D), return_attention_scores=True)
    assert [tuple(x.shape) for x in symbolic] == [tuple(x.shape) for x in eager]
    assert tuple(eager[1].shape) == (B, layer.weight_rows, T, layer.slots)


@specs()
def test_2_a_copy_from_the_config_with_the_same_weights_computes_the_same(spec):
    layer = mixers.get(spec)
    before = layer.get_config()
    assert set(mixers.options(type(layer))) <= set(before)
    inputs = normal(B, T, D)
    expected = layer(inputs)
    assert layer.get_config() == before
    copy = type(layer).from_config(before)
    copy.build((None, T, D))
    copy.set_weights(layer.get_weights())
    close(copy(inputs), expected)


@specs()
def test_2_a_saved_model_computes_the_same(spec, tmp_path):
    model = model_of(built(spec))
    model.save(tmp_path / "model.keras")
    inputs = normal(B, T, D)
    close(keras.models.load_model(tmp_path / "model.keras")(inputs), model(inputs))


@specs(lambda layer: layer.can_be_causal, variants=True)
def test_3_causal_output_does_not_change_when_later_inputs_do(spec):
    layer = built(spec)
    inputs = normal(B, T, D)
    before = numpy(layer(inputs, use_causal_mask=True))
    # Copies side by side, in each of which another number of the last positions is changed.
    changed = np.arange(T) >= np.arange(1, T)[:, None, None]
    others = np.where(changed[..., None], 7.0 * normal(T - 1, B, T, D, seed=1), inputs).reshape(-1, T, D)
    after = numpy(layer(others, use_causal_mask=True)).reshape(T - 1, B, T, D)
    close(np.where(changed[..., None], 0.0, after), np.where(changed[..., None], 0.0, before))


@specs(lambda layer: is_explicit(layer) and layer.can_be_causal)
def test_3_the_last_query_stands_at_the_last_key(spec):
    layer = built(spec)
    query, value = normal(B, T, D), normal(B, S, D, seed=1)
    before = numpy(layer(query, value, use_causal_mask=True))
    # Copies side by side, in each of which what stands behind another query is changed.
    behind = np.arange(S) > np.arange(T)[:, None, None] + S - T
    others = (value + 3.0 * behind[..., None]).astype("float32").reshape(-1, S, D)
    after = numpy(layer(np.tile(query, (T, 1, 1)), others, use_causal_mask=True)).reshape(T, B, T, D)
    for t in range(T):
        close(after[t, :, : t + 1], before[:, : t + 1])
    weights = numpy(layer(query, value, use_causal_mask=True, return_attention_scores=True)[1])
    seen = np.tril(np.ones((T, S), dtype=bool), k=S - T)
    assert np.all(weights[..., layer.extra_keys :][..., ~seen] == 0.0)


@specs(lambda layer: not layer.can_be_causal)
def test_3_what_cannot_be_causal_says_so(spec):
    with pytest.raises(ValueError, match="cannot be causal"):
        built(spec)(normal(B, T, D), use_causal_mask=True)


@pytest.mark.parametrize("mask", [RAGGED, LEFT, HOLES], ids=["right", "left", "holes"])
@specs()
def test_4_what_stands_at_padded_positions_never_reaches_real_ones(spec, mask):
    layer = built(spec)
    inputs = normal(B, T, D)
    expected = numpy(layer(np.where(mask[..., None], inputs, 0.0), mask=mask))
    poison = np.resize([np.nan, np.inf, -1e30], inputs.shape)
    close(layer(np.where(mask[..., None], inputs, poison).astype("float32"), mask=mask), expected)
    assert np.all(expected[~mask] == 0.0)


@specs(lambda layer: not layer.fixed_length)
def test_4_padding_a_sequence_changes_nothing(spec):
    layer = built(spec)
    short = normal(B, T, D)
    padded = np.concatenate([short, normal(B, 5, D, seed=1)], axis=1)
    mask = np.broadcast_to(np.arange(T + 5) < T, (B, T + 5))
    close(layer(padded, mask=mask)[:, :T], layer(short))


@specs()
def test_4_padding_does_not_reach_the_gradients(spec):
    layer = built(spec)
    poisoned = np.where(RAGGED[..., None], normal(B, T, D), np.nan).astype("float32")
    inputs, mask = keras.Input((T, D)), keras.Input((T,), dtype="bool")
    model = keras.Model([inputs, mask], layer(inputs, mask=mask))
    # Making a graph of it takes longer than going through it once.
    model.compile("sgd", "mse", jit_compile=False, run_eagerly=keras.config.backend() == "tensorflow")
    assert np.isfinite(model.train_on_batch([poisoned, RAGGED], normal(B, T, D, seed=1)))
    assert all(np.isfinite(w).all() for w in layer.get_weights())


@specs(is_explicit, variants=True)
def test_5_a_row_with_nothing_to_look_at_gets_nothing(spec):
    layer = built({**mixers.resolve(spec), **({"slots": 0} if layer_has_slots(spec) else {})})
    inputs = normal(B, T, D)
    if not layer.takes_attention_mask:
        with pytest.raises(ValueError, match="attention_mask"):
            layer(inputs, attention_mask=np.ones((B, T, T), dtype=bool))
        return
    allowed = np.ones((B, T, T), dtype=bool)
    allowed[0, 2] = allowed[1] = False
    mix, weights = layer(inputs, attention_mask=allowed, return_attention_scores=True)
    heads = numpy(weights) if len(weights.shape) == 4 else numpy(weights)[:, None]
    assert np.all(heads[0, :, 2] == 0.0) and np.all(heads[1] == 0.0)
    assert np.all(numpy(mix)[0, 2] == 0.0) and np.all(numpy(mix)[1] == 0.0)
    if layer.weights_are == "distribution":
        np.testing.assert_allclose(heads[2].sum(-1), 1.0, rtol=1e-5)
    grad = gradient(lambda x: ops.sum(ops.square(layer(x, attention_mask=allowed))), inputs)
    assert np.isfinite(grad).all() and np.any(grad[2])


def layer_has_slots(spec):
    return mixers.get(spec).extra_keys > 0


@specs()
def test_5_a_sequence_of_padding_alone_gives_zeros_and_finite_gradients(spec):
    layer = built(spec)
    mask = np.ones((B, T), dtype=bool)
    mask[1] = False
    assert np.all(numpy(layer(normal(B, T, D), mask=mask))[1] == 0.0)
    grad = gradient(lambda x: ops.sum(ops.square(layer(x, mask=mask))), normal(B, T, D))
    assert np.isfinite(grad).all() and np.all(grad[1] == 0.0)


@specs(is_explicit)
def test_1_inputs_without_positions_are_refused(spec):
    with pytest.raises(ValueError, match="positions"):
        mixers.get(spec)(normal(B, D))


@specs(is_explicit)
def test_6_asking_for_weights_does_not_change_the_mix(spec):
    layer = built(spec)
    inputs = normal(B, T, D)
    close(layer(inputs, mask=RAGGED, return_attention_scores=True)[0], layer(inputs, mask=RAGGED), 2e-6)


@specs(has_slots, variants=True)
def test_6_asking_for_weights_over_slots_changes_nothing(spec):
    layer = built(spec)
    inputs = normal(B, T, D)
    close(layer(inputs, mask=HOLES, return_attention_scores=True)[0], layer(inputs, mask=HOLES), 2e-6)


@specs(is_explicit)
def test_6_weights_of_chosen_queries_are_those_among_all(spec):
    layer = built(spec)
    inputs = normal(B, T, D)
    mix, every = layer(inputs, mask=RAGGED, return_attention_scores=True)
    same_mix, chosen = layer(inputs, mask=RAGGED, return_attention_scores=[4, 1])
    close(same_mix, mix, 2e-6)
    close(chosen, numpy(every)[..., [4, 1], :], 2e-6)


@specs(lambda layer: hasattr(layer, "chunk_size"), variants=True)
def test_6_chunks_do_not_change_the_numbers(spec):
    plain = built({**mixers.resolve(spec), "chunk_size": None})
    inputs = normal(B, T, D)
    for size in (1, 3, T - 1):
        by_chunks = built({**mixers.resolve(spec), "chunk_size": size})
        close(by_chunks(inputs, use_causal_mask=True), plain(inputs, use_causal_mask=True))
    by_chunks = built({**mixers.resolve(spec), "chunk_size": 3})
    close(by_chunks(inputs, mask=HOLES), plain(inputs, mask=HOLES))
    slopes = (gradient(lambda x, f=f: ops.sum(ops.square(f(x, mask=HOLES))), inputs) for f in (by_chunks, plain))
    close(*slopes)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.compiles)])
@specs()
def test_6_compiling_does_not_change_the_numbers(spec, jit_compile):
    layer = built(spec)
    model = model_of(layer)
    model.compile(jit_compile=jit_compile)
    close(model.predict(normal(B, T, D), verbose=0), layer(normal(B, T, D)))


@specs(is_explicit, variants=True)
def test_7_weights_are_a_distribution_and_the_very_ones_that_made_the_output(spec):
    layer = built(spec)
    query, value, key = normal(B, T, D), normal(B, S, D, seed=1), normal(B, S, D, seed=2)
    mask = np.arange(S)[None] < np.array([S, 5, 1])[:, None]
    mix, weights = layer(query, value, key, value_mask=mask, return_attention_scores=True)
    heads = weights if len(weights.shape) == 4 else weights[:, None]
    if layer.weights_are != "signed":
        assert np.all(numpy(heads) >= 0.0)
    assert np.all(numpy(heads)[..., layer.extra_keys :] * ~mask[:, None, None] == 0.0)
    looks = numpy(heads).sum(-1)
    if layer.weights_are == "distribution":
        close(looks[looks != 0.0], 1.0)
    close(layer.compute_mix(heads, ops.where(mask[..., None], value, 0.0), ops.convert_to_tensor(query)), mix)


@specs(has_slots, variants=True)
def test_7_weights_over_slots_are_a_distribution_and_zero_at_padding(spec):
    layer = built(spec)
    weights = numpy(layer(normal(B, T, D), mask=HOLES, return_attention_scores=True)[1])
    rows = np.moveaxis(weights, 2, 1)
    assert np.all(weights >= -1e-6) and np.all(rows[~HOLES] == 0.0) and np.all(rows[HOLES].sum(-1) > 0.0)
    if layer.weights_are == "distribution":
        close(rows[HOLES].sum(-1), 1.0)


@specs(lambda layer: layer.can_step, variants=True)
def test_8_step_by_step_equals_all_at_once(spec):
    layer = built(spec)
    inputs = normal(B, T, D)
    state, steps = layer.initial_state(B, T), []
    for t in range(T):
        output, state = layer.step(ops.convert_to_tensor(inputs[:, t]), state)
        steps.append(output)
    close(ops.stack(steps, axis=1), layer(inputs, use_causal_mask=True))


@specs(lambda layer: layer.can_step)
def test_8_a_state_is_refused_before_there_are_weights(spec):
    with pytest.raises(ValueError, match="not built"):
        mixers.get(spec).initial_state(B, T)


@pytest.mark.parametrize("count", [1, 3, T])
@specs(lambda layer: layer.can_step)
def test_8_several_steps_at_a_time_equal_all_at_once(spec, count):
    layer = built(spec)
    inputs = normal(B, T, D)
    state, outputs = layer.initial_state(B, T), []
    for first in range(0, T, count):
        output, state = layer.prefill(ops.convert_to_tensor(inputs[:, first : first + count]), state)
        outputs.append(output)
    close(ops.concatenate(outputs, axis=1), layer(inputs, use_causal_mask=True))


@pytest.mark.parametrize("mask", [RAGGED, LEFT, HOLES], ids=["right", "left", "holes"])
@specs(lambda layer: layer.can_step)
def test_8_prompts_with_padding_go_on_as_each_would_alone(spec, mask):
    layer = built(spec, length=T + 2)
    if padding_counts_in_segments(layer) or (mask is not LEFT and padding_counts_as_distance(layer)):
        pytest.skip("Where positions are known, padding counts as one.")
    prompts, after = normal(B, T, D), normal(B, 2, D, seed=1)
    poisoned = np.where(mask[..., None], prompts, np.nan).astype("float32")
    outputs, state = layer.prefill(ops.convert_to_tensor(poisoned), layer.initial_state(B, T + 2), mask)
    answers = []
    for t in range(2):
        answer, state = layer.step(ops.convert_to_tensor(after[:, t]), state)
        answers.append(numpy(answer))
    assert np.all(numpy(outputs)[~mask] == 0.0)
    for b in range(B):
        alone = layer(np.concatenate([prompts[b, mask[b]], after[b]])[None], use_causal_mask=True)
        close(numpy(alone)[0], np.concatenate([numpy(outputs)[b, mask[b]], [answer[b] for answer in answers]]))


def padding_counts_in_segments(layer):
    return isinstance(layer, (keras_attn.NearestMemory, keras_attn.SegmentMemory))


def padding_counts_as_distance(layer):
    return hasattr(layer, "pattern") and (layer.pattern.spec is not None or getattr(layer, "positions", None))


@specs(lambda layer: layer.can_read, variants=True)
def test_8_another_sequence_is_read_one_query_after_another_as_all_at_once(spec):
    layer = mixers.get(spec)
    layer.build((B, T, D), (B, T + 4, D))
    query, memory = normal(B, T, D), normal(B, T + 4, D, seed=1)
    present = np.arange(T + 4)[None] < np.array([[T + 4], [T - 1], [2]])
    prepared = layer.prepare_memory(memory, present)
    state, steps = layer.memory_state(prepared), []
    for t in range(T):
        mix, _, state = layer.attend_step(ops.convert_to_tensor(query[:, t]), prepared, state)
        steps.append(mix)
    close(ops.stack(steps, axis=1), layer(query, memory, value_mask=present))


@specs(lambda layer: layer.can_step and not has_cache(layer))
def test_8_a_row_of_padding_alone_leaves_its_state_as_it_was(spec):
    layer = built(spec)
    _, state = layer.prefill(normal(B, 3, D), layer.initial_state(B, T))
    _, after = layer.prefill(normal(B, 2, D, seed=1), state, np.array([[1, 1], [0, 0], [0, 1]], dtype=bool))
    for old, new in zip(keras.tree.flatten(state), keras.tree.flatten(after)):
        assert tuple(new.shape) == tuple(old.shape) and new.dtype == old.dtype
        np.testing.assert_array_equal(numpy(new)[1], numpy(old)[1])


@specs()
def test_9_a_mask_from_keras_equals_the_same_mask_by_hand_and_is_left_as_it_was(spec):
    layer = built(spec)
    inputs = np.where(RAGGED[..., None], normal(B, T, D), 0.0).astype("float32")
    masked = keras.layers.Masking()(inputs)
    by_keras = layer(masked)
    close(by_keras, layer(inputs, mask=RAGGED))
    assert np.array_equal(numpy(masked._keras_mask), RAGGED)
    assert np.array_equal(numpy(by_keras._keras_mask), RAGGED)
    assert np.array_equal(inputs, np.where(RAGGED[..., None], normal(B, T, D), 0.0).astype("float32"))


@specs(is_explicit)
def test_9_keras_masks_of_several_tensors_equal_the_same_by_hand(spec):
    layer = built(spec)
    query = np.where(RAGGED[..., None], normal(B, T, D), 0.0).astype("float32")
    value_mask = np.arange(S)[None] < np.array([3, S, 5])[:, None]
    value = np.where(value_mask[..., None], normal(B, S, D, seed=1), 0.0).astype("float32")
    by_hand = layer(query, value, query_mask=RAGGED, value_mask=value_mask)
    close(layer(keras.layers.Masking()(query), keras.layers.Masking()(value)), by_hand)
    close(layer([keras.layers.Masking()(query), keras.layers.Masking()(value)]), by_hand)
    close(layer([query, value], mask=[RAGGED, value_mask]), by_hand)
    close(layer([query, value], query_mask=RAGGED, value_mask=value_mask), by_hand)
    close(layer([query, value], mask=[RAGGED, None], value_mask=value_mask), by_hand)
    if layer.takes_attention_mask:
        masked = [keras.layers.Masking()(query), keras.layers.Masking()(value)]
        close(layer(masked, attention_mask=np.ones((T, S), dtype=bool)), by_hand)


@specs(lambda layer: hasattr(layer, "dropout"))
def test_10_dropout_acts_in_training_only_and_stays_causal(spec):
    dropping = {**mixers.resolve(spec), "dropout": 0.5, "seed": 3}
    layer, plain = built(dropping), built(spec)
    inputs = normal(B, T, D)
    close(layer(inputs), plain(inputs))
    assert not np.allclose(numpy(layer(inputs, training=True)), numpy(plain(inputs)), atol=1e-3)
    changed = np.concatenate([inputs[:, :4], normal(B, T - 4, D, seed=1)], axis=1)
    # Two layers from one seed drop the same weights.
    first, second = (built(dropping)(x, use_causal_mask=True, training=True) for x in (inputs, changed))
    close(first[:, :4], second[:, :4])


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
@specs()
def test_11_half_precision_stays_finite_with_large_scores(spec, policy):
    layer = built(spec, dtype=policy)
    inputs = 300.0 * normal(B, T, D)
    output = layer(inputs, mask=RAGGED, use_causal_mask=layer.can_be_causal)
    assert keras.backend.standardize_dtype(output.dtype) == keras.DTypePolicy(policy).compute_dtype
    assert np.isfinite(numpy(ops.cast(output, "float32"))).all()


@specs(lambda layer: has_slots(layer) and hasattr(layer, "memory_of"))
def test_11_what_is_kept_from_step_to_step_is_float32_in_half_precision(spec):
    layer = built(spec, dtype="mixed_float16")
    _, state = layer.step(ops.cast(normal(B, D), "float16"), layer.initial_state(B, T))
    kept = [keras.backend.standardize_dtype(x.dtype) for x in keras.tree.flatten(state)]
    assert "float32" in kept and not {"float16", "bfloat16"} & set(kept)


@specs(lambda layer: not layer.control)
def test_12_a_training_step_moves_every_weight(spec):
    layer = built(spec)
    before = {w.path: numpy(w.value).copy() for w in layer.trainable_weights}
    model = model_of(layer)
    model.compile(keras.optimizers.Adam(1e-2), "mse", jit_compile=False)
    model.train_on_batch(normal(B, T, D), normal(B, T, D, seed=1))
    still = [w.path for w in layer.trainable_weights if np.array_equal(before[w.path], numpy(w.value))]
    if spec == "fourier" or mixers.resolve(spec).get("score") in ("dot", "scaled_dot", "l2"):
        assert not layer.trainable_weights
    else:
        assert layer.trainable_weights and not still


@pytest.mark.parametrize("shape", [(1, 1), (2, 67)], ids=str)
@specs()
def test_13_any_batch_and_any_length_will_do(spec, shape):
    layer = built(spec, length=shape[1])
    assert tuple(layer(normal(*shape, D)).shape) == (*shape, D)


@specs(lambda layer: not layer.fixed_length)
def test_13_of_no_positions_nothing_comes(spec):
    layer = built(spec)
    assert tuple(layer(normal(2, 0, D)).shape) == (2, 0, D)
    if layer.kind == "explicit":
        _, weights = layer(normal(2, 0, D), return_attention_scores=True)
        assert tuple(weights.shape)[2] == 0


@pytest.mark.compiles
@specs(lambda layer: not layer.fixed_length)
def test_13_an_unknown_length_trains_and_predicts_compiled(spec):
    layer = built(spec)
    model = model_of(layer, length=None)
    model.compile("sgd", "mse", jit_compile=True)
    for length in (5, 19):
        model.train_on_batch(normal(2, length, D), normal(2, length, D, seed=1))
        close(model.predict_on_batch(normal(2, length, D)), layer(normal(2, length, D)), 1e-4)
