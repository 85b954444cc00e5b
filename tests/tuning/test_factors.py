import dataclasses
import itertools
import types

import keras
import numpy as np
import pytest

from tests.tuning.standins import BLOBS, DIGITS
from tuning import factors, tasks
from tuning.factors import CannotMeasure, Clock, answers, attempt, fit, interpretability, memory, resources
from tuning.journal import Run
from tuning.task import Data, Split

RUN = Run("gru", "retraining", 3, 0, 2, 7, {}, seconds=2.5, latency={"1": 2e-3, "64": 1e-4})


def tokens(count, length, seed=0):
    """Token ids of which the first few of each row are real."""
    numbers = np.random.default_rng(seed)
    real = np.arange(length) < numbers.integers(3, length + 1, size=count)[:, None]
    ids = np.where(real, numbers.integers(1, 11, size=(count, length)), 0).astype("int32")
    return Split({"token_ids": ids, "padding_mask": real.astype("int32")}, (ids[:, 0] % 2).astype("int32"))


def classifier(mixer, width, dropout):
    import zoo

    return zoo.MixerTextClassifier(zoo.MixerTextBackbone(11, hidden_dim=width, mixer=mixer, num_layers=1), 2)


TEXTS = dataclasses.replace(BLOBS, name="texts", model=classifier)


@pytest.mark.parametrize(
    ("task", "mixer", "kind"), [(DIGITS, "multi_head", "weights"), (TEXTS, "gated_conv", "mixing")]
)
def test_all_five_factors_are_measured_and_the_weights_stay(task, mixer, kind):
    data = DIGITS.data(0) if task is DIGITS else Data(tokens(37, 7), tokens(19, 7, 1), tokens(41, 7, 2))
    model = task.model(mixer, 8, 0.0)
    before = model.get_weights()
    found = factors.measure(task, data, model, RUN)
    missing = {"fit/by"} if task is DIGITS else set()
    assert set(found.missing) == missing
    assert found.number == 3
    assert found.complexity["parameters"] == model.count_params()
    # More than the weights, their slopes and the optimizer's two numbers for each.
    assert found.complexity["memory"] > 12 * model.count_params()
    assert found.complexity["flops"] > 2 * model.count_params()
    assert set(found.interpretability["maps"]) == {"gradient x input", "integrated gradients", f"{kind} (rollout)"}
    assert found.interpretability["value"] == max(filter(None, found.interpretability["maps"].values())) <= 1.5
    assert found.resources["throughput"]["64"] == pytest.approx(1e4)
    assert found.resources["training"] == 2.5 and found.resources["device"]
    assert sum(step["share"] for step in found.fit["profile"]) == pytest.approx(1.0)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_goes_wrong_is_none_and_says_why():
    missing = {}

    def fail():
        raise MemoryError("no\nroom")

    def cannot():
        raise CannotMeasure("nobody counts")

    found = attempt({("a", "b"): fail, ("c",): cannot, ("d",): lambda: (5,)}, Clock(100.0), missing)
    assert found == {"a": None, "b": None, "c": None, "d": 5}
    assert missing == {"a": "MemoryError: no room", "c": "nobody counts"}


def test_when_time_is_over_nothing_more_is_begun():
    missing = {}
    attempt({("a",): lambda: pytest.fail("it was begun")}, Clock(0.0), missing)
    assert missing == {"a": "it was left out after 0 s"}


def test_jax_is_not_asked_for_devices_that_it_has_not(monkeypatch):
    jax = pytest.importorskip("jax")
    chip, processor = (types.SimpleNamespace(platform=name) for name in ("gpu", "cpu"))
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(jax, "devices", lambda *kind: [processor] if not kind else pytest.fail(f"asked for {kind}"))
    assert resources.accelerators() == []
    assert resources.device() == resources._processor()
    monkeypatch.setattr(jax, "devices", lambda: [chip, processor])
    assert resources.accelerators() == [str(chip)]


def test_a_model_without_positions_has_no_maps_and_the_rest_is_measured():
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    numbers = np.random.default_rng(0)
    split = Split(numbers.normal(size=(23, 5)).astype("float32"), numbers.integers(2, size=23).astype("int32"))
    found = factors.measure(BLOBS, Data(split, split, split), model, RUN)
    assert set(found.missing) == {"interpretability/value", "fit/by", "fit/reach"}
    assert "no positions" in found.missing["interpretability/value"]
    assert found.complexity["flops"] == 3 * 2 * 5 * 2


def test_pointing_is_asked_where_the_truth_is_known():
    task = tasks.get("recall")
    split = task.data(0).valid.take(slice(17))
    subject = answers.subject(task, task.model("multi_head", 8, 0.0), split)
    assert subject.truth.sum(axis=1).tolist() == [2] * 17
    # A map of the truth alone hits; one of what is asked is not asked there, and has no order elsewhere.
    asked = np.eye(24)[subject.asked]
    hits, chance, count = interpretability._pointing(None, subject, {"truth": subject.truth * 1.0, "asked": asked})
    assert hits["truth"] == 1.0
    assert hits["asked"] == pytest.approx(2 / 23) == pytest.approx(chance)
    assert count == 17


