"""What presets are trained on: how answers are aligned, weighed and judged, each by hand on made-up data."""

import dataclasses

import keras
import numpy as np
import pytest

import zoo
from zoo import recipes, train
from zoo.datasets.windows import Windows
from zoo.subjects import SUBJECTS
from zoo.subjects.forecasts import ETT
from zoo.subjects.images import FASHION_MNIST
from zoo.subjects.series import BEATS, STRIPS, UCR, auroc
from zoo.subjects.tags import UD_EWT
from zoo.subjects.texts import SST2

WORDS = {"train": [["Goods", "fun"], ["not", "bad", "film"]], "dev": [["fun"]], "test": [["a", "dull", "film"]]}
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "Good", "##s", "fun", "not", "bad", "film", "dull", "a"]
TINY = {"hidden_dim": 11, "num_layers": 1, "mixer": "gated_conv"}


def recipe(subject, **options):
    return recipes.Recipe("small", subject.name, TINY, options, batch_size=5, epochs=1, seeds=(3,))


@pytest.mark.parametrize("name", sorted(recipes.RECIPES))
def test_a_recipe_names_a_subject_and_options_of_it(name):
    chosen = recipes.RECIPES[name]
    assert chosen.name == name and name.endswith(chosen.subject)
    assert set(chosen.options) <= set(SUBJECTS[chosen.subject].settings(chosen))


def test_an_unknown_option_shows_near_ones():
    with pytest.raises(ValueError, match="Did you mean 'head_dropout'"):
        SST2.settings(recipe(SST2, head_dropot=0.1))


@pytest.mark.parametrize("name", sorted(SUBJECTS))
def test_a_subject_says_what_a_card_needs(name):
    subject = SUBJECTS[name]
    assert subject.name == name
    assert all((subject.summary, subject.data, subject.licence, subject.limits, subject.measure))
    assert not subject.summary.endswith(".") and subject.limits.endswith(".")


def test_the_best_seed_is_that_with_the_best_score_and_the_first_of_equals():
    assert train.choose_best(SST2, {1: 0.5, 2: 0.75, 3: 0.75}) == 2
    assert train.choose_best(ETT[0], {1: 0.5, 2: 0.25, 3: 0.25}) == 2


def tags(count=7):
    preprocessor = zoo.MixerTaggerPreprocessor(zoo.MixerTokenizer(PIECES, lowercase=False), sequence_length=count)
    answers = [["NOUN", "ADJ"], ["PART", "ADJ", "NOUN"]]
    return UD_EWT.align(preprocessor, WORDS["train"], answers), preprocessor


def test_tags_stand_at_first_pieces_and_words_that_are_cut_off_count_as_wrong():
    (labels, there, count), _ = tags()
    noun, adjective, particle = (UD_EWT.names.index(tag) for tag in ("NOUN", "ADJ", "PART"))
    assert labels[:, :4].tolist() == [[noun, 0, adjective, 0], [particle, adjective, noun, 0]] and count == 5
    outputs = np.eye(17)[labels]
    assert UD_EWT.score(outputs, (labels, there, count)) == 1.0
    (labels, there, count), _ = tags(count=2)
    assert UD_EWT.score(np.eye(17)[labels], (labels, there, count)) == pytest.approx(0.6)


def test_batches_of_tags_weigh_words_alone():
    (labels, there, _), preprocessor = tags()
    batches = UD_EWT.batches(
        recipe(UD_EWT, word_dropout=0.0),
        preprocessor,
        preprocessor(WORDS["train"] * 3),
        (np.tile(labels, (3, 1)), np.tile(there, (3, 1))),
        [1, 0],
    )
    inputs, targets, weights = batches[0]
    assert inputs["token_ids"].shape == targets.shape == weights.shape == (5, 7)
    rows = {tuple(row) for row in np.concatenate([targets * weights, weights], axis=1).tolist()}
    assert rows == {tuple(row) for row in np.concatenate([labels, there], axis=1).tolist()}


def test_ventricular_beats_are_judged_by_what_is_found_and_what_is_true():
    labels = np.array([2, 2, 2, 2, 0, 0, 1, 3])
    found = np.array([2, 2, 2, 0, 2, 0, 1, 0])
    scores = BEATS.scores(np.eye(5)[found], labels)
    assert scores["sensitivity"] == scores["precision"] == scores["score"] == 0.75
    assert scores["accuracy over 5 classes"] == 0.625


