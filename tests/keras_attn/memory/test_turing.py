import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import NeuralTuringMachine, NeuralTuringMachineCell
from keras_attn.memory import draw_weights
from tests.keras_attn.memory import loops
from tests.keras_attn.memory.machines import B, D, T, lstm_of, normal, numpy, parts_of, shaken

N, WIDTH = 7, 2


def by_loops(layer, inputs):
    """Outputs `(T, D)`, weights `(H, T, N)` and the last memory of one sequence."""
    parts = parts_of(layer)
    reads, heads = layer.read_heads, layer.weight_rows
    memory = parts["cell/first_memory"] if "cell/first_memory" in parts else np.full((N, WIDTH), 1e-6)
    weights = [loops.softmax(row) for row in parts["cell/first_weights"]]
    previous, carry = np.zeros(layer.cell.output_size), np.zeros(layer.cell.units)
    outputs, shown = [], []
    for x in inputs.astype("float64"):
        output, carry = loops.lstm(x, previous, carry, lstm_of(parts))
        asked = output @ parts["cell/interface_kernel"] + parts["cell/interface_bias"]
        keys, asked = loops.taken(asked, heads, WIDTH)
        strengths, asked = loops.taken(asked, heads)
        gates, asked = loops.taken(asked, heads)
        shifts, asked = loops.taken(asked, heads, 2 * layer.shift + 1)
        exponents, asked = loops.taken(asked, heads)
        erase, add = loops.taken(asked, layer.write_heads, WIDTH)
        for h in range(heads):
            content = loops.content(np.tanh(keys[h]), loops.softplus(strengths[h]), memory)
            gate = loops.sigmoid(gates[h])
            moved = loops.shift(gate * content + (1.0 - gate) * weights[h], loops.softmax(shifts[h]))
            weights[h] = loops.sharpen(moved, 1.0 + loops.softplus(exponents[h]))
        read = [weight @ memory for weight in weights[:reads]]
        add = np.tanh(add.reshape(layer.write_heads, WIDTH))
        memory = loops.write(memory, weights[reads:], loops.sigmoid(erase), add)
        previous = np.concatenate([output, *read])
        outputs.append(previous @ parts["output/kernel"] + parts["output/bias"])
        shown.append(np.array(weights))
    return np.array(outputs), np.stack(shown, axis=1), memory


@pytest.mark.parametrize(
    "options",
    [{}, {"read_heads": 3, "write_heads": 2, "shift": 2, "initial_memory": "learned"}],
    ids=["plain", "heads"],
)
def test_the_machine_follows_the_equations(options):
    layer, inputs = shaken(NeuralTuringMachine(N, WIDTH, **options)), normal(B, T, D)
    outputs, weights = layer(inputs, return_attention_scores=True)
    _, state = layer.prefill(ops.convert_to_tensor(inputs), layer.initial_state(B))
    for b in range(B):
        expected, expected_weights, memory = by_loops(layer, inputs[b])
        np.testing.assert_allclose(numpy(outputs)[b], expected, rtol=2e-3, atol=2e-5)
        np.testing.assert_allclose(numpy(weights)[b], expected_weights, rtol=2e-3, atol=2e-5)
        np.testing.assert_allclose(numpy(layer.memory_of(state)["memory"])[b], memory, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("controller", ["lstm", "gru", "feed_forward"])
def test_the_cell_runs_in_keras_s_own_layer(controller):
    cell = NeuralTuringMachineCell(units=3, slots=N, slot_width=WIDTH, controller=controller)
    layer = keras.layers.RNN(cell, return_sequences=True, return_state=True)
    inputs, mask = normal(B, T, D), np.arange(T)[None] < np.array([T, 2, 3])[:, None]
    outputs, *states = layer(inputs, mask=mask)
    assert tuple(outputs.shape) == (B, T, 3 + WIDTH)
    assert [tuple(state.shape) for state in states] == [(B, size) for size in cell.state_size]
    _, *short = layer(inputs[:, :2])
    for state, after_two in zip(states, short):
        np.testing.assert_allclose(numpy(state)[1], numpy(after_two)[1], rtol=1e-5, atol=1e-6)
    copy = keras.layers.RNN.from_config(layer.get_config())
    assert copy.cell.get_config() == cell.get_config()


def test_a_cell_of_keras_can_be_the_controller():
    stack = keras.layers.StackedRNNCells([keras.layers.LSTMCell(5), keras.layers.GRUCell(3)])
    layer = NeuralTuringMachine(N, WIDTH, controller=stack)
    outputs = layer(normal(B, T, D))
    assert layer.cell.output_size == 3 + WIDTH and len(layer.cell.get_initial_state(B)) == 1 + 3 + 2
    copy = NeuralTuringMachine.from_config(layer.get_config())
    copy.build((None, T, D))
    copy.set_weights(layer.get_weights())
    np.testing.assert_allclose(numpy(copy(normal(B, T, D))), numpy(outputs), rtol=1e-5, atol=1e-6)


def test_our_lstm_is_keras_s():
    layer = shaken(NeuralTuringMachine(N, WIDTH, units=3))
    other = NeuralTuringMachine(N, WIDTH, controller=keras.layers.LSTMCell(3))
    other.build((None, T, D))
    parts = lstm_of(parts_of(layer))

    def reordered(x):
        let_in, keep, let_out, candidate = np.split(x, 4, axis=-1)
        return np.concatenate([let_in, keep, candidate, let_out], axis=-1)

    kernel, recurrent = reordered(parts["kernel"])[3:], reordered(parts["kernel"])[:3]
    ours = {w.path.split("/", 1)[1]: numpy(w) for w in layer.weights}
    for weight in other.weights:
        if weight.path.endswith("recurrent_kernel"):
            weight.assign(recurrent)
        elif "lstm_cell" in weight.path and weight.path.endswith("kernel"):
            weight.assign(np.concatenate([reordered(parts["input_kernel"]), kernel]))
        elif "lstm_cell" in weight.path:
            weight.assign(reordered(parts["bias"]))
        else:
            weight.assign(ours[weight.path.split("/", 1)[1]])
    inputs = normal(B, T, D)
    np.testing.assert_allclose(numpy(other(inputs)), numpy(layer(inputs)), rtol=1e-4, atol=1e-5)


def test_padding_leaves_state_and_memory_untouched():
    layer = shaken(NeuralTuringMachine(N, WIDTH, stateful=True), batch=B)
    before = [numpy(x) for x in layer.stored_state()]
    mask = np.ones((B, T), dtype=bool)
    mask[1] = False
    layer(normal(B, T, D), mask=mask)
    for old, new in zip(before, layer.stored_state()):
        np.testing.assert_array_equal(numpy(new)[1], old[1])
    assert not np.array_equal(numpy(layer.stored_state()[-2])[0], before[-2][0])


def test_stateful_goes_on_where_it_stopped_and_forgets_when_told():
    layer = NeuralTuringMachine(N, WIDTH, stateful=True)
    shaken(layer, batch=B)
    layer.reset_state()
    plain = NeuralTuringMachine(N, WIDTH)
    plain.build((None, T, D))
    plain.set_weights([numpy(w) for w in layer.trainable_weights])
    inputs = normal(B, 2 * T, D)
    whole = numpy(plain(inputs))
    parts = [numpy(layer(inputs[:, :T])), numpy(layer(inputs[:, T:]))]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=1e-4, atol=1e-5)
    layer.reset_state()
    np.testing.assert_allclose(numpy(layer(inputs[:, :T])), whole[:, :T], rtol=1e-4, atol=1e-5)


