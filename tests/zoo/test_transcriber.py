import keras
import numpy as np
import pytest

import zoo
from tests.zoo.helpers import COMPILED, D

CHANNELS = 3
TOKENIZER = zoo.SymbolTokenizer.of(["ab "], split="characters")
SYMBOLS = TOKENIZER.vocabulary_size()
READERS = [None, "additive", "location_sensitive", "monotonic_chunkwise"]


def transcriber(reader="additive", length=7, **options):
    backbone = zoo.MixerSpeechBackbone(CHANNELS, hidden_dim=D, mixer="gated_conv", subsampling=2, stem_width=3)
    preprocessor = zoo.MixerAudioToTextPreprocessor(TOKENIZER, decoder_sequence_length=length)
    return zoo.MixerAudioToText(backbone, SYMBOLS, reader, preprocessor=preprocessor, **options)


def recordings(lengths=(13, 8, 5)):
    random = np.random.default_rng(0)
    return [random.normal(size=(length, CHANNELS)).astype("float32") for length in lengths]


@pytest.mark.parametrize("reader", READERS)
def test_token_by_token_is_what_all_at_once_is(reader):
    model = transcriber(reader)
    x = model.preprocessor(recordings(), ["ab a", "b", "a b"])[0]
    expected = keras.ops.convert_to_numpy(model(x))
    memory = model.backbone({name: x[name] for name in ("frames", "padding_mask")})
    state = model.decoder.initial_state(memory, x["padding_mask"][:, ::2], max_length=7)
    for place in range(2):
        hidden, state = model.decoder.step(x["decoder_token_ids"][:, place], state)
        found = keras.ops.convert_to_numpy(model.output_dense(hidden))
        np.testing.assert_allclose(found, expected[:, place], atol=1e-4)


def test_a_recording_is_written_down_alike_alone_and_among_longer_ones():
    model = transcriber()
    model.output_dense.kernel.assign(model.output_dense.kernel * 9)
    model.compile(run_eagerly=True)
    together = model.generate(recordings())
    assert model.generate(recordings()[2:]) == together[2:]


def test_a_preset_answers_as_before(tmp_path):
    model = transcriber(["location_sensitive", None], num_layers=2, dropout=0.1)
    zoo.save(model, tmp_path / "preset")
    loaded = zoo.load(tmp_path / "preset")
    assert type(loaded) is zoo.MixerAudioToText
    x = loaded.preprocessor(recordings(), ["ab a", "b", "a b"])[0]
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5)


@pytest.mark.trains
@pytest.mark.slow
def test_a_transcriber_learns():
    codes = np.random.default_rng(1).normal(size=(SYMBOLS, CHANNELS)) * 3
    random = np.random.default_rng(0)
    texts = [a + b for a in ("a", "b") for b in ("a", "b")] * 12

    def say(text):
        frames = np.repeat(codes[TOKENIZER(text)], 4, axis=0)
        return (frames + random.normal(size=frames.shape) / 9).astype("float32")

    model = transcriber(length=4)
    model.compile(keras.optimizers.Adam(0.02), jit_compile=COMPILED)
    model.fit([say(text) for text in texts], texts, epochs=20, batch_size=16, verbose=0)
    new = [say(text) for text in texts[:4]]
    assert model.generate(new) == texts[:4]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: transcriber("gru"), "A reader is an explicit mixer"),
        (lambda: transcriber(decoder_mixer={"mixer": "gru", "bidirectional": True}), "looks both ways"),
    ],
)
def test_what_no_transcriber_can_be_made_of_is_said_at_once(make, message):
    with pytest.raises(ValueError, match=message):
        make()
