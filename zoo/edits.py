"""How far what was written is from what is right."""

import keras_hub


def edit_distance(references, found):
    """Edits of what was found that make it right, as a share of what is right, by KerasHub's metric.

    Args:
        references: a list of lists of strings, what is right: words, letters or sounds.
        found: as many lists, of which any may be empty.

    Returns:
        A float, at least 0; above 1 where more was written than is right.

    Example:
    >>> edit_distance([["a", "b"], ["c", "d"]], [["a", "x"], []])
    0.75
    """
    import tensorflow as tf  # Which KerasHub's metric needs on every backend.

    metric = keras_hub.metrics.EditDistance()
    # Of its own, it takes empty lists alone for lists of numbers.
    return float(metric(*(tf.ragged.constant(each, dtype=tf.string, ragged_rank=1) for each in (references, found))))
