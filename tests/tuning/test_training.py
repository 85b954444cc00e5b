import dataclasses
import itertools

import keras
import numpy as np
import pytest

from tests.tuning.standins import BLOBS, DIGITS
from tuning import training
from tuning.seeds import derive
from tuning.task import Split
from tuning.training import Paused, Recipe, Workbench

RECIPE = Recipe("identity", 8, 0.25, 0.01, seed=5)


@pytest.fixture(scope="module")
def bench():
    return Workbench(BLOBS, BLOBS.data(0))


def weights_after(bench, recipe):
    return bench.train(recipe).model.get_weights()


def test_the_same_recipe_gives_the_same_model(bench):
    first = weights_after(bench, RECIPE)
    weights_after(bench, dataclasses.replace(RECIPE, seed=6))
    for one, other in zip(first, weights_after(bench, RECIPE), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_compiled_graph_used_again_gives_the_same_as_a_new_one(bench):
    weights_after(bench, dataclasses.replace(RECIPE, seed=6))
    used_again = weights_after(bench, RECIPE)
    new = weights_after(Workbench(BLOBS, BLOBS.data(0)), RECIPE)
    for one, other in zip(used_again, new, strict=True):
        np.testing.assert_array_equal(one, other)


def test_on_torch_too_what_was_drawn_before_changes_nothing():
    # Each epoch begins with its own seed: Torch's source of random numbers is in no model's state.
    drawn = []

    class Draws(training._DrawsAnew):
        def on_epoch_begin(self, epoch, logs=None):
            super().on_epoch_begin(epoch)
            drawn.append(float(keras.random.uniform((), seed=keras.random.SeedGenerator())))

    for seed in (derive(5, "epoch", 0), derive(5, "epoch", 1), derive(5, "epoch", 0)):
        keras.random.uniform((7,))
        Draws(seed).on_epoch_begin(0)
    assert drawn[0] == drawn[2] != drawn[1]


def test_another_seed_gives_another_model(bench):
    first = weights_after(bench, RECIPE)
    assert not np.array_equal(first[0], weights_after(bench, dataclasses.replace(RECIPE, seed=6))[0])


def test_real_mixers_repeat_too():
    data = DIGITS.data(0)
    recipe = Recipe(["gru", "multi_head"], 8, 0.1, 0.01, seed=5)
    first = weights_after(Workbench(DIGITS, data), recipe)
    for one, other in zip(first, weights_after(Workbench(DIGITS, data), recipe), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_stops_when_nothing_is_left_to_learn():
    task = dataclasses.replace(BLOBS, solved=0.0, epochs=5)
    trained = Workbench(task, task.data(0)).train(RECIPE)
    assert trained.solved
    assert len(trained.curve) == 1


def test_a_run_that_is_not_solved_goes_on_to_the_end(bench):
    trained = bench.train(RECIPE)
    assert not trained.solved
    assert len(trained.curve) == BLOBS.epochs
    assert trained.seconds > 0


def test_a_loss_that_is_no_number_is_an_error():
    def poisoned(seed):
        data = BLOBS.data(seed)
        data.train.x[:] = np.nan
        return data

    with pytest.raises(ArithmeticError, match="loss became nan in epoch 1"):
        Workbench(BLOBS, poisoned(0)).train(RECIPE)


def test_each_example_comes_once_before_any_comes_again():
    orders = training._draw_orders(10, 4, seed=1)
    drawn = np.concatenate([next(orders) for _ in range(5)])
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))


def test_the_order_is_the_seeds():
    first, again, other = (next(training._draw_orders(100, 50, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_score_is_the_weighted_share_of_right_labels():
    class Model:
        def predict_on_batch(self, x):
            return keras.ops.convert_to_numpy(keras.ops.one_hot(x, 3))

    x = np.array([[0, 1], [2, 2], [1, 0]])
    y = np.array([[0, 1], [2, 0], [2, 2]])
    assert training.score(Model(), Split(x, y), "accuracy") == pytest.approx(3 / 6)
    weight = np.array([[0.0, 0.0], [2.0, 1.0], [1.0, 0.0]])
    assert training.score(Model(), Split(x, y, weight), "accuracy") == pytest.approx(2 / 4)


@pytest.mark.parametrize("examples", [8, 64])
def test_latency_is_for_one_of_the_examples_that_are_there(bench, examples, monkeypatch):
    # A clock that a call into the model moves by a second, so that nothing is timed.
    ticks = itertools.count()
    monkeypatch.setattr(training.time, "perf_counter", lambda: float(next(ticks)))
    model = bench.task.model("identity", 4, 0.0)
    assert training.latency(model, bench.data.train.take(slice(examples))) == {"1": 1.0, "64": 1.0 / examples}


def test_seeds_differ_by_purpose_and_number():
    seeds = [derive(master, purpose, n) for master in (0, 1) for purpose in ("trial", "retraining") for n in range(50)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_a_run_that_pauses_and_goes_on_is_the_same_as_one_that_does_not():
    task = dataclasses.replace(BLOBS, epochs=4)
    data = task.data(0)
    whole = Workbench(task, data).train(RECIPE)
    first = Workbench(task, data).train(RECIPE, epochs=1)
    assert len(first.curve) == 1
    bench = Workbench(task, data)
    # Something else is trained on the same graph in between.
    bench.train(dataclasses.replace(RECIPE, seed=6), epochs=2)
    rest = bench.train(RECIPE, paused=Paused(first.curve, first.epoch_seconds, first.state))
    assert rest.curve == whole.curve and rest.curve[:1] == first.curve
    for one, other in zip(whole.state, rest.state, strict=True):
        np.testing.assert_array_equal(one, other)


def test_only_so_many_graphs_are_kept(monkeypatch):
    monkeypatch.setattr(training, "GRAPHS", 2)
    bench = Workbench(BLOBS, BLOBS.data(0))
    for width in (5, 7, 5, 11):
        bench.train(dataclasses.replace(RECIPE, width=width), epochs=1)
    assert [key.split(", ")[1] for key in bench._compiled] == ["5", "11"]
