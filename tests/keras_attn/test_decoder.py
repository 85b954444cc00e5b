"""A cell with attention: against the papers' equations in numpy, and what it keeps of the mixers' contract."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import AttentionDecoder, decoding, mixers, reinforce
from tests.autodiff import gradient

B, T, S, D, DM, U, WIDTH = 2, 5, 7, 3, 4, 11, 6
REAL = np.arange(T)[None] < np.array([3, T])[:, None]
PRESENT = np.arange(S)[None] < np.array([S, 4])[:, None]
ADDITIVE = {"mixer": "additive", "units": U}
# Those that go on from where they last looked, and some that do not.
MECHANISMS = {
    "location_sensitive": {"units": 5, "filters": 2, "kernel_size": 3},
    "gaussian_window": {"components": 3},
    "monotonic": {"units": 5, "score_bias": 0.0},
    "monotonic_chunkwise": {"units": 5, "score_bias": 0.0, "chunk_width": 3},
}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(numpy(actual), numpy(expected), rtol=tolerance, atol=tolerance)


def with_weights(layer, *shapes):
    layer.build(*shapes)
    rng = np.random.default_rng(1)
    layer.set_weights([(0.4 * rng.normal(size=w.shape)).astype(w.dtype) for w in layer.get_weights()])
    return layer


def built(attention=ADDITIVE, cell=None, **options):
    cell = keras.layers.GRUCell(WIDTH) if cell is None else cell
    return with_weights(AttentionDecoder(cell, attention, **options), (None, None, D), (None, None, DM))


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def gru(cell, x, states):
    (h,), (k, r, b) = states, map(numpy, cell.weights)
    xz, xr, xh = np.split(x @ k + b[0], 3)
    hz, hr, hh = np.split(h @ r + b[1], 3)
    z = sigmoid(xz + hz)
    h = z * h + (1.0 - z) * np.tanh(xh + sigmoid(xr + hr) * hh)
    return h, (h,)


def lstm(cell, x, states):
    (h, c), (k, r, b) = states, map(numpy, cell.weights)
    i, f, g, o = np.split(x @ k + h @ r + b, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, (h, c)


CELLS = {"gru": (keras.layers.GRUCell, gru, 1), "lstm": (keras.layers.LSTMCell, lstm, 2)}


def additive(layer, query, keys):
    v, w, (u, b) = numpy(layer.scale), numpy(layer.query_dense.kernel), map(numpy, layer.key_dense.weights)
    scores = np.array([v @ np.tanh(query @ w + key @ u + b) for key in keys])
    weights = np.exp(scores) / np.exp(scores).sum()
    return weights @ keys, weights


def by_loops(decoder, step, inputs, memory, states):
    """One sequence, one step after another: outputs (T, units) and weights (T, S)."""
    attention, outputs, weights = decoder.mechanisms[0], [], []
    last = np.zeros(decoder.units or WIDTH)
    for x in inputs:
        if decoder.order == "bahdanau":
            context, look = additive(attention, states[0], memory)
            hidden, states = step(decoder.cell, np.concatenate([x, context]), states)
        else:
            x = x if decoder.input_feeding is False else np.concatenate([x, last])
            hidden, states = step(decoder.cell, x, states)
            context, look = additive(attention, hidden, memory)
        last = hidden
        if decoder.combine is not None:
            last = np.tanh(np.concatenate([context, hidden]) @ numpy(decoder.combine.kernel))
        outputs.append(last)
        weights.append(look)
    return np.array(outputs), np.array(weights)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"units": 13},
        {"input_feeding": False},
        {"order": "bahdanau"},
        {"order": "bahdanau", "units": 13},
    ],
    ids=["luong", "luong_units", "no_feeding", "bahdanau", "bahdanau_units"],
)
@pytest.mark.parametrize("kind", CELLS)
def test_outputs_and_weights_are_those_of_the_papers(kind, options):
    cell_class, step, parts = CELLS[kind]
    decoder = built(cell=cell_class(WIDTH), **options)
    inputs, memory = normal(B, T, D), normal(B, S, DM, seed=1)
    states = [normal(B, WIDTH, seed=2 + part) for part in range(parts)]
    outputs, weights = decoder(inputs, memory, memory_mask=PRESENT, cell_state=states, return_attention_scores=True)
    for b in range(B):
        row = tuple(state[b] for state in states)
        expected, looks = by_loops(decoder, step, inputs[b], memory[b][PRESENT[b]], row)
        close(numpy(outputs)[b], expected)
        close(numpy(weights)[b, :, 0][:, PRESENT[b]], looks)
        assert np.all(numpy(weights)[b, :, 0][:, ~PRESENT[b]] == 0.0)


def test_without_a_first_state_the_cell_starts_at_zeros():
    decoder, inputs, memory = built(), normal(B, T, D), normal(B, S, DM, seed=1)
    close(decoder(inputs, memory), decoder(inputs, memory, cell_state=np.zeros((B, WIDTH), "float32")))


@pytest.mark.parametrize("order", ["luong", "bahdanau"])
@pytest.mark.parametrize("name", ["additive", *MECHANISMS])
def test_step_by_step_equals_all_at_once_with_the_same_history_of_weights(name, order):
    decoder = built({"mixer": name, **MECHANISMS.get(name, {})}, keras.layers.LSTMCell(WIDTH), order=order)
    inputs, memory = normal(B, T, D), normal(B, S, DM, seed=1)
    outputs, weights = decoder(inputs, memory, memory_mask=PRESENT, return_attention_scores=True)
    state, steps, looks = decoder.initial_state(memory, PRESENT), [], []
    for t in range(T):
        output, look, state = decoder.step(ops.convert_to_tensor(inputs[:, t]), state, return_attention_scores=True)
        steps.append(output)
        looks.append(look)
    close(ops.stack(steps, axis=1), outputs)
    close(ops.stack(looks, axis=1), weights)


def test_a_prompt_in_parts_equals_all_at_once_and_padded_steps_leave_the_state_as_it_was():
    decoder, inputs, memory = built("location_sensitive"), normal(B, T, D), normal(B, S, DM, seed=1)
    state = decoder.initial_state(memory)
    first, state = decoder.prefill(inputs[:, :2], state)
    second, weights, state = decoder.prefill(inputs[:, 2:], state, REAL[:, 2:], return_attention_scores=True)
    expected, history = decoder(inputs, memory, inputs_mask=REAL, return_attention_scores=True)
    close(ops.concatenate([first, second], axis=1), expected)
    close(weights, numpy(history)[:, 2:])
    assert np.all(numpy(expected)[~REAL] == 0.0) and np.all(numpy(history)[~REAL] == 0.0)
    _, short = decoder.prefill(inputs[:1, :3], decoder.initial_state(memory[:1]))
    for mine, other in zip(keras.tree.flatten(state), keras.tree.flatten(short)):
        close(numpy(mine)[:1], other)


def stateful(layer):
    layer = with_weights(mixers.get(layer), (None, 1, WIDTH), (None, S, DM))
    return bool(keras.tree.flatten(layer.memory_state(layer.prepare_memory(ops.ones((1, S, DM))))))


LOOKING_AT_POSITIONS = [name for name in mixers.names("explicit") if mixers.get(name).weights_over == "positions"]


@pytest.mark.parametrize("name", LOOKING_AT_POSITIONS)
def test_queries_one_after_another_get_what_the_layer_gives_them(name):
    spec = {"mixer": name, **MECHANISMS.get(name, {}), **({"alignment": "predictive"} if name == "local" else {})}
    layer = with_weights(mixers.get(spec), (None, 1, WIDTH), (None, S, DM))
    query, memory = normal(B, T, WIDTH), normal(B, S, DM, seed=1)
    prepared = layer.prepare_memory(memory, PRESENT)
    state, steps = layer.memory_state(prepared), []
    for t in range(T):
        mix, weights, state = layer.attend_step(ops.convert_to_tensor(query[:, t]), prepared, state)
        steps.append((mix, weights))
    # Without a memory of its own a layer sees each query as the only one.
    parts = [query] if name in MECHANISMS else [query[:, t : t + 1] for t in range(T)]
    looks = [layer(part, memory, value_mask=PRESENT, return_attention_scores=True) for part in parts]
    mixes, weights = (ops.stack(x, axis=1) for x in zip(*steps))
    close(mixes, np.concatenate([numpy(mix) for mix, _ in looks], axis=1))
    expected = [numpy(look) if len(look.shape) == 4 else numpy(look)[:, None] for _, look in looks]
    close(ops.swapaxes(weights, 1, 2), np.concatenate(expected, axis=2))
    assert stateful(spec) == (name in MECHANISMS or name == "local")


def test_local_attention_of_its_own_place_walks_along_the_real_keys():
    layer = with_weights(
        mixers.get({"mixer": "local", "alignment": "monotonic", "width": 1}), (None, 1, D), (None, S, D)
    )
    present = np.array([[1, 0, 1, 1, 1, 0, 1], [1, 1, 1, 1, 1, 1, 1]], dtype=bool)
    prepared = layer.prepare_memory(normal(B, S, D), present)
    state, seen = layer.memory_state(prepared), []
    for t in range(3):
        _, weights, state = layer.attend_step(ops.convert_to_tensor(normal(B, D, seed=t)), prepared, state)
        seen.append(numpy(weights)[:, 0] > 0.0)
    assert [np.flatnonzero(look[0]).tolist() for look in seen] == [[0, 2], [0, 2, 3], [2, 3, 4]]
    assert [np.flatnonzero(look[1]).tolist() for look in seen] == [[0, 1], [0, 1, 2], [1, 2, 3]]


def test_several_mechanisms_look_each_for_itself_and_their_contexts_stand_side_by_side():
    specs = [ADDITIVE, {"mixer": "multi_head", "num_heads": 3}, {"mixer": "monotonic", "units": 5}]
    decoder = built(specs, order="bahdanau")
    inputs, memory = normal(B, T, D), normal(B, S, DM, seed=1)
    outputs, history = decoder(inputs, memory, return_attention_scores=True)
    assert tuple(outputs.shape) == (B, T, WIDTH)
    assert [tuple(weights.shape) for weights in history] == [(B, T, heads, S) for heads in (1, 3, 1)]
    query, contexts = np.zeros((B, 1, WIDTH), "float32"), []
    for layer, weights in zip(decoder.mechanisms, history):
        context, looks = layer(query, memory, return_attention_scores=True)
        contexts.append(numpy(context)[:, 0])
        close(numpy(weights)[:, 0], numpy(looks)[:, :, 0] if len(looks.shape) == 4 else looks)
    entering = np.concatenate([inputs[:, 0], *contexts], axis=-1)
    close(numpy(outputs)[:, 0], decoder.cell(entering, [np.zeros((B, WIDTH), "float32")])[0])


class Leaky(keras.layers.Layer):
    """The least that Keras takes for a cell."""

    state_size = WIDTH

    def call(self, inputs, states):
        state = 0.5 * states[0] + ops.mean(inputs, axis=-1, keepdims=True)
        return state, [state]


@pytest.mark.parametrize("order", ["luong", "bahdanau"])
def test_any_cell_will_do(order):
    decoder, inputs, memory = built(cell=Leaky(), order=order), normal(B, T, D), normal(B, S, DM, seed=1)
    state = decoder.initial_state(memory)
    first, state = decoder.step(ops.convert_to_tensor(inputs[:, 0]), state)
    second, _ = decoder.step(ops.convert_to_tensor(inputs[:, 1]), state)
    close(ops.stack([first, second], axis=1), numpy(decoder(inputs, memory))[:, :2])


def test_stacked_cells_ask_with_the_state_of_the_last_one():
    cells = keras.layers.StackedRNNCells([keras.layers.LSTMCell(5), keras.layers.LSTMCell(WIDTH)])
    decoder = built(cell=cells, order="bahdanau")
    memory, state = normal(B, S, DM), [[normal(B, n, seed=n), normal(B, n, seed=1)] for n in (5, WIDTH)]
    _, weights = decoder(normal(B, T, D), memory, cell_state=state, return_attention_scores=True)
    _, looks = decoder.mechanisms[0](state[1][0][:, None], memory, return_attention_scores=True)
    close(numpy(weights)[:, 0], looks)


@pytest.mark.parametrize("name", ["additive", *MECHANISMS])
def test_what_stands_at_padded_positions_reaches_nothing(name):
    decoder = built({"mixer": name, **MECHANISMS.get(name, {})})
    inputs, memory = normal(B, T, D), normal(B, S, DM, seed=1)

    def run(fill):
        poisoned = np.where(REAL[..., None], inputs, fill), np.where(PRESENT[..., None], memory, fill)
        return [x.astype("float32") for x in poisoned], {"inputs_mask": REAL, "memory_mask": PRESENT}

    (x, m), masks = run(0.0)
    expected = decoder(x, m, **masks)
    (x, m), _ = run(np.nan)
    close(decoder(x, m, **masks), expected)
    grad = gradient(lambda m: ops.sum(ops.square(decoder(x, m, **masks))), m)
    assert np.isfinite(grad).all() and np.all(grad[~PRESENT] == 0.0) and np.any(grad[1, 0])


def test_a_memory_of_padding_alone_gives_no_context():
    decoder, inputs, memory = built(), normal(B, T, D), normal(B, S, DM, seed=1)
    empty = np.zeros((B, S), dtype=bool)
    outputs, weights = decoder(inputs, memory, memory_mask=empty, return_attention_scores=True)
    assert np.all(numpy(weights) == 0.0)
    close(outputs, decoder(inputs, np.zeros_like(memory)))


@pytest.mark.parametrize("order", ["luong", "bahdanau"])
def test_gradients_are_those_of_the_steps(order):
    decoder, inputs, memory = built(order=order), normal(B, T, D), normal(B, S, DM, seed=1)

    def by_steps(memory):
        state, total = decoder.initial_state(memory), 0.0
        for t in range(T):
            output, state = decoder.step(ops.convert_to_tensor(inputs[:, t]), state)
            total = total + ops.sum(ops.square(output))
        return total

    at_once = gradient(lambda memory: ops.sum(ops.square(decoder(inputs, memory))), memory)
    close(at_once, gradient(by_steps, memory))


def test_masks_from_keras_equal_the_same_by_hand():
    decoder = built()
    inputs, memory = normal(B, T, D) * REAL[..., None], normal(B, S, DM, seed=1) * PRESENT[..., None]
    by_keras = decoder(keras.layers.Masking()(inputs), keras.layers.Masking()(memory))
    close(by_keras, decoder(inputs, memory, inputs_mask=REAL, memory_mask=PRESENT))
    assert np.array_equal(numpy(by_keras._keras_mask), REAL)


def model_of(decoder, **options):
    inputs, memory = keras.Input((None, D)), keras.Input((None, DM))
    present = keras.Input((None,), dtype="bool")
    return keras.Model([inputs, memory, present], decoder(inputs, memory, memory_mask=present, **options))


def test_a_saved_model_computes_the_same(tmp_path):
    layer = mixers.get({"mixer": "location_sensitive", **MECHANISMS["location_sensitive"]})
    cells = keras.layers.StackedRNNCells([keras.layers.LSTMCell(5), keras.layers.GRUCell(WIDTH)])
    model = model_of(built([ADDITIVE, layer], cells, units=7), return_attention_scores=True)
    assert [x.shape for x in keras.tree.flatten(model.output)] == [(None, None, 7), *[(None, None, 1, None)] * 2]
    model.save(tmp_path / "model.keras")
    arguments = [normal(B, T, D), normal(B, S, DM, seed=1), PRESENT]
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for actual, expected in zip(keras.tree.flatten(loaded(arguments)), keras.tree.flatten(model(arguments))):
        close(actual, expected)


@pytest.mark.parametrize(
    "options", [{}, {"order": "bahdanau", "units": 7}, {"attention": [ADDITIVE, "local"], "seed": 3}]
)
def test_a_copy_from_the_config_is_the_same_layer(options):
    options = {"attention": ADDITIVE, "input_feeding": None, **options}
    decoder = AttentionDecoder(keras.layers.GRUCell(WIDTH, name="cell"), name="decoder", **options)
    copy = AttentionDecoder.from_config(decoder.get_config())
    assert copy.get_config() == decoder.get_config()
    assert copy.is_list == isinstance(options["attention"], list) and copy.cell.units == WIDTH


@pytest.mark.compiles
@pytest.mark.parametrize("order", ["luong", "bahdanau"])
def test_at_unknown_lengths_it_trains_compiled_and_every_weight_moves(order):
    cell = keras.layers.GRUCell(WIDTH, dropout=0.1, recurrent_dropout=0.1)
    decoder = built([{**ADDITIVE, "dropout": 0.1}], cell, order=order, units=7)
    model = model_of(decoder)
    model.compile(keras.optimizers.Adam(1e-2), "mse", jit_compile=True)
    before = {w.path: numpy(w.value).copy() for w in decoder.trainable_weights}
    arguments = [normal(B, T, D), normal(B, S, DM, seed=1), PRESENT]
    model.train_on_batch(arguments, normal(B, T, 7, seed=2))
    assert not [w.path for w in decoder.trainable_weights if np.array_equal(before[w.path], numpy(w.value))]
    close(model.predict_on_batch(arguments), decoder(*arguments[:2], memory_mask=PRESENT), 1e-4)


@pytest.mark.trains
@pytest.mark.parametrize("name", ["additive", "multi_head", "local", *MECHANISMS])
@pytest.mark.parametrize("length", [S, None])
def test_the_last_batch_may_be_smaller(name, length):
    inputs, memory = keras.Input((T, D)), keras.Input((length, DM))
    decoder = AttentionDecoder(keras.layers.GRUCell(WIDTH), {"mixer": name, **MECHANISMS.get(name, {})})
    model = keras.Model([inputs, memory], decoder(inputs, memory))
    # As Keras chooses: with XLA on tensorflow the size of a batch must be known.
    model.compile("sgd", "mse")
    data = [normal(5, T, D), normal(5, S, DM, seed=1)]
    history = model.fit(data, normal(5, T, WIDTH, seed=2), batch_size=2, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert decoder.supports_jit == (keras.backend.backend() != "tensorflow")


@pytest.mark.parametrize("name", ["additive", *MECHANISMS])
def test_dropout_acts_in_training_only_and_repeats_with_its_seed(name):
    spec = {"mixer": name, **MECHANISMS.get(name, {}), "dropout": 0.5}
    first, second, other = (built([spec], seed=seed) for seed in (3, 3, 4))
    inputs, memory = normal(B, T, D), normal(B, S, DM, seed=1)
    close(first(inputs, memory), other(inputs, memory))
    dropped, (weights,) = first(inputs, memory, training=True, return_attention_scores=True)
    close(second(inputs, memory, training=True), dropped)
    assert not np.allclose(numpy(other(inputs, memory, training=True)), numpy(dropped), atol=1e-3)
    # Another pattern at each step: two of the same query see different memories.
    assert np.all(np.isfinite(numpy(weights))) and not np.allclose(
        numpy(first(inputs, memory)), numpy(dropped), atol=1e-3
    )


def test_each_step_drops_other_weights():
    decoder = built([{"mixer": "multiplicative", "dropout": 0.5}], seed=3, input_feeding=False)
    # The cell's state stays at zero, so that all steps ask alike.
    decoder.cell.set_weights([np.zeros_like(w) for w in decoder.cell.get_weights()])
    outputs = numpy(decoder(normal(1, T, D), normal(1, 97, DM, seed=1), training=True))[0]
    assert len(np.unique(outputs.round(5), axis=0)) == T


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", ["multi_head", "monotonic", "location_sensitive"])
def test_half_precision_stays_finite_and_near(name, policy):
    spec = {"mixer": name, **MECHANISMS.get(name, {}), **({"num_heads": 2} if name == "multi_head" else {})}
    half = built(spec, keras.layers.GRUCell(WIDTH, dtype=policy), dtype=policy)
    inputs, memory = normal(B, T, D), normal(B, S, DM, seed=1)
    outputs, weights = half(inputs, memory, memory_mask=PRESENT, return_attention_scores=True)
    assert keras.backend.standardize_dtype(outputs.dtype) == half.compute_dtype
    assert np.isfinite(numpy(ops.cast(weights, "float32"))).all()
    close(ops.cast(outputs, "float32"), built(spec)(inputs, memory, memory_mask=PRESENT), 0.05)
    state = half.initial_state(memory)
    output, state = half.step(ops.convert_to_tensor(inputs[:, 0]), state)
    close(ops.cast(output, "float32"), numpy(ops.cast(half(inputs, memory), "float32"))[:, 0], 0.05)


def test_beams_that_go_on_are_those_hypotheses_from_scratch():
    decoder, memory = built("location_sensitive"), normal(1, S, DM)
    inputs = normal(3, T, D, seed=1)
    state = decoding.repeat(decoder.initial_state(memory), 3)
    _, state = decoder.prefill(inputs[:, :3], state)
    rows = [2, 0, 2]
    actual, _ = decoder.step(ops.convert_to_tensor(inputs[:, 3]), decoding.reorder(state, rows))
    hypotheses = np.concatenate([inputs[rows, :3], inputs[:, 3:4]], axis=1)
    close(actual, numpy(decoder(hypotheses, np.repeat(memory, 3, axis=0)))[:, 3])


def test_draws_inside_of_a_loop_cannot_be_rewarded():
    decoder = built("stochastic_hard")
    with reinforce.recording(), pytest.raises(ValueError, match="cannot tell a ReinforceModel"):
        decoder(normal(B, T, D), normal(B, S, DM), training=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cell": "gru"}, "keras.layers.GRUCell"),
        ({"attention": "gru"}, "explicit mixer"),
        ({"attention": keras.layers.Attention()}, "explicit mixer"),
        ({"order": "luon"}, "Did you mean 'luong'"),
        ({"order": "bahdanau", "input_feeding": True}, "enters the cell already"),
        ({"input_feeding": "no"}, "True or False"),
        ({"units": 0}, "at least 1"),
    ],
)
def test_what_is_not_possible_is_refused_with_advice(change, message):
    with pytest.raises(ValueError, match=message):
        AttentionDecoder(**{"cell": keras.layers.GRUCell(WIDTH), "attention": "additive", **change})