def test_a_stateful_machine_trains_with_its_memory_kept():
    inputs = keras.Input(batch_shape=(B, T, D))
    layer = NeuralTuringMachine(N, WIDTH, stateful=True)
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", "mse", jit_compile=False)
    before = [numpy(x) for x in layer.stored_state()]
    model.fit(normal(B, T, D), normal(B, T, D), epochs=1, batch_size=B, verbose=0)
    assert not np.array_equal(numpy(layer.stored_state()[0]), before[0])


def test_a_memory_that_is_restored_goes_on_as_it_did():
    layer = shaken(NeuralTuringMachine(N, WIDTH, stateful=True), batch=B)
    layer(normal(B, T, D))
    kept = layer.stored_state()
    after = numpy(layer(normal(B, T, D, seed=1)))
    layer.restore_state(kept)
    np.testing.assert_array_equal(numpy(layer(normal(B, T, D, seed=1))), after)


def test_another_batch_or_memory_is_refused_and_what_is_stored_stays(tmp_path):
    layer = shaken(NeuralTuringMachine(N, WIDTH, stateful=True), batch=B)
    layer(normal(B, T, D))
    before = [numpy(x) for x in layer.stored_state()]
    other = shaken(NeuralTuringMachine(N + 4, WIDTH, stateful=True), batch=B)
    with pytest.raises(ValueError, match=r"a batch of 3.*Received: a batch of 5"):
        layer(normal(5, T, D))
    with pytest.raises(ValueError, match="7 slots of 2"):
        layer.restore_state(other.stored_state())
    with pytest.raises(ValueError, match="7 slots of 2"):
        layer.step(ops.convert_to_tensor(normal(B, D)), other.initial_state(B))
    with pytest.raises(ValueError, match="7 slots of 2"):
        layer.step(ops.convert_to_tensor(normal(B, D)), layer.initial_state(1))
    keras.Sequential([keras.Input(batch_shape=(B, T, D)), other]).save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(ValueError):
        keras.Sequential([keras.Input(batch_shape=(B, T, D)), layer]).load_weights(tmp_path / "other.weights.h5")
    for old, new in zip(before, layer.stored_state()):
        np.testing.assert_array_equal(numpy(new), old)


