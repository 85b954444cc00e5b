import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_attn
from keras_attn import inspection, mixers
from keras_attn.inspection import _entrance
from tests.families import first_of_families

B, T, D = 2, 7, 5


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


X, REAL = normal(B, T, D), np.arange(T) < np.array([[T], [4]])
LINEAR = [
    name
    for name in (*mixers.names("implicit"), *mixers.names("control"))
    if type(mixers.get(name)).mixing is not keras_attn.mixer.Implicit.mixing
]


def of(layer, *args, **kwargs):
    """The only matrix of a model."""
    (found,) = inspection.implicit_weights(layer, *args, **kwargs).values()
    return found


def drawn(name):
    """A layer with weights that make all its parts count."""
    layer = mixers.get(name)
    layer.build((None, T, D))
    random = np.random.default_rng(3)
    layer.set_weights([x + 0.3 * random.normal(size=x.shape) for x in layer.get_weights()])
    return layer


@pytest.mark.parametrize("name", first_of_families(LINEAR))
@pytest.mark.parametrize("mask", [None, REAL], ids=["whole", "padded"])
def test_of_the_values_it_makes_the_layer_s_output(name, mask):
    layer = drawn(name)
    found = of(layer, X, mask=mask)
    zeroed = ops.convert_to_tensor(X if mask is None else X * mask[..., None])
    mixing = layer.mixing(zeroed, None if mask is None else ops.convert_to_tensor(mask), False)
    expected = numpy(layer(X, mask=mask))
    real = np.ones((B, T), bool) if mask is None else mask
    if not found.dense:
        mix = np.einsum("bcts,bsc->btc", found.matrix, numpy(mixing.values))
        output = numpy(mixing.read(ops.cast(mix, mixing.values.dtype)))
        np.testing.assert_allclose(output * real[..., None], expected, rtol=1e-3, atol=1e-5)
    output = numpy(mixing.read(mixing.mix(mixing.values)))
    np.testing.assert_allclose(output * real[..., None], expected, rtol=1e-3, atol=1e-5)
    assert np.all(found.matrix[1][:, ~real[1]] == 0.0) and np.all(found.matrix[1][..., ~real[1]] == 0.0)
    assert np.any(found.matrix[1] != 0.0)


@pytest.mark.parametrize("name", ["identity", "pooling", "fourier"])
def test_what_has_no_gates_and_no_projections_is_its_jacobian(name):
    layer = mixers.get(name)
    found = of(layer, X)
    assert not found.gated
    np.testing.assert_allclose(
        np.sqrt(np.square(found.matrix).sum(axis=1)), inspection.sensitivity(layer, X), rtol=1e-3, atol=1e-6
    )


def test_a_recurrence_s_matrix_by_a_loop():
    layer = drawn("min_gru")
    found = of(layer, X).matrix
    decay = numpy(layer.gates(ops.convert_to_tensor(X))[0])
    share = 1.0 - decay
    for t in range(T):
        for s in range(T):
            expected = share[:, s] * decay[:, s + 1 : t + 1].prod(axis=1) if s <= t else 0.0
            np.testing.assert_allclose(found[:, :, t, s], np.broadcast_to(expected, (B, D)), rtol=1e-4, atol=1e-7)
    # Like attention's, rows are shares of a whole, which fills as it goes on.
    np.testing.assert_allclose(found.sum(-1), 1.0 - np.cumprod(decay, axis=1).swapaxes(1, 2), rtol=1e-4)


def minimal(update_kernel):
    layer = keras_attn.MinGRU()
    layer.build((None, T, D))
    layer.update_dense.kernel.assign(update_kernel)
    return layer


def test_with_gates_that_see_nothing_it_is_the_jacobian_by_the_values_and_otherwise_it_is_not():
    for kernel, same in ((np.zeros((D, D)), True), (normal(D, D, seed=1), False)):
        layer = minimal(kernel)
        jacobian = inspection.sensitivity(layer, X, reduce=None)
        # ∂y_tc / ∂x_sd = M_cts W_dc
        by_values = np.einsum("bcts,dc->btcsd", of(layer, X).matrix, numpy(layer.candidate_dense.kernel))
        assert np.allclose(jacobian, by_values, rtol=1e-3, atol=1e-5) == same


