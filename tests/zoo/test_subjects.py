"""What presets are trained on: how answers are aligned, weighed and judged, each by hand on made-up data."""

import dataclasses
import functools

import keras
import numpy as np
import pytest

import zoo
from zoo import recipes, store, train
from zoo.batches import Recordings, StoryBatches
from zoo.datasets import catalog
from zoo.datasets.babi import Question
from zoo.datasets.windows import Windows
from zoo.subjects import SUBJECTS
from zoo.subjects.captions import EMOJI_CAPTIONS
from zoo.subjects.figures import auroc
from zoo.subjects.forecasts import BRENT_VOLATILITY, ETT, METRO_TRAFFIC
from zoo.subjects.hearts import BEATS, STRIPS, as_another_heart
from zoo.subjects.images import FASHION_MNIST
from zoo.subjects.pairs import (
    CMUDICT,
    MULTI30K,
    REUTERS_HEADLINES,
    SmoothedCrossentropy,
    headlines,
    pronunciations,
    translations,
)
from zoo.subjects.series import UCR
from zoo.subjects.speech import AN4, FSDD, FSDD_STRANGERS, speak_otherwise
from zoo.subjects.stories import BABI, Key, first_of_dev, on_facts, on_facts_by_chance
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
    assert subject.publishable != subject.limits.endswith(f"weights {catalog.KEEP}.")


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
    logits = np.array([[0, 1.0], [0, 3.0], [0, 2.0], [0, 0.5]])
    assert auroc(logits, np.array([1, 1, 0, 0])) == {"score": 0.75, "accuracy": 0.5}


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
    subject = dataclasses.replace(ETT[0], read=made_up_windows, horizon=5)
    preprocessor = subject.prepare(recipe(subject), tmp_path)
    task = subject.build(recipe(subject), preprocessor)
    inputs, answers = subject.load("test")
    raw = task.predict(inputs, verbose=0)
    judged = subject.judge(task)
    assert judged["score"] == pytest.approx(np.mean((raw - answers) ** 2) / 49, rel=1e-3)
    encoded = subject.outputs(keras.Model(task.input, task.output), subject.encode(preprocessor, inputs))
    assert subject.score(encoded, subject.align(preprocessor, inputs, answers)) == pytest.approx(judged["score"], 1e-3)


def test_forecasts_that_are_told_what_is_ahead_are_judged_in_raw_units(tmp_path):
    subject = dataclasses.replace(METRO_TRAFFIC, read=made_up_windows, horizon=5, wanted=(1,), ahead=(2, 0))
    preprocessor = subject.prepare(recipe(subject), tmp_path)
    task = subject.build(recipe(subject), preprocessor)
    inputs, answers = subject.load("test")
    windows = made_up_windows("test")
    assert (inputs["ahead"] == windows.y[:, :, [2, 0]]).all() and (answers == windows.y[:, :, [1]]).all()
    judged = subject.judge(task)
    assert judged["score"] == pytest.approx(np.abs(task.predict(inputs, verbose=0) - answers).mean(), rel=1e-3)
    encoded = subject.encode(preprocessor, inputs)
    found = subject.outputs(keras.Model(task.input, task.output), encoded)
    aligned = subject.align(preprocessor, inputs, answers)
    assert subject.scores(found, aligned) == pytest.approx(judged, 1e-3)
    assert (encoded["ahead"][:1] == subject.encode(preprocessor, subject.first())["ahead"]).all()
    assert subject.targets(recipe(subject), aligned).std() == pytest.approx(answers.std() / 7, rel=1e-4)
    assert {name: x.shape for name, x in subject.example().items()} == {"series": (8, 3), "ahead": (5, 2)}


def test_one_channel_may_be_forecast_with_nothing_known_ahead(tmp_path):
    subject = dataclasses.replace(BRENT_VOLATILITY, read=made_up_windows, horizon=5)
    preprocessor = subject.prepare(recipe(subject), tmp_path)
    task = subject.build(recipe(subject), preprocessor)
    inputs, answers = subject.load("test")
    assert (answers == made_up_windows("test").y[:, :, [1]]).all()
    expected = np.abs(task.predict(inputs, verbose=0) - answers).mean()
    assert subject.judge(task)["score"] == pytest.approx(expected, rel=1e-3)
    assert subject.first().shape == (1, 8, 3) and subject.example().shape == (8, 3)


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


