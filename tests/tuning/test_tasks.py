import subprocess
import sys

import numpy as np
import pytest

from tuning import tasks
from tuning.task import Split

SYNTHETIC = ("recall", "parity")


def test_the_four_tasks_are_there_and_the_published_answers_with_them():
    assert set(tasks.names()) == {"digits", "sst2", "recall", "parity"}
    assert (tasks.get("recall").answer, tasks.get("parity").answer) == ("explicit", "implicit")


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


def test_recall_asks_for_the_value_of_each_key():
    split = tasks.get("recall").data(0).valid
    tokens, labels, weight = split.x["token_ids"][0], split.y[0], split.weight[0]
    pairs = dict(zip(tokens[0:16:2], tokens[1:16:2] - 16))
    assert [pairs[query] for query in tokens[16:]] == list(labels[16:])
    assert len(pairs) == 8
    assert weight.tolist() == [0.0] * 16 + [1.0] * 8


def test_parity_counts_the_ones_so_far():
    split = tasks.get("parity").data(0).valid
    bits = split.x["token_ids"][5]
    assert list(split.y[5]) == [sum(bits[: t + 1]) % 2 for t in range(len(bits))]


@pytest.mark.parametrize("name", SYNTHETIC)
def test_no_sequence_to_judge_by_was_trained_on(name):
    data = tasks.get(name).data(0)
    train = {row.tobytes() for row in data.train.x["token_ids"]}
    assert not any(row.tobytes() in train for row in data.test.x["token_ids"])


@pytest.mark.parametrize("name", SYNTHETIC)
def test_answers_look_at_nothing_that_comes_later(name):
    task = tasks.get(name)
    x = {key: array[:2].copy() for key, array in task.data(0).valid.x.items()}
    model = task.model("multi_head", 8, 0.0)
    before = model.predict_on_batch(x)
    x["token_ids"][:, -1] = (x["token_ids"][:, -1] + 1) % 2
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
