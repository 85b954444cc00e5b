"""How tasks are trained on raw inputs."""

import keras
import numpy as np
from keras import ops


class Shuffled:
    """Arrays and lists are shuffled by `fit` anew in each epoch, as in Keras; KerasHub leaves them as they come.

    Stands before KerasHub's class among the bases of a task. Data sets of batches have the order that they have.
    """

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        sample_weight=None,
        validation_data=None,
        validation_split=None,
        shuffle=True,
        **kwargs,
    ):
        data = _as_arrays((x, y, sample_weight)) if shuffle else None
        if data is None:
            given = (x, y, batch_size, sample_weight, validation_data, validation_split)
            return super().fit(*given, shuffle=False, **kwargs)  # Else Keras warns that it cannot shuffle data sets.
        _check_rows(data)
        if validation_split and validation_data is None:
            data, validation_data = _split(data, validation_split)
        batches = _in_new_orders(data, batch_size or 32)
        held = kwargs.pop("validation_batch_size", None) or batch_size or 32
        validation_data = _batched(validation_data, held)
        return super().fit(batches, validation_data=validation_data, shuffle=False, **kwargs)


class PreparedAtOnce(Shuffled):
    """For tasks whose raw inputs, lists of things of any lengths, no pipeline of tensors takes: all are prepared first.

    Stands before KerasHub's class among the bases of a task. What is prepared is a dict, and its preprocessor lets it
    pass.
    """

    def prepare(self, x, y=None, sample_weight=None):
        """Inputs, answers and weights as the model takes them, if there is a preprocessor and inputs are raw."""
        if self.preprocessor is not None:
            _check_prepared(x)
            x = ops.convert_to_numpy(x) if ops.is_tensor(x) else x
        raw = self.preprocessor is not None and isinstance(x, (list, tuple, np.ndarray))
        return keras.utils.unpack_x_y_sample_weight(
            self.preprocessor(x, y=y, sample_weight=sample_weight) if raw else (x, y, sample_weight)
        )

    def fit(self, x=None, y=None, *args, sample_weight=None, validation_data=None, **kwargs):
        x, y, sample_weight = self.prepare(x, y, sample_weight)
        if isinstance(validation_data, (list, tuple)):
            validation_data = self.prepare(*validation_data)
        return super().fit(x, y, *args, sample_weight=sample_weight, validation_data=validation_data, **kwargs)

    def evaluate(self, x=None, y=None, *args, sample_weight=None, **kwargs):
        x, y, sample_weight = self.prepare(x, y, sample_weight)
        return super().evaluate(x, y, *args, sample_weight=sample_weight, **kwargs)

    def predict(self, x, *args, **kwargs):
        return super().predict(self.prepare(x)[0], *args, **kwargs)


def _check_prepared(x):
    """Refuses batches of tf.data that are raw."""
    spec = getattr(x, "element_spec", None)
    inputs = spec[0] if isinstance(spec, tuple) else spec
    if inputs is not None and not isinstance(inputs, dict):
        raise ValueError(
            "Raw inputs come as a list or an array, and batches of tf.data as dicts that the preprocessor has made. "
            f"Received: batches of {inputs}"
        )


def _map(function, data):
    """The function of each array in tuples and dicts; a list is one array, and None stays None."""
    if isinstance(data, tuple):
        return tuple(_map(function, each) for each in data)
    if isinstance(data, dict):
        return {name: _map(function, each) for name, each in data.items()}
    return None if data is None else function(data)


def _as_arrays(data):
    """Arrays in the place of tensors, lists and columns of frames; None if there is no data, or a data set."""
    if data[0] is None:
        return None
    try:
        return _map(_as_array, data)
    except (TypeError, ValueError):
        return None


def _as_array(data):
    if ops.is_tensor(data):
        return ops.convert_to_numpy(data)
    if isinstance(data, list):
        import tensorflow as tf

        # As KerasHub reads lists: whole numbers as int32, others as float32.
        return tf.convert_to_tensor(data).numpy()
    if not hasattr(data, "__array__"):
        raise TypeError(f"This is no array: {type(data)}")
    return np.asarray(data)


def _check_rows(data):
    """Raises unless inputs, answers and weights have as many rows."""
    rows = [len(each) for each in keras.tree.flatten(data) if each is not None]
    if len(set(rows)) > 1:
        raise ValueError(f"Inputs, answers and weights must have as many rows. Received: {rows}")


def _batched(data, batch_size):
    """Validation data in batches of that size, if it is arrays and not batched already."""
    if not isinstance(data, tuple):
        return data
    arrays = _as_arrays((*data, None, None)[:3])
    if arrays is None:
        return data
    _check_rows(arrays)
    return _batches(arrays, _numbers(arrays).batch(batch_size))


def _numbers(data):
    import tensorflow as tf

    return tf.data.Dataset.range(len(keras.tree.flatten(data)[0]))


def _split(data, share):
    """The first rows, and the last ones, so large a share of all."""
    rows = len(keras.tree.flatten(data)[0])
    kept = int(rows * (1.0 - share))
    if not 0 < kept < rows:
        raise ValueError(f"`validation_split` must leave rows on both sides. Received: {share} of {rows} rows")
    return _map(lambda x: x[:kept], data), _map(lambda x: x[kept:], data)


def _in_new_orders(data, batch_size):
    """Batches of the rows, in a new order whenever they are gone through."""
    # Of NumPy's numbers, which `keras.utils.set_random_seed` repeats on any backend.
    seed = np.random.randint(2**31)
    numbers = _numbers(data)
    # Numbers of rows are shuffled, not rows, which would all be copied.
    return _batches(data, numbers.shuffle(len(numbers), seed=seed).batch(batch_size))


def _batches(data, numbers):
    """The rows of each batch of numbers of rows."""
    import tensorflow as tf

    data = _map(tf.convert_to_tensor, data)
    return numbers.map(
        lambda chosen: keras.utils.pack_x_y_sample_weight(*_map(lambda x: tf.gather(x, chosen), data)),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
