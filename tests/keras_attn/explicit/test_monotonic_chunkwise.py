import numpy as np
import pytest
from keras import ops

from keras_attn import MonotonicAttention, MonotonicChunkwiseAttention
from keras_attn.explicit.monotonic_chunkwise import spread
from tests.autodiff import gradient
from tests.keras_attn.explicit.test_monotonic import B, D, S, T, bold, built, normal, numpy, weights_of


def by_loops(alignment, energies, width, allowed):
    """Chiu and Raffel, 2018: β_ij = Σ_{k=j}^{j+w-1} α_ik exp(u_ij) / Σ_{l=k-w+1}^{k} exp(u_il), in double precision."""
    weights = np.zeros(alignment.shape)
    for b, i, k in np.ndindex(*alignment.shape):
        chunk = [j for j in range(max(0, k - width + 1), k + 1) if allowed[b, i, j]]
        if alignment[b, i, k] and chunk:
            e = np.exp(energies[b, i, chunk].astype("float64") - energies[b, i, chunk].max())
            weights[b, i, chunk] += alignment[b, i, k] * e / e.sum()
    return weights


def random_alignment(*shape, seed=0):
    alignment = np.random.default_rng(seed).random(shape).astype("float32")
    return alignment / alignment.sum(-1, keepdims=True)


@pytest.mark.parametrize("width", [2, 3, S, S + 4])
def test_chunks_share_the_alignment_out_as_in_the_paper(width):
    allowed = np.random.default_rng(1).random((B, T, S)) < 0.7
    alignment, energies = random_alignment(B, T, S) * allowed, normal(B, T, S, seed=2)
    found = spread(*map(ops.convert_to_tensor, (alignment, energies)), width, ops.convert_to_tensor(allowed))
    np.testing.assert_allclose(numpy(found), by_loops(alignment, energies, width, allowed), rtol=1e-5, atol=1e-7)


def test_a_chunk_far_below_the_largest_energy_of_the_row_is_shared_out_as_any():
    energies = np.array([[[900.0, 0.0, -1.0, -500.0, -501.0, -500.5, 0.0]]], dtype="float32")
    alignment = np.array([[[0.1, 0.0, 0.0, 0.0, 0.0, 0.9, 0.0]]], dtype="float32")
    found = numpy(spread(ops.convert_to_tensor(alignment), ops.convert_to_tensor(energies), 3))
    np.testing.assert_allclose(found, by_loops(alignment, energies, 3, np.ones((1, 1, 7), bool)), rtol=1e-5)
    np.testing.assert_allclose(found.sum(), 1.0, rtol=1e-6)
    grad = gradient(lambda u: ops.sum(ops.square(spread(ops.convert_to_tensor(alignment), u, 3))), energies)
    assert np.isfinite(grad).all() and np.any(grad[..., 3:6])


def test_weights_share_out_what_the_monotonic_layer_gives():
    chunkwise, query, value = (
        built(MonotonicChunkwiseAttention, chunk_width=3),
        normal(B, T, D),
        normal(B, S, 4, seed=1),
    )
    monotonic = MonotonicAttention(units=11)
    monotonic.build(query.shape, value.shape)
    parts = {w.path.split("/", 1)[1]: numpy(w) for w in chunkwise.weights}
    monotonic.set_weights([parts[w.path.split("/", 1)[1]] for w in monotonic.weights])
    energies = np.zeros((B, T, S))
    for b, i, j in np.ndindex(B, T, S):
        hidden = query[b, i] @ parts["chunk_energy/query/kernel"] + value[b, j] @ parts["chunk_energy/key/kernel"]
        energies[b, i, j] = parts["chunk_energy/vector"] @ np.tanh(hidden + parts["chunk_energy/key/bias"])
    expected = by_loops(weights_of(monotonic, query, value), energies, 3, np.ones((B, T, S), bool))
    mix, weights = chunkwise(query, value, return_attention_scores=True)
    np.testing.assert_allclose(numpy(weights)[:, 0], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(numpy(mix), expected @ value, rtol=1e-4, atol=1e-5)


def test_hard_at_inference_is_a_softmax_over_one_chunk():
    layer = bold(MonotonicChunkwiseAttention, mode="hard", chunk_width=2)
    weights = weights_of(layer, normal(B, T, D), normal(B, S, 4, seed=1))
    sums = weights.sum(-1)
    assert np.all(np.isclose(sums, 1.0) | (sums == 0.0)) and np.any(sums)
    assert np.all((weights > 0.0).sum(-1) <= 2) and np.any((weights > 0.0).sum(-1) == 2)


def test_a_chunk_of_one_is_refused():
    with pytest.raises(ValueError, match="`chunk_width`: it must be an integer of at least 2"):
        MonotonicChunkwiseAttention(chunk_width=1)
