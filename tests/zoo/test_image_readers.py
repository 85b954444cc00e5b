"""What reads an image's patches for the classifier: the mean, soft and hard attention, and glimpses."""

import keras
import keras_hub
import numpy as np
import pytest
from keras import ops

import zoo
from keras_attn import ReinforceModel, inspection
from tests.zoo.helpers import CLASSES, COMPILED, B, D, image_backbone
from zoo.image_readers import GlimpseReader, HardReader

ROWS, COLUMNS = 3, 5
PATCHES = ROWS * COLUMNS
READERS = {
    "soft": "soft",
    "soft with heads": {"reader": "soft", "score": "dot", "num_heads": 2, "normalizer": "sparsemax"},
    "hard": "hard",
    "hard and additive": {"reader": "hard", "units": 7, "inference": "argmax", "soft_chance": 0.25},
    "glimpse": "glimpse",
    "glimpses": {"reader": "glimpse", "count": 3, "size": 1, "scales": 3, "units": 13, "std": 0.2, "seed": 2},
}
SEEING = [name for name in READERS if not name.startswith("glimpse")]
every_reader = pytest.mark.parametrize("name", READERS)


def numpy(x):
    return ops.convert_to_numpy(x)


def images(count=B, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 6, 10, 3)).astype("float32")


def classifier(reader, mixer="pooling", dtype=None, classes=CLASSES, **options):
    return zoo.MixerImageClassifier(image_backbone(mixer, dtype=dtype, **options), classes, reader=reader)


def bright(count, seed=0):
    """Noise with one bright patch anywhere, red or blue, which is the class."""
    random = np.random.default_rng(seed)
    x = random.normal(scale=0.1, size=(count, ROWS, COLUMNS, 3))
    place, label = random.integers(0, PATCHES, count), random.integers(0, 2, count)
    x.reshape(count, PATCHES, 3)[np.arange(count), place, 2 * label] += 1.5
    return as_patches(x), label


def marked(count, seed=0):
    """All patches have one of five colours, the classes, and that of the green one counts; at which patch it stands."""
    random = np.random.default_rng(seed)
    x = random.normal(scale=0.1, size=(count, PATCHES, 3))
    colour, place = random.integers(0, CLASSES, (count, PATCHES)), random.integers(0, PATCHES, count)
    x[..., 0] += np.cos(2 * np.pi * colour / CLASSES)
    x[..., 2] += np.sin(2 * np.pi * colour / CLASSES)
    x[np.arange(count), place, 1] += 1.5
    return as_patches(x.reshape(count, ROWS, COLUMNS, 3)), colour[np.arange(count), place], place


def as_patches(x):
    """Images of patches of one colour each, 2 x 2 pixels."""
    return x.repeat(2, axis=1).repeat(2, axis=2).astype("float32")


def fitted(model, learner, x, y, epochs):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    learner.compile(keras.optimizers.Adam(0.01), loss=loss, jit_compile=COMPILED)
    learner.fit(x, y, batch_size=32, epochs=epochs, verbose=0)
    return np.mean(numpy(model(x)).argmax(axis=-1) == y)


@every_reader
def test_each_reader_comes_back_from_its_config_and_its_files(name, tmp_path):
    task, x = classifier(READERS[name]), images()
    assert tuple(task(x).shape) == (B, CLASSES)
    assert task.get_config()["reader"] == READERS[name]
    again = zoo.MixerImageClassifier.from_config(task.get_config())
    assert again.get_config() == task.get_config()
    task.save(tmp_path / "task.keras")
    zoo.save(task, tmp_path / "preset")
    for found in (keras.models.load_model(tmp_path / "task.keras"), zoo.load(tmp_path / "preset")):
        assert found.get_config()["reader"] == READERS[name]
        np.testing.assert_allclose(numpy(found(x)), numpy(task(x)), atol=1e-5)


@every_reader
def test_each_reader_can_be_given_other_classes_to_learn(name, tmp_path):
    task = classifier(READERS[name])
    zoo.save(task, tmp_path / "preset")
    other = keras_hub.models.ImageClassifier.from_preset(str(tmp_path / "preset"), num_classes=2)
    assert other.get_config()["reader"] == READERS[name] and tuple(other(images()).shape) == (B, 2)
    np.testing.assert_allclose(numpy(other.backbone(images())), numpy(task.backbone(images())), atol=1e-5)


@pytest.mark.parametrize("name", ["soft", "hard and additive", "glimpse"])
def test_a_quantized_reader_comes_back_so(name, tmp_path):
    task, x = classifier(READERS[name], hidden_dim=16), images()
    task.quantize("int8")
    zoo.save(task, tmp_path / "preset")
    again = zoo.load(tmp_path / "preset")
    modes = [layer.quantization_mode for layer in again.pooler._flatten_layers() if layer.quantization_mode]
    assert modes and set(modes) == {"int8"}
    np.testing.assert_allclose(numpy(again(x)), numpy(task(x)), atol=1e-5)


