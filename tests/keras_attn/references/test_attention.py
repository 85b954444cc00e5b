"""Attention against torch's own, and a concatenation against the sum of two projections."""

import numpy as np
import pytest
from keras import ops

from keras_attn import AdditiveAttention, MultiHeadAttention

torch = pytest.importorskip("torch")

B, T, S, D, H = 2, 7, 11, 12, 3
RNG = np.random.default_rng(0)
QUERY, SOURCE = RNG.normal(size=(B, T, D)).astype("float32"), RNG.normal(size=(B, S, D)).astype("float32")
REAL = np.arange(S)[None] < np.array([[S], [5]])


def numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize("chunk_size", [None, 3, "auto"])
def test_multi_head_attention_equals_torch_s_module(chunk_size):
    theirs = torch.nn.MultiheadAttention(D, H, batch_first=True)
    ours = MultiHeadAttention(H, chunk_size=chunk_size)
    ours.build((B, T, D), (B, S, D))
    weights = theirs.in_proj_weight.detach().numpy().reshape(3, D, D)
    biases = RNG.normal(size=(3, D)).astype("float32")
    with torch.no_grad():
        theirs.in_proj_bias.copy_(torch.as_tensor(biases.reshape(-1)))
    # (out, in) to (in, H, d)
    projections = [x for w, b in zip(weights, biases) for x in (w.T.reshape(D, H, -1), b.reshape(H, -1))]
    output = theirs.out_proj.weight.detach().numpy().T.reshape(H, -1, D), theirs.out_proj.bias.detach().numpy()
    ours.set_weights([*projections, *output])
    query, source = torch.as_tensor(QUERY), torch.as_tensor(SOURCE)
    mix, shares = theirs(query, source, source, key_padding_mask=torch.as_tensor(~REAL), average_attn_weights=False)
    found, weights = ours(QUERY, SOURCE, value_mask=REAL, return_attention_scores=True)
    np.testing.assert_allclose(numpy(found), mix.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(numpy(ours(QUERY, SOURCE, value_mask=REAL)), mix.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(numpy(weights), shares.detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("chunk_size", [None, 3, "auto"])
@pytest.mark.parametrize("causal", [False, True])
def test_the_mix_of_the_heads_equals_scaled_dot_product_attention(chunk_size, causal):
    ours = MultiHeadAttention(H, use_bias=False, chunk_size=chunk_size)
    ours.build((B, T, D))
    query, key, value = (numpy(part(QUERY)) for part in (ours.query_dense, ours.key_dense, ours.value_dense))
    heads = (torch.as_tensor(x.transpose(0, 2, 1, 3)) for x in (query, key, value))
    mix = torch.nn.functional.scaled_dot_product_attention(*heads, is_causal=causal).numpy().transpose(0, 2, 1, 3)
    found = ours(QUERY, use_causal_mask=causal)
    np.testing.assert_allclose(numpy(found), numpy(ours.output_dense(ops.convert_to_tensor(mix))), atol=1e-5)


def test_a_concatenation_s_projection_is_two_projections_stacked():
    units = 5
    stacked, v = RNG.normal(size=(2 * D, units)).astype("float32"), RNG.normal(size=units).astype("float32")
    layer = AdditiveAttention(units=units, score="concat")
    layer.build((B, T, D), (B, S, D))
    layer.set_weights([v, stacked[:D], stacked[D:]])
    _, weights = layer(QUERY, SOURCE, return_attention_scores=True)
    pairs = np.concatenate(np.broadcast_arrays(QUERY[:, :, None], SOURCE[:, None]), axis=-1)
    scores = torch.as_tensor(np.tanh(pairs @ stacked) @ v)
    np.testing.assert_allclose(numpy(weights), torch.softmax(scores, dim=-1).numpy(), atol=1e-5)
