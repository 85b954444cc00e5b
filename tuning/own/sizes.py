"""How much effort a task's size allows: parameters, batches, epochs, and the margin its test split can show."""

import math

#: Width of the model whose parameters all get, by the most training rows.
WIDTHS = ((1_000, 16), (10_000, 32), (math.inf, 48))
BATCHES = ((500, 16), (2_000, 32), (20_000, 64), (math.inf, 128))
#: About how many steps a run takes, between so many epochs.
STEPS, EPOCHS = 600, (3, 20)
#: Training rows in an epoch, at most.
LONGEST_EPOCH = 20_000


def effort(rows, judged, classes=()):
    """Fields of a `tuning.Task` by how many rows there are to train on and to judge by.

    Args:
        rows: how many there are to train on.
        judged: how many to judge by.
        classes: of those how many of each class, where all classes count alike.

    Example:
    >>> effort(rows=6920, judged=1821)
    {'batch_size': 64, 'epochs': 6, 'epoch_size': None, 'margin': 0.012}
    >>> effort(rows=6920, judged=1821, classes=[1800, 21])["margin"]
    0.055
    """
    batch = min(_by(BATCHES, rows), max(1, rows // 2))
    epochs = round(STEPS * batch / min(rows, LONGEST_EPOCH))
    return {
        "batch_size": batch,
        "epochs": min(EPOCHS[1], max(EPOCHS[0], epochs)),
        "epoch_size": LONGEST_EPOCH if rows > LONGEST_EPOCH else None,
        "margin": max(0.01, round(_deviation(judged, classes), 3)),
    }


def _deviation(judged, classes):
    """The standard deviation, at most, of a share of that many, or of the mean of the shares of some classes."""
    if not classes:
        return 0.5 / math.sqrt(judged)
    return 0.5 * math.sqrt(sum(1 / max(1, each) for each in classes)) / len(classes)


def parameters(model, rows):
    """What a model of a fitting width has, to two digits.

    Args:
        model: the function of a task that builds its models.
        rows: how many there are to train on.
    """
    count = model("multi_head", _by(WIDTHS, rows), 0.0).count_params()
    return round(count, 1 - math.floor(math.log10(count)))


def _by(table, rows):
    return next(value for most, value in table if rows <= most)
