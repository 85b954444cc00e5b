import math

import keras
import numpy as np
import pytest

import zoo

RATE, BANDS = 1000, 7
OPTIONS = {"sample_rate": RATE, "window": 0.023, "hop": 0.011, "bands": BANDS}


def numbers(x):
    return keras.ops.convert_to_numpy(x)


def waves(count=3, samples=97):
    return np.random.default_rng(0).uniform(-1, 1, (count, samples)).astype("float32")


def by_loops(wave, low=20.0, high=RATE / 2, window=23, hop=11, transform=32, floor=1e-3):
    """The log-mel frames of one wave, frequency by frequency."""
    to_mel = lambda hertz: 1127 * math.log(1 + hertz / 700)  # noqa: E731
    edges = [to_mel(low) + i * (to_mel(high) - to_mel(low)) / (BANDS + 1) for i in range(BANDS + 2)]
    frames = []
    for start in range(0, len(wave), hop):
        energies = []
        for k in range(transform // 2 + 1):
            total = 0
            for n in range(window):
                sample = wave[start + n] if start + n < len(wave) else 0.0
                hann = 0.5 - 0.5 * math.cos(2 * math.pi * n / window)
                total += sample * hann * np.exp(-2j * math.pi * k * n / transform)
            energies.append(abs(total) ** 2)
        bands = [0.0] * BANDS
        for band in range(BANDS):
            for k, energy in enumerate(energies):
                mel = to_mel(k * RATE / transform)
                left, middle, right = edges[band : band + 3]
                share = (mel - left) / (middle - left) if mel <= middle else (right - mel) / (right - middle)
                bands[band] += max(0.0, share) * energy
        frames.append([math.log(floor + band) for band in bands])
    return np.array(frames)


def test_frames_are_the_logarithms_of_energies_in_bands_by_loops():
    wave = waves(1)
    np.testing.assert_allclose(numbers(zoo.LogMel(**OPTIONS)(wave))[0], by_loops(wave[0]), atol=2e-4)


def test_a_tone_is_loudest_in_the_band_that_holds_it():
    layer = zoo.LogMel(sample_rate=8000, window=0.032, hop=0.01, bands=13)
    loudest = []
    for hertz in (200, 700, 1900, 3700):
        tone = np.sin(2 * np.pi * hertz * np.arange(2000) / 8000).astype("float32")
        loudest.append(int(numbers(layer(tone[None]))[0, 3].argmax()))
    assert loudest == sorted(set(loudest)) and loudest[-1] >= 11


def test_what_is_behind_a_wave_and_how_long_others_are_changes_no_frame():
    layer = zoo.LogMel(**OPTIONS)
    wave = waves(1, 53)
    alone = numbers(layer(wave))
    longer = np.full((2, 97), np.nan, "float32")
    longer[0, :53] = wave
    mask = np.arange(97)[None] < np.array([53, 0])[:, None]
    assert alone.shape[1] == math.ceil(53 / 11)
    np.testing.assert_allclose(numbers(layer(longer, mask))[0, : alone.shape[1]], alone[0], atol=1e-5)


def test_a_frame_does_not_change_with_what_is_yet_to_come():
    layer = zoo.LogMel(**OPTIONS)
    wave = waves(1)
    before = numbers(layer(wave))
    wave[:, 50:] *= 5
    same = np.abs(numbers(layer(wave)) - before).max(axis=(0, 2)) < 1e-5
    # The frame from sample 33 on sees up to sample 55.
    assert same.tolist() == [True] * 3 + [False] * 6


def test_the_layer_stands_in_a_model_of_waves_of_any_length():
    inputs = keras.Input((None,))
    model = keras.Model(inputs, zoo.LogMel(**OPTIONS)(inputs))
    assert model.output_shape == (None, None, BANDS)
    assert model.predict(waves(2, 61), verbose=0).shape == (2, 6, BANDS)
    again = zoo.LogMel.from_config(zoo.LogMel(**OPTIONS).get_config())
    np.testing.assert_array_equal(numbers(again(waves())), numbers(zoo.LogMel(**OPTIONS)(waves())))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"bands": 61}, "Each band must hold a frequency"),
        ({"window": 0.001}, "`window in samples`: it must be an integer of at least 2"),
        ({"hop": 0.0}, "`hop`: it must be a number above 0"),
        ({"low": 501.0}, "`low`: it must be a number in"),
        ({"high": 701.0}, "`high`: it must be a number in"),
    ],
)
def test_what_no_frames_can_be_made_with_is_said_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        zoo.LogMel(**{**OPTIONS, **options})


def test_spans_are_hidden_in_training_alone_and_begin_among_real_frames():
    layer = zoo.HiddenSpans(frames=5, bands=2, seed=1)
    x, lengths = np.ones((97, 31, 11), "float32"), np.full(97, 13)
    mask = (np.arange(31)[None] < lengths[:, None]).astype("int32")
    np.testing.assert_array_equal(numbers(layer(x, mask)), x)
    hidden = numbers(layer(x, mask, training=True)) == 0
    over_time, over_bands = hidden.all(axis=2), hidden.all(axis=1)
    assert not over_time[:, 13:].any() and 0 < over_time.sum(axis=1).max() <= 2 * 5
    assert 0 < over_bands.sum(axis=1).max() <= 2 * 2
    np.testing.assert_array_equal(hidden, over_time[:, :, None] | over_bands[:, None])
    # Two spans of a width of 2.5 on average, of which few overlap.
    assert 3 < over_time.sum(axis=1).mean() < 5
