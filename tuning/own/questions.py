"""What data asks: which kind of question, with which columns. Inferred where only one reading is possible."""

import dataclasses
import re

import numpy as np

from tuning.own import forecasts, images, numbers, pairs, reading
from tuning.own.examples import Examples, as_labels, as_list, as_names, column, list_names, plain, rows

#: The most channels that the last axis of an image has.
CHANNELS = 4
#: What pandas calls a column without a name, as `to_csv()` writes the index.
UNNAMED = re.compile(r"(Unnamed: \d+)?")


def find(data, words, source="train", like=None):
    """The `Examples` that data holds.

    Args:
        data: what `reading.read` takes, or a folder of images.
        words: a `Words`.
        source: which argument the data came as: "train", "images" or "series".
        like: the training data's `Examples`, if this is to judge by: columns are taken by the names that they have
            there, whatever their order.

    Raises:
        ValueError: if the data can be read in several ways, or in none (it says which option decides), or is not `like`
            the other.
        FileNotFoundError: if there is no such file.
    """
    if words.pairs is not None:
        pairs.check_names(words.pairs)
    found = _find(data, words, source, like)
    if like is not None:
        _check_like(found, like)
    return found


def _find(data, words, source, like):
    if source == "images" and images.is_path(data):
        return _of_images(images.read(data), words)
    found = reading.read(data)
    if isinstance(found, tuple):
        return _from_arrays(*found, words, source)
    if source == "images":
        raise ValueError("`images` is a folder with a folder for each class, or arrays (x, y).")
    found, notes = _without_unnamed(found, words)
    examples = _from_table(found, words, source, like)
    return dataclasses.replace(examples, notes=(*notes, *examples.notes))


def _without_unnamed(table, words):
    """The table without columns that have no name, unless an option names them; and what is to be said of that."""
    told = dataclasses.astuple(words)
    asked = [value for value in (*told, *(words.pairs or ()), *as_names(words.ahead)) if isinstance(value, str)]
    away = [name for name in table.columns if UNNAMED.fullmatch(str(name)) and name not in asked]
    if not away:
        return table, ()
    many = len(away) > 1
    note = f"{len(away)} column{'s' * many} without a name {'were' if many else 'was'} left out, as an index is."
    return table.drop(columns=away), (note,)


def _check_like(found, like):
    """Raises if test data is none that a model of the training data could answer."""
    if found.kind != like.kind:
        raise ValueError(f"The test data is of another kind. Received: {found.kind} beside {like.kind}")
    if like.kind == "forecast" and found.names["columns"] != like.names["columns"]:
        raise ValueError(
            f"The test data must have the columns of the training data, {list_names(like.names['columns'])}. "
            f"Received: {list_names(found.names['columns'])}"
        )
    if like.kind == "series" and found.x.shape[1:] != like.x.shape[1:]:
        raise ValueError(
            f"The test data must be series of {like.x.shape[1]} steps of {like.x.shape[2]} numbers, as the training "
            f"data is. Received: {found.x.shape[1]} steps of {found.x.shape[2]}"
        )
    if like.kind == "image" and found.x.shape[3] != like.x.shape[3]:
        raise ValueError(
            f"The test data must be images of {like.x.shape[3]} channels, as the training data is. "
            f"Received: {found.x.shape[3]}"
        )


def _channels(table, used, known):
    """The names of all columns but those that are used otherwise; those of the training data, if they are known.

    Raises:
        ValueError: if a table has other columns than are known.
    """
    names = [name for name in table.columns if name not in used]
    if known is None:
        return names
    if set(names) != set(known):
        raise ValueError(
            f"The test data must have the columns of the training data. It lacks "
            f"{list_names([name for name in known if name not in names])}, and has besides "
            f"{list_names([name for name in names if name not in known])}."
        )
    return known


