"""What presets are trained on: how answers are aligned, weighed and judged, each by hand on made-up data."""

import dataclasses

import keras
import numpy as np
import pytest

import zoo
from zoo import recipes, train
from zoo.batches import Recordings
from zoo.datasets.windows import Windows
from zoo.subjects import SUBJECTS
from zoo.subjects.captions import EMOJI_CAPTIONS
from zoo.subjects.forecasts import ETT
from zoo.subjects.images import FASHION_MNIST
from zoo.subjects.series import BEATS, STRIPS, UCR, auroc
from zoo.subjects.speech import AN4, FSDD, FSDD_STRANGERS
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


def made_up_digits(split):
    random = np.random.default_rng(SPLITS.index(split))
    y = np.arange(13) % 10
    waves = [np.sin(np.arange(700 + 80 * i) * (0.1 + digit / 5)) for i, digit in enumerate(y)]
    return [(9000 * (wave + random.normal(size=wave.shape) / 9)).astype("int16") for wave in waves], y


def test_spoken_words_are_judged_from_waves_as_from_their_frames(tmp_path):
    subject = dataclasses.replace(FSDD, read=made_up_digits)
    preprocessor = subject.prepare(recipe(subject), tmp_path)
    task = subject.build(recipe(subject), preprocessor)
    waves, labels = subject.load("test")
    encoded = subject.encode(preprocessor, waves)
    assert encoded["padding_mask"].sum(axis=1).tolist() == [-(-len(wave) // 80) for wave in waves]
    score = subject.score(subject.outputs(keras.Model(task.input, task.output), encoded), labels)
    assert subject.judge(task) == {"score": score} and subject.targets(recipe(subject), labels).shape == (13, 10)


def test_there_is_a_row_for_each_speaker_who_is_left_out(monkeypatch):
    asked = []
    monkeypatch.setattr("zoo.datasets.fsdd.load", lambda split, left_out: asked.append((split, left_out)) or _Nothing)
    for subject in FSDD_STRANGERS:
        subject.load("test")
    assert asked == [("test", subject.name.split("_")[-1]) for subject in FSDD_STRANGERS] and len(asked) == 6


class _Nothing:
    pcm, y = [], []


def test_recordings_of_like_length_stand_together_and_are_cut_to_the_longest():
    lengths = np.arange(3, 153, 3)
    mask = (np.arange(160) < lengths[:, None]).astype("int32")
    batches = Recordings({"frames": mask[:, :, None] * 1.0, "padding_mask": mask}, lengths, 5, [1, 0])
    seen = [batches[index] for index in range(len(batches))]
    assert sorted(length for _, targets in seen for length in targets) == lengths.tolist()
    for inputs, targets in seen:
        assert inputs["padding_mask"].sum(axis=1).tolist() == targets.tolist()
        assert inputs["frames"].shape == (5, -(-max(targets) // 64) * 64, 1)
    assert seen[0][1].max() == 150 and seen[1][1].min() == 3


def made_up_utterances(split):
    random = np.random.default_rng(SPLITS.index(split))
    texts = ["A B", "BB A", "A", "B A B", "AB"]
    return [random.normal(size=(31 + 7 * i, 13)).astype("float32") for i in range(len(texts))], texts


def test_what_is_written_down_is_judged_in_words_and_in_characters(tmp_path):
    subject = dataclasses.replace(AN4, read=made_up_utterances)
    preprocessor = subject.prepare(recipe(subject), tmp_path)
    recordings, texts = subject.load("test")
    answers = subject.align(preprocessor, recordings, texts)
    ids = subject.targets(recipe(subject), answers)
    # Each symbol twice and a blank, so that two of a kind stay two.
    said = np.repeat(ids, 3, axis=1)
    said[:, 2::3] = 0
    logits = np.eye(preprocessor.tokenizer.vocabulary_size())[said] * 9
    assert subject.scores(logits, answers) == {"score": 0.0, "character error rate": 0.0}
    logits[2] = logits[1]
    # "BB A" for "A": one word too many of 9, and three characters of 15.
    assert subject.score(logits, answers) == pytest.approx(1 / 9)
    assert subject.scores(logits, answers)["character error rate"] == pytest.approx(3 / 15)
    task = subject.build(recipe(subject), preprocessor)
    assert set(subject.judge(task)) == {"score", "character error rate", "word error rate with 16 beams"}


def made_up_pictures(split):
    random = np.random.default_rng(SPLITS.index(split))
    captions = ["red sun", "blue sun", "red moon", "moon", "blue moon"]
    return random.integers(0, 255, (5, 8, 16, 3)).astype("uint8"), captions


def test_captions_word_by_word_from_a_bare_model_are_those_that_are_generated(tmp_path):
    subject = dataclasses.replace(EMOJI_CAPTIONS, read=made_up_pictures)
    preprocessor = subject.prepare(recipe(subject), tmp_path)
    task = subject.build(recipe(subject, attention={"mixer": "additive", "units": 7}), preprocessor)
    task.output_dense.kernel.assign(task.output_dense.kernel * 9)
    images, captions = subject.load("test")
    said = subject.outputs(keras.Model(task.input, task.output), subject.encode(preprocessor, images))
    generated = task.generate(images, max_length=15)
    assert preprocessor.texts(said) == generated and len(set(generated)) > 1
    perfect = preprocessor.captions(captions)[1]
    assert subject.score(perfect, subject.align(preprocessor, images, captions)) == 1.0


def test_pictures_are_moved_and_what_is_said_of_them_stays(tmp_path):
    subject = dataclasses.replace(EMOJI_CAPTIONS, read=made_up_pictures)
    preprocessor = subject.prepare(recipe(subject), tmp_path)
    images, captions = subject.load("train")
    encoded = subject.encode(preprocessor, images)
    targets = subject.targets(recipe(subject), subject.align(preprocessor, images, captions))
    inputs, following, weights = subject.batches(recipe(subject), preprocessor, encoded, targets, [1, 0])[0]
    assert preprocessor.texts(following) != captions and sorted(preprocessor.texts(following)) == sorted(captions)
    assert (inputs["token_ids"][:, 0] == 2).all() and weights.sum() == 9 + 5
    assert not any((image == other).all() for image in inputs["images"] for other in encoded["images"])
