"""Positions against those of `transformers`."""

import numpy as np
import pytest
from keras import ops

from keras_attn import positions

pytest.importorskip("transformers")
torch = pytest.importorskip("torch")


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def tensor(x):
    return torch.tensor(np.asarray(x))


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(
    "buckets, max_distance", [(32, 128), (8, 20), (16, 64), (18, 128), (36, 32), (64, 256), (4, 7)]
)
def test_relative_buckets_equal_those_of_t5(buckets, max_distance, bidirectional):
    from transformers.models.t5.modeling_t5 import T5Attention

    ahead = np.arange(-300, 301)
    expected = T5Attention._relative_position_bucket(
        tensor(ahead), bidirectional=bidirectional, num_buckets=buckets, max_distance=max_distance
    )
    got = positions.relative_buckets([7], ahead + 7, buckets, max_distance, bidirectional)
    assert ops.convert_to_numpy(got)[0].tolist() == expected.tolist()


def test_rotary_by_halves_equals_that_of_llama():
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

    x, place = normal(2, 3, 5, 14), np.arange(10, 15)
    config = LlamaConfig(hidden_size=42, num_attention_heads=3, max_position_embeddings=64)
    cos, sin = LlamaRotaryEmbedding(config)(tensor(x), tensor(place)[None])
    expected, _ = apply_rotary_pos_emb(tensor(x), tensor(x), cos, sin)
    got = ops.convert_to_numpy(positions.rotary(ops.convert_to_tensor(x), place, "half"))
    np.testing.assert_allclose(got, expected.numpy(), atol=1e-5)


def test_interleaved_rotary_of_some_columns_equals_that_of_gptj():
    from transformers.models.gptj.modeling_gptj import apply_rotary_pos_emb, create_sinusoidal_positions

    x, place, width = normal(2, 3, 5, 14), np.arange(10, 15), 6
    sin, cos = create_sinusoidal_positions(64, width)[place][None].chunk(2, dim=-1)
    # GPT-J has the heads behind the positions.
    turned = apply_rotary_pos_emb(tensor(x[..., :width]).transpose(1, 2), sin, cos).transpose(1, 2)
    expected = np.concatenate([turned.numpy(), x[..., width:]], axis=-1)
    got = ops.convert_to_numpy(positions.rotary(ops.convert_to_tensor(x), place, "interleaved", width=width))
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_interleaved_rotary_equals_that_of_roformer():
    from transformers.models.roformer import modeling_roformer as roformer

    x, place = normal(2, 3, 5, 14), np.arange(5)
    table = roformer.RoFormerSinusoidalPositionalEmbedding(64, 14)
    table.weight.data = table.create_weight()
    waves = table((2, 5))[None, None]
    expected, _ = roformer.RoFormerSelfAttention.apply_rotary_position_embeddings(waves, tensor(x), tensor(x))
    got = ops.convert_to_numpy(positions.rotary(ops.convert_to_tensor(x), place, "interleaved"))
    np.testing.assert_allclose(got, expected.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("heads", [1, 2, 3, 5, 8, 12, 25, 32])
def test_slopes_of_alibi_equal_those_of_bloom(heads):
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    # The bias of the second key is the slope.
    slopes = build_alibi_tensor(torch.ones(1, 2, dtype=torch.int64), heads, torch.float32)[:, 0, 1]
    np.testing.assert_allclose(positions.alibi_slopes(heads), slopes.numpy(), rtol=1e-6)
