"""What was quantized comes back quantized, from `.keras` files and from presets."""

import keras
import numpy as np
import pytest
from keras import ops

import zoo
from tests.zoo.helpers import CLASSES, B, image_backbone, text_backbone, token_batch

HOW = {
    "int8": {"mode": "int8"},
    "int4": {"mode": "int4"},
    "int4 by blocks": {"config": keras.quantizers.Int4QuantizationConfig(block_size=4)},
    "float8": {"mode": "float8"},
}


def tagger():
    mixers = [{"mixer": "multi_head", "num_heads": 2}, "gru"]
    return zoo.MixerTagger(text_backbone(mixers, hidden_dim=16), CLASSES), token_batch()


def image_classifier():
    task = zoo.MixerImageClassifier(image_backbone("additive", hidden_dim=16), CLASSES)
    return task, np.random.default_rng(0).normal(size=(B, 6, 10, 3)).astype("float32")


def answers(model, inputs):
    return ops.convert_to_numpy(model(inputs))


def quantized(model):
    return [layer.quantization_mode for layer in model._flatten_layers() if layer.quantization_mode]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("make", [tagger, image_classifier])
def test_a_quantized_task_comes_back_as_it_was(make, how, tmp_path):
    task, inputs = make()
    task.quantize(**HOW[how])
    expected = answers(task, inputs)
    assert len(quantized(task)) >= 4
    # What came back is saved again.
    for times in (1, 2):
        task.save(tmp_path / f"{times}.keras")
        task = keras.models.load_model(tmp_path / f"{times}.keras")
        assert len(quantized(task)) >= 4 and set(quantized(task)) == {how.split()[0]}
        np.testing.assert_allclose(answers(task, inputs), expected, atol=1e-5)
    zoo.save(task, tmp_path / "preset")
    np.testing.assert_allclose(answers(zoo.load(tmp_path / "preset"), inputs), expected, atol=1e-5)


def test_the_head_alone_and_the_backbone_alone(tmp_path):
    task, inputs = tagger()
    task.quantize("int8", filters=lambda layer: layer.name == "logits")
    task.save(tmp_path / "head.keras")
    assert quantized(keras.models.load_model(tmp_path / "head.keras")) == ["int8"]
    backbone = text_backbone("gru", hidden_dim=16)
    backbone.quantize("int8")
    backbone.save(tmp_path / "backbone.keras")
    again = keras.models.load_model(tmp_path / "backbone.keras")
    assert len(quantized(again)) == len(quantized(backbone)) >= 3
    np.testing.assert_allclose(answers(again, inputs), answers(backbone, inputs), atol=1e-5)


def test_what_was_not_quantized_says_nothing_of_it():
    task, _ = tagger()
    assert "quantized" not in task.get_config() and "quantized" not in task.backbone.get_config()


def test_layers_of_another_version_are_refused():
    task, _ = tagger()
    task.quantize("int8")
    config = task.backbone.get_config()
    config["quantized"][0]["kind"] = "Conv2D"
    with pytest.raises(ValueError, match=r"Expected: Conv2D\. Received: Embedding"):
        zoo.MixerTextBackbone.from_config(config)
