"""Presets are data: they come back as they were, on any backend, and what was tampered with is refused."""

import json
import shutil
import signal
import subprocess
import sys

import h5py
import keras
import keras_hub
import numpy as np
import pytest

import keras_attn
import zoo
from tests.zoo.helpers import (
    CLASSES,
    fresh_process,
    image_backbone,
    keys_of,
    text_backbone,
    text_classifier,
    token_batch,
)
from zoo import safety, store

TEXTS = ["good funny film .", "not good", "a dull , dull film"]
IMAGES = np.random.default_rng(0).normal(size=(3, 6, 10, 3)).astype("float32")
BACKENDS = [
    pytest.param(backend, marks=[pytest.mark.slow] if backend != keras.backend.backend() else [])
    for backend in ("tensorflow", "jax", "torch")
]

LOAD = """
import numpy as np, keras_hub, zoo
classifier = keras_hub.models.TextClassifier.from_preset({folder!r} + "/text")
assert type(classifier) is zoo.MixerTextClassifier, type(classifier)
expected = np.load({folder!r} + "/expected.npz")
tokens = {{"token_ids": expected["token_ids"], "padding_mask": expected["padding_mask"]}}
found = {{
    "text": classifier.predict({texts!r}, verbose=0),
    "tagger": zoo.load({folder!r} + "/tagger").predict(tokens, verbose=0),
    "image": keras_hub.models.ImageClassifier.from_preset({folder!r} + "/image").predict(expected["images"], verbose=0),
}}
print(max(np.abs(found[name] - expected[name]).max() for name in found))
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """One preset of each task, hybrids all, and what each answers in this process."""
    folder = tmp_path_factory.mktemp("presets")
    preprocessor = zoo.MixerImageClassifierPreprocessor(zoo.MixerImageConverter(scale=0.5, offset=0.1))
    mixers = ["gru", "multi_head", "linear_recurrence", "gated_conv"]
    tasks = {
        "text": text_classifier(["additive", {"mixer": "gru", "bidirectional": True}]),
        "tagger": zoo.MixerTagger(text_backbone(mixers, num_layers=4), CLASSES),
        "image": zoo.MixerImageClassifier(
            image_backbone(["token_mlp", "lstm"], stem="convolution"), CLASSES, preprocessor=preprocessor
        ),
    }
    inputs = {"text": TEXTS, "tagger": token_batch(), "image": IMAGES}
    for name, task in tasks.items():
        store.save(task, folder / name, card={"name": name})
    answers = {name: tasks[name].predict(inputs[name], verbose=0) for name in tasks}
    np.savez(folder / "expected.npz", images=IMAGES, **token_batch(), **answers)
    return folder


@pytest.fixture
def preset(saved, tmp_path):
    """A copy of the text preset to damage."""
    return shutil.copytree(saved / "text", tmp_path / "preset")


@pytest.mark.parametrize("backend", BACKENDS)
def test_presets_come_back_in_a_new_process_on_each_backend(saved, backend):
    assert float(fresh_process(LOAD.format(folder=str(saved), texts=TEXTS), backend)) < 1e-5


@pytest.mark.slow
def test_the_same_class_comes_back_in_twenty_of_twenty_processes(saved):
    code = f"import zoo, keras_hub; print(type(keras_hub.models.TextClassifier.from_preset({str(saved / 'text')!r})))"
    names = {fresh_process(code, keras.backend.backend()) for _ in range(20)}
    assert names == {"<class 'zoo.text.MixerTextClassifier'>"}


def test_keras_hub_finds_each_of_our_classes(saved):
    text, image = str(saved / "text"), str(saved / "image")
    assert type(keras_hub.models.Backbone.from_preset(text)) is zoo.MixerTextBackbone
    assert type(keras_hub.models.Tokenizer.from_preset(text)) is zoo.MixerTokenizer
    assert type(keras_hub.models.TextClassifierPreprocessor.from_preset(text)) is zoo.MixerTextClassifierPreprocessor
    assert type(keras_hub.models.ImageClassifier.from_preset(image)) is zoo.MixerImageClassifier
    assert type(keras_hub.layers.ImageConverter.from_preset(image)) is zoo.MixerImageConverter


def test_a_preset_can_be_given_other_classes_to_learn(saved):
    task = keras_hub.models.TextClassifier.from_preset(str(saved / "text"), num_classes=7)
    assert task.predict(TEXTS, verbose=0).shape == (3, 7)


def test_a_preset_loads_in_half_precision(saved):
    task = keras_hub.models.TextClassifier.from_preset(str(saved / "text"), dtype="bfloat16")
    exact = np.load(saved / "expected.npz")["text"]
    np.testing.assert_allclose(task.predict(TEXTS, verbose=0).astype("float32"), exact, atol=0.1)


def test_weights_stored_in_half_precision_load_into_float32(tmp_path):
    task = text_classifier()
    store.save(task, tmp_path / "half", weights="float16")
    store.save(task, tmp_path / "whole")
    loaded = store.load(tmp_path / "half")
    assert {weight.dtype for weight in loaded.weights} == {"float32"}
    for found, exact in zip(loaded.get_weights(), task.get_weights(), strict=True):
        np.testing.assert_array_equal(found, exact.astype("float16").astype("float32"))
    sizes = [sum(file.stat().st_size for file in (tmp_path / name).glob("*.h5")) for name in ("half", "whole")]
    assert sizes[0] < sizes[1]


def test_the_state_of_an_optimizer_is_not_saved(tmp_path):
    task = text_classifier()
    store.save(task, tmp_path / "before")
    task.fit(TEXTS, np.array([1, 0, 0]), verbose=0)
    store.save(task, tmp_path / "after")
    keys = [keys_of(tmp_path / name / "task.weights.h5") for name in ("before", "after")]
    assert keys[0] == keys[1]
    np.testing.assert_allclose(
        store.load(tmp_path / "after").predict(TEXTS, verbose=0), task.predict(TEXTS, verbose=0), atol=1e-5
    )


def test_what_lora_has_learned_is_saved_within_the_weights(tmp_path):
    task = text_classifier("multi_head")
    task.backbone.enable_lora(2)
    random = np.random.default_rng(0)
    for weight in task.trainable_variables:
        weight.assign(weight + 0.1 * random.normal(size=weight.shape))
    assert any("lora" in weight.name for weight in task.trainable_variables)
    store.save(task, tmp_path / "preset")
    again = store.load(tmp_path / "preset")
    assert not any("lora" in weight.name for weight in again.weights)
    np.testing.assert_allclose(again.predict(TEXTS, verbose=0), task.predict(TEXTS, verbose=0), rtol=1e-4, atol=1e-5)


def test_lora_finds_something_to_change_whatever_the_mixer(tmp_path):
    task = text_classifier("gru")
    task.backbone.enable_lora(2)
    assert any("lora" in weight.name for weight in task.backbone.trainable_variables)
    answers = task.predict(TEXTS, verbose=0)
    for weight in task.backbone.trainable_variables:
        weight.assign(weight + 0.1)
    task.backbone.save_lora_weights(tmp_path / "learned.lora.h5")
    task.backbone.load_lora_weights(tmp_path / "learned.lora.h5")
    assert np.abs(task.predict(TEXTS, verbose=0) - answers).max() > 1e-4


@pytest.mark.parametrize("options", [{"rank": 0}, {"rank": 2, "target_layer_names": ["query"]}])
def test_lora_that_would_change_nothing_is_refused_and_freezes_nothing(options):
    backbone = text_classifier("gru").backbone
    with pytest.raises(ValueError, match="Received: "):
        backbone.enable_lora(**options)
    assert backbone.trainable_variables


def test_weights_too_large_for_half_precision_are_refused(tmp_path):
    task = text_classifier()
    task.output_dense.bias.assign(np.full(CLASSES, 1e5))
    with pytest.raises(zoo.PresetError, match="do not fit float16"):
        store.save(task, tmp_path / "half", weights="float16")
    assert not (tmp_path / "half").exists()  # So that it can be saved there in another way.


def test_a_preset_is_not_written_over_another(preset):
    with pytest.raises(zoo.PresetError, match="not empty"):
        store.save(text_classifier(), preset)


@pytest.mark.parametrize("fails", [keras_hub.models.Task.save_to_preset, safety.write_checksums])
def test_when_writing_fails_nothing_is_left_and_what_a_kill_left_is_no_hindrance(tmp_path, monkeypatch, fails):
    def stop(*_):
        raise KeyboardInterrupt

    task, part = text_classifier(), tmp_path / ".preset.part"
    with monkeypatch.context() as patched:
        patched.setattr(safety if fails is safety.write_checksums else keras_hub.models.Task, fails.__name__, stop)
        with pytest.raises(KeyboardInterrupt):
            store.save(task, tmp_path / "preset")
    assert not list(tmp_path.iterdir())
    part.mkdir()  # As a kill leaves it.
    (part / "half.weights.h5").touch()
    store.save(task, tmp_path / "preset")
    assert [path.name for path in tmp_path.iterdir()] == ["preset"]
    store.load(tmp_path / "preset")


KILLED = """
import os, signal
from tests.zoo.helpers import text_classifier
from zoo import safety, store
safety.write_checksums = lambda folder: os.kill(os.getpid(), signal.SIGKILL)
store.save(text_classifier(), {directory!r})
"""


@pytest.mark.slow
def test_after_a_kill_the_directory_is_as_it_was(tmp_path):
    code = KILLED.format(directory=str(tmp_path / "preset"))
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert not (tmp_path / "preset").exists()
    store.save(text_classifier(), tmp_path / "preset")
    assert [path.name for path in tmp_path.iterdir()] == ["preset"]


def test_a_folder_in_which_one_stands_is_filled_and_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    store.save(text_classifier(), ".")
    store.load(".")
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_where_no_folder_can_be_made_is_said_before(tmp_path):
    (tmp_path / "file").touch()
    for name in ("file", "file/preset"):
        with pytest.raises(zoo.PresetError, match=r"file .*name another one|file is no folder that you may write into"):
            store.check_free(tmp_path / name)
    store.check_free(tmp_path / "new" / "preset")
    assert not (tmp_path / "new").exists()


def test_only_tasks_of_the_zoo_are_saved(tmp_path):
    with pytest.raises(TypeError, match="Received: MixerTextBackbone"):
        store.save(text_backbone("gru"), tmp_path / "backbone")


def test_a_wrong_name_shows_near_ones(monkeypatch):
    monkeypatch.setitem(store.PRESETS, "mixer_gru_sst2", "0")
    with pytest.raises(ValueError, match="Did you mean 'mixer_gru_sst2'"):
        store.load("mixer_gru_sst")


def test_a_changed_file_is_refused(preset):
    vocabulary = preset / "assets" / "tokenizer" / "vocabulary.txt"
    vocabulary.write_text(vocabulary.read_text(encoding="utf-8").replace("good", "goot"), encoding="utf-8")
    with pytest.raises(zoo.PresetError, match=r"vocabulary.txt of the preset .* is damaged or was changed"):
        store.load(preset)


def test_a_truncated_file_is_refused(preset):
    weights = preset / "model.weights.h5"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(zoo.PresetError, match=f"Expected: {len(content)} bytes.*Found: {len(content) // 2} bytes"):
        store.load(preset)


def test_an_extra_file_is_refused(preset):
    (preset / "more.py").write_text("", encoding="utf-8")
    with pytest.raises(zoo.PresetError, match=r"Extra: \['more.py'\]"):
        store.load(preset)


def test_a_missing_file_is_refused(preset):
    (preset / "task.weights.h5").unlink()
    with pytest.raises(zoo.PresetError, match=r"Missing: \['task.weights.h5'\]"):
        store.load(preset)


def test_a_link_is_refused(preset, tmp_path):
    file = preset / "README.md"
    file.rename(tmp_path / "elsewhere.md")
    file.symlink_to(tmp_path / "elsewhere.md")
    with pytest.raises(zoo.PresetError, match=r"link 'README.md'"):
        store.load(preset)


@pytest.mark.parametrize(
    "path", ["../outside.txt", "/etc/hostname", "assets/../../outside.txt", "C:x", "a\\b", "./card.json"]
)
def test_a_path_out_of_the_preset_is_refused(preset, path):
    listed = safety.read_json(preset, "checksums.json")
    listed["files"][path] = {"bytes": 0, "sha256": ""}
    (preset / "checksums.json").write_text(json.dumps(listed), encoding="utf-8")
    with pytest.raises(zoo.PresetError, match="not a plain path inside the preset"):
        store.load(preset)


@pytest.mark.parametrize("content", ["", "[1]", '{"files": [1]}', '{"files": {"card.json": 1}}'])
def test_a_damaged_list_of_checksums_is_refused(preset, content):
    (preset / "checksums.json").write_text(content, encoding="utf-8")
    with pytest.raises(zoo.PresetError, match=r"checksums.json"):
        store.load(preset)


def test_a_directory_without_checksums_is_no_preset(tmp_path):
    with pytest.raises(zoo.PresetError, match=r"has no checksums.json"):
        store.load(tmp_path)


def rewrite(preset, name, change):
    """Changes a config as someone would who changes its checksum too."""
    config = safety.read_json(preset, name)
    change(config)
    (preset / name).write_text(json.dumps(config), encoding="utf-8")
    safety.write_checksums(preset)


LAMBDA = {"class_name": "__lambda__", "config": {"value": "4wAAAAA="}}
EVIL = [
    LAMBDA,
    {"class_name": "Lambda", "module": "keras.layers", "config": {"function": LAMBDA}},
    {"class_name": "layers.Lambda", "module": "keras", "config": {"function": "os.system"}},
    {"class_name": "TorchModuleWrapper", "module": "keras.layers", "config": {}},
    {"class_name": "Popen", "module": "subprocess", "config": {}, "registered_name": None},
    {"class_name": "Dense", "module": "keras.layers", "config": {}, "registered_name": "evil>Dense"},
    {"class_name": "function", "module": "os", "config": "system", "registered_name": "system"},
    {"class_name": "Dense", "config": {}},
    {"class_name": "__typespec__", "module": "keras", "config": []},
]


@pytest.mark.parametrize("evil", EVIL, ids=lambda evil: evil["class_name"])
@pytest.mark.parametrize("file", ["config.json", "task.json", "preprocessor.json", "tokenizer.json"])
def test_code_and_foreign_classes_are_refused_wherever_they_stand(preset, file, evil):
    rewrite(preset, file, lambda config: config["config"].update(activation=[{"deep": evil}]))
    with pytest.raises(zoo.PresetError, match=r"are refused|are built"):
        store.load(preset)


def test_a_task_that_is_not_of_the_zoo_is_refused(preset):
    rewrite(
        preset,
        "task.json",
        lambda config: config.update(registered_name="keras_hub>BertTextClassifier", module="keras_hub.models"),
    )
    with pytest.raises(zoo.PresetError, match="may name only zoo>MixerTextClassifier"):
        store.load(preset)


def test_a_model_of_another_library_is_refused(preset):
    (preset / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    safety.write_checksums(preset)
    with pytest.raises(zoo.PresetError, match="names None; it may name only zoo>MixerTextBackbone"):
        store.load(preset)


def unknown(config):
    config["config"]["backbone"]["config"]["mixer"] = "attention_of_tomorrow"


@pytest.mark.parametrize(
    ("saved_with", "advice"),
    [
        (
            {"keras-attn": "99.1", "keras-hub": "0.1", "keras": "3.0"},
            r"saved with keras-attn 99.1 .*upgrade with",
        ),
        ({"keras-attn": "0.0.1", "keras-hub": "0.1", "keras": "3.0"}, "tomorrow"),
        ({"keras-attn": "?"}, "tomorrow"),
        ([], "tomorrow"),
    ],
)
def test_a_preset_that_a_newer_version_saved_and_that_is_not_understood_says_what_to_do(preset, saved_with, advice):
    rewrite(preset, "task.json", unknown)
    checksums = safety.read_json(preset, "checksums.json")
    assert checksums["saved_with"]["keras-attn"] == keras_attn.__version__
    (preset / "checksums.json").write_text(json.dumps({**checksums, "saved_with": saved_with}), encoding="utf-8")
    with pytest.raises(zoo.PresetError, match=advice) as refused:
        store.load(preset)
    assert ("upgrade" in str(refused.value)) == ("99.1" in str(saved_with))


@pytest.mark.parametrize("name", ["/etc/x.json", "../x.json", "", 7])
def test_a_tokenizer_may_not_read_files_elsewhere(preset, name):
    rewrite(
        preset, "preprocessor.json", lambda config: config["config"]["tokenizer"]["config"].update(config_file=name)
    )
    with pytest.raises(zoo.PresetError, match="not a plain file name"):
        store.load(preset)


@pytest.mark.parametrize(
    "parts", [{"vocabulary": "/etc/hostname"}, {"vocabulary": ["[PAD]"]}, {"merges": "/etc/hostname"}, {"proto": "x"}]
)
def test_a_vocabulary_elsewhere_is_refused(preset, parts):
    rewrite(preset, "tokenizer.json", lambda config: config["config"].update(parts))
    with pytest.raises(zoo.PresetError, match="belongs into assets"):
        store.load(preset)


def test_weights_that_point_to_another_file_are_refused(preset, tmp_path):
    (preset / "model.weights.h5").rename(tmp_path / "elsewhere.h5")
    with h5py.File(preset / "model.weights.h5", "w") as file:
        file["layers"] = h5py.ExternalLink(str(tmp_path / "elsewhere.h5"), "/layers")
    safety.write_checksums(preset)
    with pytest.raises(ValueError):
        store.load(preset)


def test_a_config_that_is_not_json_is_refused(preset):
    (preset / "task.json").write_text("{", encoding="utf-8")
    safety.write_checksums(preset)
    with pytest.raises(zoo.PresetError, match=r"task.json of the preset .* is not JSON"):
        store.load(preset)


def test_nothing_of_a_preset_is_pickled(saved):
    for file in (saved / "text").rglob("*"):
        if file.is_file():
            assert file.suffix in (".json", ".h5", ".txt", ".md"), file
