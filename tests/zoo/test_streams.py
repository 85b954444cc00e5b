"""Long texts as subjects: how they are cut, and what their scores are."""

import dataclasses

import keras
import numpy as np
import pytest

import zoo
from tests.zoo.helpers import D
from zoo import recipes, train
from zoo.answering import answer
from zoo.datasets import tinyshakespeare
from zoo.perplexity import surprisals
from zoo.subjects import SUBJECTS
from zoo.subjects.streams import TINYSHAKESPEARE, WIKITEXT2

TEXT = {"train": "to be or not to be " * 23, "dev": "or to be not ", "test": "not to be or to be " * 3}
SMALL = {"hidden_dim": D, "num_layers": 1, "mixer": "gated_conv"}


def made_up(subject):
    return dataclasses.replace(subject, read=TEXT.get)


def recipe(subject, window=7, **training):
    return recipes.Recipe("small", subject.name, SMALL, {"sequence_length": window}, **{"batch_size": 5, **training})


@pytest.fixture(params=[TINYSHAKESPEARE, WIKITEXT2], ids=lambda subject: subject.symbols)
def subject(request):
    return made_up(request.param)


def test_windows_hold_the_whole_stream_and_padding_behind_it(subject, tmp_path):
    preprocessor = subject.prepare(recipe(subject), tmp_path)
    inputs = subject.encode(preprocessor, TEXT["test"])
    ids = inputs["token_ids"].ravel()[inputs["padding_mask"].ravel() > 0]
    tokenizer = preprocessor.tokenizer
    assert ids.tolist() == [tokenizer.start_token_id, *tokenizer(TEXT["test"])]
    assert inputs["token_ids"].shape[1] == 7 and (np.diff(inputs["padding_mask"].ravel()) <= 0).all()


def test_each_epoch_cuts_the_text_elsewhere_and_foretells_the_next_token(subject, tmp_path):
    chosen = recipe(subject)
    preprocessor = subject.prepare(chosen, tmp_path)
    inputs = subject.encode(preprocessor, TEXT["train"])
    whole = inputs["token_ids"][inputs["padding_mask"] > 0]
    first = set()
    for epoch in range(5):
        batches = subject.batches(chosen, preprocessor, inputs, None, [1, epoch])
        for x, y in (batches[index] for index in range(len(batches))):
            assert x["token_ids"].shape == y.shape == (5, 7) and x["padding_mask"].all()
            np.testing.assert_array_equal(x["token_ids"][:, 1:], y[:, :-1])
            first |= {tuple(row) for row in x["token_ids"]}
    follows = {tuple(row) for row in np.lib.stride_tricks.sliding_window_view(whole, 7)}
    assert first <= follows
    again = subject.batches(chosen, preprocessor, inputs, None, [1, 0])
    assert again[0][1].tolist() == subject.batches(chosen, preprocessor, inputs, None, [1, 0])[0][1].tolist()


def test_a_text_too_short_to_train_on_is_refused(subject, tmp_path):
    chosen = recipe(subject, window=29)
    preprocessor = subject.prepare(chosen, tmp_path)
    with pytest.raises(ValueError, match="two windows of 29 tokens"):
        subject.batches(chosen, preprocessor, subject.encode(preprocessor, "to be"), None, [1, 0])


def test_the_score_is_that_of_each_token_with_three_quarters_of_a_window(subject, tmp_path):
    chosen = recipe(subject)
    preprocessor = subject.prepare(chosen, tmp_path)
    task = subject.build(chosen, preprocessor)
    ids = np.array([preprocessor.tokenizer.start_token_id, *preprocessor.tokenizer(TEXT["test"])], "int32")
    nats = float(surprisals(task, ids, window=7, stride=1).mean())
    found = subject.judge(task)
    assert found["score"] == pytest.approx(nats if subject.symbols == "characters" else np.exp(nats), rel=1e-5)
    assert found["tokens before each, at least"] == found["tokens before each, at most"] == 7
    assert found.get("bits per character", nats / np.log(2)) == pytest.approx(nats / np.log(2), rel=1e-5)
    bare = keras.Model(task.input, task.output)
    assert subject.score(subject.outputs(bare, subject.encode(preprocessor, TEXT["test"])), None) == found["score"]


def test_words_that_are_unknown_in_the_data_are_no_words_of_the_vocabulary(monkeypatch, tmp_path):
    words = ["the", "<unk>", "game", "<eos>"]
    monkeypatch.setattr("zoo.datasets.wikitext2.load", lambda split: words)
    tokenizer = WIKITEXT2.prepare(recipe(WIKITEXT2), tmp_path).tokenizer
    assert tokenizer.get_vocabulary() == ["[PAD]", "[UNK]", "[START]", "[END]", "game", "the"]
    assert tokenizer(WIKITEXT2.load("test")[0]) == [5, 1, 4, 3]


def test_what_chooses_is_the_end_of_what_others_train_on(monkeypatch):
    text = "".join(map(chr, range(100, 300)))
    monkeypatch.setattr(tinyshakespeare, "load", {"train": text, "dev": "the last tenth"}.get)
    assert TINYSHAKESPEARE.load("train")[0] + TINYSHAKESPEARE.load("dev")[0] == text
    assert len(TINYSHAKESPEARE.load("dev")[0]) == 10 and TINYSHAKESPEARE.load("test")[0] == "the last tenth"


@pytest.mark.trains
def test_a_language_model_is_trained_saved_judged_and_asked(monkeypatch, tmp_path):
    small = made_up(dataclasses.replace(TINYSHAKESPEARE, name="small", prompt="to be"))
    monkeypatch.setitem(SUBJECTS, "small", small)
    chosen = recipe(small, window=13, epochs=2, learning_rate=0.02, seeds=(3,))
    monkeypatch.setitem(recipes.RECIPES, "small", chosen)
    card = train.train("small", tmp_path / "small", tmp_path / "work")
    assert card["score_is"] == "nats per character" and card["test_score"] < 2.5
    assert card["further_scores"]["tokens before each, at least"] == 11
    loaded = zoo.load(tmp_path / "small")
    assert small.judge(loaded)["score"] == pytest.approx(card["test_score"], abs=1e-6)
    (line,) = answer(tmp_path / "small", "to be")
    assert line.startswith("to be") and line == answer(tmp_path / "small", "to be")[0]
