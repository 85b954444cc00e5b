import itertools

import keras
import keras_hub
import numpy as np
import pytest

import zoo
from keras_attn import inspection
from tests.zoo.helpers import COMPILED, D, fresh_process
from zoo.caption import BlindDecoder

CAPTIONS = ["red up", "blue up", "red down", "blue down"]
TOKENIZER = zoo.SymbolTokenizer.of(CAPTIONS)
WORDS = TOKENIZER.vocabulary_size()
SOFT, HARD = {"mixer": "additive", "units": 7}, {"mixer": "stochastic_hard", "units": 7, "seed": 1}


def pictures(captions, seed=0):
    """The upper or the lower half in a colour."""
    images = np.random.default_rng(seed).normal(size=(len(captions), 6, 10, 3)).astype("float32") / 9
    for image, caption in zip(images, captions):
        colour, place = caption.split()
        image[slice(3) if place == "up" else slice(3, 6), :, 0 if colour == "red" else 2] += 2
    return images


def captioner(attention=SOFT, mixer="gated_conv", **options):
    backbone = zoo.MixerImageBackbone((6, 10, 3), hidden_dim=D, mixer=mixer, num_layers=1)
    preprocessor = zoo.MixerCaptionerPreprocessor(TOKENIZER, sequence_length=5)
    return zoo.MixerCaptioner(backbone, WORDS, attention, preprocessor=preprocessor, **options)


def numbers(x):
    return keras.ops.convert_to_numpy(x)


def test_a_preprocessor_shifts_captions_and_weighs_what_is_to_be_said():
    preprocessor = zoo.MixerCaptionerPreprocessor(TOKENIZER, zoo.MixerImageConverter(scale=0.5), sequence_length=3)
    x, y, weight = preprocessor(np.ones((2, 6, 10, 3)), ["red down", "up"])
    red, down, up = (TOKENIZER.token_to_id(word) for word in ("red", "down", "up"))
    assert x["token_ids"].tolist() == [[2, red, down], [2, up, 0]]
    assert y.tolist() == [[red, down, 3], [up, 3, 0]]
    assert x["padding_mask"].tolist() == weight.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert (x["images"] == 0.5).all()
    weighted = preprocessor(np.ones((2, 6, 10, 3)), ["red down", "up"], [2.0, 0.0])[2]
    assert weighted.tolist() == [[2, 2, 2], [0, 0, 0]]
    cut = preprocessor(np.ones((1, 6, 10, 3)), ["red down up blue"])[1]
    assert cut.tolist() == [[red, down, 3]]


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("attention", [None, SOFT, {"mixer": "multi_head", "num_heads": 1}, HARD])
def test_word_by_word_is_what_all_at_once_is(attention, cell):
    model = captioner(attention, cell=cell)
    x = model.preprocessor(pictures(CAPTIONS), CAPTIONS)[0]
    expected = numbers(model(x))
    regions = model.backbone(x["images"])
    state = model.decoder.initial_state(regions, cell_state=model._begin(regions))
    for place in range(3):
        output, state = model.decoder.step(model.token_embedding(x["token_ids"][:, place]), state)
        np.testing.assert_allclose(numbers(model.output_dense(output)), expected[:, place], atol=1e-5)


def test_a_word_depends_on_the_image_and_on_no_later_word():
    model = captioner()
    x = model.preprocessor(pictures(CAPTIONS), CAPTIONS)[0]
    before = numbers(model(x))
    later = {**x, "token_ids": np.concatenate([x["token_ids"][:, :2], 7 - x["token_ids"][:, 2:]], axis=1)}
    np.testing.assert_allclose(numbers(model(later))[:, :2], before[:, :2], atol=1e-6)
    assert np.abs(numbers(model({**x, "images": x["images"][::-1]})) - before).max() > 1e-4


def test_the_weights_of_each_word_over_the_regions_can_be_shown():
    model = captioner()
    x = model.preprocessor(pictures(CAPTIONS), CAPTIONS)[0]
    weights = inspection.weights(model, x)["decoder"]
    assert weights.shape == (4, 5, 1, 15)
    np.testing.assert_allclose(weights.sum(axis=-1)[:, :, 0], x["padding_mask"], atol=1e-5)


