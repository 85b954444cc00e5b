"""What may not be published is trained all the same, says so, and is kept out of the presets."""

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest

import zoo
from tests.zoo import publish
from tests.zoo.helpers import image_backbone
from zoo import recipes, safety, store, train
from zoo.subjects import SUBJECTS
from zoo.subjects.images import CIFAR10_BIRD

NAME = "mixer_multi_head_cifar10_bird"
FILE = Path(__file__).parents[2] / "benchmarks" / "unpublished.py"


def photographs(split):
    """Birds are brighter."""
    random, y = np.random.default_rng(len(split)), np.arange(20) % 2
    return (random.integers(0, 90, (20, 8, 16, 3)) + 150 * y[:, None, None, None]).astype("uint8"), y


@pytest.fixture
def presets(monkeypatch, tmp_path):
    """A place of its own for what would be published, and nothing but that is written."""
    place = tmp_path / "presets"
    monkeypatch.setattr(store, "DIRECTORY", place)
    for name in ("_list_presets", "keys_of_preset"):
        monkeypatch.delattr(publish, name)
    return place


def save(folder, name):
    store.save(zoo.MixerImageClassifier(image_backbone("gated_conv"), 2), folder, card={"name": name})
    return str(folder)


def test_what_may_not_be_published_is_refused_before_anything_is_copied(presets, tmp_path, capsys):
    folders = [save(tmp_path / name, name) for name in ("mixer_gru_sst2", NAME)]
    with pytest.raises(SystemExit):
        publish.main(folders)
    said = capsys.readouterr().err
    assert "Weights trained on cifar10_bird must stay in one's own folder" in said
    assert f"Licence of the data: {CIFAR10_BIRD.licence}. Received: {folders[1]}" in said
    assert not presets.exists()


def test_a_card_is_written_anew_with_its_picture_and_the_weights_stay(tmp_path, monkeypatch):
    name, place = "mixer_gru_sst2", tmp_path / "mixer_gru_sst2"
    task = zoo.MixerImageClassifier(image_backbone("gated_conv"), 2)
    scores = {"test_score": 0.9, "test_score_by_seed": [0.81, 0.9, 0.83]}
    card = {"name": name, "picture": "look.png", "limits": "old", **scores}
    store.save(task, place, card=card, files={"look.png": b"old"})
    before = {file.name: file.read_bytes() for file in place.iterdir() if file.is_file()}
    monkeypatch.setattr(store, "DIRECTORY", tmp_path)
    monkeypatch.setattr(store, "PRESETS", {})
    monkeypatch.setattr(publish, "_list_presets", lambda: None)
    monkeypatch.setattr(publish, "draw", lambda subject, preset, path: path.write_bytes(b"new"))
    publish.refresh(place, pictures=True)
    after = {file.name: file.read_bytes() for file in place.iterdir() if file.is_file()}
    assert {name for name in before if before[name] != after[name]} == {
        "look.png",
        "checksums.json",
        "card.json",
        "README.md",
    }
    assert after["look.png"] == b"new" and safety.verify(place) is None and name in store.PRESETS
    card = safety.read_json(place, "card.json")
    assert card["limits"] == SUBJECTS["sst2"].limits and card["test_score"] == 0.9
    assert card["goal"] == "accuracy: 0.84; missed by 0.01 (the median of 3 seeds: 0.83)"


@pytest.mark.trains
def test_what_may_not_be_published_is_trained_and_its_card_says_so(presets, tmp_path, monkeypatch):
    subject = dataclasses.replace(CIFAR10_BIRD, read=photographs, image_shape=(8, 16, 3))
    monkeypatch.setitem(SUBJECTS, subject.name, subject)
    small = {"patch_size": 4, "hidden_dim": 11, "num_layers": 1, "mixer": "gated_conv"}
    monkeypatch.setitem(recipes.RECIPES, NAME, recipes.Recipe(NAME, subject.name, small, epochs=1, seeds=(3,)))
    monkeypatch.setattr(train, "draw", lambda *_: None)  # What it looks at takes longest, and says nothing here.
    card = train.train(NAME, tmp_path / "mine", tmp_path / "work")
    assert card["licence"].endswith("unclear; to measure with only")
    assert card["limits"].endswith("weights are not to be published.")
    assert card["score_is"] == "area under the receiver's curve" and set(card["further_scores"]) == {"accuracy"}
    with pytest.raises(ValueError, match="must stay in one's own folder"):
        publish.publish(tmp_path / "mine")
    assert not presets.exists()


def test_scores_of_what_is_not_published_are_written_from_the_cards():
    spec = importlib.util.spec_from_file_location("unpublished", FILE)
    unpublished = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(unpublished)
    card = {
        "name": NAME,
        "subject": "cifar10_bird",
        "kind": "explicit",
        "data": "photographs",
        "licence": "of the data: unclear",
        "score_is": "area",
        "dev_score": [0.875],
        "test_score": 0.75,
        "further_scores": {"accuracy": 0.5},
        "parameters": 1234,
        "training_s": [5678],
    }
    other = {**card, "name": "other", "published": ["0.9"]}
    lines = unpublished.section([card, other]).splitlines()
    assert lines[2:4] == [
        "- `cifar10_bird`: photographs. Licence of the data: unclear.",
        "- `cifar10_bird`, others: 0.9.",
    ]
    assert f"| `{NAME}` | explicit | area | 0.750 | 0.875 | accuracy 0.500 | 1,234 | 5,678 |" in lines
    assert len([line for line in lines if line.startswith("|")]) == 4
