import keras
import numpy as np
import pytest

import zoo
from tests.zoo.helpers import CLASSES, PIECES, VOCABULARY, B, T, text_backbone, text_classifier, token_batch

TEXTS = ["Good funny film.", "not good", "a dull, dull film"]


def test_raw_text_goes_in_and_logits_come_out():
    assert text_classifier().predict(TEXTS, verbose=0).shape == (len(TEXTS), CLASSES)


def test_a_classifier_learns_from_raw_text():
    classifier = text_classifier()
    classifier.compile(keras.optimizers.Adam(0.02), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    labels = np.array([1, 0, 0])
    history = classifier.fit(TEXTS, labels, epochs=12, verbose=0).history["loss"]
    assert history[-1] < 0.3 * history[0]
    assert (classifier.predict(TEXTS, verbose=0).argmax(-1) == labels).all()


def test_a_text_has_one_answer_alone_and_in_a_padded_batch():
    classifier = text_classifier(["gru", "additive"])
    together = classifier.predict(TEXTS, verbose=0)
    classifier.preprocessor.sequence_length = 9
    alone = np.concatenate([classifier.predict([text], verbose=0) for text in TEXTS])
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_the_empty_text_has_an_answer():
    assert np.isfinite(text_classifier().predict([""], verbose=0)).all()


def test_a_row_of_padding_has_a_finite_answer():
    classifier = zoo.MixerTextClassifier(text_backbone("multi_head"), CLASSES)
    answer = classifier(token_batch(lengths=(0, 3)))
    assert np.isfinite(keras.ops.convert_to_numpy(answer)).all()


def test_the_mean_over_many_positions_is_right_in_half_precision():
    ones = np.ones((1, 10_000, 2), "float16")
    mean = zoo.heads.MaskedMean(dtype="mixed_float16")(ones, ones[..., 0])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(mean), [[1.0, 1.0]], rtol=1e-3)


def test_the_activation_is_applied_and_kept():
    classifier = zoo.MixerTextClassifier(text_backbone("gru"), CLASSES, activation="softmax", dropout=0.25)
    total = keras.ops.convert_to_numpy(classifier(token_batch())).sum(axis=-1)
    np.testing.assert_allclose(total, np.ones(B), atol=1e-5)
    again = zoo.MixerTextClassifier.from_config(classifier.get_config())
    assert again.get_config() == classifier.get_config()


def test_the_tokenizer_lowers_case_and_splits_words_into_pieces():
    tokenizer = zoo.MixerTokenizer(PIECES)
    pieces = [PIECES[i] for i in np.asarray(tokenizer("A FUNNY film, zzz"))]
    assert pieces == ["a", "fun", "##ny", "film", "[UNK]", "[UNK]"]


def test_the_preprocessor_cuts_and_pads_between_start_and_end():
    preprocessor = zoo.MixerTextClassifierPreprocessor(zoo.MixerTokenizer(PIECES), sequence_length=5)
    inputs, labels = preprocessor(["good", "a good good good film"], y=np.array([1, 0]))
    ids = keras.ops.convert_to_numpy(inputs["token_ids"])
    assert ids.tolist() == [[2, 4, 3, 0, 0], [2, 12, 4, 4, 3]]
    assert keras.ops.convert_to_numpy(inputs["padding_mask"]).astype(int).tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert sorted(inputs) == ["padding_mask", "token_ids"] and list(labels) == [1, 0]


def test_the_tagger_answers_at_each_position():
    tagger = zoo.MixerTagger(text_backbone("linear_recurrence"), CLASSES)
    assert tuple(tagger(token_batch()).shape) == (B, T, CLASSES)
    assert zoo.MixerTagger.from_config(tagger.get_config()).get_config() == tagger.get_config()


@pytest.mark.trains
@pytest.mark.parametrize("mixer", ["gated_conv", "multi_head"])
def test_a_causal_tagger_learns_to_repeat_the_token_before(mixer):
    random = np.random.default_rng(0)
    ids = random.integers(1, VOCABULARY, (128, T)).astype("int32")
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    before = np.concatenate([np.zeros_like(ids[:, :1]), ids[:, :-1]], axis=1)
    tagger = zoo.MixerTagger(text_backbone(mixer, causal=True, num_layers=1, hidden_dim=31), VOCABULARY)
    tagger.compile(keras.optimizers.Adam(0.02), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = tagger.fit(inputs, before, epochs=20, batch_size=32, verbose=0).history["loss"]
    assert history[-1] < 0.2 * history[0]
