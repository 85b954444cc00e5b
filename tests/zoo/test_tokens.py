import json

import keras
import numpy as np
import pytest

import zoo
from zoo.tokens import SymbolTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[START]", "[END]"]
WORDS = [*SPECIAL, "to", "be", "or", "not", "To"]


def test_words_are_what_stands_between_white_space():
    tokenizer = SymbolTokenizer(WORDS)
    assert tokenizer(" to be,\n\tor  be not To [END] ") == [4, 1, 6, 5, 7, 8, 3]
    assert tokenizer.detokenize([4, 5, 1, 8]) == "to be [UNK] To"


def test_characters_are_all_there_are_and_come_back_as_they_were():
    text = "Speak,\n speak. é[END]"
    tokenizer = SymbolTokenizer.of([text], split="characters")
    ids = tokenizer(text)
    assert len(ids) == len(text) and min(ids) >= len(SPECIAL)
    assert tokenizer.detokenize(ids) == text


@pytest.mark.parametrize("split", ["words", "characters"])
def test_many_texts_are_one_by_one_and_may_be_empty(split):
    tokenizer = SymbolTokenizer.of(["to be", "or"], split=split)
    texts = ["be or to", "", "to"]
    rows = tokenizer(texts)
    assert rows == [tokenizer(text) for text in texts]
    assert tokenizer.detokenize(rows) == texts
    assert tokenizer.detokenize(np.array([rows[0], rows[0]])) == [texts[0]] * 2
    assert tokenizer.detokenize([]) == ""


def test_a_vocabulary_has_the_most_frequent_symbols_first():
    tokenizer = SymbolTokenizer.of(["b a b", "c b a [END]"], size=6)
    assert tokenizer.get_vocabulary() == [*SPECIAL, "b", "a"]
    assert tokenizer.vocabulary_size() == 6
    assert [tokenizer.id_to_token(5), tokenizer.token_to_id("b")] == ["a", 4]


def test_keras_hub_finds_the_special_symbols():
    tokenizer = SymbolTokenizer(WORDS)
    assert [tokenizer.pad_token_id, tokenizer.start_token_id, tokenizer.end_token_id] == [0, 2, 3]
    assert sorted(tokenizer.special_token_ids) == [0, 2, 3]


@pytest.mark.parametrize("split", ["words", "characters"])
def test_a_pipeline_gives_the_same_ids(split):
    tf = pytest.importorskip("tensorflow")
    tokenizer = SymbolTokenizer.of(["to be or\u00a0not é"], split=split)
    texts = ["be\u00a0to  é", "", "or\u00a0not\nté be"]
    batches = tf.data.Dataset.from_tensor_slices(texts).batch(3).map(tokenizer)
    assert next(iter(batches)).to_list() == tokenizer(texts)


@pytest.mark.parametrize("split", ["words", "characters"])
def test_a_vocabulary_is_an_asset_and_no_part_of_the_config(tmp_path, split):
    tokenizer = SymbolTokenizer.of(["to\nbe é"], split=split)
    config = keras.saving.serialize_keras_object(tokenizer)
    assert json.loads(json.dumps(config)) == config and config["config"]["vocabulary"] is None
    again = keras.saving.deserialize_keras_object(config)
    with pytest.raises(ValueError, match="no vocabulary yet"):
        again("to")
    tokenizer.save_assets(tmp_path)
    again.load_assets(tmp_path)
    assert again.get_vocabulary() == tokenizer.get_vocabulary() and again.split == split
    assert again.end_token_id == tokenizer.end_token_id


@pytest.mark.parametrize(
    "options,message",
    [
        ({"vocabulary": ["[PAD]", "to"]}, "must be a list of symbols that starts with"),
        ({"vocabulary": "words.txt"}, "must be a list of symbols that starts with"),
        ({"vocabulary": [*WORDS, "be"]}, r"Received several times: \['be'\]"),
        ({"split": "word"}, "Did you mean 'words'"),
    ],
)
def test_what_cannot_be_a_vocabulary_is_said_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        SymbolTokenizer(**options)


@pytest.mark.parametrize("size", [4, 0, True, "9"])
def test_a_vocabulary_has_room_for_more_than_the_special_symbols(size):
    with pytest.raises(ValueError, match="`size`"):
        SymbolTokenizer.of(["to"], size=size)


def test_what_is_no_symbol_and_no_text_is_said():
    tokenizer = SymbolTokenizer(WORDS)
    with pytest.raises(ValueError, match=r"must be in \[0, 9\). Received: 9"):
        tokenizer.id_to_token(9)
    with pytest.raises(ValueError, match="'zzz' is not in the vocabulary"):
        tokenizer.token_to_id("zzz")
    with pytest.raises(ValueError, match="A string or a list of strings"):
        tokenizer([7])


@pytest.mark.parametrize("tokenizer", [zoo.SymbolTokenizer, zoo.MixerTokenizer])
def test_one_text_is_not_several(tokenizer):
    with pytest.raises(ValueError, match=r"Texts are a list of strings\. Received: one string, 'to be or not'"):
        tokenizer.of("to be or not")
