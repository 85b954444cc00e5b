"""A task of a person's own data, and what was understood of it, in words."""

import collections
import dataclasses
import functools
import os
from pathlib import Path

import numpy as np

from tuning.own import answers, forecasts, images, pairs, questions, series, sizes, splits, tags, texts
from tuning.own.examples import Examples, Words, as_name, as_names, take
from tuning.seeds import derive
from tuning.task import Data, Split, Task

KINDS = {"text": texts, "tags": tags, "pairs": pairs, "image": images, "series": series}


def task_from(
    train=None,
    test=None,
    *,
    text=None,
    label=None,
    tokens=None,
    tags=None,
    pairs=None,
    images=None,
    series=None,
    horizon=None,
    ahead=None,
    group=None,
    time=None,
    predict=None,
    name=None,
    verbose=True,
):
    """A task of your own data, for `tuning.compare`.

    What the data asks is inferred where only one reading is possible, and shown; where several are it is an error that
    names the option which decides. One of ten rows is to choose by and one of ten to judge by: by `group` or `time` if
    they are named, else at random, with the same share of each class in each split, and rows that repeat one another
    in the same. Vocabularies, means and deviations are learnt from the training split only. If the largest class has
    more than 4 times the rows of the smallest, classes count alike in training (no row more than 10 times) and the
    score is balanced accuracy, or macro F1 for tags.

    Args:
        train: the data: the path of a file (.csv, .tsv, .jsonl, .parquet, .npz; the first three may end in .gz), a
            pandas frame, arrays `(x, y)`, a dict of arrays (`x` and `y`, or columns), a `tf.data.Dataset` or a
            `keras.utils.PyDataset` of `(x, y)`.
        test: the same for judging only; None to take a tenth of the other.
        text, label: names of the columns with texts and with their classes or numbers.
        tokens, tags: names of the columns with words and with a tag for each: lists, or texts with blanks between.
        pairs: names of two columns, a source text and the text that it becomes, as in translation. The score is the
            share of next pieces that are right, each asked for with the true ones before it; how good whole texts are
            that the winner writes is another question.
        images: instead of `train`: a folder that holds a folder of images for each class, or arrays `(x, y)`, x of
            shape `(N, H, W)` or `(N, H, W, C)`.
        series: instead of `train`: with `label` a table whose rows are series, or arrays `(x, y)`, x of shape `(N, T)`
            or `(N, T, C)`; with `horizon` a table or an array whose rows are steps. Numbers that are missing are
            marked by channels of their own.
        horizon: how many steps ahead to forecast, at least 1; then `label` names the column, or a list of those, that
            is forecast, and None means all.
        ahead: with `horizon` the name of a column, or a list of those, that is known of the steps ahead too, such as
            hours, holidays, or prices that are set: a forecast is told of it. None for nothing.
        group: a column's name, or an array: no group is in two splits.
        time: a column's name, or an array, of numbers or dates: what is later is judged by. Steps are sorted by it.
        predict: "classes" or "numbers", where a label may be either; None to infer it.
        name: the task's name; None for the file's.
        verbose: whether what was understood is printed.

    Returns:
        A `tuning.Task`. Its `description` is what is printed.

    Raises:
        ValueError: for data that cannot be read, or in several ways, or that nothing can be learnt from.
        FileNotFoundError: if there is no such file.

    Example:
    >>> x = [f"{how} {what}" for how in ("a", "so", "not") for what in ("good", "bad")] * 10
    >>> task = task_from((x, ["pro", "con", "pro", "pro", "con", "pro"] * 10), name="films", verbose=False)
    >>> task.description[:93]
    'Read 60 rows: text classification into 2 classes; splits 80/10/10 drawn at random, stratified'
    """
    given = {
        key: value for key, value in (("train", train), ("images", images), ("series", series)) if value is not None
    }
    if len(given) != 1:
        raise ValueError(f"Give one of `train`, `images` and `series`. Received: {', '.join(given) or 'none'}")
    ((source, data),) = given.items()
    text, label, tokens, tags, ahead, group, time = map(as_name, (text, label, tokens, tags, ahead, group, time))
    pairs = as_name(list(pairs)) if isinstance(pairs, (list, tuple)) else pairs
    words = Words(text, label, tokens, tags, pairs, horizon, ahead or None, group, time, predict)
    found = questions.find(data, words, source)
    judged = None if test is None else questions.find(test, _for_test(words, found), source, found)
    called = name or _name(data)
    make = {"forecast": _forecast, "pairs": _writing}.get(found.kind, _supervised)
    task = make(found, judged, words, called, _arguments(source, data, test, words))
    if verbose:
        print(task.description)
    return task


