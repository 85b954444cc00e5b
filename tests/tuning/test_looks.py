"""Examples are shown in the words and units of the data they came from."""

import dataclasses
import types

import numpy as np
import pytest

import zoo
from tests.tuning.standins import BLOBS
from tuning import looks
from tuning.task import Data, Split


def own(form, preprocessor=None):
    return Data(None, None, None, preprocessor, form)


def subject(said, outputs=None, row=None):
    row = None if row is None else np.array([row])
    return types.SimpleNamespace(said=np.array([said]), outputs=np.array([outputs]), row=row)


def test_classes_have_the_names_that_a_person_gave_them():
    data = own({"kind": "text", "classes": ["con", "pro"]})
    assert looks._answer(data, Split(None, np.array([0])), subject(1), 0) == "Answered: pro; right is con."
    tags = looks._answer(data, Split(None, np.array([[0, 0, 1]])), subject(0, row=2), 0)
    assert tags == "Answered at position 2: con; right is pro."
    # Classes may be numbers too.
    numbered = own({"kind": "text", "classes": [3, 7]})
    assert looks._answer(numbered, Split(None, np.array([0])), subject(1), 0) == "Answered: 7; right is 3."


def test_numbers_have_the_units_they_came_in():
    data = own({"kind": "series", "classes": None, "mean": 100.0, "deviation": 10.0})
    assert looks._answer(data, Split(None, np.array([[0.5]])), subject(-1.0), 0) == "Answered: 90; right is 105."


def test_forecasts_are_of_named_numbers_so_many_steps_ahead():
    preprocessor = zoo.MixerSeriesPreprocessor([10.0, 0.0, -5.0], [2.0, 1.0, 5.0], 3, [2, 0])
    data = own({"kind": "forecast", "columns": {"targets": ["v", "u"]}, "horizon": 2}, preprocessor)
    split = Split(np.ones((1, 3, 3)), np.array([[[9.0, 9.0], [0.0, -1.0]]]))
    said = looks._answer(data, split, subject(1.5, [1.0, 2.0], row=1), 0)
    assert said == "Forecast 2 steps ahead: v 0, right is -5; u 14, right is 8."
    kind, shown, _ = looks._shown(data, None, split, np.ones(3, bool), 0)
    assert (kind, shown[0].tolist()) == ("series", [12.0, 1.0, 0.0])


@pytest.mark.parametrize(("right", "said"), [(0, "Answered: 1; right is 0."), ([1.0, 3.0], "the mean of 2 numbers")])
def test_without_a_form_answers_are_numbers(right, said):
    assert said in looks._answer(own(None), Split(None, np.array([right])), subject(1.0), 0)


def test_of_texts_that_become_others_it_is_shown_what_each_word_looks_at(tmp_path):
    letters = zoo.SymbolTokenizer.of(["abcd"], split="characters")
    sounds = zoo.SymbolTokenizer.of(["A B C D"])
    preprocessor = zoo.MixerSeq2SeqLMPreprocessor(sounds, letters, 7, 5)
    x, y, weight = preprocessor({"encoder_text": ["ab", "dcb"], "decoder_text": ["A B", "D C B"]})
    x, y = {name: np.asarray(each) for name, each in x.items()}, np.asarray(y)
    backbone = zoo.MixerSeq2SeqBackbone(8, 8, hidden_dim=8, num_layers=1, encoder_sequence_length=7, reader="additive")
    data = Data(None, Split(x, y, np.asarray(weight)), None, preprocessor, None)
    (first, second) = looks._draw(None, data, zoo.MixerSeq2SeqLM(backbone), tmp_path)
    assert first["answer"].startswith("The model says ") and first["answer"].endswith("Right is 'A B'.")
    assert second["answer"].endswith("Right is 'D C B'.")
    # Start, three letters and end.
    assert len(second["maps"]["integrated gradients"]) == 5
    assert "weights of the reader" in (tmp_path / "1.svg").read_text(encoding="utf-8")


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def answered(model, x, y, measure, form=None, preprocessor=None):
    """The explanations of the first examples, as a report has them."""
    data = Data(None, Split(x, y), None, preprocessor, form)
    return looks._answered(dataclasses.replace(BLOBS, measure=measure), data, model)


@pytest.mark.parametrize("patch", [1, 2])
def test_of_a_series_with_what_is_known_ahead_the_series_is_shown(patch):
    stack = zoo.MixerSeriesBackbone(2, sequence_length=6, patch_size=patch, hidden_dim=8, num_layers=1, mixer="gru")
    model = zoo.MixerForecaster(stack, 3, [0], ahead=[1])
    found = answered(model, {"series": normal(5, 6, 2), "ahead": normal(5, 3, 1)}, normal(5, 3, 1), "explained")
    assert len(found) == 3 and {each.kind for each in found} == {"series"}
    assert all(each.subject.shape == (6, 2) for each in found)
    assert {len(part) for each in found for part in each.parts.values()} == {6 // patch}


def test_of_a_sound_the_frames_are_shown_without_padding():
    stack = zoo.MixerSpeechBackbone(4, hidden_dim=8, num_layers=1, subsampling=2, stem_width=3, mixer="gru")
    model = zoo.MixerSpeechClassifier(stack, num_classes=3)
    real = np.arange(8) < np.array([[8], [6], [4], [8]])
    x = {"frames": normal(4, 8, 4), "padding_mask": real.astype("int32")}
    found = answered(model, x, np.array([0, 1, 2, 0]), "accuracy")
    assert {each.kind for each in found} == {"sound"}
    assert all(len(part) == len(each.subject) for each in found for part in each.parts.values())
