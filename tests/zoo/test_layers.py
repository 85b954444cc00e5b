"""What holds for the layers that stand in any model of the zoo."""

import keras
import numpy as np
import pytest

import zoo

POLICY = keras.DTypePolicy("float32")


def classifier():
    return zoo.MixerTextClassifier(zoo.MixerTextBackbone(11, hidden_dim=8, dtype=POLICY), num_classes=2)


def recognizer():
    return zoo.MixerSpeechRecognizer(zoo.MixerSpeechBackbone(3, hidden_dim=8, dtype=POLICY), vocabulary_size=6)


@pytest.mark.parametrize("make", [classifier, recognizer])
def test_every_layer_says_what_it_is_made_of_and_a_model_around_it_comes_back(make, tmp_path):
    model = make()
    for layer in model._flatten_layers(include_self=False):
        layer.get_config()
    around = keras.Model(model.input, keras.layers.Softmax()(model.output))
    around.save(tmp_path / "around.keras")
    loaded = keras.models.load_model(tmp_path / "around.keras")
    x = {name: np.ones((2, 5, *tensor.shape[2:]), tensor.dtype) for name, tensor in model.input.items()}
    expected = keras.ops.convert_to_numpy(around(x))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(loaded(x)), expected, atol=1e-6)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    found, right = (keras.ops.convert_to_numpy(each(x)) for each in (copy, model))
    np.testing.assert_allclose(found, right, atol=1e-6)
