"""The presets that come with the zoo: whole, small, with a card that says the truth, and with the keys they had."""

import functools
import json
import os
from pathlib import Path

import keras
import keras_hub
import numpy as np
import pytest

import zoo
from tests.zoo.helpers import keys_of_preset
from zoo import catalogue, recipes, safety, store, train
from zoo.subjects import SUBJECTS

NAMES = sorted(store.PRESETS)
SENTIMENT = [name for name in NAMES if name.endswith("_sst2")]
#: Whose test data are many, or long to read.
LONG = (
    "reuters",
    "ud_ewt",
    "mitbih",
    "physionet2012",
    "ett",
    "pjm",
    "tinyshakespeare",
    "fashion_mnist",
    "metro",
    "babi",
    "emoji",
    "cmudict",
    "multi30k",
    "an4",
)
MEASURED = [
    pytest.param(name, marks=[pytest.mark.slow] if any(part in name for part in LONG) else []) for name in NAMES
]
TEXTS = ["a gripping , funny and quietly moving film .", "a dull and lifeless mess of a movie ."]
KEYS = json.loads((Path(__file__).parent / "weight_keys.json").read_text(encoding="utf-8"))


@functools.cache
def load(name):
    """One load for all tests that only ask."""
    return zoo.load(name)


def test_each_directory_is_listed_and_has_a_recipe():
    assert sorted(path.name for path in store.DIRECTORY.iterdir() if path.is_dir()) == NAMES
    assert set(NAMES) <= set(recipes.RECIPES)
    assert all(SUBJECTS[recipes.RECIPES[name].subject].publishable for name in NAMES)


def test_there_is_a_preset_of_each_kind():
    assert {card["kind"] for card in zoo.presets().values()} == {"implicit", "explicit"}


@pytest.mark.parametrize("name", SENTIMENT)
def test_a_preset_tells_praise_from_blame(name):
    assert load(name).predict(TEXTS, verbose=0).argmax(axis=-1).tolist() == [1, 0]


@pytest.mark.parametrize("name", SENTIMENT)
def test_keras_hub_loads_a_preset_as_the_zoo_does(name):
    task = keras_hub.models.TextClassifier.from_preset(str(store.DIRECTORY / name))
    assert type(task) is zoo.MixerTextClassifier
    np.testing.assert_allclose(task.predict(TEXTS, verbose=0), load(name).predict(TEXTS, verbose=0), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_weight_keys_of_a_preset_are_frozen(name):
    """They carry class and attribute names: who renames one of those breaks every published file."""
    assert keys_of_preset(store.DIRECTORY / name) == KEYS[name]


@pytest.mark.skipif("keras.backend.backend() != 'tensorflow'", reason="Names do not depend on the backend")
@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_today_would_be_saved_under_the_same_keys(name, tmp_path):
    store.save(load(name), tmp_path / name)
    assert keys_of_preset(tmp_path / name) == KEYS[name]


@pytest.mark.parametrize("name", NAMES)
def test_no_file_of_a_preset_is_larger_than_8_megabytes(name):
    assert max(file.stat().st_size for file in (store.DIRECTORY / name).rglob("*") if file.is_file()) <= 8_000_000


@pytest.mark.parametrize("name", NAMES)
def test_a_card_agrees_with_its_recipe_and_its_model(name):
    card, recipe, task = zoo.presets()[name], recipes.RECIPES[name], load(name)
    judged = {"score": card["test_score"], **card.get("further_scores", {})}
    said = train.about(recipe, SUBJECTS[recipe.subject], card["test_score_by_seed"], judged)
    assert {field: card.get(field) for field in said} == json.loads(json.dumps(said))
    assert card["parameters"] == task.count_params() and card["parameters"] <= 3_000_000
    assert card["command"].endswith(f"python -m zoo.train {name}")
    assert card["latency_ms"] > 0 and (store.DIRECTORY / name / card["picture"]).is_file()
    readme = (store.DIRECTORY / name / "README.md").read_text(encoding="utf-8")
    assert f"{card['test_score']:.4g}" in readme and card["command"] in readme


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_whose_checksums_were_changed_too_is_refused(name, monkeypatch):
    monkeypatch.setitem(store.PRESETS, name, "0" * 64)
    with pytest.raises(zoo.PresetError, match=f"{safety.CHECKSUMS} of .* was changed"):
        zoo.load(name)


@pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="KERAS_ATTN_DATA is not set")
@pytest.mark.parametrize("name", MEASURED)
def test_the_score_on_the_card_is_the_score_of_the_preset(name):
    card = zoo.presets()[name]
    # One sentence more or less of SST-2's 1,821: backends add in different orders.
    assert SUBJECTS[card["subject"]].judge(load(name))["score"] == pytest.approx(card["test_score"], abs=1.5 / 1821)


def test_a_preset_answers_alike_for_a_text_alone_and_in_a_long_batch():
    task = zoo.load(SENTIMENT[0])
    short = keras.ops.convert_to_numpy(task(task.preprocessor(TEXTS)))
    task.preprocessor.sequence_length = 29
    np.testing.assert_allclose(keras.ops.convert_to_numpy(task(task.preprocessor(TEXTS))), short, atol=1e-5)


def test_the_page_of_all_presets_is_that_of_their_cards():
    page = Path(__file__).parents[2] / "docs" / "presets.md"
    assert page.read_text(encoding="utf-8") == catalogue.as_markdown(zoo.presets()), "run python -m zoo.catalogue"