@dataclasses.dataclass(frozen=True)
class Given:
    """What a task's data is made of: plain data and arrays, so that another process can be given it.

    Args:
        train, test: `Examples`; test is None if it is a part of train.
        answers: `Classes` or `Numbers`; None of pairs, whose answers are texts.
        sizes: what the kind's `measure` found.
        balanced: whether classes count alike.
        form: what predictions need to know.
    """

    train: Examples
    test: Examples | None
    answers: object
    sizes: dict
    balanced: bool
    form: dict


def _supervised(found, judged, words, name, arguments):
    kind, count = KINDS[found.kind], len(found)
    _check_rows(found, judged)
    label = f"`{found.names['label']}`" if found.names.get("label") else "The label"
    asks = _answers(found, judged, words, label)
    flat = _flat(found)
    numbered = isinstance(asks, answers.Numbers)
    ratio = 1.0 if numbered else answers.imbalance(flat)
    balanced = ratio > answers.IMBALANCE
    plan = kind.measure(found.x, None if judged is None else judged.x)
    form = {"kind": found.kind, "columns": found.names, "classes": None if numbered else list(asks.names)}
    given = Given(found, judged, asks, plan, balanced, form)
    model = _call(kind.model, sizes=plan, outputs=1 if numbered else len(asks.names))
    data = _call(_data, given)
    # Whatever cannot be split is said now.
    _split(given, 0)
    rows = round(count * (0.8 if judged is None else 0.9))
    measure = "explained" if numbered else "accuracy"
    if balanced:
        measure = "macro_f1" if found.kind == "tags" else "balanced_accuracy"
    return Task(
        name=name,
        description=_describe(given, kind, label, ratio, measure),
        data=data,
        model=model,
        parameters=sizes.parameters(model, rows),
        mixers=(*kind.MIXERS, *kind.CONTROLS),
        trials=2,
        learning_rates=kind.RATES,
        dropouts=kind.DROPOUTS,
        measure=measure,
        arguments=arguments,
        **sizes.effort(
            rows,
            count // splits.FOLDS if judged is None else len(judged),
            _judged_classes(found, judged) if balanced else (),
        ),
    )


def _judged_classes(found, judged):
    """Of how many answers of each class a model is judged by, about."""
    counts = collections.Counter(_flat(found if judged is None else judged)).values()
    return [count / splits.FOLDS for count in counts] if judged is None else list(counts)


def _writing(found, judged, words, name, arguments):
    """The task of texts that become other texts."""
    _check_rows(found, judged)
    plan = pairs.measure(found.x, None if judged is None else judged.x)
    form = {"kind": found.kind, "columns": found.names}
    given = Given(found, judged, None, plan, False, form)
    _split(given, 0)
    shares = 0.8 if judged is None else 0.9
    held = round(len(found) / splits.FOLDS) if judged is None else len(judged)
    model = _call(pairs.model, sizes=plan)
    rows = f"Read {len(found):,} rows" + (f" and {len(judged):,} to judge by" if judged is not None else "")
    how = splits.describe(found.group, found.time, None, judged is not None, found.names)
    said = [
        f"{rows}: `{found.names['target']}` is to be written from `{found.names['source']}`; {how}; "
        f"{pairs.describe(plan, found.x)}.",
        *found.notes,
        *_repeats(given, pairs),
        pairs.scored(plan, held),
    ]
    return Task(
        name=name,
        description=" ".join(said),
        data=_call(_data, given),
        model=model,
        parameters=sizes.parameters(model, round(len(found) * shares)),
        mixers=(*pairs.MIXERS, *pairs.CONTROLS),
        trials=2,
        learning_rates=pairs.RATES,
        dropouts=pairs.DROPOUTS,
        measure=pairs.MEASURE,
        arguments=arguments,
        **sizes.effort(round(len(found) * shares), min(held, pairs.at_most(plan))),
    )


def _check_rows(found, judged):
    """Raises if there are too few rows for splits, or they cannot be split as they are to be."""
    if judged is None and len(found) < splits.FOLDS:
        raise ValueError(
            f"Too few rows: {len(found)}. One of {splits.FOLDS} is to judge by, so that it takes at least so many, or "
            "data of its own to judge by, `test`."
        )
    splits.check(found.group, found.time, judged is not None)