def _of_images(found, words):
    x, y, notes = found
    _only(words, "images", "group", "time", "predict")
    count = len(x)
    return Examples("image", x, y, _array(words.group, count, "group"), _array(words.time, count, "time"), {}, notes)


def _from_table(table, words, source, like):
    split_by = {option: key(table, getattr(words, option), option) for option in ("group", "time")}
    used = {option: getattr(words, option) for option in split_by if isinstance(getattr(words, option), str)}
    if source == "series":
        return _series_table(table, words, split_by, used, like)
    for option in ("horizon", "ahead"):
        if getattr(words, option) is not None:
            raise ValueError(f"`{option}` is for numbers over time: give the file as `series`.")
    if words.pairs is not None:
        _only(words, "pairs of texts", "pairs", "group", "time")
        return pairs.of_table(table, words.pairs, split_by, used, judged=like is not None)
    if words.tokens is not None or words.tags is not None:
        return _tags_table(table, words, split_by, used)
    text, label = _text_and_label(table, words, used)
    values = column(table, text, "text")
    empty = int(values.isna().sum())
    notes = (f"{empty:,} rows have no {text!r}: an empty text.",) if empty else ()
    x = np.array([str(value) for value in values.fillna("")], dtype=object)
    y = as_labels(table[label])
    return Examples("text", x, y, **split_by, names={"text": text, "label": label, **used}, notes=notes)


def _text_and_label(table, words, used):
    """The names of the two columns: as they were given, or as only one reading is left."""
    taken = {*used.values(), words.text, words.label}
    others = [name for name in table.columns if name not in taken]
    if words.label is not None:
        _check_label(table, words)
    if words.text is not None:
        column(table, words.text, "text")
        if words.label is None and len(others) != 1:
            raise ValueError(f"Which column is the answer? Name it with `label`. There are: {list_names(others)}.")
        return words.text, words.label or others[0]
    if words.label is None:
        raise ValueError(
            f"What does the table ask? Name columns: `text` and `label`, `tokens` and `tags`, or two as `pairs`. "
            f"There are: {list_names(others)}."
        )
    if others and all(numbers.are_numbers(table[name]) for name in others):
        raise ValueError(
            f"All columns beside {words.label!r} hold numbers. If they are the steps of a series, give the data as "
            "`series`; tables of unordered numbers have nothing to attend to."
        )
    if len(others) != 1:
        raise ValueError(f"Which column is the text? Name it with `text`. There are: {list_names(others)}.")
    return others[0], words.label


def _tags_table(table, words, split_by, used):
    _only(words, "words with tags", "tokens", "tags", "group", "time", "predict")
    if words.tokens is None or words.tags is None:
        raise ValueError(
            f"`tokens` and `tags` go together. Received: tokens={words.tokens!r}, tags={words.tags!r}. "
            f"There are: {list_names(table.columns)}."
        )
    x = [as_list(cell) for cell in column(table, words.tokens, "tokens")]
    y = [as_list(cell) for cell in column(table, words.tags, "tags")]
    return _tagged(x, y, split_by, {"tokens": words.tokens, "tags": words.tags, **used})


def _tagged(x, y, split_by, names):
    for row, (tokens, tags) in enumerate(zip(x, y), start=1):
        if len(tokens) != len(tags):
            raise ValueError(
                f"Every token has one tag. Row {row} (the first is 1) has {len(tokens)} tokens and {len(tags)} tags: "
                f"{' '.join(tokens)[:60]!r} and {' '.join(map(str, tags))[:60]!r}"
            )
    if not any(x):
        raise ValueError("No row has any tokens.")
    return Examples("tags", x, y, **split_by, names=names)


