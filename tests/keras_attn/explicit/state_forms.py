"""What every attention that reads from a state must do, whichever form it is computed in."""

import numpy as np
from keras import ops

from tests.autodiff import gradient


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(numpy(actual), numpy(expected), rtol=tolerance, atol=tolerance)


def built(layer, width=5):
    """The layer with weights that are no zeros, where some mistakes cannot be seen."""
    layer.build((None, None, width))
    rng = np.random.default_rng(1)
    layer.set_weights([(0.4 * rng.normal(size=w.shape)).astype(w.dtype) for w in layer.get_weights()])
    return layer


def heads(x, dense, num_heads):
    """`(B, T, D)` projected, in float64: `(B, H, T, d)`."""
    kernel, *bias = (numpy(w.value).astype("float64") for w in dense.weights)
    projected = x @ kernel + (bias[0] if bias else 0.0)
    return np.swapaxes(projected.reshape(*x.shape[:2], num_heads, -1), 1, 2)


def joined(mix):
    """`(B, H, T, d)` to `(B, T, H d)`."""
    return np.swapaxes(mix, 1, 2).reshape(mix.shape[0], mix.shape[2], -1)


def sigmoid(x):
    return np.exp(-np.logaddexp(0.0, -x))


def standardised(mix):
    return (mix - mix.mean(-1, keepdims=True)) / np.sqrt(mix.var(-1, keepdims=True) + 1e-5)


def holes(batch, length, seed=3):
    """A mask with about a third padding, scattered."""
    return np.random.default_rng(seed).random((batch, length)) > 0.3


def check_that_forms_agree(layer, length, causal=True, **options):
    """By weights = by the state = step by step = a few steps at a time."""
    x = normal(2, length, 5)
    mask = holes(2, length)
    for m in (None, mask):
        by_weights, weights = layer(x, mask=m, use_causal_mask=causal, return_attention_scores=True)
        assert tuple(weights.shape) == (2, layer.num_heads, length, length)
        close(layer(x, mask=m, use_causal_mask=causal), by_weights, **options)
    if causal:
        expected, state, outputs = numpy(layer(x, use_causal_mask=True)), layer.initial_state(2), []
        for t in range(length):
            output, state = layer.step(ops.convert_to_tensor(x[:, t]), state)
            outputs.append(output)
        close(ops.stack(outputs, axis=1), expected, **options)
        outputs, state = [], layer.initial_state(2)
        for part in np.array_split(x, 2, axis=1):
            output, state = layer.prefill(ops.convert_to_tensor(part), state)
            outputs.append(output)
        close(ops.concatenate(outputs, axis=1), expected, **options)


def check_that_lengths_may_differ(layer, causal=True):
    """By weights = by the state for fewer and for more queries than keys."""
    for queries, keys in ((7, 19), (19, 7)):
        query, value, mask = normal(2, queries, 5), normal(2, keys, 5, seed=1), holes(2, keys)
        options = {"value_mask": mask, "use_causal_mask": causal}
        mix, weights = layer(query, value, return_attention_scores=True, **options)
        close(layer(query, value, **options), mix)
        assert np.all(numpy(weights) * ~mask[:, None, None] == 0.0)
        if causal and queries > keys:
            # Those that stand before the first key see nothing.
            assert np.all(numpy(mix)[:, : queries - keys] == 0.0)


def check_that_gradients_agree(layer, causal=True):
    x, mask = normal(2, 19, 5), holes(2, 19)
    target = ops.convert_to_tensor(normal(2, 19, 5, seed=1))
    options = {"mask": mask, "use_causal_mask": causal}
    by_state = gradient(lambda x: ops.sum(layer(x, **options) * target), x)
    by_weights = gradient(lambda x: ops.sum(layer(x, return_attention_scores=True, **options)[0] * target), x)
    close(by_state, by_weights, 1e-4)


def check_that_padding_takes_no_time(layer, causal=True):
    """A sequence with padding scattered in it gives what the same sequence gives without."""
    short, real = normal(2, 7, 5), np.sort(np.random.default_rng(3).permutation(19)[:7])
    padded = normal(2, 19, 5, seed=1)
    padded[:, real] = short
    mask = np.zeros((2, 19), bool)
    mask[:, real] = True
    mix = numpy(layer(padded, mask=mask, use_causal_mask=causal))
    close(mix[:, real], layer(short, use_causal_mask=causal))