def _forecast(found, judged, words, name, arguments):
    tested = judged is not None
    if found.group is not None:
        splits.check(found.group, None, tested)
    plan = forecasts.measure(found, judged, words.horizon)
    form = {"kind": "forecast", "columns": found.names, "horizon": words.horizon}
    data, model = _call(forecasts.data, found, judged, plan, form), _call(forecasts.model, sizes=plan)
    first = data(0)
    shares = "90/10, the test data as it was given," if tested else "80/10/10"
    how = f"splits {shares} by " + ("time" if found.group is None else "group, no group in two of them")
    said = [
        f"{forecasts.describe(found, plan, sum(map(len, found.x)))}; {how}; no window reaches over a border.",
        *found.notes,
        f"Scored by the share of the variance that is explained: the last value as the forecast has "
        f"{forecasts.naive(first.test, plan):.3f} on the test split{' of seed 0' * (found.group is not None)}.",
    ]
    return Task(
        name=name,
        description=" ".join(said),
        data=data,
        model=model,
        parameters=sizes.parameters(model, len(first.train)),
        mixers=(*forecasts.MIXERS, *forecasts.CONTROLS),
        trials=2,
        learning_rates=forecasts.RATES,
        dropouts=forecasts.DROPOUTS,
        measure="explained",
        arguments=arguments,
        **sizes.effort(len(first.train), len(first.test)),
    )


def _data(given, seed):
    """The `Data` of a seed: split, then learnt from the training split alone, then prepared."""
    kind = KINDS[given.train.kind]
    train, valid, test = _split(given, seed)
    judged = given.train if given.test is None else given.test
    test = np.arange(len(judged)) if given.test is not None else test
    if given.train.kind == "pairs":
        valid, test = (pairs.thin(rows, given.sizes) for rows in (valid, test))
    chosen = {"train": (given.train, train), "valid": (given.train, valid), "test": (judged, test)}
    raw = {name: (take(part.x, rows), take(part.y, rows)) for name, (part, rows) in chosen.items()}
    preprocessor = kind.learn(raw["train"][0], given.sizes)
    form = dict(given.form)
    if isinstance(given.answers, answers.Numbers):
        known = given.answers.encode(raw["train"][1])
        form["mean"], form["deviation"] = float(known.mean()), float(known.std()) or 1.0
    made = {name: _prepare(kind, preprocessor, x, y, given, form, name == "train") for name, (x, y) in raw.items()}
    if judged.group is not None:
        codes = np.unique(judged.group.astype(str), return_inverse=True)[1]
        made["test"] = dataclasses.replace(made["test"], group=codes[test])
    return Data(**made, preprocessor=preprocessor, form=form)


def _prepare(kind, preprocessor, x, y, given, form, training):
    """A `Split`. Only in training do rare classes count for more: the measure sees to the rest."""
    if given.train.kind == "pairs":
        return pairs.split(preprocessor, x)
    inputs, weight = kind.prepare(preprocessor, x), None
    if isinstance(given.answers, answers.Numbers):
        scaled = (given.answers.encode(y) - form["mean"]) / form["deviation"]
        return Split(inputs, scaled.astype("float32")[:, None])
    count = len(given.answers.names)
    if given.train.kind == "tags":
        labels, weight = preprocessor.align(x, [given.answers.encode(row) for row in y])
        if training and given.balanced:
            weight[weight > 0] = answers.weights(labels[weight > 0], count)
        return Split(inputs, labels, weight)
    labels = given.answers.encode(y)
    if training and given.balanced:
        weight = answers.weights(labels, count)
    return Split(inputs, labels, weight)


def _split(given, seed):
    """Indices of the splits, `tuning.own.splits.draw`; each class must be among those to train on."""
    found, tested = given.train, given.test is not None
    labels = given.answers.encode(found.y) if _has_classes(given) else None
    parts = splits.draw(
        len(found),
        derive(seed, "own data"),
        labels=labels,
        group=found.group,
        time=found.time,
        keys=KINDS[found.kind].keys(found.x),
        tested=tested,
    )
    if isinstance(given.answers, answers.Numbers):
        _check_differ(given, parts)
    if labels is not None:
        unseen = sorted(set(range(len(given.answers.names))) - set(labels[parts[0]].tolist()))
        if unseen:
            raise ValueError(
                f"No row to train on is of the class {given.answers.names[unseen[0]]!r}: all are in the groups, or of "
                "the times, to choose or to judge by. Bring more rows, or leave the class out."
            )
    return parts


