import keras
import numpy as np
import pytest

from tests.families import first_of_families
from tests.zoo.helpers import ANY_LENGTH, CAUSAL, NAMES, VOCABULARY, B, D, T, image_backbone, text_backbone, token_batch
from zoo.backbone import MixerBlock, ShortConvolution


def numbers(x):
    return keras.ops.convert_to_numpy(x)


def loop_convolution(x, kernel, before):
    y = np.zeros_like(x)
    for t in range(x.shape[1]):
        for i in range(len(kernel)):
            if 0 <= t - before + i < x.shape[1]:
                y[:, t] += kernel[i] * x[:, t - before + i]
    return y


@pytest.mark.parametrize(
    "width,causal,before", [(1, False, 0), (2, False, 0), (3, False, 1), (4, True, 3), (11, False, 5)]
)
def test_a_short_convolution_is_the_sum_over_neighbours(width, causal, before):
    x = np.random.default_rng(0).normal(size=(B, T, D)).astype("float32")
    layer = ShortConvolution(width, causal=causal)
    np.testing.assert_allclose(numbers(layer(x)), loop_convolution(x, numbers(layer.kernel), before), atol=1e-6)


def test_a_short_convolution_sees_zeros_at_padded_positions_even_if_they_hold_nan():
    x = np.random.default_rng(0).normal(size=(1, T, D)).astype("float32")
    mask = np.arange(T)[None] < 5
    layer = ShortConvolution(3)
    short = numbers(layer(x[:, :5]))
    x[:, 5:] = np.nan
    np.testing.assert_allclose(numbers(layer(x, padding_mask=mask))[:, :5], short, atol=1e-6)


def test_a_block_without_convolution_has_none():
    assert MixerBlock("identity", short_convolution=0).convolution is None


def test_a_block_is_the_same_after_its_config():
    block = MixerBlock({"mixer": "gru", "bidirectional": True}, mlp_ratio=3.0, short_convolution=5, dropout=0.2)
    assert MixerBlock.from_config(block.get_config()).get_config() == block.get_config()


@pytest.mark.parametrize("name", first_of_families(NAMES))
def test_each_mixer_builds_text_and_image_backbones(name):
    assert tuple(text_backbone(name)(token_batch()).shape) == (B, T, D)
    assert tuple(image_backbone(name).compute_output_shape((B, 6, 10, 3))) == (B, 15, D)


@pytest.mark.parametrize("name", first_of_families(ANY_LENGTH))
def test_what_stands_at_padded_positions_and_how_many_there_are_changes_nothing(name):
    backbone = text_backbone(name)
    batch = token_batch()
    longer = token_batch(width=2 * T, seed=1)
    real = batch["padding_mask"].astype(bool)
    longer["token_ids"][:, :T][real] = batch["token_ids"][real]
    short, long = numbers(backbone(batch)), numbers(backbone(longer))
    np.testing.assert_allclose(long[:, :T][real], short[real], atol=1e-5)


@pytest.mark.parametrize("name", first_of_families(CAUSAL))
def test_a_causal_backbone_does_not_look_ahead(name):
    backbone = text_backbone(name, causal=True)
    batch = token_batch(lengths=(T, T, T))
    before = numbers(backbone(batch))
    batch["token_ids"][:, 4:] = (batch["token_ids"][:, 4:] + 1) % VOCABULARY
    after = numbers(backbone(batch))
    np.testing.assert_allclose(after[:, :4], before[:, :4], atol=1e-5)
    assert np.abs(after[:, 4:] - before[:, 4:]).max() > 1e-3


def test_a_hybrid_takes_its_mixers_in_turn():
    backbone = text_backbone(["gru", "additive"], num_layers=3)
    kinds = [backbone.get_layer(f"mixer_block_{i}").mixer.kind for i in range(3)]
    assert kinds == ["implicit", "explicit", "implicit"]


@pytest.mark.parametrize("positions", ["sinusoid", None])
def test_positions_tell_a_backbone_the_order_and_without_them_it_does_not_know(positions):
    backbone = text_backbone("multi_head", positions=positions, short_convolution=0)
    batch = token_batch(lengths=(T, T, T))
    forward = numbers(backbone(batch))
    batch["token_ids"] = batch["token_ids"][:, ::-1]
    backward = numbers(backbone(batch))[:, ::-1]
    assert np.allclose(forward, backward, atol=1e-5) == (positions is None)


@pytest.mark.parametrize(
    "mixer",
    ["gru", {"mixer": "gated_conv", "kernel_size": 5}, ["additive", {"mixer": "gru", "bidirectional": True}]],
)
def test_the_spec_stands_in_the_config_as_it_was_given(mixer):
    backbone = text_backbone(mixer)
    config = backbone.get_config()
    assert config["mixer"] == mixer
    again = type(backbone).from_config(config)
    again.set_weights(backbone.get_weights())
    np.testing.assert_allclose(numbers(again(token_batch())), numbers(backbone(token_batch())), atol=1e-6)


@pytest.mark.parametrize("name", ["gru", "multi_head"])
def test_a_backbone_in_bfloat16_is_finite(name):
    output = text_backbone(name, dtype="bfloat16")(token_batch())
    assert keras.backend.standardize_dtype(output.dtype) == "bfloat16"
    assert np.isfinite(numbers(keras.ops.cast(output, "float32"))).all()


@pytest.mark.parametrize(
    "options,message",
    [
        ({"mixer": "token_mlp", "sequence_length": None}, "give `sequence_length`"),
        ({"mixer": {"mixer": "gru", "bidirectional": True}, "causal": True}, "looks both ways"),
        ({"mixer": "gruu"}, "Did you mean 'gru'"),
        ({"mixer": ["gru", "lstm", "gru"]}, "3 mixers for num_layers=2"),
        ({"mixer": []}, "0 mixers"),
        ({"mixer": "gru", "num_layers": 0}, "`num_layers` must be"),
        ({"mixer": "gru", "positions": "sine"}, "`positions` must be"),
        ({"mixer": "gru", "mlp_ratio": 0}, "`mlp_ratio` must be above 0"),
        ({"mixer": "gru", "short_convolution": -1}, "`short_convolution` must be"),
    ],
)
def test_what_no_stack_can_be_made_of_is_said_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        text_backbone(**options)
