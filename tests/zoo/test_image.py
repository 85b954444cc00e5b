import keras
import numpy as np
import pytest

import zoo
from tests.zoo.helpers import CLASSES, B, D, image_backbone


def images(count=B):
    return np.random.default_rng(0).normal(size=(count, 6, 10, 3)).astype("float32")


@pytest.mark.parametrize("stem", ["patches", "convolution"])
@pytest.mark.parametrize("patch_size,tokens", [(1, 60), (2, 15)])
def test_each_stem_makes_one_token_of_a_patch(stem, patch_size, tokens):
    assert tuple(image_backbone("pooling", stem=stem, patch_size=patch_size)(images()).shape) == (B, tokens, D)


def test_tokens_stand_row_after_row():
    backbone = image_backbone("identity", short_convolution=0)
    x = images(1)
    before = keras.ops.convert_to_numpy(backbone(x))
    x[:, 2:4, 6:8] += 1  # The patch in row 1, column 3 of 3 x 5.
    changed = np.abs(keras.ops.convert_to_numpy(backbone(x)) - before).max(axis=(0, 2)) > 1e-4
    assert np.flatnonzero(changed).tolist() == [1 * 5 + 3]


def test_a_convolution_sees_over_the_edges_of_a_patch():
    backbone = image_backbone("identity", stem="convolution", short_convolution=0)
    x = images(1)
    before = keras.ops.convert_to_numpy(backbone(x))
    x[:, 2:4, 6:8] += 1
    changed = np.abs(keras.ops.convert_to_numpy(backbone(x)) - before).max(axis=(0, 2)) > 1e-4
    assert changed.sum() > 1


def test_a_hybrid_with_a_mixer_of_one_length_classifies_images():
    classifier = zoo.MixerImageClassifier(image_backbone(["token_mlp", "multi_head"]), CLASSES, dropout=0.25)
    assert classifier.predict(images(), verbose=0).shape == (B, CLASSES)
    assert zoo.MixerImageClassifier.from_config(classifier.get_config()).get_config() == classifier.get_config()


@pytest.mark.parametrize("image_shape, sides", [((6, 10, 3), (3, 5)), ((4, 18, 3), (2, 9)), ((18, 4, 3), (9, 2))])
def test_a_mixer_across_the_grid_gets_that_of_the_patches(image_shape, sides):
    mixer = {"mixer": "across_grid", "rows": "token_mlp", "columns": {"mixer": "gru", "bidirectional": True}}
    backbone = zoo.MixerImageBackbone(image_shape, hidden_dim=D, mixer=[mixer, "depthwise_conv"])
    assert backbone.mixer == [mixer, "depthwise_conv"]
    first, second = (backbone.get_layer(f"mixer_block_{index}").mixer for index in range(2))
    assert first.rows.hidden_dense.kernel.shape[0] == sides[1]
    assert tuple(second.grid) == sides and len(second.kernel.shape) == 3
    classifier = zoo.MixerImageClassifier(backbone, CLASSES)
    assert tuple(classifier(np.zeros((B, *image_shape), dtype="float32")).shape) == (B, CLASSES)
    assert zoo.MixerImageBackbone.from_config(backbone.get_config()).get_config() == backbone.get_config()


def test_a_grid_that_was_given_stays_as_it_is():
    with pytest.raises(ValueError, match="5 rows and 5 columns has 25 positions"):
        image_backbone({"mixer": "depthwise_conv", "grid": [5, 5]})


def test_an_image_classifier_learns_through_its_preprocessor():
    converter = zoo.MixerImageConverter(scale=1 / 255)
    preprocessor = zoo.MixerImageClassifierPreprocessor(converter)
    classifier = zoo.MixerImageClassifier(image_backbone("multi_head"), 2, preprocessor=preprocessor)
    classifier.compile(keras.optimizers.Adam(0.01), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    labels = np.arange(16) % 2
    pixels = np.random.default_rng(0).integers(0, 100, (16, 6, 10, 3)) + 100 * labels[:, None, None, None]
    history = classifier.fit(pixels, labels, epochs=15, verbose=0).history["loss"]
    assert history[-1] < 0.3 * history[0]


@pytest.mark.parametrize(
    "options,message",
    [
        ({"patch_size": 3}, "divides height and width"),
        ({"stem": "patch"}, "`stem` must be one of"),
    ],
)
def test_what_no_image_backbone_can_be_made_of_is_said_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        image_backbone("gru", **options)


def test_an_image_shape_has_three_sizes():
    with pytest.raises(ValueError, match="three positive integers"):
        zoo.MixerImageBackbone((6, 10))
