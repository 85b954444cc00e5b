import keras
import keras_hub
import numpy as np
import pytest

import zoo
from keras_attn import inspection
from zoo.heads import LastWord
from zoo.story import OneText, split_sentences, split_words

EXAMPLES = [
    (["Mary went home.", "John went out.", "Mary slept."], "Where is Mary?"),
    (["John left."], "Who left?"),
    (["Mary left.", "John slept.", "John went home.", "John slept.", "Mary went out."], "Where did John go?"),
]
ANSWERS = ["home", "John", "Home, out"]
WIDTH = 11
HOPS = {"mixer": "end_to_end_memory", "hops": 2}
MIXERS = {
    "adjacent": "end_to_end_memory",
    "layer_wise": {**HOPS, "tying": "layer_wise"},
    "hybrid": ["gru", HOPS],
    "lstm": "lstm",
    "multi_head": {"mixer": "multi_head", "num_heads": 1},
}
every = pytest.mark.parametrize("mixer", MIXERS.values(), ids=MIXERS)


def preprocessor(**sizes):
    return zoo.MixerStoryPreprocessor.of(EXAMPLES, ANSWERS, **{"sentences": 5, "words": 4, **sizes})


def answerer(mixer="end_to_end_memory", **sizes):
    prepared = preprocessor(**sizes)
    backbone = zoo.MixerStoryBackbone(prepared.tokenizer.vocabulary_size(), hidden_dim=WIDTH, num_layers=1, mixer=mixer)
    return zoo.MixerStoryAnswerer(backbone, prepared)


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def words_of(preprocessor, rows):
    return [[preprocessor.tokenizer.id_to_token(int(index)) for index in row if index] for row in rows]


def test_words_are_split_without_case_and_punctuation():
    assert split_words("Where is Mary's dog-house, now?") == ["where", "is", "mary's", "dog-house", "now"]


def test_sentences_end_with_a_mark_and_white_space():
    assert split_sentences(" John paid 3.5 pounds. Why?\nHe was late!") == [
        "John paid 3.5 pounds.",
        "Why?",
        "He was late!",
    ]


def test_arrays_hold_the_words_of_stories_and_questions():
    prepared = preprocessor()
    arrays, answers = prepared(EXAMPLES, ANSWERS)
    assert words_of(prepared, arrays["story"][0]) == [
        ["mary", "went", "home"],
        ["john", "went", "out"],
        ["mary", "slept"],
        [],
        [],
    ]
    assert words_of(prepared, arrays["question"])[2] == ["where", "did", "john", "go"]
    assert words_of(prepared, [answers]) == [["home", "john", "home, out"]]


def test_of_a_long_story_the_last_sentences_are_kept():
    prepared = preprocessor(sentences=2, words=3)
    assert words_of(prepared, prepared(EXAMPLES)["story"][2]) == [["john", "slept"], ["mary", "went", "out"]]
    assert prepared.kept(EXAMPLES)[2] == (["John slept.", "Mary went out."], "Where did John go?")


def test_a_text_is_a_story_that_ends_with_its_question():
    prepared = preprocessor()
    story, question = EXAMPLES[0]
    for name, found in prepared([" ".join([*story, question])]).items():
        np.testing.assert_array_equal(found, prepared([EXAMPLES[0]])[name])
    assert prepared.kept(["Who left?"]) == [([], "Who left?")]


def test_words_that_are_not_known_are_all_one_word():
    prepared = preprocessor()
    story = prepared([(["Zeno went"], "Who?")])["story"]
    assert story[0, 0, :2].tolist() == [1, prepared.tokenizer.token_to_id("went")]
    assert prepared.answers(["garden", "HOME"]).tolist() == [1, prepared.tokenizer.token_to_id("home")]


@pytest.mark.parametrize("example", [("Mary left.", "Who?"), (["Mary left."], 3), (["Mary"],), 7, ([1], "Who?")])
def test_examples_of_another_form_are_refused(example):
    with pytest.raises(ValueError, match="pair of a story, a list of sentences, and a question"):
        preprocessor()([example])


@pytest.mark.trains
@every
def test_a_model_learns_from_texts_and_answers_in_words(mixer):
    model = answerer(mixer)
    model.compile(keras.optimizers.Adam(0.03))
    model.fit(EXAMPLES, ANSWERS, epochs=40, verbose=0)
    assert model.answer(EXAMPLES) == [answer.lower() for answer in ANSWERS]
    assert model.evaluate(EXAMPLES, ANSWERS, verbose=0)[1] == 1.0