def test_a_config_from_before_readers_means_the_mean():
    task, x = classifier(None), images()
    config = task.get_config()
    assert config.pop("reader") is None
    old = zoo.MixerImageClassifier.from_config(config)
    old.set_weights(task.get_weights())
    mean = numpy(task.backbone(x)).mean(axis=1)
    np.testing.assert_allclose(numpy(old(x)), numpy(task.output_dense(mean)), atol=1e-5)
    assert [layer.name for layer in old.layers if layer.name in ("pooler", "reader")] == ["pooler"]
    assert len(old.weights) == len(old.backbone.weights) + 2


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
@every_reader
def test_half_precision_reads_the_same_and_stays_finite(name, policy):
    half, single = classifier(READERS[name], dtype=policy), classifier(READERS[name])
    half.set_weights(single.get_weights())
    read = half.pooler(half.backbone(images()))
    assert keras.backend.standardize_dtype(read.dtype) == keras.DTypePolicy(policy).compute_dtype
    np.testing.assert_allclose(numpy(ops.cast(half(images()), "float32")), numpy(single(images())), atol=0.15)
    assert np.isfinite(numpy(ops.cast(half(300.0 * images(), training=True), "float32"))).all()


@every_reader
def test_every_weight_of_a_reader_learns(name):
    task = classifier(READERS[name])
    before = [numpy(weight).copy() for weight in task.pooler.trainable_weights]
    assert before
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    task.compile("adam", loss=loss, run_eagerly=not COMPILED)
    task.train_on_batch(images(), np.arange(B))
    assert not any(np.array_equal(old, numpy(new)) for old, new in zip(before, task.pooler.trainable_weights))


@pytest.mark.compiles
@every_reader
def test_each_reader_trains_and_predicts_compiled(name):
    task = classifier(READERS[name])
    task.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=True)
    task.fit(images(5), np.arange(5), batch_size=3, verbose=0)
    np.testing.assert_allclose(task.predict(images(), verbose=0), numpy(task(images())), atol=1e-3)


@pytest.mark.parametrize("name", SEEING)
def test_the_weights_over_patches_are_shown(name):
    task = classifier(READERS[name], mixer="identity")
    found = inspection.weights(task, images())
    heads = (2,) if "heads" in name else (1,) if name.startswith("hard") else ()
    assert list(found) == ["reader"] and found["reader"].shape == (B, *heads, 1, PATCHES)
    np.testing.assert_allclose(found["reader"].sum(axis=-1), 1.0, atol=1e-5)
    explained = zoo.explain(task, images()[0], method="gradient_x_input")
    assert explained.grid == (ROWS, COLUMNS)
    np.testing.assert_allclose(
        explained.looks["weights of reader"][:, 0], found["reader"][0].reshape(-1, PATCHES), atol=1e-5
    )
    if heads:  # Of no other weights it makes a map.
        assert inspection.attention_x_gradient(task, images(), output=0)["reader"].shape == found["reader"].shape


@pytest.mark.parametrize("name, how", [("soft", "plain"), ("hard", "plain"), ("hard", "rewarded")])
@pytest.mark.trains
def test_the_patch_that_counts_is_found_and_looked_at(name, how):
    x, y, place = marked(192)
    task = classifier(name, "identity", num_layers=1, short_convolution=0)
    learner = ReinforceModel(task) if how == "rewarded" else task
    # What draws learns more slowly, and need not look at one colour, which is there if no other is.
    right, found = (0.95, 0.9) if name == "soft" else (0.75, 0.5)
    assert fitted(task, learner, x, y, epochs=20) > right
    weights = inspection.weights(task, x)["reader"].reshape(-1, PATCHES)
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, atol=1e-5)
    assert np.mean(weights.argmax(axis=-1) == place) > found


@pytest.mark.parametrize("how", ["plain", "rewarded"])
@pytest.mark.trains
def test_glimpses_tell_the_colour_of_a_bright_patch(how):
    x, y = bright(192)
    reader = {"reader": "glimpse", "count": 3, "seed": 1}
    task = classifier(reader, "identity", classes=2, num_layers=1, short_convolution=0)
    learner = ReinforceModel(task) if how == "rewarded" else task
    # Rewards tell less than gradients do.
    assert fitted(task, learner, x, y, epochs=20) > (0.9 if how == "plain" else 0.7)
    places = task.places(x)
    assert places.shape == (192, 3, 2) and np.abs(places).max() <= 1.0
    # The first is the same for all, later ones are for each image its own.
    assert np.ptp(places[:, 0], axis=0).max() < 1e-6 < np.ptp(places[:, 1], axis=0).max()


