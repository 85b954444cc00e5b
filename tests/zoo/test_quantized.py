"""What was quantized comes back quantized, from `.keras` files and from presets."""

import keras
import numpy as np
import pytest
from keras import ops

import zoo
from keras_attn import inspection
from tests.zoo.helpers import CLASSES, B, T, fresh_process, image_backbone, text_backbone, token_batch

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


def test_what_cannot_be_quantized_is_left_out(tmp_path):
    tokens = zoo.SymbolTokenizer.of(["abc"], split="characters")
    preprocessor = zoo.MixerCausalLMPreprocessor(tokens, sequence_length=T)
    backbone = zoo.MixerTextBackbone(tokens.vocabulary_size(), hidden_dim=16, mixer="gru", causal=True)
    task = zoo.MixerCausalLM(backbone, preprocessor=preprocessor)  # The table makes the logits too.
    task.quantize("int8")
    assert len(quantized(task)) >= 4 and backbone.token_embedding.quantization_mode is None
    # Layers of a preprocessor come about when it is used.
    task.compile(sampler="greedy")
    expected = task.generate("ab", max_length=T)
    zoo.save(task, tmp_path / "preset")
    again = zoo.load(tmp_path / "preset")
    again.compile(sampler="greedy")
    assert again.generate("ab", max_length=T) == expected and len(quantized(again)) == len(quantized(task))


def test_a_head_of_other_classes_is_new_and_can_be_trained(tmp_path):
    task, _ = tagger()
    task.quantize("int8")
    zoo.save(task, tmp_path / "preset")
    other = zoo.MixerTagger.from_preset(str(tmp_path / "preset"), num_classes=CLASSES + 2)
    assert other.output_dense.quantization_mode is None and len(quantized(other)) == len(quantized(task)) - 1


LOAD = """
import numpy as np, zoo
from tests.zoo.helpers import token_batch
task = zoo.load({folder!r} + "/preset")
print(np.abs(task.predict(token_batch(), verbose=0) - np.load({folder!r} + "/expected.npy")).max())
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", sorted({"tensorflow", "jax", "torch"} - {keras.backend.backend()}))
def test_a_quantized_preset_comes_back_on_another_backend(backend, tmp_path):
    task, inputs = tagger()
    task.quantize("int8")
    np.save(tmp_path / "expected.npy", task.predict(inputs, verbose=0))
    zoo.save(task, tmp_path / "preset")
    assert float(fresh_process(LOAD.format(folder=str(tmp_path)), backend)) < 1e-4


def test_what_a_quantized_model_looks_at_is_seen():
    task, inputs = tagger()
    task.quantize("int8")
    found = inspection.sensitivity(task, inputs, output=0)
    assert found.shape == (B, T, T) and found.any()


def test_what_was_not_quantized_says_nothing_of_it():
    task, _ = tagger()
    assert "quantized" not in task.get_config() and "quantized" not in task.backbone.get_config()


def test_layers_of_another_version_are_refused():
    task, _ = tagger()
    task.quantize("int8")
    config = task.backbone.get_config()
    next(iter(config["quantized"]["layers"].values()))["kind"] = "Conv2D"
    with pytest.raises(ValueError, match=r"Expected: Conv2D\. Received: Embedding"):
        zoo.MixerTextBackbone.from_config(config)