@every
def test_padding_moves_no_answer_and_an_empty_story_has_a_finite_one(mixer):
    model = answerer(mixer)
    arrays = preprocessor()(EXAMPLES)
    expected = numpy(model(arrays))
    wide = {"story": ((0, 0), (0, 2), (0, 2)), "question": ((0, 0), (0, 2))}
    wider = {name: np.pad(each, wide[name]) for name, each in arrays.items()}
    np.testing.assert_allclose(numpy(model(wider)), expected, rtol=1e-4, atol=1e-5)
    assert np.isfinite(numpy(model(preprocessor()([([], "Where is Mary?"), ([], "")])))).all()


@pytest.mark.parametrize("name", ["layer_wise", "hybrid", "lstm"])
def test_a_preset_answers_the_same(name, tmp_path):
    model = answerer(MIXERS[name])
    zoo.save(model, tmp_path / "preset")
    expected = model.predict(EXAMPLES, verbose=0)
    np.testing.assert_allclose(zoo.load(tmp_path / "preset").predict(EXAMPLES, verbose=0), expected, atol=1e-5)


def test_keras_hub_and_keras_load_what_was_saved(tmp_path):
    model = answerer(MIXERS["hybrid"])
    zoo.save(model, tmp_path / "preset")
    folder = str(tmp_path / "preset")
    assert type(keras_hub.models.Backbone.from_preset(folder)) is zoo.MixerStoryBackbone
    prepared = zoo.MixerStoryPreprocessor.from_preset(folder)
    assert prepared.tokenizer.get_vocabulary() == model.preprocessor.tokenizer.get_vocabulary()
    assert (tmp_path / "preset" / "assets" / "tokenizer" / "vocabulary.json").is_file()
    model.save(tmp_path / "model.keras")
    arrays = prepared(EXAMPLES)
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(numpy(again(arrays)), numpy(model(arrays)), atol=1e-5)


@pytest.mark.parametrize("mixer, hops", [("end_to_end_memory", 3), (["gru", HOPS], 2)])
def test_a_memory_shows_which_sentences_it_looked_at(mixer, hops):
    model = answerer(mixer, sentences=4)
    weights = model.look(EXAMPLES)
    assert [row.shape for row in weights] == [(hops, 3), (hops, 1), (hops, 4)]
    for row in weights:
        np.testing.assert_allclose(row.sum(-1), np.ones(hops), atol=1e-5)
    found = inspection.weights(model, model.preprocessor(EXAMPLES))["memory"]
    np.testing.assert_allclose(found[2, :, 0], weights[2], atol=1e-5)


def test_in_a_hybrid_sentences_know_of_each_other():
    """The first slot of a memory does not depend on later sentences; that of a hybrid which looks both ways does."""
    for mixer, same in ((HOPS, True), ([MIXERS["multi_head"], HOPS], False)):
        model = answerer(mixer)
        model.backbone.memory.times.assign(np.zeros(model.backbone.memory.times.shape))
        logits = model.predict([(["Mary left.", "John slept."], "Who?"), (["John slept.", "Mary left."], "Who?")])
        assert np.allclose(logits[0], logits[1], atol=1e-5) is same


def test_a_model_without_a_memory_has_no_sentences_to_show():
    with pytest.raises(ValueError, match=r"Only a model with a memory.*'lstm'"):
        answerer("lstm").look(EXAMPLES)


def test_without_a_preprocessor_nothing_is_read():
    with pytest.raises(ValueError, match=r"give one\. Received: preprocessor=None"):
        zoo.MixerStoryAnswerer(zoo.MixerStoryBackbone(7, hidden_dim=WIDTH)).look(EXAMPLES)


@pytest.mark.parametrize(
    "mixer, said",
    [
        ({"mixer": "end_to_end_memory", "hop": 2}, "Did you mean 'hops'"),
        ("end_to_end_memories", "Unknown mixer"),
        ([HOPS, "gru"], "at the end of a list of mixers"),
        ([], "between 1 and `num_layers` entries"),
    ],
)
def test_mixers_that_are_not_known_are_named(mixer, said):
    with pytest.raises(ValueError, match=said):
        zoo.MixerStoryBackbone(7, mixer=mixer)


def test_one_text_has_story_then_question_in_their_order():
    ids, mask = OneText()(np.array([[[7, 3, 0], [0, 0, 0], [5, 6, 2]]]), np.array([[4, 9, 0]]))
    assert numpy(ids).tolist() == [[7, 3, 5, 6, 2, 4, 9, 0, 0, 0, 0, 0]]
    assert numpy(mask).sum() == 7


def test_the_last_word_is_the_last_real_one_and_of_none_zero():
    x = np.arange(30, dtype="float32").reshape(2, 5, 3)
    last = LastWord()(x, np.array([[1, 1, 1, 0, 0], [0, 0, 0, 0, 0]]))
    assert numpy(last).tolist() == [[6.0, 7.0, 8.0], [0.0, 0.0, 0.0]]
