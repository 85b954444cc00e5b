"""Keras's own tests of its attention layers, with ours put in their place.

Left out are the tests that reach into private attributes and those that fix a behaviour we chose to leave; each has its
reason here and in `docs/keras_compatibility.md`.
"""

import importlib
import re
from pathlib import Path

import keras
import pytest
from keras.src import layers as keras_layers

import keras_attn

LEFT_OUT = {
    "AdditiveAttention": {
        "test_attention_errors": "a single tensor is self-attention here; the other errors are tested below",
    },
    "MultiHeadAttention": {
        "test_masking_causal": "with fewer keys than queries: the last query stands at the last key here",
        "test_basics_with_flash_attention": "there is no `flash_attention`: the layer picks the path",
        "test_flash_attention_with_errors": "there is no `flash_attention`: the layer picks the path",
        "test_causal_only_skipped_for_subclass": "overrides the private `_compute_attention`",
        "test_compute_attention_combines_causal_and_explicit_mask": "calls the private `_compute_attention`",
        "test_sliding_window_serialization": "reads the private `_sliding_window`",
    },
}


def own_tests(layer_name):
    snake_case = re.sub(r"(?<!^)(?=[A-Z])", "_", layer_name).lower()
    module = importlib.import_module(f"keras.src.layers.attention.{snake_case}_test")
    case = getattr(module, f"{layer_name}Test")
    names = [name for name in dir(case) if name.startswith("test_") and callable(getattr(case, name))]
    return case, [name for name in names if name not in ("test_session", "test_skip_on_backend")]


def is_left_out(layer_name, test):
    return any(re.fullmatch(re.escape(reason) + r"(_\w+|\d+)?", test) for reason in LEFT_OUT[layer_name])


def kept():
    for layer_name in LEFT_OUT:
        _, names = own_tests(layer_name)
        yield from ((layer_name, test) for test in names if not is_left_out(layer_name, test))


@pytest.mark.parametrize("layer_name, test", list(kept()))
def test_keras_s_own_test_passes(layer_name, test, monkeypatch):
    monkeypatch.setattr(keras_layers, layer_name, getattr(keras_attn, layer_name))
    case, _ = own_tests(layer_name)
    result = case(test).run()
    problems = [text for _, text in result.errors + result.failures]
    assert not problems, problems[0]
    assert result.testsRun == 1


def test_every_test_left_out_exists_and_is_explained():
    text = (Path(__file__).parents[2] / "docs" / "keras_compatibility.md").read_text()
    for layer_name, reasons in LEFT_OUT.items():
        _, names = own_tests(layer_name)
        for reason in reasons:
            assert any(name.startswith(reason) for name in names)
            assert f"`{reason}`" in text


@pytest.mark.parametrize("use_scale", [True, False])
def test_additive_attention_computes_exactly_what_keras_s_does(use_scale):
    ours, theirs = (cls(use_scale=use_scale) for cls in (keras_attn.AdditiveAttention, keras.layers.AdditiveAttention))
    inputs = [keras.random.normal((3, 7, 8)) for _ in range(3)]
    query_mask = keras.ops.arange(7)[None] < keras.ops.array([5, 2, 3])[:, None]
    value_mask = keras.ops.arange(7)[None] < keras.ops.array([7, 1, 4])[:, None]
    for layer in (ours, theirs):
        layer.build([tuple(x.shape) for x in inputs])
    ours.set_weights(theirs.get_weights())
    for causal in (False, True):
        options = {
            "mask": [query_mask, value_mask],
            "use_causal_mask": causal,
            "return_attention_scores": True,
        }
        for our_result, their_result in zip(ours(inputs, **options), theirs(inputs, **options)):
            # What a padded query looks at has no meaning, and is left out.
            difference = keras.ops.where(query_mask[..., None], our_result - their_result, 0.0)
            assert keras.ops.convert_to_numpy(keras.ops.max(keras.ops.abs(difference))) < 1e-6


def test_multi_head_attention_computes_what_keras_s_does_with_its_weight_file(tmp_path):
    ours, theirs = (
        keras.Sequential([keras.Input((7, 8)), Wrapped(cls(num_heads=3, key_dim=5, use_gate=True, sliding_window=4))])
        for cls in (keras_attn.MultiHeadAttention, keras.layers.MultiHeadAttention)
    )
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    ours.load_weights(tmp_path / "theirs.weights.h5")
    x = keras.random.normal((3, 7, 8))
    assert keras.ops.convert_to_numpy(keras.ops.max(keras.ops.abs(ours(x) - theirs(x)))) < 1e-5


class Wrapped(keras.layers.Layer):
    """Causal self-attention with the attention layer under the same attribute, whoever made it."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def build(self, input_shape):
        self.attention.build(input_shape, input_shape)

    def call(self, inputs):
        return self.attention(inputs, inputs, use_causal_mask=True)


def test_additive_attention_refuses_what_keras_s_refuses():
    layer, x = keras_attn.AdditiveAttention(), keras.ops.ones((1, 2, 2))
    with pytest.raises(ValueError, match="length 2 or 3"):
        layer([x, x, x, x])
    with pytest.raises(ValueError, match="layer mask must be a list"):
        layer([x, x], mask=x)
    with pytest.raises(ValueError, match="length 2 or 3"):
        layer([x, x], mask=[x])
