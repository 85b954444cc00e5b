import keras
import numpy as np
import pytest

import zoo
from zoo.story import LastWord, OneText, looks, split_words

STORIES = [
    ["Mary went home.", "John went out.", "Mary slept."],
    ["John left."],
    ["Mary left.", "John slept.", "John went home.", "John slept.", "Mary went out."],
]
QUESTIONS = ["Where is Mary?", "Who left?", "Where did John go?"]
ANSWERS = ["home", "John", "Home, out"]
WIDTH = 11
MIXERS = ["end_to_end_memory", {"mixer": "end_to_end_memory", "hops": 2, "tying": "layer_wise"}, "lstm", "multi_head"]
every = pytest.mark.parametrize("mixer", MIXERS, ids=["adjacent", "layer_wise", "lstm", "multi_head"])


def vectorizer(**sizes):
    return zoo.StoryVectorizer.of(STORIES, QUESTIONS, ANSWERS, **{"sentences": 5, "words": 4, **sizes})


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def words_of(vectorizer, rows):
    return [[vectorizer.vocabulary[index] for index in row if index] for row in rows]


def test_words_are_split_without_case_and_punctuation():
    assert split_words("Where is Mary's dog-house, now?") == ["where", "is", "mary's", "dog-house", "now"]


def test_arrays_hold_the_words_of_stories_and_questions():
    vector = vectorizer()
    arrays = vector(STORIES, QUESTIONS)
    assert words_of(vector, arrays["story"][0]) == [
        ["mary", "went", "home"],
        ["john", "went", "out"],
        ["mary", "slept"],
        [],
        [],
    ]
    assert words_of(vector, arrays["question"])[2] == ["where", "did", "john", "go"]
    assert [vector.vocabulary[index] for index in vector.answers(ANSWERS)] == ["home", "john", "home, out"]


def test_of_a_long_story_the_last_sentences_are_kept_and_facts_move_with_them():
    vector = vectorizer(sentences=2, words=3)
    story = vector(STORIES, QUESTIONS)["story"]
    assert words_of(vector, story[2]) == [["john", "slept"], ["mary", "went", "out"]]
    assert vector.facts(STORIES, [(0, 2), (0,), (3, 1)]).tolist() == [[False, True], [True, False], [True, False]]


def test_words_that_are_not_known_are_all_one_word():
    vector = vectorizer()
    assert vector([["Zeno went"]], ["Who?"])["story"][0, 0, :2].tolist() == [1, vector.vocabulary.index("went")]
    assert vector.answers(["garden"]).tolist() == [1]


def test_texts_of_the_wrong_form_are_refused():
    with pytest.raises(ValueError, match="list of sentences"):
        vectorizer()(["Mary went home."], ["Where is Mary?"])
    with pytest.raises(ValueError, match="2 stories, 1 questions"):
        vectorizer()(STORIES[:2], QUESTIONS[:1])
    with pytest.raises(ValueError, match="starts with"):
        zoo.StoryVectorizer(("a", "b"))


@every
def test_a_model_learns_from_texts_and_answers_in_words(mixer):
    vector = vectorizer()
    model = zoo.build_story_model(len(vector.vocabulary), mixer, width=WIDTH)
    model.compile(keras.optimizers.Adam(0.03), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(vector(STORIES, QUESTIONS), vector.answers(ANSWERS), epochs=40, verbose=0)
    answerer = zoo.StoryAnswerer(model, vector)
    assert answerer.answer(STORIES, QUESTIONS) == [answer.lower() for answer in ANSWERS]


@every
def test_padding_moves_no_answer(mixer):
    small, large = vectorizer(), vectorizer(sentences=7, words=6)
    model = zoo.build_story_model(len(small.vocabulary), mixer, width=WIDTH)
    expected = numpy(model(small(STORIES, QUESTIONS)))
    np.testing.assert_allclose(numpy(model(large(STORIES, QUESTIONS))), expected, rtol=1e-4, atol=1e-5)


@every
def test_an_empty_story_has_a_finite_answer(mixer):
    vector = vectorizer()
    model = zoo.build_story_model(len(vector.vocabulary), mixer, width=WIDTH)
    assert np.isfinite(numpy(model(vector([[]], ["Where is Mary?"])))).all()
    assert np.isfinite(numpy(model(vector([[]], [""])))).all()


@every
def test_a_saved_model_answers_the_same(mixer, tmp_path):
    vector = vectorizer()
    model = zoo.build_story_model(len(vector.vocabulary), mixer, width=WIDTH)
    model.save(tmp_path / "model.keras")
    arrays = vector(STORIES, QUESTIONS)
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(numpy(again(arrays)), numpy(model(arrays)), atol=1e-5)


def test_a_memory_shows_which_sentences_it_looked_at():
    vector = vectorizer(sentences=4)
    answerer = zoo.StoryAnswerer(zoo.build_story_model(len(vector.vocabulary), width=WIDTH), vector)
    weights = answerer.look(STORIES, QUESTIONS)
    assert [row.shape for row in weights] == [(3, 3), (3, 1), (3, 4)]
    for row in weights:
        np.testing.assert_allclose(row.sum(-1), np.ones(3), atol=1e-5)


def test_a_model_without_a_memory_has_nothing_to_show():
    with pytest.raises(ValueError, match="Only a model with a memory"):
        looks(zoo.build_story_model(7, "lstm", width=WIDTH))


def test_options_that_are_not_known_are_named():
    with pytest.raises(ValueError, match="Did you mean 'hops'"):
        zoo.build_story_model(7, {"mixer": "end_to_end_memory", "hop": 2})
    with pytest.raises(ValueError, match="Unknown mixer"):
        zoo.build_story_model(7, "end_to_end_memories")


def test_one_text_has_story_then_question_in_their_order():
    ids, mask = OneText()(np.array([[[7, 3, 0], [0, 0, 0], [5, 6, 2]]]), np.array([[4, 9, 0]]))
    assert numpy(ids).tolist() == [[7, 3, 5, 6, 2, 4, 9, 0, 0, 0, 0, 0]]
    assert numpy(mask).sum() == 7


def test_the_last_word_is_the_last_real_one_and_of_none_zero():
    x = np.arange(30, dtype="float32").reshape(2, 5, 3)
    last = LastWord()(x, np.array([[1, 1, 1, 0, 0], [0, 0, 0, 0, 0]]))
    assert numpy(last).tolist() == [[6.0, 7.0, 8.0], [0.0, 0.0, 0.0]]