def test_a_stateful_machine_within_a_model_begins_as_one_without_state():
    class Outer(keras.Model):
        def __init__(self, stateful):
            super().__init__()
            self.inner = NeuralTuringMachine(N, WIDTH, initial_memory="learned", stateful=stateful)

        def call(self, inputs):
            return self.inner(inputs)

    inputs, outer, plain = normal(B, T, D), Outer(True), Outer(False)
    first = numpy(outer(inputs))
    plain(inputs)
    plain.set_weights([numpy(weight) for weight in outer.trainable_weights])
    np.testing.assert_allclose(first, numpy(plain(inputs)), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="batches of tf.data need tensorflow")
def test_a_stateful_machine_takes_batches_of_tf_data():
    import tensorflow as tf

    inputs = keras.Input(batch_shape=(B, T, D))
    model = keras.Model(inputs, NeuralTuringMachine(N, WIDTH, stateful=True)(inputs))
    model.compile("sgd", "mse")
    arrays = normal(2 * B, T, D), normal(2 * B, T, D, seed=1)
    # Of how many rows these batches are, nobody has said.
    batches = tf.data.Dataset.from_tensor_slices(arrays).batch(B)
    assert batches.element_spec[0].shape[0] is None
    history = model.fit(batches, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"][0])
    with pytest.raises(Exception, match="3"):
        model.fit(tf.data.Dataset.from_tensor_slices(arrays).batch(B + 1), epochs=1, verbose=0)


def test_keras_s_own_layer_stores_a_cell_s_states_and_resets_them():
    cell = NeuralTuringMachineCell(units=3, slots=N, slot_width=WIDTH)
    layer, inputs = keras.layers.RNN(cell, stateful=True), normal(B, T, D)
    layer.build((B, T, D))
    first = numpy(layer(inputs))
    assert np.abs(numpy(layer(inputs)) - first).max() > 1e-4
    layer.reset_state()
    np.testing.assert_allclose(numpy(layer(inputs)), first, rtol=1e-5, atol=1e-6)


def test_weights_go_from_a_stateless_machine_to_a_stateful_one_and_back(tmp_path):
    def model(stateful, batch):
        return keras.Sequential(
            [keras.Input(batch_shape=(batch, T, D)), NeuralTuringMachine(N, WIDTH, stateful=stateful)]
        )

    plain, stateful, again = model(False, None), model(True, 1), model(False, None)
    plain.save_weights(tmp_path / "plain.weights.h5")
    stateful.load_weights(tmp_path / "plain.weights.h5")
    expected = numpy(plain(normal(1, T, D)))
    np.testing.assert_allclose(numpy(stateful(normal(1, T, D))), expected, rtol=1e-5, atol=1e-6)
    stateful.save_weights(tmp_path / "stateful.weights.h5")
    again.load_weights(tmp_path / "stateful.weights.h5")
    np.testing.assert_allclose(numpy(again(normal(1, T, D))), expected, rtol=1e-5, atol=1e-6)


def test_a_stateful_machine_of_unknown_batch_is_refused():
    with pytest.raises(ValueError, match="batch"):
        NeuralTuringMachine(N, WIDTH, stateful=True)(keras.Input((T, D)))
    with pytest.raises(ValueError, match="stateful=True"):
        NeuralTuringMachine(N, WIDTH).reset_state()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"slots": 0}, "slots"),
        ({"slot_width": 0}, "slot_width"),
        ({"read_heads": 0}, "read_heads"),
        ({"write_heads": -1}, "write_heads"),
        ({"slots": 4, "shift": 2}, "at most 1"),
        ({"shift": -1}, "shift"),
        ({"controller": "lsmt"}, "Did you mean 'lstm'"),
        ({"controller": keras.layers.LSTMCell(3, dropout=0.5)}, "no dropout"),
        ({"initial_memory": "lerned"}, "Did you mean 'learned'"),
        ({"stateful": "yes"}, "True or False"),
        ({"units": 0}, "units"),
    ],
    ids=lambda x: None if isinstance(x, str) else next(iter(x)),
)
def test_an_impossible_option_is_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        NeuralTuringMachine(**options)


def test_states_are_float32_in_half_precision():
    layer = NeuralTuringMachine(N, WIDTH, dtype="mixed_float16")
    outputs = layer(normal(B, T, D))
    assert keras.backend.standardize_dtype(outputs.dtype) == "float16"
    _, state = layer.step(ops.convert_to_tensor(normal(B, D)), layer.initial_state(B))
    assert {keras.backend.standardize_dtype(x.dtype) for x in state} == {"float32"}
    assert {weight.dtype for weight in layer.weights} == {"float32"}


def test_what_the_heads_did_becomes_a_picture(tmp_path):
    layer = NeuralTuringMachine(N, WIDTH, read_heads=2)
    _, weights = layer(normal(B, T, D), return_attention_scores=True)
    figure = draw_weights(weights[0], ["read 1", "read 2", "write"], steps="abcde", path=tmp_path / "weights.png")
    np.testing.assert_allclose(figure.axes[2].images[0].get_array(), numpy(weights)[0, 2].T)
    assert (tmp_path / "weights.png").stat().st_size > 0
    with pytest.raises(ValueError, match="one sequence"):
        draw_weights(weights)
    with pytest.raises(ValueError, match="3 `names`"):
        draw_weights(weights[0], ["read"])
