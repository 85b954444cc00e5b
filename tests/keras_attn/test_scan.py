import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import mixers
from keras_attn._scan import linear_scan
from tests.autodiff import gradient, gradients, second_gradient, tangent

#: Mixers whose states are such recurrences.
SCANNED = (
    "linear_recurrence",
    "min_gru",
    {"mixer": "min_gru", "bidirectional": True},
    "min_lstm",
    "rg_lru",
    "rwkv",
    {"mixer": "across_grid", "rows": "min_gru", "columns": "linear_recurrence", "grid": [5, 7]},
)
#: The corners of a second difference.
SIGNS = ((1, 1), (1, -1), (-1, 1), (-1, -1))
on_jax_and_torch = pytest.mark.skipif(
    keras.config.backend() == "tensorflow", reason="tensorflow has no transforms of functions"
)


def by_a_loop(decay, inputs):
    states = np.zeros_like(inputs, dtype="float64")
    state = np.zeros_like(inputs[:, 0], dtype="float64")
    for t in range(inputs.shape[1]):
        state = decay[:, t] * state + inputs[:, t]
        states[:, t] = state
    return states


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 256, 257, 1009])
def test_the_scan_equals_the_loop(length):
    rng = np.random.default_rng(0)
    decay, inputs = rng.random((2, length, 3)).astype("float32"), rng.normal(size=(2, length, 3)).astype("float32")
    np.testing.assert_allclose(
        ops.convert_to_numpy(linear_scan(ops.convert_to_tensor(decay), ops.convert_to_tensor(inputs))),
        by_a_loop(decay, inputs),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("decay", [0.0, 0.999, 1.0])
def test_decays_at_the_edges_are_as_good_as_any_at_length_4000(decay):
    inputs = np.random.default_rng(0).normal(size=(1, 4000, 2)).astype("float32")
    decays = np.full_like(inputs, decay)
    states = linear_scan(ops.convert_to_tensor(decays), ops.convert_to_tensor(inputs))
    np.testing.assert_allclose(ops.convert_to_numpy(states), by_a_loop(decays, inputs), rtol=1e-4, atol=1e-3)


def test_gradients_reach_back_through_blocks():
    inputs = np.random.default_rng(0).normal(size=(1, 37, 2)).astype("float32")
    decay = ops.full((1, 37, 2), 0.9)
    grad = gradient(lambda x: ops.sum(linear_scan(decay, x)[:, -1]), inputs)
    np.testing.assert_allclose(grad[0, :, 0], 0.9 ** np.arange(36, -1, -1), rtol=1e-4)


@pytest.mark.parametrize("length", [1, 13, 16, 67, 293])
def test_in_reverse_it_goes_from_the_end_to_the_start(length):
    rng = np.random.default_rng(0)
    decay, inputs = rng.random((2, length, 3)).astype("float32"), rng.normal(size=(2, length, 3)).astype("float32")
    states = linear_scan(ops.convert_to_tensor(decay), ops.convert_to_tensor(inputs), reverse=True)
    expected = by_a_loop(decay[:, ::-1], inputs[:, ::-1])[:, ::-1]
    np.testing.assert_allclose(ops.convert_to_numpy(states), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 13, 293])
def test_an_average_is_a_recurrence_of_shares(length, reverse):
    rng = np.random.default_rng(0)
    arrays = [rng.random((2, length, 3)).astype("float32") for _ in range(3)]
    weights = ops.convert_to_tensor(arrays.pop())

    def averages(decay, inputs):
        return linear_scan(decay, inputs, reverse, average=True)

    def sums(decay, inputs):
        return linear_scan(decay, (1.0 - decay) * inputs, reverse)

    decay, inputs = map(ops.convert_to_tensor, arrays)
    np.testing.assert_allclose(
        *(ops.convert_to_numpy(function(decay, inputs)) for function in (averages, sums)), rtol=1e-4
    )
    found = gradients(lambda *x: ops.sum(averages(*x) * weights), arrays)
    expected = gradients(lambda *x: ops.sum(sums(*x) * weights), arrays)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 37, 293])
def test_gradients_equal_the_loop_s(length, reverse):
    rng = np.random.default_rng(0)
    decay, inputs, upstream = (rng.random((2, length, 3)).astype("float32") for _ in range(3))
    weights = ops.convert_to_tensor(upstream)
    found = gradients(lambda a, b: ops.sum(linear_scan(a, b, reverse) * weights), [decay, inputs])
    # g_t = a_{t+1} g_{t+1} + u_t goes to b_t, and g_t h_{t-1} to a_t.
    order = slice(None, None, -1 if reverse else 1)
    decay, inputs, upstream = (x[:, order].astype("float64") for x in (decay, inputs, upstream))
    after = np.concatenate([decay[:, 1:], np.zeros((2, 1, 3))], axis=1)
    slopes = by_a_loop(after[:, ::-1], upstream[:, ::-1])[:, ::-1]
    before = np.concatenate([np.zeros((2, 1, 3)), by_a_loop(decay, inputs)[:, :-1]], axis=1)
    for gradient_found, expected in zip(found, (slopes * before, slopes)):
        np.testing.assert_allclose(gradient_found, expected[:, order], rtol=1e-4, atol=1e-5)