def test_the_number_that_is_explained_is_the_one_of_the_answer_that_is_asked():
    task = tasks.get("recall")
    split = task.data(0).valid.take(slice(5))
    model = task.model("gru", 8, 0.0)
    subject = answers.subject(task, model, split)
    outputs = keras.ops.convert_to_numpy(model(split.x))
    here = outputs[np.arange(5), 16]
    assert subject.said.tolist() == here.argmax(axis=1).tolist()
    expected = here.max(axis=1) - here.mean(axis=1)
    twice = keras.ops.convert_to_tensor(np.concatenate([outputs, outputs]))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(subject.number(twice)), [*expected, *expected], rtol=1e-4)


def test_what_is_asked_is_the_last_answer_that_counts():
    split = Split(None, np.zeros((3, 5)), np.array([[1, 1, 0, 0, 0], [0, 0, 0, 0, 2], [0, 1, 0, 1, 0]]))
    assert answers.last_counted(split, np.ones((3, 5), bool), 5).tolist() == [1, 4, 3]


def test_a_forecast_s_steps_are_no_positions_though_they_are_as_many():
    import zoo

    model = zoo.MixerForecaster(zoo.MixerSeriesBackbone(2, hidden_dim=8, num_layers=1, mixer="multi_head"), horizon=7)
    numbers = np.random.default_rng(0)
    x, y = (numbers.normal(size=(5, 7, 2)).astype("float32") for _ in range(2))
    # The last step that counts is the fourth ahead, and it is read at the last position like all.
    split = Split(x, y, np.repeat([[1.0, 1, 1, 1, 0, 0, 0]], 5, axis=0))
    task = dataclasses.replace(BLOBS, measure="explained")
    subject = answers.subject(task, model, split)
    assert (subject.row.tolist(), subject.asked.tolist()) == ([3] * 5, [6] * 5)
    outputs = keras.ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(subject.said, outputs[:, 3].mean(axis=-1), rtol=1e-4)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(subject.number(model(x))), subject.said, rtol=1e-4)
    flow = numbers.uniform(size=(5, 7, 7))
    np.testing.assert_array_equal(interpretability._looked_at(flow, subject), flow[:, 6])
    found = fit.parts(task, Data(split, split, split), model, RUN, Clock(100.0))
    for part in found.values():
        with pytest.raises(CannotMeasure, match="steps ahead"):
            part()


def test_scores_by_length_are_of_as_many_examples_each():
    split = tokens(41, 7)
    right = np.eye(2)[split.y]
    by, bins = fit._by_length(BLOBS, split, right)
    assert by == "length" and sum(each["count"] for each in bins) == 41
    assert [each["score"] for each in bins] == [1.0] * len(bins)
    assert all(one["high"] < other["low"] for one, other in itertools.pairwise(bins))
    # Wrong on the longest only: that shows in the last bin alone.
    longest = fit._lengths(split) == 7
    _, bins = fit._by_length(BLOBS, split, np.where(longest[:, None], right[:, ::-1], right))
    assert [each["score"] for each in bins[:-1]] == [1.0] * (len(bins) - 1) and bins[-1]["score"] < 1.0


def test_where_all_are_of_one_length_scores_are_by_position():
    split = tasks.get("recall").data(0).valid.take(slice(13))
    by, bins = fit._by_length(tasks.get("recall"), split, np.eye(16)[split.y])
    assert by == "position"
    assert [(each["low"], each["high"], each["count"]) for each in bins] == [
        (16.0, 17.0, 26),
        (18.0, 19.0, 26),
        (20.0, 21.0, 26),
        (22.0, 23.0, 26),
    ]


def test_the_reach_is_how_far_back_a_shift_looks():
    kernel = np.zeros((4, 2, 2), "float32")
    # Position t sees t - 3 alone.
    kernel[0] = np.eye(2)
    layer = keras.layers.Conv1D(2, 4, padding="causal", use_bias=False)
    model = keras.Sequential([keras.Input((11, 2)), layer])
    layer.set_weights([kernel])
    split = Split(np.random.default_rng(0).normal(size=(5, 11, 2)).astype("float32"), np.zeros((5, 11), "int32"))
    reaches, by_distance = fit._sensitivities(model, split)
    np.testing.assert_allclose(reaches, 3.0, rtol=1e-5)
    assert by_distance.argmax() == 3 and np.count_nonzero(by_distance) == 1


def test_a_profile_s_steps_double_and_hold_all():
    steps = list(fit._as_profile(np.array([0.1, 0.2, 0.3, 0.1, 0.2, 0.1])))
    assert [(step["low"], step["high"]) for step in steps] == [(0, 0), (1, 1), (2, 3), (4, 5)]
    assert [step["share"] for step in steps] == pytest.approx([0.1, 0.2, 0.4, 0.3])


def test_the_peak_of_memory_is_seen_though_it_is_given_back():
    size = 64 * 2**20
    found = memory.peak_of(lambda: np.ones(size, "uint8") is None)
    assert 0.9 * size < found < 1.5 * size
