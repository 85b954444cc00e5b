import keras
import numpy as np
import pytest

import zoo
from tests.zoo.helpers import CLASSES, COMPILED, B, D
from zoo.speech import FrameStem

CHANNELS, FRAMES = 3, 13
#: One of each way to step over time; that all mixers keep the contract is tested elsewhere.
MIXERS = ["gru", "multi_head", "gated_conv", "linear_recurrence"]


def numbers(x):
    return keras.ops.convert_to_numpy(x)


def backbone(mixer="gru", **options):
    mixer = {"mixer": mixer, "num_heads": 1} if mixer == "multi_head" else mixer
    return zoo.MixerSpeechBackbone(CHANNELS, **{"hidden_dim": D, "mixer": mixer, **options})


def batch(lengths=(13, 8, 5), width=FRAMES, seed=0):
    frames = np.random.default_rng(seed).normal(size=(len(lengths), width, CHANNELS)).astype("float32")
    return {"frames": frames, "padding_mask": (np.arange(width) < np.array(lengths)[:, None]).astype("int32")}


def waves():
    random = np.random.default_rng(0)
    return [random.integers(-20000, 20000, samples).astype("int16") for samples in (700, 431, 97)]


def converter():
    return zoo.MixerAudioConverter(sample_rate=1000, window=0.031, hop=0.01, bands=CHANNELS)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("width, stride", [(1, 1), (3, 1), (2, 2), (5, 2), (7, 3)])
