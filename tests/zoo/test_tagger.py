import zoo
from tests.zoo.helpers import CLASSES, D


def test_a_tagger_takes_words_of_any_number():
    tokenizer = zoo.MixerTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "fun", "##s"])
    preprocessor = zoo.MixerTaggerPreprocessor(tokenizer, sequence_length=5)
    tagger = zoo.MixerTagger(zoo.MixerTextBackbone(7, hidden_dim=D, mixer="gru"), CLASSES, preprocessor=preprocessor)
    assert tagger.predict([["goods", "fun"], ["fun"]], verbose=0).shape == (2, 5, CLASSES)
    assert preprocessor.first_pieces([["goods", "fun"], ["fun"]]) == [[0, 2], [0]]
