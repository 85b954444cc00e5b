"""Questions about stories: what a memory's hops look at, and which sentences or words an answer is made of."""

import keras
import numpy as np
import pytest

import zoo
from tests.zoo.test_story import EXAMPLES, HOPS, answerer

STORY, QUESTION = EXAMPLES[0]


@pytest.mark.parametrize("mixer", [HOPS, ["gru", HOPS]], ids=["memory", "hybrid"])
def test_a_memory_is_explained_by_sentences(mixer, tmp_path):
    model = answerer(mixer)
    found = zoo.explain(model, (STORY, QUESTION), out=tmp_path / "look.png")
    assert (found.kind, found.subject) == ("story", tuple(STORY)) and found.title.endswith(QUESTION)
    np.testing.assert_allclose(found.looks["weights of memory"][:, 0], model.look([EXAMPLES[0]])[0], atol=1e-5)
    arrays = model.preprocessor([EXAMPLES[0]])
    output = int(np.argmax(model.predict(arrays, verbose=0)))
    assert f"({model.preprocessor.tokenizer.id_to_token(output)!r})" in found.answer
    assert {len(each) for each in found.parts.values()} == {3}
    assert (tmp_path / "look.png").read_bytes().startswith(b"\x89PNG")
    assert "hop" not in found.page() and "John went out." in found.page()


def test_shares_of_sentences_add_up_to_the_answer_s_change_without_their_words():
    model, example = answerer(HOPS), (["John slept.", "John left."], "Where is Mary?")
    home = model.preprocessor.tokenizer.token_to_id("home")
    found = zoo.explain(model, example, output=home)
    gap = float(found.notes[-1].split("leave ")[1].split(" of")[0])
    arrays, encoder = model.preprocessor([example]), model.backbone.sentences
    whole = model.predict(arrays, verbose=0)[0, home]
    # Words without vectors say nothing; how long ago their sentences were is still known.
    embeddings = keras.ops.convert_to_numpy(encoder.embeddings).copy()
    embeddings[np.unique(arrays["story"])] = 0
    encoder.embeddings.assign(embeddings)
    without = model.predict(arrays, verbose=0)[0, home]
    assert found.parts["integrated gradients"].sum() + gap == pytest.approx(whole - without, rel=1e-2)


def test_a_reader_is_explained_by_all_words():
    model = answerer({"mixer": "multi_head", "num_heads": 1})
    found = zoo.explain(model, " ".join([*STORY, QUESTION]), method="gradient_x_input")
    assert found.subject == ("mary", "went", "home", "john", "went", "out", "mary", "slept", "where", "is", "mary")
    assert {len(each) for each in found.parts.values()} == {11}
    (look,) = [each for name, each in found.looks.items() if name.startswith("weights of")]
    assert look.shape == (1, 11, 11)
    assert len(found.picture().axes) > 2


@pytest.mark.parametrize("given, said", [("  ", "ends with a question"), ("Who left?", "there is no story")])
def test_what_has_no_story_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        zoo.explain(answerer(HOPS), given)
