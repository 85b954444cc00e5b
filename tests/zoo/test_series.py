import keras
import numpy as np
import pytest

import zoo
from tests.zoo.helpers import CLASSES, COMPILED, B, D, T, fresh_process
from zoo.over_time import StandardizeOverTime

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


def forecaster_with(targets):
    preprocessor = zoo.MixerSeriesPreprocessor([50] * CHANNELS, [7] * CHANNELS, targets=targets)
    return zoo.MixerForecaster(backbone(), HORIZON, [2], preprocessor=preprocessor)


@pytest.mark.parametrize("channels", [1, CHANNELS + 1])
def test_a_series_of_other_channels_is_refused(channels):
    with pytest.raises(ValueError, match=rf"must have {CHANNELS} channels.*{channels}\)"):
        forecaster_with([2]).predict(np.ones((B, T, channels), "float32"), verbose=0)


@pytest.mark.parametrize("channel_independent", [False, True])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_forecasts_raw_numbers_as_well(policy, channel_independent):
    x = 1e5 + 50 * np.random.default_rng(0).normal(size=(B, T, 1)).astype("float32")

    def forecaster(policy):
        stack = zoo.MixerSeriesBackbone(1, hidden_dim=D, mixer="gru", standardize=True, dtype=policy)
        return zoo.MixerForecaster(stack, HORIZON, channel_independent=channel_independent)

    exact, half = forecaster("float32"), forecaster(policy)
    half.set_weights(exact.get_weights())
    np.testing.assert_allclose(half.predict(x, verbose=0), exact.predict(x, verbose=0), rtol=0, atol=2)


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
        (lambda: forecaster_with([1]), r"`targets`, \[2\].*Received: targets=\[1\]"),
        (lambda: forecaster_with(None), r"`targets`, \[2\].*Received: targets=None"),
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


def told(targets=(2,), ahead=(0, 1), **options):
    """A forecaster of one channel that is told two others ahead, and its preprocessor."""
    preprocessor = zoo.MixerSeriesPreprocessor([50, 60, 70], [7, 5, 3], sequence_length=T, targets=targets, ahead=ahead)
    stack = backbone("gated_conv", sequence_length=T, num_layers=1)
    forecaster = zoo.MixerForecaster(stack, HORIZON, targets, preprocessor=preprocessor, ahead=ahead, **options)
    forecaster.compile(keras.optimizers.Adam(0.01), jit_compile=COMPILED)
    return forecaster


def known(seed=1, count=B):
    """Raw series and what is known ahead of its first two channels."""
    ahead = np.random.default_rng(seed).normal([50, 60], [7, 5], (count, HORIZON, 2)).astype("float32")
    return {"series": series(T + 4, count), "ahead": ahead}


def test_what_is_known_ahead_is_standardised_as_its_channels_are():
    x = known()
    found, target = told().preprocessor(x, x["series"][:, -HORIZON:, [2]])
    np.testing.assert_allclose(found["ahead"], (x["ahead"] - [50, 60]) / [7, 5], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["series"][:, :, 1], (x["series"][:, -T:, 1] - 60) / 5, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(target[:, :, 0], (x["series"][:, -HORIZON:, 2] - 70) / 3, rtol=1e-4, atol=1e-4)


def test_a_forecast_told_what_is_ahead_is_what_its_formula_says():
    forecaster, x = told(targets=(2, 0), ahead=(1,)), known()
    prepared = forecaster.preprocessor({**x, "ahead": x["ahead"][:, :, 1:]})
    weights = {layer.name: layer.get_weights() for layer in forecaster.layers}

    def dense(name, inputs):
        kernel, bias = weights[name]
        return inputs @ kernel + bias

    vectors = keras.ops.convert_to_numpy(forecaster.backbone(prepared["series"]))
    steps = dense("changes", vectors[:, -1]).reshape(B, HORIZON, -1)
    joined = dense("told_steps", np.concatenate([steps, prepared["ahead"]], axis=-1))
    steps = steps + keras.ops.convert_to_numpy(keras.activations.gelu(joined))
    expected = dense("told_changes", steps) + prepared["series"][:, -1:, [2, 0]]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(forecaster(prepared)), expected, atol=1e-4)


