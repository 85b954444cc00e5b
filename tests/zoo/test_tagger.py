import numpy as np
import pytest

import zoo
from tests.zoo.helpers import CLASSES, PIECES, D


def test_a_tagger_takes_words_of_any_number():
    tokenizer = zoo.MixerTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "fun", "##s"])
    preprocessor = zoo.MixerTaggerPreprocessor(tokenizer, sequence_length=5)
    tagger = zoo.MixerTagger(zoo.MixerTextBackbone(7, hidden_dim=D, mixer="gru"), CLASSES, preprocessor=preprocessor)
    assert tagger.predict([["goods", "fun"], ["fun"]], verbose=0).shape == (2, 5, CLASSES)
    assert preprocessor.first_pieces([["goods", "fun"], ["fun"]]) == [[0, 2], [0]]


def test_a_tagger_learns_from_words_and_their_tags():
    tokenizer = zoo.MixerTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "fun", "##s"])
    preprocessor = zoo.MixerTaggerPreprocessor(tokenizer, sequence_length=5)
    tagger = zoo.MixerTagger(zoo.MixerTextBackbone(7, hidden_dim=D, mixer="gru"), CLASSES, preprocessor=preprocessor)
    tagger.compile()
    words = [["goods", "fun"], ["fun"]]
    labels, there = preprocessor.align(words, [[1, 2], [2]])
    history = tagger.fit(words, labels, sample_weight=there, epochs=9, verbose=0).history["loss"]
    assert history[-1] < history[0]
    found, expected = (
        tagger.evaluate(inputs, labels, sample_weight=there, verbose=0) for inputs in (words, preprocessor(words))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_lists_of_tags_are_put_where_they_belong_and_alone_count():
    tokenizer = zoo.MixerTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "fun", "##s"])
    preprocessor = zoo.MixerTaggerPreprocessor(tokenizer, sequence_length=5)
    words, tags = [["goods", "fun"], ["fun"]], [[1, 2], [2]]
    labels, there = preprocessor.align(words, tags)
    _, y, weight = preprocessor(words, tags)
    np.testing.assert_array_equal(y, labels)
    np.testing.assert_array_equal(weight, there)
    np.testing.assert_array_equal(preprocessor(words, tags, [2.0, 3.0])[2], there * [[2.0], [3.0]])
    np.testing.assert_array_equal(preprocessor(words, labels)[1], labels)
    tagger = zoo.MixerTagger(zoo.MixerTextBackbone(7, hidden_dim=D, mixer="gru"), CLASSES, preprocessor=preprocessor)
    tagger.compile()
    found = tagger.evaluate(words, tags, return_dict=True, verbose=0)
    right = tagger.predict(words, verbose=0).argmax(-1) == labels
    np.testing.assert_allclose(found["sparse_categorical_accuracy"], right[there > 0].mean(), rtol=1e-5)


def test_raw_batches_of_tf_data_are_refused():
    import tensorflow as tf

    tokenizer = zoo.MixerTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good"])
    tagger = zoo.MixerTagger(
        zoo.MixerTextBackbone(5, hidden_dim=D, mixer="gru"), CLASSES, zoo.MixerTaggerPreprocessor(tokenizer)
    )
    tagger.compile()
    with pytest.raises(ValueError, match=r"batches of tf\.data as dicts"):
        tagger.fit(tf.data.Dataset.from_tensor_slices((["good"], np.zeros((1, 64)))).batch(1))


@pytest.mark.parametrize("tags", [["N"], ["N"] * 4])
def test_every_word_has_one_tag(tags):
    preprocessor = zoo.MixerTaggerPreprocessor(zoo.MixerTokenizer(PIECES), sequence_length=11)
    with pytest.raises(ValueError, match=f"Every word has one tag. Received: 3 words and {len(tags)} tags in row 1"):
        preprocessor.align([["a", "good", "film"]], [[0] * len(tags)])