def test_a_square_is_cut_out_of_each_image_at_a_place_of_its_own():
    images = np.ones((67, 11, 7, 3), "float32")
    cut = FASHION_MNIST._change(np.random.default_rng(1), images, side=3)
    assert cut.dtype == "float32" and (cut == cut[..., :1]).all()
    assert ((cut[..., 0] == 0).sum(axis=(1, 2)) == 9).all()
    corners = [tuple(np.argwhere(image[..., 0] == 0).min(axis=0)) for image in cut]
    assert {row for row, _ in corners} == set(range(9)) and {column for _, column in corners} == set(range(5))
    np.testing.assert_array_equal(FASHION_MNIST._change(np.random.default_rng(1), images), images)
    with pytest.raises(ValueError, match=r"from 1 to 7, .*Received: side=8"):
        FASHION_MNIST._change(np.random.default_rng(1), images, side=8)


def made_up_strips(split):
    random = np.random.default_rng(SPLITS.index(split))
    y = np.arange(20) % 2
    x = random.normal(size=(20, 13, 1))
    x[y == 1, 5] += 9
    return x.astype("float32"), y


def test_another_heart_beats_faster_or_slower_from_another_moment_on_and_sometimes_upside_down():
    times = np.arange(1200)
    strips = np.exp(-(((times % 40) - 20) ** 2) / 50)[None, :, None].repeat(50, axis=0).astype("float32")
    changed = as_another_heart(np.random.default_rng(0), strips)
    assert changed.shape == strips.shape and changed.dtype == "float32"
    waves = np.fft.rfft(changed[..., 0], axis=1)[:, 12:]
    beats = 12 + np.abs(waves).argmax(axis=1)
    assert beats.min() >= 24 and beats.max() <= 37 and len(set(beats.tolist())) > 8
    moments = np.angle(waves[np.arange(50), beats - 12])
    assert len(set(moments.round(1).tolist())) > 20
    apart = changed[..., 0] - changed[..., 0].mean(axis=1, keepdims=True)
    assert 5 <= ((apart**3).mean(axis=1) < 0).sum() <= 25


def made_up_places(split):
    _, y = made_up_strips(split)
    return (np.arange(13) == 5) & (y == 1)[:, None]