def test_what_is_known_of_a_step_changes_the_forecast_of_that_step_alone():
    forecaster, x = told(), known()
    before = forecaster.predict(x, verbose=0)
    x["ahead"][:, 3, 1] += 9
    changed = np.abs(forecaster.predict(x, verbose=0) - before).max(axis=(0, 2)) > 1e-3
    assert changed.tolist() == [step == 3 for step in range(HORIZON)]
    x["series"][:, -2, 0] += 9
    assert (np.abs(forecaster.predict(x, verbose=0) - before).max(axis=(0, 2)) > 1e-3).all()


@pytest.mark.trains
def test_a_forecaster_told_what_matters_learns_it_and_is_lost_without():
    """The target is, up to a level, what is known: that of other series is of no use."""
    x = known(count=97)
    y = 70 + 3 * (x["ahead"][:, :, :1] - 50) / 7
    x["series"][:, :, 2] = 70
    forecaster = told()
    before = forecaster.get_weights()
    history = forecaster.fit(x, y, epochs=15, batch_size=32, verbose=0).history["loss"]
    assert history[-1] < 0.05 * history[0]
    assert all(np.abs(after - first).max() > 0 for after, first in zip(forecaster.get_weights(), before))
    shuffled = {**x, "ahead": x["ahead"][::-1]}
    right, wrong = (np.abs(forecaster.predict(each, verbose=0) - y).mean() for each in (x, shuffled))
    assert right < 1 < 2 < wrong


def test_a_forecaster_told_the_future_answers_as_before_once_it_was_saved(tmp_path):
    forecaster, x = told(dropout=0.25, pooling="flatten"), known()
    answers = forecaster.predict(x, verbose=0)
    assert answers.shape == (B, HORIZON, 1) and np.abs(answers - 70).max() < 60
    zoo.save(forecaster, tmp_path / "preset")
    loaded = zoo.load(tmp_path / "preset")
    assert loaded.get_config()["ahead"] == loaded.preprocessor.ahead == [0, 1]
    np.testing.assert_allclose(loaded.predict(x, verbose=0), answers, atol=1e-4)
    forecaster.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    prepared = loaded.preprocessor(x)
    found, exact = (keras.ops.convert_to_numpy(each(prepared)) for each in (again, loaded))
    np.testing.assert_allclose(found, exact, atol=1e-5)


