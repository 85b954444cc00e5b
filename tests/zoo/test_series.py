import keras
import numpy as np
import pytest

import zoo
from tests.zoo.helpers import CLASSES, B, D, T
from zoo.series import StandardizeOverTime

CHANNELS, HORIZON = 3, 5


def series(steps=T, count=B):
    return np.random.default_rng(0).normal(50, 7, (count, steps, CHANNELS)).astype("float32")


def backbone(mixer="gru", **options):
    return zoo.MixerSeriesBackbone(CHANNELS, **{"hidden_dim": D, "mixer": mixer, **options})


def test_each_patch_of_steps_makes_one_token():
    assert tuple(backbone()(series()).shape) == (B, T, D)
    assert tuple(backbone(sequence_length=14, patch_size=7)(series(14)).shape) == (B, 2, D)


def test_a_token_is_made_of_its_own_steps():
    stack = backbone("identity", short_convolution=0, sequence_length=15, patch_size=5)
    x = series(15)
    before = keras.ops.convert_to_numpy(stack(x))
    x[:, 5:10] += 1
    changed = np.abs(keras.ops.convert_to_numpy(stack(x)) - before).max(axis=(0, 2)) > 1e-5
    assert changed.tolist() == [False, True, False]


def test_missing_numbers_are_marked_and_do_not_spread():
    stack = backbone("identity", short_convolution=0, marks_missing=True)
    x = series()
    x[0, 2, 1] = 0
    zero = keras.ops.convert_to_numpy(stack(x))
    x[0, 2, 1] = np.nan
    marked = keras.ops.convert_to_numpy(stack(x))
    changed = np.abs(marked - zero).max(axis=2) > 1e-5
    assert np.isfinite(marked).all() and np.argwhere(changed).tolist() == [[0, 2]]


def test_the_preprocessor_keeps_the_last_steps_standardised():
    preprocessor = zoo.MixerSeriesPreprocessor([50, 60, 70], [7, 5, 3], sequence_length=5, targets=[2, 0])
    x, y = series(), series(HORIZON)[:, :, [2, 0]]
    found, target = preprocessor(x, y)
    np.testing.assert_allclose(found, (x[:, -5:] - [50, 60, 70]) / [7, 5, 3], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(preprocessor.restore(target), y, rtol=1e-4)


@pytest.mark.parametrize("kind", ["classifier", "forecaster"])
def test_a_preset_answers_raw_series_as_before(tmp_path, kind):
    preprocessor = zoo.MixerSeriesPreprocessor(
        [50] * CHANNELS, [7] * CHANNELS, sequence_length=6, targets=[2] if kind == "forecaster" else None
    )
    stack = backbone(["token_mlp", "gated_conv"], sequence_length=6, patch_size=2)
    if kind == "classifier":
        task = zoo.MixerSeriesClassifier(stack, CLASSES, preprocessor=preprocessor, dropout=0.25)
    else:
        task = zoo.MixerForecaster(stack, HORIZON, [2], preprocessor=preprocessor, dropout=0.25)
    answers = task.predict(series(), verbose=0)
    assert answers.shape == ((B, CLASSES) if kind == "classifier" else (B, HORIZON, 1))
    zoo.save(task, tmp_path / "preset")
    loaded = zoo.load(tmp_path / "preset")
    assert type(loaded) is type(task) and loaded.get_config().keys() == task.get_config().keys()
    np.testing.assert_allclose(loaded.predict(series(), verbose=0), answers, atol=1e-4)


def test_an_untrained_forecast_is_near_the_last_value_in_raw_units():
    preprocessor = zoo.MixerSeriesPreprocessor([50] * CHANNELS, [1e-3] * CHANNELS, targets=[1])
    forecaster = zoo.MixerForecaster(backbone(), HORIZON, [1], preprocessor=preprocessor)
    last = np.repeat(series()[:, -1:, 1:2], HORIZON, axis=1)
    np.testing.assert_allclose(forecaster.predict(series(), verbose=0), last, atol=0.05)


def test_a_classifier_learns_from_raw_series():
    labels = np.arange(17) % 2
    x = series(count=17) + 20 * labels[:, None, None]
    preprocessor = zoo.MixerSeriesPreprocessor([60] * CHANNELS, [12] * CHANNELS)
    classifier = zoo.MixerSeriesClassifier(backbone(), 2, preprocessor=preprocessor)
    classifier.compile(keras.optimizers.Adam(0.01))
    history = classifier.fit(x, labels, epochs=12, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: backbone(sequence_length=7, patch_size=2), "`patch_size` must divide `sequence_length`"),
        (lambda: backbone(patch_size=0), "`patch_size`: it must be an integer of at least 1"),
        (lambda: zoo.MixerForecaster(backbone(), 0), "`horizon`: it must be an integer"),
        (lambda: zoo.MixerForecaster(backbone(), 5, [3]), r"`targets` are numbers in \[0, 3\)"),
        (lambda: zoo.MixerSeriesPreprocessor([1.0], [0.0]), "the deviations above 0"),
    ],
)
def test_what_no_model_of_series_can_be_made_of_is_said_at_once(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_series_is_standardised_by_what_is_known_of_it():
    x = series()
    x[0, 2, 1], x[1, :, 0], x[2, :, 2] = np.nan, 5.0, np.nan
    found = keras.ops.convert_to_numpy(StandardizeOverTime()(x))
    expected = (x - np.nanmean(x[:2], axis=1, keepdims=True)[:1]) / np.nanstd(x[:1], axis=1, keepdims=True)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-3, atol=1e-3)
    assert not found[1, :, 0].any() and np.isnan(found[2, :, 2]).all()