def test_nothing_found_is_no_error():
    assert BEATS.score(np.eye(5)[np.zeros(3, int)], np.array([2, 0, 2])) == 0.0


def test_the_area_is_the_share_of_pairs_in_the_right_order():
    logits = np.array([[0, 1.0], [0, 3.0], [0, 2.0], [0, 0.0]])
    assert auroc(logits, np.array([1, 1, 0, 0]))["score"] == 0.75


def test_rare_classes_count_more_and_all_together_as_much_as_before():
    answers = np.array([0] * 8 + [1, 1])
    for balance, ratio in ((0.0, 1.0), (1.0, 4.0), (0.5, 2.0)):
        _, weights = STRIPS.targets(recipe(STRIPS, balance=balance), answers)
        assert weights[-1] / weights[0] == pytest.approx(ratio) and weights.mean() == pytest.approx(1.0)


def test_without_a_development_part_the_last_of_equal_epochs_is_kept():
    assert UCR[0].is_better(0.5, 0.5) and not UCR[0].is_better(0.4, 0.5)
    assert not STRIPS.is_better(0.5, 0.5)


def made_up_windows(split):
    values = np.random.default_rng(SPLITS.index(split)).normal(50, 7, (23, 13, 3)).astype("float32")
    return Windows(values[:, :8], values[:, 8:], ("a", "b", "c"), np.array([50.0, 50, 50]), np.array([7.0, 7, 7]))


SPLITS = ["train", "dev", "test"]


def test_forecasts_are_judged_in_standard_units_whatever_the_raw_ones_are(tmp_path):
    subject = dataclasses.replace(ETT[0], read=made_up_windows)
    preprocessor = subject.prepare(recipe(subject), tmp_path)
    task = subject.build(recipe(subject), preprocessor)
    inputs, answers = subject.load("test")
    raw = task.predict(inputs, verbose=0)
    judged = subject.judge(task)
    assert judged["score"] == pytest.approx(np.mean((raw - answers) ** 2) / 49, rel=1e-3)
    encoded = subject.outputs(keras.Model(task.input, task.output), subject.encode(preprocessor, inputs))
    assert subject.score(encoded, subject.align(preprocessor, inputs, answers)) == pytest.approx(judged["score"], 1e-3)


def test_images_are_moved_and_turned_and_no_pixel_is_made_up():
    images = np.random.default_rng(0).normal(size=(67, 11, 7, 3))
    changed = FASHION_MNIST._change(np.random.default_rng(1), images)
    assert changed.shape == images.shape
    middle = changed[:, 5, 3]  # (N, C)
    places = []
    for image, pixel in zip(images, middle):
        (place,) = np.argwhere((image == pixel).all(axis=-1))
        places.append(tuple(place))
    assert {row for row, _ in places} == {3, 4, 5, 6, 7} and {column for _, column in places} == {1, 2, 3, 4, 5}


def made_up_strips(split):
    random = np.random.default_rng(SPLITS.index(split))
    y = np.arange(20) % 2
    x = random.normal(size=(20, 13, 1))
    x[y == 1, 5] += 9
    return x.astype("float32"), y


def test_a_subject_is_trained_published_and_judged_by_what_was_stored(tmp_path, monkeypatch):
    subject = dataclasses.replace(STRIPS, read=made_up_strips)
    monkeypatch.setitem(SUBJECTS, STRIPS.name, subject)
    small = dataclasses.replace(recipe(subject), learning_rate=0.05, epochs=9, seeds=(3, 5))
    monkeypatch.setitem(recipes.RECIPES, "small", small)
    card = train.train("small", tmp_path / "preset", tmp_path / "work")
    task = zoo.load(tmp_path / "preset")
    assert card["test_score"] == subject.judge(task)["score"] > 0.9
    assert len(card["dev_score"]) == len(card["test_score_by_seed"]) == len(card["training_s"]) == 2
    assert card["classes"] == list(STRIPS.names) and "accuracy" in card["further_scores"]
    assert (tmp_path / "preset" / card["picture"]).read_bytes().startswith(b"\x89PNG")
    assert f"]({card['picture']})" in (tmp_path / "preset" / "README.md").read_text(encoding="utf-8")