def test_gradients_of_gradients_are_right():
    # h_2 = a³ b_0 + ... and each input is decay and input alike.
    x = np.array([0.5, 0.3, 0.7, 0.2], dtype="float32")[None, :, None]

    def squares(x):
        return ops.sum(ops.square(linear_scan(x, ops.sin(x))))

    slope, step = gradient(squares, x), 1e-3
    each = [
        (gradient(squares, x + step * unit) - gradient(squares, x - step * unit)) / (2 * step)
        for unit in np.eye(4, dtype="float32")[:, None, :, None]
    ]
    hessian = np.stack(each)[:, 0, :, 0]
    np.testing.assert_allclose(second_gradient(squares, x)[0, :, 0], 2.0 * hessian @ slope[0, :, 0], rtol=1e-2)


@pytest.mark.skipif(keras.config.backend() != "torch", reason="the transforms are torch's")
def test_torch_s_function_transforms_go_through_it():
    import torch

    decay, inputs = torch.rand(3, 37, 2), torch.randn(3, 37, 2)
    rows = torch.func.vmap(lambda a, b: linear_scan(a[None], b[None])[0])(decay, inputs)
    torch.testing.assert_close(rows, linear_scan(decay, inputs))
    jacobian = torch.func.jacrev(lambda b: linear_scan(decay[:1], b[None])[0, -1, 0])(inputs[0])
    np.testing.assert_allclose(jacobian[-1].numpy(), [1.0, 0.0])
    np.testing.assert_allclose(jacobian[0, 0].item(), decay[0, 1:, 0].prod().item(), rtol=1e-3)


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 37, 293])
def test_tangents_equal_those_of_the_loop(length, reverse, average):
    rng = np.random.default_rng(0)
    decay = rng.random((2, length, 3))
    inputs, of_decay, of_inputs = rng.normal(size=(3, 2, length, 3))
    found = tangent(lambda a, b: linear_scan(a, b, reverse, average), [decay, inputs], [of_decay, of_inputs])
    order, step = slice(None, None, -1 if reverse else 1), 1e-6

    def moved(by):
        a, b = (decay + by * of_decay)[:, order], (inputs + by * of_inputs)[:, order]
        return by_a_loop(a, (1.0 - a) * b if average else b)[:, order]

    np.testing.assert_allclose(found, (moved(step) - moved(-step)) / (2 * step), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("spec", SCANNED, ids=str)
def test_forward_mode_goes_through_the_layers(spec):
    layer, step = mixers.get(spec), 1e-2
    layer.build((2, 35, 6))
    x, by = np.random.default_rng(0).normal(size=(2, 2, 35, 6)).astype("float32")
    ahead, behind = (ops.convert_to_numpy(layer(ops.convert_to_tensor(x + each * by))) for each in (step, -step))
    expected = (ahead - behind) / (2 * step)
    np.testing.assert_allclose(tangent(layer, [x], [by]), expected, rtol=1e-2, atol=2e-3)


@on_jax_and_torch
@pytest.mark.parametrize("average", [False, True])
def test_second_derivatives_are_the_same_in_every_order_of_forward_and_backward(average):
    forward, backward, over_rows, compiled = _transforms()

    def squares(x):  # (T,)
        x = ops.reshape(x, (1, -1, 1))
        return ops.sum(ops.square(linear_scan(x, ops.sin(x), average=average)))

    def by_steps(x):
        """Second differences of the loop."""
        step, size = 1e-3, len(x)

        def value(x):
            decay, inputs = x[None, :, None], np.sin(x)[None, :, None]
            return (by_a_loop(decay, (1.0 - decay) * inputs if average else inputs) ** 2).sum()

        units = step * np.eye(size)
        corners = [[[value(x + s * a + t * b) for s, t in SIGNS] for b in units] for a in units]
        return np.array(corners) @ [1.0, -1.0, -1.0, 1.0] / (4 * step**2)

    rows = np.random.default_rng(0).random((2, 19)).astype("float32")
    expected = [by_steps(row.astype("float64")) for row in rows]
    rows = ops.convert_to_tensor(rows)
    for outer, inner in ((forward, backward), (backward, backward), (backward, forward), (forward, forward)):
        found = compiled(over_rows(outer(inner(squares))))(rows)
        np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-3, atol=1e-3)


@on_jax_and_torch
def test_tangents_go_through_a_vmap_within_and_without():
    forward, _, over_rows, compiled = _transforms()
    rng = np.random.default_rng(0)
    decay, inputs = (ops.convert_to_tensor(rng.random((3, 19, 2)).astype("float32")) for _ in range(2))

    def last(a, b):
        return linear_scan(a[None], b[None])[0, -1]

    # Of all the decays to each row's own state, and with one row of inputs for all.
    without = ops.convert_to_numpy(compiled(over_rows(forward(last)))(decay, inputs))
    within = ops.convert_to_numpy(compiled(forward(lambda a: over_rows(last)(a, inputs)))(decay))
    np.testing.assert_allclose(within[[0, 1, 2], :, [0, 1, 2]], without, rtol=1e-5)
    np.testing.assert_array_equal(within[0, :, 1], 0.0)
    shared = compiled(forward(lambda b: over_rows(lambda a: last(a, b))(decay)))(inputs[0])
    remaining = np.cumprod(ops.convert_to_numpy(decay)[:, :0:-1], axis=1)[:, ::-1]
    np.testing.assert_allclose(ops.convert_to_numpy(shared)[:, 0, :-1, 0], remaining[:, :, 0], rtol=1e-4)


def _transforms():
    """Forward and backward Jacobians, a function over rows, and one that is compiled where that is quicker."""
    if keras.config.backend() == "jax":
        import jax

        return jax.jacfwd, jax.jacrev, jax.vmap, jax.jit
    import torch

    return torch.func.jacfwd, torch.func.jacrev, torch.func.vmap, lambda function: function
