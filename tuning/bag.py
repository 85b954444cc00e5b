"""Answers that need no order: always the same, or linear in what there is. What a mixer must beat."""

import numpy as np

from tuning import measures, probes

#: Answers to learn from, and numbers in a matrix of what they are learnt from.
ANSWERS, ROOM = 3000, 2**24


def constant(task, train, judged, classes):
    """The score of the most frequent label, or of the mean.

    Args:
        task: a `tuning.task.Task`.
        train, judged: the splits to learn from and to be scored on.
        classes: how many classes there are, or how many numbers an answer has.
    """
    means = _mean(task, train, classes)
    return measures.score(task.measure, judged, np.broadcast_to(means, _shape(task, judged, classes)))


def _mean(task, split, classes):
    """The mean answer, `(C,)`: of labels how frequent each is, which takes no matrix of answers by classes."""
    weight = None if split.weight is None else np.asarray(split.weight, "float64").reshape(-1)
    if measures.get(task.measure).predicts != "labels":
        return np.average(split.y.reshape(-1, classes), axis=0, weights=weight)
    counts = np.bincount(split.y.reshape(-1), weight, minlength=classes)
    return counts / counts.sum()


def linear(task, train, judged, classes):
    """The score of a ridge regression on what stands in an example: counts of tokens, or means and deviations.

    Where positions have answers of their own it also sees what stands there, and if the task is causal, of the rest
    only what came before.

    Args:
        task, train, judged, classes: see `constant`.
    """
    from sklearn.linear_model import Ridge

    several = len(_shape(task, judged, classes)) == 3
    # A forecast's steps ahead stand at no positions: they are answered together, from all there is.
    each = several and judged.y.shape[1] == _positions(judged)
    answers = judged.y.shape[1] if several else 1
    train = train.take(train.drawn(max(1, ANSWERS // answers)))
    room = ROOM // (answers * max(len(train), len(judged)) * (2 if each else 1))
    columns = max(1, min(room, 1 + max(_highest(split) for split in (train, judged))))
    target, weight = _targets(task, train, classes)
    if several and not each:
        target, weight = _together(target, weight, len(train))
    seen, asked = (_features(split, task.causal, each, columns) for split in (train, judged))
    keep = slice(None) if weight is None else weight > 0
    model = Ridge(alpha=1.0, solver="cholesky")
    model.fit(seen[keep], target[keep], sample_weight=None if weight is None else weight[keep])
    return measures.score(task.measure, judged, model.predict(asked).reshape(_shape(task, judged, classes)))


def _highest(split):
    """The highest token; 0 where there are none."""
    x = probes.main(split.x)
    return int(x.max()) if np.issubdtype(x.dtype, np.integer) else 0


def _positions(split):
    """How many positions an example has that answers can stand at."""
    x = probes.main(split.x)
    return int(np.prod(x.shape[1:] if np.issubdtype(x.dtype, np.integer) else x.shape[1:-1]))


def _together(target, weight, count):
    """All answers of an example as one, `(N, answers C)`, which counts what they do on average."""
    weight = None if weight is None else weight.reshape(count, -1).mean(axis=1)
    return target.reshape(count, -1), weight


def _shape(task, split, classes):
    """Of the outputs that answer a split."""
    labels = measures.get(task.measure).predicts == "labels"
    return (*split.y.shape, classes) if labels else split.y.shape


def _targets(task, split, classes):
    """What is to be answered as numbers, `(answers, C)`, and what each counts, or None."""
    if measures.get(task.measure).predicts == "labels":
        target = np.eye(classes, dtype="float32")[split.y.reshape(-1)]
    else:
        target = split.y.reshape(-1, classes).astype("float32")
    return target, None if split.weight is None else np.asarray(split.weight, "float64").reshape(-1)


def _features(split, causal, each, columns):
    """`(answers, F)`: what each answer may be drawn from."""
    x = probes.main(split.x)
    tokens = np.issubdtype(x.dtype, np.integer)
    x = x.reshape(len(x), -1) if tokens else x.reshape(len(x), -1, x.shape[-1])
    there = probes.real(split.x, x.shape[1])
    if tokens:
        # Tokens share columns where there are more than there is room for.
        return _of_tokens(x % columns, there, causal, each, columns)
    return _of_numbers(x, there, causal, each)


def _of_tokens(x, there, causal, each, count):
    if not each:
        counts = np.zeros((len(x), count), "float32")
        np.add.at(counts, (np.arange(len(x))[:, None], x), there)
        return counts
    own = np.eye(count, dtype="float32")[x] * there[..., None]  # (N, T, F)
    rest = np.cumsum(own, axis=1) if causal else np.broadcast_to(own.sum(axis=1, keepdims=True), own.shape)
    return np.concatenate([own, rest], axis=-1).reshape(-1, 2 * count)


def _of_numbers(x, there, causal, each):
    there = there[..., None].astype("float32")
    # What is missing in a series is NaN.
    x = np.nan_to_num(np.where(there > 0, x, 0).astype("float32"))
    if each and causal:
        rest = np.cumsum(x, axis=1) / np.maximum(np.cumsum(there, axis=1), 1)
        return np.concatenate([x, rest], axis=-1).reshape(-1, 2 * x.shape[-1])
    count = np.maximum(there.sum(axis=1, keepdims=True), 1)
    mean = x.sum(axis=1, keepdims=True) / count
    deviation = np.sqrt((np.square(x - mean) * there).sum(axis=1, keepdims=True) / count)
    if not each:
        return np.concatenate([mean, deviation], axis=-1)[:, 0]
    return np.concatenate([x, *(np.broadcast_to(part, x.shape) for part in (mean, deviation))], axis=-1).reshape(
        -1, 3 * x.shape[-1]
    )
