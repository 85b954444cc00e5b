import subprocess
import sys

import numpy as np
import pytest

from tuning import comparison, families, tasks
from tuning.task import Data, Split

#: What is published of them; what is not is established by the table of known answers alone.
PUBLISHED = {
    "copy": "explicit",
    "recall_4": "explicit",
    "recall": "explicit",
    "recall_16": "explicit",
    "induction": "explicit",
    "parity": "implicit",
    "flip_flop": "implicit",
    "listops": "implicit",
}
OPEN = {
    "repeat_copy",
    "selective_copy",
    "reverse",
    "sort",
    "needle",
    "brackets",
    "moving_average",
    "adding_16",
    "adding_48",
    "adding_96",
}
#: One of a kind: they share what is tested of them here; tests/tuning/test_rules.py looks at each.
SYNTHETIC = ("recall_4", "parity", "adding_16")


def test_what_is_measured_on_some_examples_is_measured_on_all_sorts():
    sorted_by_class = Split(np.arange(3000.0), np.repeat([0, 1, 2], 1000), group=np.arange(3000))
    some = sorted_by_class.take(sorted_by_class.drawn(32))
    assert set(some.y) == {0, 1, 2} and len(set(some.group)) == 32
    np.testing.assert_array_equal(some.x, sorted_by_class.take(sorted_by_class.drawn(32)).x)
    assert sorted_by_class.drawn(3000).tolist() == list(range(3000))


def test_the_tasks_are_there_and_the_published_answers_with_them():
    assert set(tasks.names()) == {"digits", "sst2", *tasks.REAL, *PUBLISHED, *OPEN}
    assert {name: task.answer for name, task in tasks.TASKS.items() if task.answer} == PUBLISHED


def test_each_task_is_found_by_the_name_that_it_has():
    assert all(name == task.name and task.description.endswith(".") for name, task in tasks.TASKS.items())


def test_every_synthetic_task_tries_both_kinds_a_hybrid_and_a_control():
    for task in tasks.SYNTHETIC.values():
        kinds = {family.kind for family in families.make_all(task.mixers)}
        assert kinds == {"implicit", "explicit", "hybrid", "control"}, task.name


def test_a_search_tells_tasks_of_other_sizes_apart():
    nothing = Split(np.zeros(1), np.zeros(1))
    data = Data(nothing, nothing, nothing)
    found = {name: comparison.describe(tasks.get(name), data, 0, None)["model"] for name in tasks.names()}
    assert found["parity"] == "tuning.tasks.parity.model"
    assert found["recall_4"] == "tuning.tasks.recall.model(pairs=4)"
    assert len(set(found.values())) == len(found)


def test_an_unknown_task_is_refused_with_what_is_near():
    with pytest.raises(ValueError, match=r"Unknown task 'digit'\. Did you mean 'digits'"):
        tasks.get("digit")


def test_a_task_of_your_own_is_taken_as_it_is():
    assert tasks.get(tasks.get("digits")) is tasks.get("digits")


def test_listing_tasks_imports_no_keras():
    code = "import sys, tuning; tuning.tasks.names(); assert not {'keras', 'zoo', 'keras_tuner'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["digits", *SYNTHETIC])
def test_the_same_seed_makes_the_same_data_and_another_seed_other_data(name):
    first, again, other = (tasks.get(name).data(seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.test.y, again.test.y)
    assert not np.array_equal(first.test.y, other.test.y)


def test_digits_are_split_without_overlap():
    data = tasks.get("digits").data(0)
    splits = [data.train, data.valid, data.test]
    assert [len(split) for split in splits] == [997, 300, 500]
    images = np.concatenate([split.x.reshape(len(split), -1) for split in splits])
    assert len(np.unique(images, axis=0)) == 1797


@pytest.mark.parametrize("name", SYNTHETIC)
def test_answers_look_at_nothing_that_comes_later(name):
    task = tasks.get(name)
    x = {key: array[:2].copy() for key, array in task.data(0).valid.x.items()}
    model = task.model("multi_head", 8, 0.0)
    before = model.predict_on_batch(x)
    x["token_ids"][:, -1] = (x["token_ids"][:, -1] + 1) % model.backbone.vocabulary_size
    after = model.predict_on_batch(x)
    np.testing.assert_allclose(before[:, :-1], after[:, :-1], atol=1e-6)


def test_missing_text_says_how_to_get_it(monkeypatch):
    monkeypatch.delenv("KERAS_ATTN_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"Set \$KERAS_ATTN_DATA"):
        tasks.get("sst2").data(0)


def test_a_split_takes_what_is_chosen_of_all_its_parts():
    split = Split({"a": np.arange(5)}, np.arange(5) * 2, np.arange(5) * 3)
    taken = split.take([3, 1])
    assert (taken.x["a"].tolist(), taken.y.tolist(), taken.weight.tolist()) == ([3, 1], [6, 2], [9, 3])