def _check_differ(given, parts):
    """Raises if all numbers to choose or to judge by are the same: nothing of them could be explained."""
    judged = take(given.train.y, parts[2]) if given.test is None else given.test.y
    for what, y in (("choose", take(given.train.y, parts[1])), ("judge", judged)):
        if len(set(given.answers.encode(y).tolist())) < 2:
            raise ValueError(
                f"The numbers to {what} by are all {y[0]!r} (rows: {len(y)}), so that there is nothing to explain: "
                "bring more rows, or ask for classes with predict='classes'."
            )


def _has_classes(given):
    return isinstance(given.answers, answers.Classes) and given.train.kind != "tags"


def _answers(found, judged, words, label):
    if found.kind == "tags":
        if words.predict == "numbers":
            raise ValueError("Tags are classes. Received: predict='numbers'")
        return answers.classes(_flat(found), None if judged is None else _flat(judged), "`tags`")
    return answers.find(found.y, None if judged is None else judged.y, words.predict, label)


def _flat(found):
    return [tag for row in found.y for tag in row] if found.kind == "tags" else list(found.y)


def _describe(given, kind, label, ratio, measure):
    found, judged = given.train, given.test
    rows = f"Read {len(found):,} rows" + (f" and {len(judged):,} to judge by" if judged is not None else "")
    source = "".join(f" of `{found.names[option]}`" for option in ("text", "tokens") if option in found.names)
    of_label = f" of {label}" if found.names.get("label") else ""
    if isinstance(given.answers, answers.Numbers):
        asks = f"{kind.SUBJECT} regression{source} to numbers{of_label}"
    elif found.kind == "tags":
        asks = f"sequence tagging{source} with {len(given.answers.names)} tags"
    else:
        asks = f"{kind.SUBJECT} classification{source} into {len(given.answers.names)} classes{of_label}"
    classes = True if _has_classes(given) else None
    how = splits.describe(found.group, found.time, classes, judged is not None, found.names)
    said = [f"{rows}: {asks}; {how}; {kind.describe(given.sizes, found.x)}.", *found.notes, *_repeats(given, kind)]
    if given.balanced:
        said.append(
            f"The largest class is {ratio:.1f} times the smallest, more than {answers.IMBALANCE}: classes count alike "
            f"in training (no row more than {answers.HEAVIEST:.0f} times), and the score is "
            f"{measure.replace('_', ' ')}."
        )
    return " ".join(said)


def _repeats(given, kind):
    """What is to be said of rows that come again."""
    found, judged, said = given.train, given.test, []
    keys = kind.keys(found.x)
    again = len(keys) - len(set(keys))
    if again:
        alone = found.group is None and found.time is None
        said.append(
            f"{again:,} rows repeat another's input"
            + (" and stand in the same split." if alone else ", and may stand in another split.")
        )
    if judged is not None:
        known = set(keys)
        both = sum(key in known for key in kind.keys(judged.x))
        if both:
            said.append(f"{both:,} of {len(judged):,} test rows have an input that is in the training data too.")
        if found.group is not None and judged.group is not None and set(found.group) & set(judged.group):
            said.append(f"{len(set(found.group) & set(judged.group)):,} groups of the test data are in training too.")
    return said


def _for_test(words, found):
    """The columns that were found in the training data; arrays beside its rows say nothing of others."""
    keep = {key: value for key in ("group", "time") if isinstance(value := getattr(words, key), str)}
    known = {key: found.names[key] for key in ("text", "label", "tokens", "tags") if key in found.names}
    return dataclasses.replace(words, **{"group": None, "time": None, **keep, **known})


def _name(data):
    if not isinstance(data, (str, Path)):
        return "own data"
    name = Path(os.path.abspath(data)).name
    return name.split(".")[0] or name


def _arguments(source, data, test, words):
    """The words of `keras-attn tune` for the same; empty if there are none, as for arrays."""
    given = {source: data, "test": test, **dataclasses.asdict(words)}
    given = {key: value for key, value in given.items() if value is not None}
    columns, ahead = given.pop("pairs", ()), as_names(given.pop("ahead", None))
    if not all(isinstance(value, (str, Path, int)) for value in given.values()):
        return ()
    told = [part for key, value in given.items() for part in (f"--{key}", str(value))]
    told += [part for name in ahead for part in ("--ahead", str(name))]
    return (*told, "--pairs", *columns) if columns else tuple(told)


def _call(function, *arguments, **keywords):
    """The function with some arguments filled in: it can be given to another process, and says what it is called."""
    return functools.update_wrapper(functools.partial(function, *arguments, **keywords), function)