@pytest.mark.parametrize("attention", [None, pytest.param(SOFT, marks=pytest.mark.slow)])
def test_beams_find_the_caption_that_is_most_likely_of_all(attention):
    model = captioner(attention)
    # An untrained model is indifferent: what it says is made to matter.
    model.output_dense.kernel.assign(model.output_dense.kernel * 9)
    model.compile(sampler=keras_hub.samplers.BeamSampler(num_beams=WORDS**2))
    images = pictures(CAPTIONS[:1])
    found = model.generate(images, max_length=2)
    words = range(WORDS)
    texts = [[first, second] for first, second in itertools.product(words, words) if first != 3 or second == 3]
    x = {
        "images": np.repeat(images, len(texts), axis=0),
        "token_ids": np.array([[2, first] for first, _ in texts], "int32"),
        "padding_mask": np.ones((len(texts), 2), "int32"),
    }
    chances = numbers(keras.ops.log_softmax(model(x)))
    first, second = np.array(texts).T
    # What has ended goes on for nothing.
    scores = chances[np.arange(len(texts)), 0, first] + chances[np.arange(len(texts)), 1, second] * (first != 3)
    best = [word for word in texts[scores.argmax()] if word not in (0, 2, 3)]
    assert found == [TOKENIZER.detokenize(best)]


@pytest.mark.trains
@pytest.mark.parametrize("attention", [SOFT, *(pytest.param(other, marks=pytest.mark.slow) for other in (None, HARD))])
def test_a_captioner_learns_and_a_preset_says_the_same(tmp_path, attention):
    captions = CAPTIONS * 12
    model = captioner(attention, dropout=0.1)
    model.compile(keras.optimizers.Adam(0.02), jit_compile=COMPILED)
    model.fit(pictures(captions), captions, epochs=15, batch_size=16, verbose=0)
    images = pictures(CAPTIONS * 4, seed=1)
    answers = model.generate(images)
    assert zoo.caption_scores(CAPTIONS * 4, answers)["exact_match"] > 0.8
    zoo.save(model, tmp_path / "preset")
    loaded = zoo.load(tmp_path / "preset")
    assert type(loaded) is zoo.MixerCaptioner and loaded.preprocessor.tokenizer(CAPTIONS) == TOKENIZER(CAPTIONS)
    x = model.preprocessor(images, CAPTIONS * 4)[0]
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5)


SAY = """
import numpy as np, zoo
found = np.load({folder!r} + "/expected.npz")
inputs = {{name: found[name] for name in ("images", "token_ids", "padding_mask")}}
answers = zoo.load({folder!r} + "/preset").predict(inputs, verbose=0)
print(np.abs(answers - found["answers"]).max())
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_a_captioner_comes_back_in_a_new_process_on_each_backend(tmp_path, backend):
    model = captioner(SOFT, cell="lstm")
    x = model.preprocessor(pictures(CAPTIONS), CAPTIONS)[0]
    np.savez(tmp_path / "expected.npz", answers=model.predict(x, verbose=0), **x)
    zoo.save(model, tmp_path / "preset")
    assert float(fresh_process(SAY.format(folder=str(tmp_path)), backend)) < 1e-5


def test_a_blind_decoder_is_the_same_after_its_config():
    decoder = BlindDecoder(keras.layers.LSTMCell(5))
    assert BlindDecoder.from_config(decoder.get_config()).get_config() == decoder.get_config()


def test_scores_are_of_whole_captions_and_of_words_in_turn():
    right = ["a b c d e", "a b c d"]
    assert zoo.caption_scores(right, right) == {"exact_match": 1.0, "bleu": pytest.approx(1.0)}
    scores = zoo.caption_scores(right, ["a b c d f", "a b c d"])
    # 8 of 9 words, 6 of 7 pairs, 4 of 5 threes and 2 of 3 fours are right.
    assert scores["exact_match"] == 0.5
    assert scores["bleu"] == pytest.approx((8 / 9 * 6 / 7 * 4 / 5 * 2 / 3) ** 0.25, abs=1e-5)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: captioner(cell="rnn"), "Unknown cell 'rnn'"),
        (lambda: captioner("gru"), "`attention` must be an explicit mixer"),
        (lambda: captioner().preprocessor(np.zeros((6, 10, 3)), ["a"]), r"Images come as \(B, H, W, C\)"),
        (lambda: captioner().preprocessor(np.zeros((1, 6, 10, 3)), ["a", "b"]), "1 images, 2 captions"),
        (lambda: zoo.caption_scores(["a"], []), "1 captions, 0 answers"),
    ],
)
def test_what_no_captioner_can_do_is_said_at_once(make, message):
    with pytest.raises(ValueError, match=message):
        make()