def test_without_mixing_a_model_of_glimpses_knows_what_it_looked_at_and_nothing_else():
    reader = {"reader": "glimpse", "count": 2, "size": 1, "scales": 1}
    task, x = classifier(reader, "identity", short_convolution=0), images(1)
    explained = zoo.explain(task, x[0], method="gradient_x_input")
    seen = explained.looks["glimpses of reader"]
    assert seen.shape == (2, 1, PATCHES) and not any("computes weights" in note for note in explained.notes)
    places = task.places(x)[0]
    # From one cell's centre to the next it is 2 / 5 to the right and 2 / 3 downwards.
    row, column = np.divmod(np.arange(PATCHES), COLUMNS)
    for glimpse, (right, down) in zip(seen[:, 0], (places + 1) / 2 * [COLUMNS, ROWS] - 0.5):
        near = np.clip(1 - np.abs(column - right), 0, None) * np.clip(1 - np.abs(row - down), 0, None)
        np.testing.assert_allclose(glimpse, near, atol=1e-4)
    before, other = numpy(task(x)), x.copy()
    for at in np.flatnonzero(seen.sum(axis=(0, 1)) == 0):
        top, left = 2 * (at // COLUMNS), 2 * (at % COLUMNS)
        other[0, top : top + 2, left : left + 2] += 3.0
    assert not np.array_equal(other, x)
    np.testing.assert_allclose(numpy(task(other)), before, atol=1e-5)


def test_places_are_found_of_raw_images_and_drawn_in_training_alone():
    preprocessor = zoo.MixerImageClassifierPreprocessor(zoo.MixerImageConverter(scale=1 / 255))
    task = zoo.MixerImageClassifier(image_backbone("pooling"), CLASSES, preprocessor=preprocessor, reader="glimpse")
    pixels = np.random.default_rng(0).integers(0, 256, (B, 6, 10, 3))
    places = task.places(pixels)
    assert places.shape == (B, 4, 2) and np.abs(places).max() <= 1.0
    np.testing.assert_array_equal(places, task.places(pixels))
    vectors = task.backbone(pixels / 255)
    drawn = [numpy(task.pooler(vectors, return_places=True, training=True)[1]) for _ in range(2)]
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-3 and max(np.abs(each).max() for each in drawn) <= 1.0


def test_a_hard_reader_reads_one_position_in_training():
    reader, x = HardReader(soft_chance=0.0, seed=1), np.random.default_rng(0).normal(size=(5, 7, 3)).astype("float32")
    drawn = numpy(reader(x, training=True))
    assert all(np.isclose(each, one).all(axis=-1).sum() == 1 for each, one in zip(x, drawn))
    read, chances = (numpy(each) for each in reader(x, return_attention_scores=True))
    np.testing.assert_allclose(read, np.einsum("bs,bsd->bd", chances[:, 0, 0], x), atol=1e-5)


def test_lora_changes_the_backbone_and_no_reader(tmp_path):
    task, x = classifier("soft", mixer="gru"), images()
    task.backbone.enable_lora(2)
    assert not any("lora" in weight.path for weight in task.pooler.weights)
    zoo.save(task, tmp_path / "preset")
    np.testing.assert_allclose(numpy(zoo.load(tmp_path / "preset")(x)), numpy(task(x)), atol=1e-5)


@pytest.mark.parametrize(
    "reader, message",
    [
        ("glimpses", "Unknown reader 'glimpses'. Did you mean 'glimpse'"),
        (5, "Unknown reader 5.*Known: glimpse, hard, soft"),
        (["soft"], "Unknown reader"),
        ({"score": "dot"}, 'dictionary {"reader": name'),
        ({"reader": "soft", "heads": 2}, "Unknown option of 'soft' 'heads'. Did you mean 'num_heads'"),
        ({"reader": "soft", "seeds": 2}, "Unknown option of 'soft' 'seeds'"),
        ({"reader": "soft", "num_heads": 2}, '"additive" has one head'),
        ({"reader": "hard", "inference": "mean"}, "Unknown inference 'mean'"),
        ({"reader": "hard", "soft_chance": 2.0}, "soft_chance"),
        ({"reader": "glimpse", "grid": [3, 5]}, "Unknown option of 'glimpse' 'grid'"),
        ({"reader": "glimpse", "count": 0}, "`count`: it must be an integer"),
        ({"reader": "glimpse", "size": 1.5}, "`size`"),
        ({"reader": "glimpse", "std": 0.0}, "`std`"),
    ],
)
def test_readers_and_options_that_are_none_are_refused(reader, message):
    with pytest.raises(ValueError, match=message):
        classifier(reader)


def test_a_grid_is_that_of_the_positions_and_other_readers_have_no_places():
    with pytest.raises(ValueError, match=r"grid of rows and columns.*\(3, 5\)"):
        GlimpseReader((3, 5))(np.zeros((2, 14, D), "float32"))
    with pytest.raises(ValueError, match=r"reader .glimpse. looks at places\..*'soft'"):
        classifier("soft").places(images())
