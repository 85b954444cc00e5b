import pytest

from zoo.symbols import SymbolTokenizer


def test_characters_become_ids_and_come_back():
    tokenizer = SymbolTokenizer.of(["ab c", "ä"])
    assert tokenizer.get_vocabulary() == ["[PAD]", " ", "a", "b", "c", "ä"]
    assert tokenizer(["cab", "ä b"]) == [[4, 2, 3], [5, 1, 3]]
    assert tokenizer.detokenize([[4, 2, 3, 0, 0], [5, 1, 3]]) == ["cab", "ä b"]


def test_words_stand_between_separators():
    tokenizer = SymbolTokenizer.of(["to be", "or not  to be"], special=["[UNK]"], separator=" ")
    assert tokenizer.get_vocabulary() == ["[PAD]", "[UNK]", "be", "not", "or", "to"]
    assert tokenizer("to see or be") == [5, 1, 4, 2]
    assert tokenizer.detokenize([5, 2, 0]) == "to be"


def test_a_vocabulary_of_odd_characters_is_written_and_read(tmp_path):
    tokenizer = SymbolTokenizer(["[PAD]", " ", "\r", "\x0b", "\u2028", "x"])
    tokenizer.save_assets(tmp_path)
    again = SymbolTokenizer.from_config(tokenizer.get_config())
    with pytest.raises(ValueError, match="has no vocabulary yet"):
        again("x")
    again.load_assets(tmp_path)
    assert again.get_vocabulary() == tokenizer.get_vocabulary()


@pytest.mark.parametrize(
    "vocabulary, message",
    [
        (["a", "[PAD]"], "starts with"),
        (["[PAD]", "a", "a"], "no symbol comes twice"),
        (["[PAD]", "\n"], "line break"),
        (["[PAD]", ""], "neither empty"),
    ],
)
def test_what_is_no_vocabulary_is_said_at_once(vocabulary, message):
    with pytest.raises(ValueError, match=message):
        SymbolTokenizer(vocabulary)


def test_an_unknown_symbol_is_named():
    with pytest.raises(ValueError, match="no symbol 'z'"):
        SymbolTokenizer(["[PAD]", "a"])("az")