def test_a_subject_is_trained_published_and_judged_by_what_was_stored(tmp_path, monkeypatch):
    subject = dataclasses.replace(STRIPS, read=made_up_strips, places=made_up_places, change=None)
    monkeypatch.setitem(SUBJECTS, STRIPS.name, subject)
    small = dataclasses.replace(recipe(subject), learning_rate=0.05, epochs=9, seeds=(3, 5))
    monkeypatch.setitem(recipes.RECIPES, "small", small)
    card = train.train("small", tmp_path / "preset", tmp_path / "work")
    task = zoo.load(tmp_path / "preset")
    assert card["test_score"] == subject.judge(task)["score"] > 0.9
    assert len(card["dev_score"]) == len(card["test_score_by_seed"]) == len(card["training_s"]) == 2
    assert card["classes"] == list(STRIPS.names) and "accuracy" in card["further_scores"]
    assert card["further_scores"]["points at it"] > 0.8 and card["further_scores"]["by chance"] == pytest.approx(1 / 13)
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
    mask = (np.arange(192) < lengths[:, None]).astype("int32")
    batches = Recordings({"frames": mask[:, :, None] * 1.0, "padding_mask": mask}, lengths, 5, [1, 0])
    seen = [batches[index] for index in range(len(batches))]
    assert sorted(length for _, targets in seen for length in targets) == lengths.tolist()
    for inputs, targets in seen:
        assert inputs["padding_mask"].sum(axis=1).tolist() == targets.tolist()
        assert inputs["frames"].shape == (5, -(-max(targets) // 64) * 64, 1)
    assert seen[0][1].max() == 150 and seen[1][1].min() == 3


def test_recordings_are_made_faster_and_higher_by_their_own_shares():
    class Shares:
        """Speeds of 1/2 and 3/2 of what was recorded, then pitches."""

        def uniform(self, low, high, size):
            return np.array([[-0.5], [0.5]]) if high == 0.7 else np.zeros(size)

    frames = np.arange(8.0)[None, :, None] * [[[1.0, 10.0]], [[2.0, 0.0]]]
    mask = np.array([[1] * 5 + [0] * 3, [1] * 7 + [0]])
    found = speak_otherwise(Shares(), {"frames": frames, "padding_mask": mask}, speed=0.7, pitch=0.0)
    assert found["padding_mask"].sum(axis=1).tolist() == [8, 5]
    np.testing.assert_allclose(found["frames"][0, :, 1], [0, 5, 10, 15, 20, 25, 30, 35])
    np.testing.assert_allclose(found["frames"][1, :, 0], [0, 3, 6, 9, 12, 0, 0, 0])
    found = speak_otherwise(np.random.default_rng(0), {"frames": frames, "padding_mask": mask})
    assert (found["frames"][found["padding_mask"] == 0] == 0).all() and found["frames"].max() <= 70


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


def made_up_stories(split):
    """Who is where: the last sentence about a person counts."""
    random, places = np.random.default_rng(SPLITS.index(split)), ["home", "out", "up"]
    stories, keys = [], []
    for index in range(17):
        people = [str(each) for each in random.permutation(["Mary", "John"])]
        goals = [str(each) for each in random.choice(places, 13 if index % 4 == 0 else 2)]
        told = [f"{people[place % 2]} went {goal}." for place, goal in enumerate(goals)]
        fact = len(told) - 1 - index % 2
        stories.append((told, f"Where is {people[fact % 2]}?"))
        keys.append(Key(1 + index % 2, goals[fact], (fact,)))
    return stories, keys


MEMORY = {"hidden_dim": 11, "mixer": {"mixer": "end_to_end_memory", "hops": 2}}


def stories(tmp_path, **options):
    subject = dataclasses.replace(BABI, read=made_up_stories, tasks={1: "now", 2: "before"})
    chosen = dataclasses.replace(recipe(subject, sentences=12, **options), backbone=MEMORY)
    return subject, chosen, subject.prepare(chosen, tmp_path)


def test_answers_to_stories_are_judged_by_task_and_alike_from_raw_texts(tmp_path):
    subject, chosen, preprocessor = stories(tmp_path)
    task = subject.build(chosen, preprocessor)
    inputs, answers = subject.load("test")
    keys = subject.align(preprocessor, inputs, answers)
    outputs = subject.outputs(keras.Model(task.input, task.output), subject.encode(preprocessor, inputs))
    assert preprocessor.texts(task.predict(inputs, verbose=0)) == [
        preprocessor.tokenizer.id_to_token(int(each)) for each in outputs
    ]
    scores, judged = subject.scores(outputs, keys), subject.judge(task)
    assert {name: judged[name] for name in scores} == scores and list(scores) == ["score", "1 now", "2 before"]
    assert scores["score"] == pytest.approx((scores["1 now"] + scores["2 before"]) / 2)
    right = subject.targets(chosen, keys)
    assert subject.score(right, keys) == 0.0
    wrong = np.where(np.arange(17) == 1, 0, right)
    assert subject.scores(wrong, keys)["2 before"] == pytest.approx(1 / 8)
    assert subject.kind(chosen) == "explicit"
    for mixer, kind in (("gru", "implicit"), (["gru", "multi_head"], "explicit")):
        assert subject.kind(dataclasses.replace(chosen, backbone={"mixer": mixer})) == kind


def test_a_look_at_a_supporting_fact_is_counted_from_the_sentences_that_are_kept(tmp_path, monkeypatch):
    subject, chosen, preprocessor = stories(tmp_path)
    task = subject.build(chosen, preprocessor)
    told = ([f"Mary went {place}." for place in ["home"] * 15], "Where is Mary?")
    look = np.eye(12)[[2, 7]]
    monkeypatch.setattr(type(task), "look", lambda self, x: [look for _ in x])
    keys = [Key(1, "home", (5,)), Key(1, "home", (10, 1)), Key(1, "home", (2, 7))]
    assert on_facts(task, [told] * 3, keys).tolist() == [True, True, False]
    # The first three sentences are forgotten.
    expected = [1 - (11 / 12) ** 2, 1 - (11 / 12) ** 2, 1 - (11 / 12) ** 2]
    np.testing.assert_allclose(on_facts_by_chance(task, [told] * 3, keys), expected)


def test_batches_of_stories_are_cut_where_all_are_short(tmp_path):
    subject, chosen, preprocessor = stories(tmp_path)
    inputs, keys = subject.load("train")
    x, y = subject.encode(preprocessor, inputs), subject.targets(chosen, subject.align(preprocessor, inputs, keys))
    batches = subject.batches(chosen, preprocessor, x, y, [1, 0])
    widths = []
    for story, answer in (batches[index] for index in range(len(batches))):
        lengths = story["story"].any(axis=2).sum(axis=1)
        assert len(answer) == 5 and story["story"].shape[1] == (12 if lengths.max() > StoryBatches.SHORT else 10)
        widths.append(story["story"].shape[1])
        rows = {(*question, right) for question, right in zip(map(tuple, story["question"].tolist()), answer.tolist())}
        assert rows <= {(*question, right) for question, right in zip(map(tuple, x["question"].tolist()), y.tolist())}
    assert widths == [12, 10, 10]


def test_questions_to_choose_by_begin_with_a_new_story():
    story = [f"Sentence {place}." for place in range(40)]
    told = [Question(tuple(story[first : first + more]), "Who?", "", ()) for first in range(20) for more in (1, 2, 3)]
    assert first_of_dev(told) == 54 and first_of_dev(told, share=0.09) == 57
    with pytest.raises(ValueError, match="a story that begins there"):
        first_of_dev(told[:3])


def test_a_memory_is_linear_in_the_first_epochs_and_never_when_it_is_judged(tmp_path, monkeypatch):
    subject, chosen, _ = stories(tmp_path, linear_epochs=1)
    monkeypatch.setitem(SUBJECTS, BABI.name, subject)
    course = train._Course(chosen, tmp_path, epochs=2)
    model = course.build(3)
    memory, seen = model.backbone.memory, []

    class Spy(keras.callbacks.Callback):
        # Not by batches, between which jax keeps variables elsewhere.
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(float(memory.linear))

    callbacks = type(subject).callbacks
    monkeypatch.setattr(course, "build", lambda seed: model)
    monkeypatch.setattr(type(subject), "callbacks", lambda *arguments: [*callbacks(*arguments), Spy()])
    course.run(3)
    assert seen == [1.0, 0.0] and float(memory.linear) == 0.0


def made_up_pictures(split):
    random = np.random.default_rng(SPLITS.index(split))
    captions = ["red sun", "blue sun", "red moon", "moon", "blue moon"]
    return random.integers(0, 255, (5, 8, 16, 3)).astype("uint8"), captions


def test_captions_word_by_word_from_a_bare_model_are_those_that_are_generated(tmp_path):
    subject = dataclasses.replace(EMOJI_CAPTIONS, read=made_up_pictures, image_shape=(8, 16, 3))
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
    subject = dataclasses.replace(EMOJI_CAPTIONS, read=made_up_pictures, image_shape=(8, 16, 3))
    preprocessor = subject.prepare(recipe(subject), tmp_path)
    images, captions = subject.load("train")
    encoded = subject.encode(preprocessor, images)
    targets = subject.targets(recipe(subject), subject.align(preprocessor, images, captions))
    inputs, following, weights = subject.batches(recipe(subject), preprocessor, encoded, targets, [1, 0])[0]
    assert preprocessor.texts(following) != captions and sorted(preprocessor.texts(following)) == sorted(captions)
    assert (inputs["token_ids"][:, 0] == 2).all() and weights.sum() == 9 + 5
    assert not any((image == other).all() for image in inputs["images"] for other in encoded["images"])


SPELLINGS = {
    "train": (["CAB", "BAD", "A", "ADA"] * 3, [["K AE B"], ["B AE D"], ["AH"], ["EY D AH"]] * 3),
    "dev": (["A", "DAB"], [["AH", "EY"], ["D AE B"]]),
}
PARTS = {"hidden_dim": 11, "num_layers": 1, "encoder_mixer": "gated_conv", "decoder_mixer": "gru", "reader": "additive"}


def spelling(tmp_path, **options):
    """The subject with made-up words, a recipe and the preprocessor that it learns."""
    subject = dataclasses.replace(CMUDICT, read=lambda split: SPELLINGS[split])
    chosen = recipes.Recipe("small", "cmudict", PARTS, options, batch_size=5, epochs=1, seeds=(3,))
    return subject, chosen, subject.prepare(chosen, tmp_path)


def test_batches_of_pairs_keep_each_source_with_its_target_one_token_on(tmp_path):
    subject, chosen, preprocessor = spelling(tmp_path, encoder_sequence_length=17, decoder_sequence_length=19)
    sources, answers = subject.load("train")
    inputs = subject.encode(preprocessor, sources)
    targets = subject.targets(chosen, subject.align(preprocessor, sources, answers))
    batches, seen = subject.batches(chosen, preprocessor, inputs, targets, [1, 0]), []
    for index in range(len(batches)):
        given, ids, weights = batches[index]
        assert given["encoder_token_ids"].shape == given["decoder_token_ids"].shape == ids.shape == (5, 16)
        assert (given["decoder_token_ids"][:, 1:] == ids[:, :-1] * (weights[:, 1:] > 0)).sum() >= 5 * 14
        read = preprocessor.source_tokenizer.detokenize, preprocessor.tokenizer.detokenize
        rows = zip(given["encoder_token_ids"], ids * (weights > 0).astype(int))
        seen += [tuple(tell(row[row > 3].tolist()) for tell, row in zip(read, pair)) for pair in rows]
    assert len(seen) == 10 and set(seen) <= {(word, *sound) for word, sound in zip(sources, answers)}


def test_dropped_tokens_are_hidden_from_the_decoder_and_not_from_the_loss(tmp_path):
    subject, chosen, preprocessor = spelling(tmp_path, word_dropout=0.99)
    sources, answers = subject.load("train")
    targets = subject.targets(chosen, subject.align(preprocessor, sources, answers))
    given, ids, weights = subject.batches(chosen, preprocessor, subject.encode(preprocessor, sources), targets, [1])[0]
    told = given["decoder_token_ids"]
    assert (told[:, 0] == 2).all() and set(np.unique(told[:, 1:])) >= {0, 1} and 1 not in ids[weights > 0]


def test_what_a_model_writes_is_judged_and_judged_alike_from_raw_words(tmp_path):
    subject, chosen, preprocessor = spelling(tmp_path, encoder_sequence_length=7, decoder_sequence_length=7)
    task = subject.build(chosen, preprocessor)
    sources, answers = subject.load("dev")
    outputs = subject.outputs(keras.Model(task.input, task.output), subject.encode(preprocessor, sources))
    assert outputs.shape == (2, 7) and (outputs[:, 0] == 2).all()
    assert subject.judge(task, "dev") == subject.scores(outputs, subject.align(preprocessor, sources, answers))
    assert subject.kind(chosen) == "explicit" and subject.mixer(chosen)["reader"] == "additive"
    assert subject.align(preprocessor, sources, answers).read(np.array([[2, 4, 3, 0]])) == [
        preprocessor.tokenizer.id_to_token(4)
    ]


def test_any_pronunciation_is_right_and_phonemes_are_counted_against_the_one_that_was_hit():
    references = [["AH", "EY"], ["D AE B", "D AA B"], ["K AE B"]]
    scores = pronunciations(["EY", "D AE P", ""], references)
    assert scores["score"] == pytest.approx(2 / 3) and scores["phoneme error"] == pytest.approx(4 / 7)
    assert pronunciations(["AH", "D AA B", "K AE B"], references) == {"score": 0.0, "phoneme error": 0.0}


def test_translations_are_compared_without_capitals_and_with_their_hyphens():
    references = [["Ein Mann im T-Shirt geht auf der Straße."], ["Zwei Hunde spielen im Schnee."]]
    exact = ["ein mann im t - shirt geht auf der strasse .", "zwei hunde spielen im schnee ."]
    assert translations(exact, references)["score"] == pytest.approx(100.0)
    worse = translations(["ein mann im t - shirt geht auf der strasse .", "zwei hunde im schnee ."], references)
    assert 50 < worse["score"] < 95
    assert translations(["", ""], references) == {"score": 0.0}


def test_headlines_are_judged_by_rouge_in_any_case():
    references = [["U.S. SAYS OIL PRICES RISE"], ["BANK CUTS RATE"]]
    assert headlines(["u . s . says oil prices rise", "bank cuts rate"], references)["score"] == 1.0
    scores = headlines(["oil prices rise", "rate"], references)
    assert scores == pytest.approx({"score": (6 / 9 + 2 / 4) / 2, "ROUGE-1": (6 / 9 + 2 / 4) / 2, "ROUGE-2": 4 / 14})


def test_a_report_and_its_headline_have_the_tokens_of_both(tmp_path, monkeypatch):
    body = " ".join(f"w{number}" for number in range(67))
    monkeypatch.setattr("zoo.datasets.reuters.load_headlines", lambda split: ([body, "oil rose"], ["OIL", "rose W66"]))
    subject = dataclasses.replace(REUTERS_HEADLINES, units=("words",))
    chosen = recipes.Recipe("small", subject.name, PARTS, {"encoder_sequence_length": 13})
    preprocessor = subject.prepare(chosen, tmp_path)
    assert preprocessor.source_tokenizer is None
    sources, answers = subject.load("dev")
    assert sources[0].split() == body.split()[:60] and answers == [["OIL"], ["rose W66"]]
    backbone = subject.build(chosen, preprocessor).backbone
    # Four marks, 60 words of the first report, and four of the others.
    assert backbone.encoder_vocabulary_size == backbone.decoder_vocabulary_size == 68
    assert subject.encode(preprocessor, sources)["encoder_token_ids"].shape == (2, 13)


def test_a_smoothed_loss_is_what_its_formula_says():
    logits = np.random.default_rng(0).normal(size=(2, 3, 5)).astype("float32")
    labels = np.array([[1, 4, 0], [2, 2, 3]])
    shares = np.eye(5)[labels] * 0.9 + 0.1 / 5
    chances = np.log(np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True))
    weights = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    expected = -((shares * chances).sum(axis=-1) * weights).sum() / weights.sum()
    found = SmoothedCrossentropy(0.1)(labels, logits, sample_weight=weights)
    assert float(found) == pytest.approx(expected, rel=1e-5)
    assert MULTI30K.loss(recipe(MULTI30K)).get_config()["smoothing"] == 0.1


@pytest.mark.parametrize(
    ("subject", "read"),
    [
        (FSDD, made_up_digits),
        pytest.param(
            dataclasses.replace(BABI, tasks={1: "now", 2: "before"}, shown=0), made_up_stories, marks=pytest.mark.slow
        ),
        pytest.param(CMUDICT, lambda split: SPELLINGS["dev"], marks=pytest.mark.slow),
        pytest.param(AN4, made_up_utterances, marks=pytest.mark.slow),
        pytest.param(EMOJI_CAPTIONS, made_up_pictures, marks=pytest.mark.slow),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_card_s_picture_shows_what_a_subject_s_example_is_answered_by(subject, read, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "explain", functools.partial(zoo.explain, method="gradient_x_input"))
    subject = dataclasses.replace(subject, read=read)
    chosen = recipe(subject)
    if subject.name == "cmudict":
        chosen = dataclasses.replace(recipe(subject, decoder_sequence_length=5), backbone=PARTS)
    store.save(subject.build(chosen, subject.prepare(chosen, tmp_path)), tmp_path / "preset")
    train.draw(subject, tmp_path / "preset", tmp_path / "look.png")
    assert (tmp_path / "look.png").read_bytes().startswith(b"\x89PNG")