def _series_table(table, words, split_by, used, like):
    known = {} if like is None else like.names
    if words.horizon is not None:
        names = _channels(table, used.values(), known.get("columns"))
        return forecasts.of_table(table, words, names, split_by, used, known.get("written"))
    if words.ahead is not None:
        raise ValueError("`ahead` is for what is to be forecast: name a `horizon`.")
    if words.label is None:
        raise ValueError("`series` is to be forecast (name `horizon`) or to be classified (name `label`).")
    _only(words, "series with a label", "label", "group", "time", "predict")
    _check_label(table, words)
    steps = _channels(table, (words.label, *used.values()), known.get("steps"))
    x = numbers.read(table, steps)[:, :, None]  # (N, T, 1)
    y = as_labels(table[words.label])
    return Examples("series", x, y, **split_by, names={"label": words.label, "steps": steps, **used})


def _from_arrays(x, y, words, source):
    _only(words, "arrays", "group", "time", "predict", "horizon", "ahead")
    split_by = {option: _array(getattr(words, option), len(x), option) for option in ("group", "time")}
    if words.horizon is not None:
        if source != "series":
            raise ValueError("`horizon` is for numbers over time: give them as `series`.")
        return forecasts.of_array(x, y, words)
    if y is None:
        raise ValueError("There are no answers: give (x, y), or `series` with a `horizon` to forecast.")
    kind, x = _kind_of(x, source)
    if kind == "tags":
        return _tagged(x, [[*map(plain, tags)] for tags in y], split_by, {})
    if np.ndim(y) != 1:
        raise ValueError(f"Labels are of shape (N,), one for each row. Received: {np.shape(y)}")
    return Examples(kind, x, as_labels(y), **split_by)


def _kind_of(x, source):
    """The kind of an array of inputs, and the array."""
    if source == "train" and all(isinstance(each, (list, tuple, np.ndarray)) for each in x):
        rows = [list(each) for each in x]
        if any(rows) and all(isinstance(token, str) for row in rows for token in row):
            return "tags", [[str(token) for token in row] for row in rows]
    try:
        array = np.asarray(x)
    except ValueError:
        raise ValueError("The rows of x must be of one length, or words with tags.") from None
    if array.dtype.kind in "OUST" and array.ndim == 1 and all(isinstance(each, (str, np.str_)) for each in x):
        if source != "train":
            raise ValueError(f"`{source}` holds texts. Give them as the first argument.")
        return "text", np.array([str(each) for each in x], dtype=object)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"x holds texts or numbers. Received: dtype {array.dtype}, shape {array.shape}")
    if source == "series":
        return "series", numbers.check_array(array)
    if source == "images" or (array.ndim == 4 and array.shape[-1] <= CHANNELS):
        return "image", images.check_array(array)
    raise ValueError(
        f"An array of shape {array.shape} may be images or series: give it as images=(x, y), of shape (N, H, W) or "
        "(N, H, W, C), or as series=(x, y), of shape (N, T) or (N, T, C)."
    )


def key(table, given, option):
    """A column by name, or an array, to split by."""
    if given is None or not isinstance(given, str):
        return _array(given, len(table), option)
    values = column(table, given, option)
    missing = np.flatnonzero(values.isna())
    if len(missing):
        raise ValueError(f"{given!r}, the `{option}`, is missing in {rows(missing)}.")
    return values.to_numpy(dtype=object)


def _array(given, count, option):
    if given is None:
        return None
    if isinstance(given, str):
        raise ValueError(f"`{option}` names a column of a table; beside arrays it is an array. Received: {given!r}")
    if len(given) != count:
        raise ValueError(f"`{option}` must have one value for each of {count:,} rows. Received: {len(given):,}")
    return np.array([plain(each) for each in given], dtype=object)


def _only(words, what, *fitting):
    """Raises for options that mean nothing for such data."""
    strangers = [
        field.name
        for field in dataclasses.fields(words)
        if getattr(words, field.name) is not None and field.name not in fitting
    ]
    if strangers:
        raise ValueError(f"`{strangers[0]}` names a column of a table and means nothing for {what}.")


def _check_label(table, words):
    if not isinstance(words.label, str):
        raise ValueError(f"`label` is the name of one column. Received: {words.label!r}")
    column(table, words.label, "label")
