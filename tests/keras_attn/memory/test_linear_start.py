import keras
import numpy as np
import pytest

from keras_attn import EndToEndMemory, LinearStart


def model():
    query, story = keras.Input((5,)), keras.Input((3, 2, 5))
    model = keras.Model([query, story], EndToEndMemory(hops=1, name="memory")(query, story))
    model.compile("sgd", "mse")
    return model


def told(callback, losses):
    """After which epochs a memory was linear whose losses were these."""
    callback.set_model(model())
    memory = callback.model.get_layer("memory")
    callback.on_train_begin()
    linear = []
    for epoch, loss in enumerate(losses):
        callback.on_epoch_end(epoch, {"val_loss": loss})
        linear.append(bool(float(memory.linear.value) == 1.0))
    return linear


def test_softmax_comes_in_when_the_loss_no_longer_falls():
    callback = LinearStart()
    assert told(callback, [3.0, 2.0, 2.5, 1.0]) == [True, True, False, False]
    assert callback.switched == 2


def test_patience_waits_and_a_new_least_value_starts_again():
    assert told(LinearStart(patience=2), [3.0, 3.5, 2.0, 2.0, 2.1]) == [True, True, True, True, False]


def test_there_can_be_a_limit():
    assert told(LinearStart(epochs=2), [3.0, 2.0, 1.0]) == [True, False, False]


def test_training_begins_without_softmax_and_goes_on_with_it():
    callback, trained = LinearStart(epochs=1, monitor="loss"), model()
    x = [np.ones((2, 5)), np.ones((2, 3, 2, 5))]
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(float(trained.get_layer("memory").linear.value))
    )
    trained.fit(x, np.ones((2, 5)), epochs=2, verbose=0, callbacks=[callback, watch])
    assert seen == [1.0, 0.0] and float(trained.get_layer("memory").linear.value) == 0.0


def test_a_loss_that_is_not_logged_and_a_model_without_a_memory_are_refused():
    callback = LinearStart()
    callback.set_model(model())
    callback.on_train_begin()
    with pytest.raises(ValueError, match="validation_data"):
        callback.on_epoch_end(0, {"loss": 1.0})
    callback.set_model(keras.Sequential([keras.layers.Dense(2)]))
    with pytest.raises(ValueError, match="EndToEndMemory"):
        callback.on_train_begin()
    with pytest.raises(ValueError, match="patience"):
        LinearStart(patience=0)
