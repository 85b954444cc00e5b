"""What presets say of one input, in words."""

import wave

import numpy as np
import pytest

import zoo
from tests.zoo.helpers import CLASSES, text_backbone, text_classifier
from zoo import answering
from zoo.tagger import MixerTaggerPreprocessor
from zoo.tokens import SymbolTokenizer

SERIES = np.random.default_rng(0).normal(size=(13, 3)).astype("float32")


@pytest.fixture
def saved(tmp_path):
    def save(task, **card):
        zoo.save(task, tmp_path / "preset", card={"name": "x", **card})
        return str(tmp_path / "preset")

    return save


def test_the_likeliest_classes_are_named_with_their_probabilities(saved):
    names = ["one", "two", "three", "four", "five"]
    task = text_classifier()
    lines = answering.answer(saved(task, classes=names), "good fun")
    logits = task.predict(["good fun"], verbose=0)[0]
    assert [line.split()[0] for line in lines] == [names[number] for number in np.argsort(-logits)]
    assert sum(float(line.split()[1]) for line in lines) == pytest.approx(1, abs=0.003)


def test_each_word_gets_its_tag(saved):
    tokenizer = text_classifier().preprocessor.tokenizer
    tagger = zoo.MixerTagger(text_backbone("gru"), CLASSES, preprocessor=MixerTaggerPreprocessor(tokenizer, 7))
    lines = answering.answer(saved(tagger, classes=list("abcde")), "funny dull film")
    assert [line.split("\t")[0] for line in lines] == ["funny", "dull", "film"]
    assert all(line.split("\t")[1] in "abcde" for line in lines)


def test_every_word_of_a_long_text_gets_its_tag(saved):
    tokenizer = text_classifier().preprocessor.tokenizer
    tagger = zoo.MixerTagger(text_backbone("gru"), CLASSES, preprocessor=MixerTaggerPreprocessor(tokenizer, 4))
    words = ["funny", "dull", "film", "good", "unfathomable", "funny", "good", "film", "dull"]
    assert [line.split("\t")[0] for line in answering.answer(saved(tagger), " ".join(words))] == words


def test_a_preset_without_a_card_answers_with_numbers_of_classes(tmp_path):
    zoo.save(text_classifier(), tmp_path / "preset")
    lines = answering.answer(str(tmp_path / "preset"), "good fun")
    assert {line.split()[0] for line in lines} == set(map(str, range(CLASSES)))


def test_a_file_is_no_text_and_a_text_may_end_like_one(saved, tmp_path):
    name = saved(text_classifier())
    (tmp_path / "a.csv").write_text("good fun")
    with pytest.raises(ValueError, match="takes texts, not files"):
        answering.answer(name, str(tmp_path / "a.csv"))
    assert answering.answer(name, "good fun .png")


@pytest.mark.parametrize("mixer", ["end_to_end_memory", "gru"])
def test_a_question_about_a_story_is_answered_and_what_was_looked_at_shown(saved, mixer):
    examples = [(["Mary went home.", "John left."], "Where is Mary?")]
    preprocessor = zoo.MixerStoryPreprocessor.of(examples, ["home"])
    backbone = zoo.MixerStoryBackbone(preprocessor.tokenizer.vocabulary_size(), hidden_dim=11, mixer=mixer)
    task = zoo.MixerStoryAnswerer(backbone, preprocessor)
    answers, looks = np.split(answering.answer(saved(task), "Mary went home. John left. Where is Mary?"), [5])
    assert answers[0].split()[0] == task.answer(examples)[0]
    if mixer == "gru":
        assert not len(looks)
    else:
        assert [line.split("  ")[1] for line in looks] == examples[0][0]
        assert [float(line.split()[0]) for line in looks] == pytest.approx(task.look(examples)[0][0], abs=0.006)


def test_a_series_is_read_from_a_file_and_forecast_line_by_line(saved, tmp_path):
    backbone = zoo.MixerSeriesBackbone(3, mixer="gru", hidden_dim=11)
    preprocessor = zoo.MixerSeriesPreprocessor([0, 0, 0], [1, 2, 3], targets=[0, 2])
    forecaster = zoo.MixerForecaster(backbone, 5, targets=[0, 2], preprocessor=preprocessor)
    np.save(tmp_path / "series.npy", SERIES)
    lines = answering.answer(saved(forecaster), str(tmp_path / "series.npy"))
    found = np.array([[float(value) for value in line.split(",")] for line in lines])
    np.testing.assert_allclose(found, forecaster.predict(SERIES[None], verbose=0)[0], rtol=1e-4)


