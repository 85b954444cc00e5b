import keras
import numpy as np
import pytest

import zoo
from tests.zoo.helpers import D
from zoo.fitting import Shuffled
from zoo.store import TASKS


class Recorder:
    """Stands for KerasHub's class: keeps what it is to be trained on."""

    def fit(
        self, x=None, y=None, batch_size=None, sample_weight=None, validation_data=None, validation_split=None, **kw
    ):
        self.given = (x, y, batch_size, sample_weight, validation_data, validation_split)
        self.epochs = [list(x.as_numpy_iterator()) for _ in range(2)] if hasattr(x, "as_numpy_iterator") else None


class Task(Shuffled, Recorder):
    pass


def rows(epoch):
    return [row for batch in epoch for row in zip(*batch)]


@pytest.mark.parametrize("make", [list, np.array, keras.ops.array], ids=["list", "array", "tensor"])
def test_rows_stay_together_and_come_in_a_new_order_in_each_epoch(make):
    keras.utils.set_random_seed(0)
    task = Task()
    task.fit(make([*range(20)]), make([*range(0, 200, 10)]), batch_size=8, sample_weight=make([*range(100, 120)]))
    first, second = map(rows, task.epochs)
    assert first != second
    for epoch in (first, second):
        assert sorted(epoch) == [(n, 10 * n, 100 + n) for n in range(20)] != epoch
    assert [len(batch[0]) for batch in task.epochs[0]] == [8, 8, 4]
    assert task.given[1] is None


def test_texts_in_dicts_and_tuples_are_shuffled_too():
    keras.utils.set_random_seed(0)
    task = Task()
    texts = [f"text {n}" for n in range(20)]
    task.fit({"a": texts, "b": (texts, np.arange(20))}, np.arange(20))
    for x, y in task.epochs[0]:
        assert [int(text.split()[1]) for text in x["a"]] == y.tolist() == x["b"][1].tolist()
        assert y.tolist() != sorted(y)


def test_a_seed_repeats_the_order():
    found = []
    for _ in range(2):
        keras.utils.set_random_seed(1)
        task = Task()
        task.fit(np.arange(20), np.arange(20))
        found.append(rows(task.epochs[0]))
    assert found[0] == found[1]


def test_the_last_rows_are_split_off_before():
    task = Task()
    task.fit([f"text {n}" for n in range(20)], np.arange(20), validation_split=0.25)
    assert sorted(y for _, y in rows(task.epochs[0])) == [*range(15)]
    ((x, y),) = task.given[4].as_numpy_iterator()
    assert (x[0], y.tolist()) == (b"text 15", [15, 16, 17, 18, 19])
    with pytest.raises(ValueError, match="rows on both sides"):
        task.fit([1.0, 2.0], [0, 1], validation_split=0.9)


def test_data_sets_and_what_shall_not_be_shuffled_go_on_as_they_are():
    import tensorflow as tf

    task, batches = Task(), tf.data.Dataset.range(4).batch(2)
    for x, options in ((batches, {}), (np.arange(4), {"shuffle": False}), ([[1], [2, 3]], {}), (None, {})):
        task.fit(x, **options)
        assert task.given[0] is x


def test_every_task_shuffles():
    for task in TASKS.values():
        assert issubclass(task, Shuffled)
        assert task.fit.__qualname__.split(".")[0] in ("Shuffled", "PreparedAtOnce")


def test_a_classifier_is_trained_on_texts_in_another_order():
    tokenizer = zoo.MixerTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "fun", "bad", "bore"])
    preprocessor = zoo.MixerTextClassifierPreprocessor(tokenizer, sequence_length=4)
    texts, labels = np.repeat(["good fun", "bad bore"], 8), np.repeat([1, 0], 8)
    losses = []
    for shuffle in (True, True, False):
        keras.utils.set_random_seed(0)
        classifier = zoo.MixerTextClassifier(
            zoo.MixerTextBackbone(8, hidden_dim=D, mixer="identity"), num_classes=2, preprocessor=preprocessor
        )
        history = classifier.fit(
            texts, labels, batch_size=4, epochs=2, shuffle=shuffle, validation_split=0.25, verbose=0
        )
        losses.append(history.history["loss"])
        assert "val_loss" in history.history
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("more", [{"y": [*range(32)]}, {"y": [*range(16)], "sample_weight": [1.0] * 15}])
def test_rows_that_have_no_partner_are_refused(more):
    with pytest.raises(ValueError, match=r"must have as many rows. Received: \[16, "):
        Task().fit([*range(16)], **more)


def test_validation_data_come_in_batches_of_the_size_that_was_asked_for():
    task = Task()
    task.fit(np.arange(20), np.arange(20), batch_size=4, validation_data=(np.arange(6), np.arange(6)))
    assert [len(x) for x, _ in task.given[4].as_numpy_iterator()] == [4, 2]


def test_the_default_loss_knows_what_the_activation_has_done():
    backbone = zoo.MixerTextBackbone(11, hidden_dim=D, mixer="identity")
    for activation, logits in ((None, True), ("softmax", False)):
        classifier = zoo.MixerTextClassifier(backbone, num_classes=2, activation=activation)
        assert classifier.loss.get_config()["from_logits"] is logits
