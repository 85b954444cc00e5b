import keras
import numpy as np
import pytest

import zoo


def test_words_are_what_stands_between_white_space_whatever_they_are_made_of():
    tokenizer = zoo.SymbolTokenizer.of(["AH0 don't", "K-AE  B"])
    assert tokenizer.get_vocabulary() == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "AH0", "B", "K-AE", "don't"]
    assert tokenizer(["B don't", "", "D AH0"]) == [[5, 7], [], [1, 4]]
    assert tokenizer.detokenize([[5, 7], [], [1, 4]]) == ["B don't", "", "[UNK] AH0"]


def test_characters_are_letters_of_any_script_and_blanks():
    tokenizer = zoo.SymbolTokenizer.of(["Äh, 日本"], unit="characters", lowercase=True)
    ids = tokenizer(["ÄH 本", "hä"])
    assert tokenizer.detokenize(ids) == ["äh 本", "hä"] and len(ids[0]) == 4
    assert tokenizer.detokenize(tokenizer("日 h")) == "日 h"


def test_a_pipeline_of_tensors_gets_the_same_ids():
    tf = pytest.importorskip("tensorflow")
    for unit in ("words", "characters"):
        tokenizer = zoo.SymbolTokenizer.of(["a bc ü"], unit=unit)
        texts = ["bc a", "ü q"]
        mapped = [row.tolist() for row in tf.data.Dataset.from_tensor_slices(texts).map(tokenizer).as_numpy_iterator()]
        assert mapped == tokenizer(texts)


def test_a_tokenizer_comes_back_with_its_symbols(tmp_path):
    tokenizer = zoo.SymbolTokenizer.of(["a \n\u2581"], unit="characters")
    tokenizer.save_assets(tmp_path)
    again = zoo.SymbolTokenizer.from_config(tokenizer.get_config())
    again.load_assets(tmp_path)
    assert again.get_vocabulary() == tokenizer.get_vocabulary() and again.unit == "characters"
    assert np.array_equal(again("\n a"), tokenizer("\n a"))


def test_what_is_wrong_with_a_tokenizer_is_said():
    with pytest.raises(ValueError, match=r"`unit` must be one of .* Received: unit='letters'"):
        zoo.SymbolTokenizer(unit="letters")
    with pytest.raises(ValueError, match="Cannot find special token"):
        zoo.SymbolTokenizer(["a", "b"])
    with pytest.raises(ValueError, match="'x' is not one of the 5 symbols"):
        zoo.SymbolTokenizer.of(["a"]).token_to_id("x")
    assert keras.saving.get_registered_name(zoo.SymbolTokenizer) == "zoo>SymbolTokenizer"