def test_a_text_is_no_series(saved):
    task = zoo.MixerSeriesClassifier(zoo.MixerSeriesBackbone(3, mixer="gru", hidden_dim=11), CLASSES)
    with pytest.raises(ValueError, match="The model takes no texts: name a file"):
        answering.answer(saved(task), "good fun")


def write_sound(path, rate=1000, channels=1, samples=400):
    pcm = np.random.default_rng(0).integers(-9000, 9000, (samples, channels)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.tobytes())
    return pcm


def speech_classifier():
    converter = zoo.MixerAudioConverter(sample_rate=1000, window=0.031, bands=3)
    preprocessor = zoo.MixerSpeechClassifierPreprocessor(converter)
    return zoo.MixerSpeechClassifier(zoo.MixerSpeechBackbone(3, mixer="gated_conv"), CLASSES, preprocessor)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_word_is_heard_from_a_file_of_sound(saved, tmp_path, channels):
    task = speech_classifier()
    pcm = write_sound(tmp_path / "word.wav", channels=channels)
    lines = answering.answer(saved(task, classes=list("abcde")), str(tmp_path / "word.wav"))
    logits = task.predict([(pcm.mean(axis=1) / 2**15).astype("float32")], verbose=0)[0]
    assert [line.split()[0] for line in lines] == ["abcde"[number] for number in np.argsort(-logits)]


def test_a_sound_of_another_rate_is_refused(saved, tmp_path):
    write_sound(tmp_path / "word.wav", rate=8000)
    with pytest.raises(ValueError, match=r"16 bits at 1000 Hz, at least one sample.* 16 bits at 8000 Hz"):
        answering.answer(saved(speech_classifier()), str(tmp_path / "word.wav"))
    (tmp_path / "word.wav").write_bytes(b"RIFF")
    with pytest.raises(ValueError, match="cannot be read as a sound"):
        answering.answer(str(tmp_path / "preset"), str(tmp_path / "word.wav"))


def test_frames_are_written_down_in_words(saved, tmp_path):
    tokenizer = zoo.SymbolTokenizer.of(["ab"], split="characters")
    preprocessor = zoo.MixerSpeechRecognizerPreprocessor(tokenizer)
    task = zoo.MixerSpeechRecognizer(zoo.MixerSpeechBackbone(3, mixer="gated_conv"), 6, preprocessor)
    np.save(tmp_path / "frames.npy", SERIES)
    assert answering.answer(saved(task), str(tmp_path / "frames.npy")) == task.generate([SERIES])
    write_sound(tmp_path / "word.wav")
    with pytest.raises(ValueError, match="takes no sounds: name a file of numbers"):
        answering.answer(str(tmp_path / "preset"), str(tmp_path / "word.wav"))


def test_models_trained_on_data_of_one_s_own_answer_in_its_words(saved):
    task = text_classifier()
    lines = answering.answer(saved(task, form={"kind": "text", "classes": [1, 2, 3, 4, 9]}), "good fun")
    assert {line.split()[0] for line in lines} == {"1", "2", "3", "4", "9"}


def test_a_number_of_one_s_own_is_told_in_its_units(tmp_path):
    task = zoo.MixerTextClassifier(text_backbone("gru"), 1, preprocessor=text_classifier().preprocessor)
    zoo.save(task, tmp_path / "preset", card={"form": {"classes": None, "mean": 120.0, "deviation": 7.0}})
    (line,) = answering.answer(str(tmp_path / "preset"), "good fun")
    assert float(line) == pytest.approx(120 + 7 * task.predict(["good fun"], verbose=0)[0, 0], rel=1e-4)


@pytest.mark.parametrize(
    ("given", "message"),
    [("CAT", "knows nothing of 'CAT'. It knows, among others: a b c"), ("", "takes a text"), (" ", "takes a text")],
)
def test_of_what_it_knows_nothing_a_model_says_nothing(saved, given, message):
    letters, sounds = SymbolTokenizer.of(["cab"], split="characters"), SymbolTokenizer.of(["K AE B"])
    task = zoo.MixerSeq2SeqLM(
        zoo.MixerSeq2SeqBackbone(letters.vocabulary_size(), sounds.vocabulary_size(), hidden_dim=8),
        zoo.MixerSeq2SeqLMPreprocessor(sounds, letters, 5, 4),
    )
    name = saved(task)
    for ask in (answering.answer, zoo.explain):
        with pytest.raises(ValueError, match=message):
            ask(name, given)
    assert len(answering.answer(name, "CAb")) == 1  # Of a part it knows something.