FORETELL = """
import numpy as np, zoo
found = np.load({folder!r} + "/expected.npz")
answers = zoo.load({folder!r} + "/preset").predict({{name: found[name] for name in ("series", "ahead")}}, verbose=0)
print(np.abs(answers - found["answers"]).max())
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_a_forecaster_told_the_future_answers_alike_in_a_new_process_on_each_backend(tmp_path, backend):
    forecaster, x = told(), known()
    np.savez(tmp_path / "expected.npz", answers=forecaster.predict(x, verbose=0), **x)
    zoo.save(forecaster, tmp_path / "preset")
    assert float(fresh_process(FORETELL.format(folder=str(tmp_path)), backend)) < 1e-3


def test_told_of_the_future_it_forecasts_series_that_are_standardised_by_themselves():
    stack = backbone("gated_conv", sequence_length=T, standardize=True)
    forecaster, x = zoo.MixerForecaster(stack, HORIZON, [2], ahead=[0]), series() / 50
    ahead = np.random.default_rng(2).normal(size=(B, HORIZON, 1)).astype("float32")
    found, moved = (
        keras.ops.convert_to_numpy(forecaster({"series": each, "ahead": ahead})) for each in (x, 3 * x + 11)
    )
    np.testing.assert_allclose(moved, 3 * found + 11, atol=1e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: zoo.MixerForecaster(backbone(), 5, [2], ahead=[3]), r"`ahead` are numbers in \[0, 3\), none of them"),
        (lambda: zoo.MixerForecaster(backbone(), 5, [2], ahead=[]), r"Received: ahead=\[\], targets=\[2\]"),
        (lambda: zoo.MixerForecaster(backbone(), 5, [2], ahead=[1, 2]), "none of them a target"),
        (
            lambda: zoo.MixerForecaster(zoo.MixerSeriesBackbone(1), 5, channel_independent=True, ahead=[0]),
            "With `channel_independent` nothing is known ahead",
        ),
        (
            lambda: zoo.MixerForecaster(backbone(), 5, [2], told().preprocessor, ahead=[1, 0]),
            r"its `ahead`, \[1, 0\]. Received: targets=\[2\], ahead=\[0, 1\]",
        ),
        (lambda: told().preprocessor(series()), "must be a dict of 'series' and 'ahead'. Received: ndarray"),
        (lambda: told().preprocessor({"series": series()}), r"Received: \['series'\]"),
        (lambda: told().preprocessor({**known(), "ahead": known()["series"]}), "must have 2 numbers a step"),
    ],
)
def test_what_cannot_be_known_ahead_is_said_at_once(make, message):
    with pytest.raises(ValueError, match=message):
        make()


INTEGERS = np.random.default_rng(2).integers(0, 200, (B, T, 3))


@pytest.mark.parametrize(
    "make", [lambda x: x, lambda x: x.astype("int32"), lambda x: x.astype("uint8"), np.ndarray.tolist]
)
def test_whole_numbers_are_series_as_others_are(make):
    preprocessor = zoo.MixerSeriesPreprocessor([0.9, 50.5, 70.2], [0.4, 7.5, 3.3], sequence_length=T, targets=[2])
    forecaster = zoo.MixerForecaster(backbone("gated_conv", sequence_length=T), HORIZON, [2], preprocessor=preprocessor)
    expected = forecaster.predict(INTEGERS.astype("float32"), verbose=0)
    np.testing.assert_allclose(forecaster.predict(make(INTEGERS), verbose=0), expected, rtol=1e-4)


def test_whole_numbers_to_be_forecast_are_standardised_as_others_are():
    preprocessor = zoo.MixerSeriesPreprocessor([0.9, 50.5, 70.2], [0.4, 7.5, 3.3], sequence_length=T, targets=[2])
    forecaster = zoo.MixerForecaster(backbone("gated_conv", sequence_length=T), HORIZON, [2], preprocessor=preprocessor)
    forecaster.compile("sgd", "mse")
    y = INTEGERS[:, :HORIZON, [2]]
    losses = [forecaster.evaluate(INTEGERS, each, verbose=0) for each in (y, y.astype("float32"))]
    assert np.isfinite(losses).all() and losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_batch_is_forecast_in_the_units_of_the_series():
    preprocessor = zoo.MixerSeriesPreprocessor([0.9, 50.5, 70.2], [0.4, 7.5, 3.3], sequence_length=T, targets=[2])
    forecaster = zoo.MixerForecaster(backbone("gated_conv", sequence_length=T), HORIZON, [2], preprocessor=preprocessor)
    x = INTEGERS.astype("float32")
    np.testing.assert_allclose(forecaster.predict_on_batch(x), forecaster.predict(x, verbose=0), rtol=1e-4)


def test_steps_that_fill_no_patch_are_said_by_name():
    open_length = backbone("gated_conv", sequence_length=None, patch_size=4)
    assert open_length(np.zeros((B, 12, 3), "float32")).shape[1] == 3
    with pytest.raises(ValueError, match=r"`patch_size` must divide the number of steps\. Received: patch_size=4"):
        open_length(np.zeros((B, 11, 3), "float32"))


def test_what_is_forecast_has_the_channels_of_the_targets():
    preprocessor = zoo.MixerSeriesPreprocessor([0.0] * 3, [1.0] * 3, targets=[0])
    with pytest.raises(ValueError, match=r"has 1 channels, \(B, horizon, 1\).*Received: an array of shape \(2, 5, 3\)"):
        preprocessor(np.ones((2, 7, 3)), y=np.ones((2, 5, 3)))


def test_lists_are_series_too():
    preprocessor = zoo.MixerSeriesPreprocessor.of([[[1.0], [3.0]]])
    assert (preprocessor.mean, preprocessor.deviation) == ([2.0], [1.0])
    assert np.asarray(preprocessor([[[1.0], [3.0]]])).tolist() == [[[-1.0], [1.0]]]


@pytest.mark.parametrize("pooling", ["last", "flatten"])
def test_a_forecast_from_numbers_that_the_backbone_does_not_know_to_be_missing_is_none(pooling):
    backbone = zoo.MixerSeriesBackbone(1, mixer="gru", hidden_dim=8, sequence_length=5)
    forecaster = zoo.MixerForecaster(backbone, 2, pooling=pooling)
    series = np.ones((1, 5, 1), "float32")
    assert np.isfinite(forecaster.predict(series, verbose=0)).all()
    series[0, 2] = np.nan
    assert np.isnan(forecaster.predict(series, verbose=0)).all()
