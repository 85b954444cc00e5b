import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import DeltaRule, LinearAttention
from keras_attn.explicit import _linear_state
from tests.keras_attn.explicit.state_forms import built, close, normal, numpy


def by_a_loop(q, k, v, log_decay, memory):
    q, k, v, decay = (x.astype("float64") for x in (q, k, v, np.exp(log_decay)))
    outputs, state = np.zeros(v.shape), np.array(memory, "float64")
    for t in range(q.shape[2]):
        state = decay[:, :, t, :, None] * state + k[:, :, t, :, None] * v[:, :, t, None, :]
        outputs[:, :, t] = np.einsum("bhd,bhde->bhe", q[:, :, t], state)
    return outputs, state


@pytest.mark.parametrize("channels", [1, 3], ids=["one decay", "a decay for each channel"])
@pytest.mark.parametrize("length", [1, 13, 61])
def test_reading_equals_the_loop_from_any_state_through_many_blocks(monkeypatch, length, channels):
    monkeypatch.setattr(_linear_state, "CHUNK", 4)
    monkeypatch.setattr(_linear_state, "BLOCK", 2)
    q, k, v, memory = (
        normal(2, 3, length, 3),
        normal(2, 3, length, 3, seed=1),
        normal(2, 3, length, 5),
        normal(2, 3, 3, 5),
    )
    log_decay = -np.exp(3.0 * normal(2, 3, length, channels, seed=2))
    tensors = [ops.convert_to_tensor(x) for x in (q, k, v, log_decay)]
    for start in (memory, None):
        outputs, state = _linear_state.read(*tensors, None if start is None else ops.convert_to_tensor(start))
        expected, last = by_a_loop(q, k, v, log_decay, np.zeros_like(memory) if start is None else start)
        close(outputs, expected)
        close(state, last)


def test_last_positions_are_cut_off_or_filled_up_in_front():
    x = normal(2, 3, 5, 7)
    close(_linear_state.last(ops.convert_to_tensor(x), 2), x[:, :, 3:], 0.0)
    filled = numpy(_linear_state.last(ops.convert_to_tensor(x), 6))
    close(filled[:, :, 1:], x, 0.0)
    assert filled.shape == (2, 3, 6, 7) and np.all(filled[:, :, 0] == 0.0)


def test_decays_are_products_from_after_the_key_up_to_the_query():
    decay = np.array([0.5, 0.25, 1e-30, 0.125])
    left = numpy(_linear_state.decays(ops.convert_to_tensor(np.log(decay)[:, None].astype("float32"))))
    expected = [[np.prod(decay[s + 1 : t + 1]) if s <= t else 0.0 for s in range(4)] for t in range(4)]
    np.testing.assert_allclose(left, expected, rtol=1e-4)


@pytest.mark.compiles
@pytest.mark.parametrize("make", [LinearAttention, DeltaRule])
def test_an_unknown_length_of_many_blocks_trains_compiled_like_a_known_one(monkeypatch, make):
    for name, value in {"CHUNK": 4, "DELTA_CHUNK": 4, "BLOCK": 4, "UNKNOWN_LENGTH_ROUNDS": 1}.items():
        monkeypatch.setattr(_linear_state, name, value)
    unknown, known = (trained(built(make(num_heads=2)), *options) for options in ((None, True), (61, False)))
    for actual, expected in zip(unknown, known, strict=True):
        close(actual, expected, 1e-4)


def trained(layer, length, jit_compile):
    """Weights after a step on 61 positions."""
    inputs = keras.Input((length, 5))
    model = keras.Model(inputs, layer(inputs, use_causal_mask=True))
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=jit_compile)
    model.train_on_batch(normal(2, 61, 5), normal(2, 61, 5, seed=1))
    return layer.get_weights()