def test_a_file_without_a_known_ending_is_no_text_either(saved, tmp_path):
    (tmp_path / "review.txt").write_text("good fun")
    name = saved(text_classifier())
    for ask in (answering.answer, zoo.explain):
        with pytest.raises(ValueError, match="takes texts, not files"):
            ask(name, str(tmp_path / "review.txt"))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (np.full((13, 3), np.nan), "no series with missing numbers"),
        (np.full((13, 3), np.inf), "finite numbers"),
        (np.zeros((13, 2)), r"series of shape \(13, 3\)"),
        (np.float32(1), r"series of shape \(13, 3\). Received: an array of shape \(\)"),
    ],
)
def test_numbers_that_are_no_such_series_are_refused_in_a_sentence(saved, tmp_path, numbers, message):
    np.save(tmp_path / "x.npy", numbers)
    backbone = zoo.MixerSeriesBackbone(3, mixer="gru", hidden_dim=8, sequence_length=13)
    for task in (zoo.MixerSeriesClassifier(backbone, 2), zoo.MixerForecaster(backbone, 2)):
        zoo.save(task, tmp_path / type(task).__name__)
        with pytest.raises(ValueError, match=message):
            answering.answer(str(tmp_path / type(task).__name__), str(tmp_path / "x.npy"))


def told(**options):
    """A forecaster of channel 1 for two steps, told of channels 2 and 0, in this order."""
    preprocessor = zoo.MixerSeriesPreprocessor([0, 1, 2], [1, 2, 3], sequence_length=7, targets=[1], ahead=[2, 0])
    backbone = zoo.MixerSeriesBackbone(3, sequence_length=7, mixer="gru", hidden_dim=11, **options)
    return zoo.MixerForecaster(backbone, 2, targets=[1], preprocessor=preprocessor, ahead=[2, 0])


def with_steps_ahead():
    """Eleven steps, and two ahead, of which channel 1 is not known."""
    rows = SERIES.copy()
    rows[-2:, 1] = np.nan
    return rows


def test_a_forecaster_is_told_of_the_steps_ahead_by_the_last_rows_of_a_file(saved, tmp_path):
    task, rows, path = told(), with_steps_ahead(), tmp_path / "rows.csv"
    written = [",".join("" if np.isnan(cell) else str(cell) for cell in row) for row in rows]
    path.write_text("\n".join(["rain,cars,hour", *written]), encoding="utf-8")
    lines = answering.answer(saved(task), str(path))
    expected = task.predict({"series": rows[None, :-2], "ahead": rows[None, -2:, [2, 0]]}, verbose=0)[0]
    np.testing.assert_allclose([float(line) for line in lines], expected[:, 0], rtol=1e-4)
    rows[-1, 0] += 1
    np.save(tmp_path / "other.npy", rows)
    first, last = answering.answer(str(tmp_path / "preset"), str(tmp_path / "other.npy"))
    assert first == lines[0] and last != lines[1]


def test_rows_that_are_no_steps_ahead_are_refused(saved, tmp_path):
    rows, name = with_steps_ahead(), saved(told())
    refused = [
        (SERIES, "Received: of these steps 0 of these numbers missing, and 2 others filled in"),
        (np.where(np.arange(13)[:, None] > 11, np.nan, rows), "2 of these numbers missing, and 0 others"),
        (rows[-8:], r"at least 9 rows of 3 numbers .* Received: an array of shape \(8, 3\)"),
        (rows[:, :2], r"Received: an array of shape \(13, 2\)"),
        (rows[0, 0], r"Received: an array of shape \(\)"),
    ]
    for numbers, message in refused:
        np.save(tmp_path / "x.npy", numbers)
        with pytest.raises(ValueError, match=rf"told columns \[2, 0\], counted from 0, of the steps .*{message}"):
            answering.answer(name, str(tmp_path / "x.npy"))
    for ask in (answering.answer, zoo.explain):
        with pytest.raises(ValueError, match="The model takes no texts: name a file"):
            ask(name, "good fun")


def test_of_what_has_been_numbers_may_be_missing_if_the_model_knows_of_such(tmp_path):
    rows = with_steps_ahead()
    rows[8, 0] = np.nan
    np.save(tmp_path / "x.npy", rows)
    zoo.save(told(), tmp_path / "whole")
    for ask in (answering.answer, zoo.explain):
        with pytest.raises(ValueError, match="no series with missing numbers"):
            ask(str(tmp_path / "whole"), str(tmp_path / "x.npy"))
    zoo.save(told(marks_missing=True), tmp_path / "marked")
    assert len(answering.answer(str(tmp_path / "marked"), str(tmp_path / "x.npy"))) == 2
    found = zoo.explain(str(tmp_path / "marked"), str(tmp_path / "x.npy"))
    assert all(np.isfinite(part).all() for part in found.parts.values())