def test_half_of_the_width_looks_ahead_if_it_reads_both_ways():
    found = of(mixers.get({"mixer": "min_gru", "bidirectional": True}), X).matrix
    onward, back = found[:, :3], found[:, 3:]
    assert np.all(np.triu(onward, 1) == 0.0) and np.all(np.tril(back, -1) == 0.0)
    assert np.all(np.tril(onward).sum((-2, -1)) > 0.0) and np.all(np.triu(back).sum((-2, -1)) > 0.0)


def test_a_gated_convolution_s_by_hand():
    layer = keras_attn.GatedConvolution(kernel_size=3)
    layer.build((None, T, D))
    found = of(layer, X, use_causal_mask=True)
    kernel, bias = layer.convolution.get_weights()
    padded = np.pad(X, ((0, 0), (2, 0), (0, 0)))
    windows = np.stack([padded[:, t : t + 3] for t in range(T)], axis=1)
    gate = 1.0 / (1.0 + np.exp(-np.einsum("btkd,kdc->btc", windows, kernel[..., D:]) - bias[D:]))
    norms = np.sqrt(np.square(kernel[..., :D]).sum(axis=1))
    for t in range(T):
        for s in range(T):
            lag = s - t + 2
            expected = norms[lag] * gate[:, t] if 0 <= lag < 3 else np.zeros((B, D))
            np.testing.assert_allclose(found.matrix[:, :, t, s], expected, rtol=1e-4, atol=1e-7)
    assert found.gated and found.dense


def test_a_few_probes_at_a_time_find_the_same(monkeypatch):
    layer = drawn("gated_conv")
    whole = of(layer, X).matrix
    monkeypatch.setattr(_entrance, "ROOM", 3 * X.nbytes)
    np.testing.assert_allclose(of(layer, X).matrix, whole, rtol=1e-4, atol=1e-6)


def test_layers_of_a_model_by_name_with_its_padding():
    ids = keras.Input((T,), dtype="int32")
    hidden = layers.Embedding(11, D, mask_zero=True)(ids)
    mixed = keras_attn.LinearRecurrence(), keras_attn.DepthwiseConvolution(), keras_attn.Recurrent("lstm")
    for layer in mixed:
        hidden = layers.add([hidden, layer(hidden)])
    model = keras.Model(ids, layers.Dense(2)(layers.GlobalAveragePooling1D()(hidden)))
    before = numpy(model(np.array([[3, 1, 4, 1, 5, 0, 0]])))
    found = inspection.implicit_weights(model, np.array([[3, 1, 4, 1, 5, 0, 0]]))
    assert list(found) == [layer.name for layer in mixed[:2]]
    assert [each.matrix.shape for each in found.values()] == [(1, D, T, T), (1, 2 * D, T, T)]
    assert all(np.all(each.matrix[..., 5:] == 0.0) and np.any(each.matrix != 0.0) for each in found.values())
    np.testing.assert_array_equal(numpy(model(np.array([[3, 1, 4, 1, 5, 0, 0]]))), before)
    assert not any("compute_mix" in vars(each) for each in model._flatten_layers())


def test_half_precision_has_the_same_matrix():
    layer = drawn("linear_recurrence")
    half = keras_attn.LinearRecurrence(dtype="mixed_bfloat16")
    half.build((None, T, D))
    half.set_weights(layer.get_weights())
    np.testing.assert_allclose(of(half, X).matrix, of(layer, X).matrix, atol=0.02)


def test_layers_that_are_linear_in_nothing_have_none():
    with pytest.raises(ValueError, match=r"mixes values linearly.*sensitivity.*memory"):
        inspection.implicit_weights(keras.Sequential([keras_attn.Recurrent("gru", name="memory")]), X)
