"""What models of speech look at, over frames."""

import wave

import numpy as np
import pytest
from keras import ops

import zoo
from keras_attn import inspection
from tests.zoo.helpers import CLASSES, D

CHANNELS, SAMPLES = 3, 431
QUICK = {"method": "gradient_x_input"}


def classifier(mixer="additive", sounds=True, **options):
    """Of frames of 10 samples, 44 of 431; two frames are a token."""
    options = {"subsampling": 2, "stem_width": 3, "num_layers": 1, **options}
    length = options.get("sequence_length")
    backbone = zoo.MixerSpeechBackbone(CHANNELS, hidden_dim=D, mixer=mixer, **options)
    converter = zoo.MixerAudioConverter(sample_rate=1000, window=0.031, hop=0.01, bands=CHANNELS) if sounds else None
    preprocessor = zoo.MixerSpeechClassifierPreprocessor(converter, center=True, sequence_length=length)
    return zoo.MixerSpeechClassifier(backbone, CLASSES, preprocessor)


def samples():
    return np.random.default_rng(0).integers(-20000, 20000, SAMPLES).astype("int16")


def frames(count=13):
    return np.random.default_rng(1).normal(size=(count, CHANNELS)).astype("float32")


def write(path, wave_, rate=1000):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(wave_.tobytes())
    return path


def test_a_sound_is_explained_by_the_frames_of_each_token(tmp_path):
    model = classifier()
    found = zoo.explain(model, write(tmp_path / "a.wav", samples()), out=tmp_path / "a.html", **QUICK)
    inputs = model.preprocessor([samples()])
    assert found.kind == "sound"
    np.testing.assert_allclose(found.subject, inputs["frames"][0], atol=1e-3)
    weights = next(iter(inspection.weights(model, inputs).values()))
    (look,) = (each for name, each in found.looks.items() if name.startswith("weights of "))
    np.testing.assert_allclose(look, weights.reshape(1, 22, 22), rtol=1e-3)

    def of_frames(x, **options):
        x = ops.convert_to_tensor(x)
        return model({"frames": x, "padding_mask": ops.ones(ops.shape(x)[:2])}, **options)

    best = int(ops.convert_to_numpy(model(inputs))[0].argmax())
    slopes = inspection.sensitivity(of_frames, inputs["frames"], output=best)[0]
    expected = np.sqrt((slopes.reshape(22, 2) ** 2).sum(axis=1))
    np.testing.assert_allclose(found.parts["sensitivity of the answer"], expected, rtol=1e-3)
    assert found.looks["sensitivity of each position"].shape == (1, 22, 22)
    assert 'aria-label="frame 2 to 4"' in (tmp_path / "a.html").read_text(encoding="utf-8")
    assert found.picture().axes[0].get_title() == "sound: bands over time"


@pytest.mark.slow
def test_the_padding_of_a_model_of_one_length_is_not_shown():
    longer, exact = (classifier(sounds=False, sequence_length=length) for length in (17, None))
    exact.set_weights(longer.get_weights())
    found, expected = (zoo.explain(model, frames(), **QUICK) for model in (longer, exact))
    assert len(found.looks) == len(expected.looks) == 2
    for look, other in zip(
        [*found.looks.values(), *found.parts.values()], [*expected.looks.values(), *expected.parts.values()]
    ):
        assert look.shape[-1] == 7
        np.testing.assert_allclose(look, other, rtol=1e-3, atol=1e-6)


def test_a_long_sound_is_cut_into_spans():
    model = classifier("min_gru", sounds=False, subsampling=1, stem_width=1)
    found = zoo.explain(model, frames(257), **QUICK)
    assert {each.shape for each in found.parts.values()} == {(64,)}
    assert any("mixing of " in note and "257" in note for note in found.notes)


@pytest.mark.parametrize(
    ("sounds", "given", "said"),
    [
        (True, "one two", "takes a sound: name a file.*'one two'"),
        (True, frames(), r"array of samples.*\(13, 3\)"),
        (False, frames()[:, :2], r"frames \(T, 3\).*\(13, 2\)"),
    ],
)
def test_what_is_no_sound_is_refused(sounds, given, said):
    with pytest.raises(ValueError, match=said):
        zoo.explain(classifier(sounds=sounds), given, **QUICK)


def test_files_of_other_sounds_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"at 1000 Hz.*16 bits at 990 Hz"):
        zoo.explain(classifier(), write(tmp_path / "a.wav", samples(), rate=990))
    with pytest.raises(ValueError, match=r"frames of 3 numbers, ready made \(.npy, .csv\), and no sound"):
        zoo.explain(classifier(sounds=False), tmp_path / "a.wav")
