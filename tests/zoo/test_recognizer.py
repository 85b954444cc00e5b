import collections
import itertools

import keras
import numpy as np
import pytest

import zoo
from tests.zoo.helpers import COMPILED
from zoo.recognizer import BlankWherePadded

D, CHANNELS = 11, 3
VOCABULARY = ["[PAD]", "[UNK]", "[START]", "[END]", "a", "b", " "]
SYMBOLS = len(VOCABULARY)


def backbone(mixer="gru", **options):
    return zoo.MixerSpeechBackbone(CHANNELS, **{"hidden_dim": D, "mixer": mixer, **options})


def preprocessor(**options):
    return zoo.MixerSpeechRecognizerPreprocessor(zoo.SymbolTokenizer(VOCABULARY, "characters"), **options)


def recordings(lengths=(13, 7, 5), seed=0):
    random = np.random.default_rng(seed)
    return [random.normal(size=(length, CHANNELS)).astype("float32") for length in lengths]


def spell(texts, seed=0):
    """Frames of which each second one says what symbol stands there: an easy language."""
    random = np.random.default_rng(seed)
    codes = np.random.default_rng(1).normal(size=(SYMBOLS, CHANNELS)) * 3
    spelled = [np.repeat(codes[[VOCABULARY.index(symbol) for symbol in text]], 3, axis=0) for text in texts]
    return [(each + random.normal(size=each.shape) / 5).astype("float32") for each in spelled]


def alignments(logits):
    """The chance of each text, by all ways in which it can be spread over the tokens."""
    chances = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    found = collections.defaultdict(float)
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        text = tuple(symbol for symbol, _ in itertools.groupby(path) if symbol)
        found[text] += np.prod([step[symbol] for step, symbol in zip(chances, path)])
    return found


LENGTHS, TEXTS = (5, 3, 4), ((1, 1), (2, 3, 1), (3,))
LOGITS = np.random.default_rng(0).normal(size=(3, 5, 4)).astype("float32")
MASK = (np.arange(5) < np.array(LENGTHS)[:, None]).astype("int32")
#: The same, with what must not count where it is padded.
PADDED = keras.ops.convert_to_numpy(BlankWherePadded()(np.where(MASK[:, :, None] > 0, LOGITS, np.nan), MASK))


def test_the_loss_is_that_of_all_alignments_of_the_real_tokens():
    ids = np.array([[*text, 0, 0][:3] for text in TEXTS], "int32")
    expected = [-np.log(alignments(row[:n])[text]) for row, n, text in zip(LOGITS, LENGTHS, TEXTS)]
    found = keras.losses.CTC(reduction="none")(ids, PADDED)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, rtol=1e-4)


@pytest.mark.parametrize("beams", [1, 31])
def test_decoding_finds_the_best_path_or_the_best_text_of_the_real_tokens(beams):
    expected = []
    for row, length in zip(LOGITS, LENGTHS):
        chances = alignments(row[:length])
        best = tuple(symbol for symbol, _ in itertools.groupby(row[:length].argmax(axis=-1)) if symbol)
        expected.append(best if beams == 1 else max(chances, key=chances.get))
    found = zoo.MixerSpeechRecognizer(backbone(), 4).decode(PADDED, beams)
    assert [tuple(row) for row in found] == expected


def test_a_recording_is_heard_alike_alone_and_among_longer_ones():
    recognizer = zoo.MixerSpeechRecognizer(backbone(subsampling=2, stem_width=3), SYMBOLS, preprocessor())
    together, alone = recognizer.predict(recordings(), verbose=0), recognizer.predict(recordings()[2:], verbose=0)
    np.testing.assert_allclose(together[2:, :3], alone, atol=1e-5)
    assert (together[2, 3:, 1:] == -1e4).all() and not together[2, 3:, 0].any()


def test_the_gradient_of_padded_tokens_is_zero():
    texts = ["ab", "a", "b"]
    recognizer = zoo.MixerSpeechRecognizer(backbone("gated_conv"), SYMBOLS, preprocessor())
    x, y, _ = recognizer.prepare(recordings(), texts)
    x["frames"][1, 7:] = np.nan
    recognizer.compile(keras.optimizers.SGD(0.1))
    recognizer.fit(x, y, verbose=0)
    assert all(np.isfinite(weight).all() for weight in recognizer.get_weights())


@pytest.mark.parametrize("mixer", ["gru", {"mixer": "multi_head", "num_heads": 1}])
def test_a_causal_recogniser_answers_a_beginning_as_it_does_the_whole(mixer):
    recognizer = zoo.MixerSpeechRecognizer(
        backbone(mixer, causal=True, subsampling=2, stem_width=5), SYMBOLS, preprocessor()
    )
    whole = recordings((13,))
    before = recognizer.predict([whole[0][:8]], verbose=0)
    np.testing.assert_allclose(recognizer.predict(whole, verbose=0)[:, :4], before, atol=1e-5)


@pytest.mark.trains
def test_a_recogniser_learns_to_spell(tmp_path):
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(["a", "b", " "], size=random.integers(1, 7))) for _ in range(61)]
    recognizer = zoo.MixerSpeechRecognizer(backbone("gated_conv", stem_width=3, num_layers=1), SYMBOLS, preprocessor())
    recognizer.preprocessor.measure(spell(texts))
    recognizer.compile(keras.optimizers.Adam(0.02), jit_compile=COMPILED)
    recognizer.fit(spell(texts), texts, epochs=25, batch_size=16, verbose=0)
    new = ["ab a", "b", "a b ab"]
    answers = recognizer.generate(spell(new, seed=2))
    assert zoo.error_rates(new, answers)["character_error_rate"] < 0.1
    assert recognizer.generate(spell(new, seed=2), num_beams=5) == answers
    zoo.save(recognizer, tmp_path / "preset")
    loaded = zoo.load(tmp_path / "preset")
    assert type(loaded) is zoo.MixerSpeechRecognizer and loaded.generate(spell(new, seed=2)) == answers


def test_error_rates_count_over_all_texts():
    # One word of five is missing; of 4 + 7 characters two, a blank among them.
    rates = zoo.error_rates(["a bc", "b b a a"], ["a", "b b a a"])
    assert rates["word_error_rate"] == pytest.approx(1 / 6)
    assert rates["character_error_rate"] == pytest.approx(3 / 11)
    assert zoo.error_rates(["a b"], [""]) == {"word_error_rate": 1.0, "character_error_rate": 1.0}


@pytest.mark.parametrize("texts, needs", [(["aba", "a", "b"], 3), (["aa", "a", "b"], 3)])
def test_a_text_that_no_recording_has_room_for_is_named(texts, needs):
    recognizer = zoo.MixerSpeechRecognizer(backbone(subsampling=5, stem_width=5), SYMBOLS, preprocessor())
    with pytest.raises(ValueError, match=f"1 longer ones; text 0 needs {needs} and its recording makes 2"):
        recognizer.fit(recordings((7, 7, 5)), texts)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: zoo.MixerSpeechRecognizer(backbone(), 1), "`vocabulary_size`: it must be an integer of at least 2"),
        (lambda: zoo.error_rates(["a"], []), "1 texts, 0 answers"),
    ],
)
def test_what_no_recogniser_can_do_is_said_at_once(make, message):
    with pytest.raises(ValueError, match=message):
        make()