def test_scale_and_level_of_a_series_change_nothing_for_a_standardising_stack():
    stack, x = backbone(standardize=True), series()
    moved, found = (keras.ops.convert_to_numpy(stack(each)) for each in (3 * x + 11, x))
    np.testing.assert_allclose(moved, found, atol=1e-3)


def test_independent_channels_are_forecast_as_if_each_came_alone():
    stack = zoo.MixerSeriesBackbone(1, hidden_dim=D, mixer=["gru", "additive"])
    forecaster = zoo.MixerForecaster(stack, HORIZON, channel_independent=True)
    x = series() / 50
    together = keras.ops.convert_to_numpy(forecaster(x))
    assert together.shape == (B, HORIZON, CHANNELS)
    for channel in range(CHANNELS):
        alone = keras.ops.convert_to_numpy(forecaster(x[:, :, channel : channel + 1]))
        np.testing.assert_allclose(together[:, :, channel : channel + 1], alone, atol=1e-5)
    x[:, :, 1] += 1
    changed = np.abs(keras.ops.convert_to_numpy(forecaster(x)) - together).max(axis=(0, 1)) > 1e-5
    assert changed.tolist() == [False, True, False]
    again = type(forecaster).from_config(forecaster.get_config())
    again.set_weights(forecaster.get_weights())
    found, exact = (keras.ops.convert_to_numpy(each(x)) for each in (again, forecaster))
    np.testing.assert_allclose(found, exact, atol=1e-5)


def test_independent_channels_want_a_backbone_of_one():
    with pytest.raises(ValueError, match="the backbone has one channel, and all are forecast"):
        zoo.MixerForecaster(backbone(), HORIZON, channel_independent=True)


def test_a_forecast_from_all_vectors_sees_what_the_last_one_does_not():
    stack = backbone("identity", short_convolution=0, sequence_length=T)
    x = series() / 50
    changed = x.copy()
    changed[:, 2] += 1
    for pooling, sees in (("last", False), ("flatten", True)):
        forecaster = zoo.MixerForecaster(stack, HORIZON, pooling=pooling)
        moved = np.abs(keras.ops.convert_to_numpy(forecaster(changed) - forecaster(x))).max() > 1e-5
        assert moved == sees
    with pytest.raises(ValueError, match="the backbone wants a `sequence_length`"):
        zoo.MixerForecaster(backbone(), HORIZON, pooling="flatten")


def test_what_is_standardised_is_forecast_in_its_own_size_and_level():
    stack = backbone(standardize=True)
    forecaster, x = zoo.MixerForecaster(stack, HORIZON, targets=[2, 0]), series() / 50
    found = keras.ops.convert_to_numpy(forecaster(x))
    assert np.abs(found - x[:, -1:, [2, 0]]).max() > 0.01
    moved = keras.ops.convert_to_numpy(forecaster(3 * x + 11))
    np.testing.assert_allclose(moved, 3 * found + 11, atol=1e-3)