def test_a_token_is_made_of_the_frames_around_its_own(width, stride, causal):
    stem = FrameStem(D, width, stride, causal)
    x = batch([FRAMES] * 2)
    before = numbers(stem(**{"inputs": x["frames"], "padding_mask": x["padding_mask"]}))
    assert before.shape == (2, -(-FRAMES // stride), D)
    seen = {token: set() for token in range(before.shape[1])}
    for frame in range(FRAMES):
        changed = x["frames"].copy()
        changed[:, frame] += 1
        after = numbers(stem(changed, x["padding_mask"]))
        for token in np.flatnonzero(np.abs(after - before).max(axis=(0, 2)) > 1e-6):
            seen[int(token)].add(frame)
    back = (width - stride) if causal else (width - stride) // 2
    for token, frames in seen.items():
        first = token * stride - back
        assert frames == set(range(max(0, first), min(FRAMES, first + width)))


@pytest.mark.parametrize("name", MIXERS)
def test_what_stands_at_padded_frames_and_how_many_there_are_changes_nothing(name):
    model = backbone(name, subsampling=2, stem_width=5)
    short, long = batch(), batch(width=29, seed=1)
    real = short["padding_mask"].astype(bool)
    long["frames"][:, FRAMES:] = np.nan
    long["frames"][:, :FRAMES][real] = short["frames"][real]
    tokens = real[:, ::2]
    np.testing.assert_allclose(
        numbers(model(long))[:, : tokens.shape[1]][tokens], numbers(model(short))[tokens], atol=1e-5
    )


@pytest.mark.parametrize("name", MIXERS)
def test_a_causal_backbone_hears_nothing_before_it_is_said(name):
    model = backbone(name, causal=True, subsampling=2, stem_width=5)
    x = batch([FRAMES] * 2)
    before = numbers(model(x))
    x["frames"][:, 8:] += 1
    changed = np.abs(numbers(model(x)) - before).max(axis=(0, 2)) > 1e-5
    assert changed.tolist() == [False] * 4 + [True] * 3


def test_waves_of_any_lengths_become_the_frames_that_each_has_alone():
    together = converter()(waves())
    assert [len(frames) for frames in together] == [70, 44, 10]
    for wave, frames in zip(waves(), together):
        layer = zoo.LogMel(sample_rate=1000, window=0.031, hop=0.01, bands=CHANNELS)
        np.testing.assert_allclose(numbers(layer(wave[None] / np.float32(32768)))[0], frames, atol=1e-5)


def test_a_preprocessor_measures_recordings_and_makes_them_standard():
    preprocessor = zoo.MixerSpeechClassifierPreprocessor(converter())
    preprocessor.measure(waves())
    found = preprocessor(waves())
    real = found["frames"][found["padding_mask"] > 0]
    np.testing.assert_allclose(real.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(real.std(axis=0), 1, atol=1e-3)
    again = zoo.MixerSpeechClassifierPreprocessor.from_config(preprocessor.get_config())
    np.testing.assert_array_equal(again(waves())["frames"], found["frames"])


def test_ready_frames_are_cut_and_padded_and_lose_their_own_mean():
    preprocessor = zoo.MixerSpeechClassifierPreprocessor(center=True, sequence_length=7)
    x = [np.arange(10.0)[:, None] * [1, 2], np.array([[3.0, 5.0]])]
    found = preprocessor(x)
    assert found["padding_mask"].tolist() == [[1] * 7, [1] + [0] * 6]
    np.testing.assert_allclose(found["frames"][0], (np.arange(7.0)[:, None] - 4.5) * [1, 2])
    assert not found["frames"][1].any()


@pytest.mark.parametrize("mixer, length", [(["gru", "additive"], None), (["token_mlp", "gated_conv"], 71)])
def test_a_preset_answers_recordings_as_before(tmp_path, mixer, length):
    preprocessor = zoo.MixerSpeechClassifierPreprocessor(
        converter(), mean=[1, 2, 3], deviation=[3, 2, 1], sequence_length=length
    )
    model = backbone(mixer, sequence_length=length, subsampling=3, stem_width=5, hidden_frames=2, hidden_bands=1)
    task = zoo.MixerSpeechClassifier(model, CLASSES, preprocessor, dropout=0.25)
    answers = task.predict(waves(), verbose=0)
    assert answers.shape == (B, CLASSES)
    zoo.save(task, tmp_path / "preset")
    loaded = zoo.load(tmp_path / "preset")
    assert type(loaded) is zoo.MixerSpeechClassifier
    np.testing.assert_allclose(loaded.predict(waves(), verbose=0), answers, atol=1e-5)
    np.testing.assert_allclose(loaded.predict(loaded.preprocessor(waves()), verbose=0), answers, atol=1e-5)


def test_a_classifier_learns_from_waves():
    labels = np.arange(23) % 2
    tones = [np.sin(np.arange(200 + 3 * i) * (0.5 + label)).astype("float32") for i, label in enumerate(labels)]
    preprocessor = zoo.MixerSpeechClassifierPreprocessor(converter())
    preprocessor.measure(tones)
    stack = backbone("gated_conv", subsampling=2, stem_width=3, hidden_frames=3, num_layers=1)
    classifier = zoo.MixerSpeechClassifier(stack, 2, preprocessor)
    classifier.compile(keras.optimizers.Adam(0.01), jit_compile=COMPILED)
    classifier.fit(tones, labels, epochs=4, verbose=0, validation_data=(tones, labels))
    assert classifier.evaluate(tones, labels, verbose=0)[1] > 0.9


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: backbone(subsampling=3, stem_width=2), "`stem_width`: it must be an integer of at least 3"),
        (lambda: backbone({"mixer": "gru", "bidirectional": True}, causal=True), "looks both ways"),
        (lambda: backbone("token_mlp"), "give `sequence_length`"),
        (lambda: zoo.MixerSpeechClassifierPreprocessor(mean=[1], deviation=[0]), "the deviations above 0"),
        (lambda: zoo.MixerSpeechClassifierPreprocessor(mean=[1]), "as many numbers"),
        (lambda: converter()([np.zeros((2, 3))]), r"A wave is an array of samples, \(N,\)"),
        (lambda: converter()([np.zeros(5, "int64")]), "Samples are floating point, or int16"),
        (lambda: zoo.MixerSpeechClassifierPreprocessor()([np.zeros(5)]), "Without an `audio_converter`"),
        (lambda: zoo.MixerSpeechClassifierPreprocessor()(np.zeros(5)), "Recordings come in a list"),
    ],
)
def test_what_no_model_of_speech_can_be_made_of_is_said_at_once(make, message):
    with pytest.raises(ValueError, match=message):
        make()
