"""Answers of a winner for data of the same form, as the person wrote them."""

from pathlib import Path

import numpy as np

from keras_attn._figure import check_path
from tuning.own import images, numbers, pairs, questions, reading, times
from tuning.own.examples import as_list, column, is_missing, list_names
from tuning.own.making import KINDS

AT_ONCE = 256


def predict(model, data, out=None):
    """What a winner of a search on own data answers, row by row.

    Args:
        model: the folder of a model that `tuning.compare` saved for a task of `tuning.task_from`.
        data: data of the form of the training data, with or without answers: a file, a frame, a dict of arrays, or an
            array or a list of inputs; for images a folder, in which folders may be, or a file.
        out: the path of a .csv file to write besides; None for none.

    Returns:
        A pandas frame. Of classes: the label, its probability, and that of each class. Of numbers: the number. Of tags:
        texts with blanks between, empty for rows without words; words that the model does not reach have `?`. Of
        pairs: the text that the model writes, always going on with the likeliest piece; empty where the source is. Of
        forecasts: the steps that come after the data's last; of a model that is told what is known ahead, the data's
        last steps themselves, as many as it forecasts, of which only what is known ahead is filled in.

    Raises:
        ValueError, FileNotFoundError: if there is no such model or file, or the data is of another form.

    Example:
    ```python
    answers = tuning.predict("my-search/models/implicit", "new.csv", out="predictions.csv")
    ```
    """
    import zoo
    from zoo import reading as files

    check_path(out, (".csv",))
    files.check_output(out, data)
    form = read_form(model)
    trained = zoo.load(model)
    frame = _ANSWERS[form["kind"]](trained, form, data)
    if out is not None:
        frame.to_csv(out, index=False)
    return frame


def read_form(model):
    """How a model's raw data were read and what its answers mean: the `form` in its card.

    Raises:
        FileNotFoundError, ValueError: if there is no such model, or it was not trained on own data.
    """
    from zoo import safety

    folder = Path(model)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {str(model)!r} with a model.")
    if (folder / "results.json").exists():
        kinds = sorted(str(place) for place in folder.glob("models/*"))
        raise ValueError(f"{folder} is the folder of a search. Name one of its models: {', '.join(kinds) or 'none'}")
    form = safety.read_json(folder, "card.json").get("form")
    if not isinstance(form, dict) or form.get("kind") not in _ANSWERS:
        raise ValueError(f"The card of {folder} does not say how its data was read: it was not trained on own data.")
    return form


def _of_labels(trained, form, data):
    import pandas as pd

    x, first = _inputs(trained, form, data)
    outputs = _ask(trained, KINDS[form["kind"]].prepare(trained.preprocessor, x))
    label = form["columns"].get("label") or "label"
    if form["classes"] is None:
        return pd.DataFrame({**first, label: outputs[:, 0] * form["deviation"] + form["mean"]})
    shares = _softmax(outputs)
    best = shares.argmax(axis=-1)
    sure = "probability" if label != "probability" else "its probability"
    each = {f"probability of {name}": shares[:, index] for index, name in enumerate(form["classes"])}
    # What people have named comes last of what is put together, so that it is never lost.
    columns = {label: [form["classes"][index] for index in best], sure: shares.max(axis=-1)}
    return pd.DataFrame({**first, **columns, **{name: share for name, share in each.items() if name != label}})


def _of_tags(trained, form, data):
    import pandas as pd

    found = _raw(data)
    words = column(found, _known(form, "tokens"), "tokens") if isinstance(found, pd.DataFrame) else found
    words = [as_list(row) for row in words]
    starts = trained.preprocessor.first_pieces(words)
    shares = _softmax(_ask(trained, KINDS["tags"].prepare(trained.preprocessor, words)))
    tags, sure = [], []
    for row, places, each in zip(words, starts, shares, strict=True):
        unreached = ["?"] * (len(row) - len(places))
        tags.append(" ".join([*(str(form["classes"][index]) for index in each[places].argmax(axis=-1)), *unreached]))
        sure.append(" ".join([*(f"{share:.4f}" for share in each[places].max(axis=-1)), *unreached]))
    return pd.DataFrame({form["columns"].get("tags") or "tags": tags, "probabilities": sure})


def _of_pairs(trained, form, data):
    import pandas as pd

    found = _raw(data)
    sources = column(found, _known(form, "source"), "pairs") if isinstance(found, pd.DataFrame) else found
    sources = ["" if is_missing(source) else str(source) for source in sources]
    return pd.DataFrame({form["columns"]["target"]: pairs.write(trained, sources, AT_ONCE)})


def _of_forecasts(trained, form, data):
    import pandas as pd

    names, found = form["columns"], _raw(data)
    if not isinstance(found, pd.DataFrame):
        found = np.asarray(found)
        found = pd.DataFrame(found[:, None] if found.ndim == 1 else found)
        found.columns = [str(name) for name in found.columns]
    values = numbers.read(found, names["columns"])
    group, parts = names.get("group"), {None: np.arange(len(found))}
    if group is not None:
        of_rows = questions.key(found, group, "group")
        parts = {name: np.flatnonzero(of_rows == name) for name in dict.fromkeys(of_rows)}
    moments = None
    if "time" in names:
        moments = questions.key(found, names["time"], "time")
        written = names.get("written") or times.find(moments)
        moments = found[names["time"]], times.read(moments, written), written
    frames = [_forecast(trained, form, moments, values, rows, name) for name, rows in parts.items()]
    return pd.concat(frames, ignore_index=True)


def _forecast(trained, form, moments, values, rows, name):
    """The steps after the last of some rows: group and time if there are such columns, step, targets."""
    import pandas as pd

    names, horizon = form["columns"], form["horizon"]
    first = {} if name is None else {names["group"]: name}
    if moments is not None:
        column_of_times, order, written = moments
        rows = rows[np.argsort(order[rows], kind="stable")]
    if "ahead" in names:
        rows, coming = rows[:-horizon], rows[-horizon:]
        told = _check_coming(values[coming], names, horizon)
        if moments is not None:
            first[names["time"]] = column_of_times.iloc[coming].tolist()
        x = {"series": _check_series(trained, values[rows][None]), "ahead": told[None]}
    else:
        if moments is not None:
            first[names["time"]] = times.following(column_of_times.iloc[rows], written, horizon)
        x = _check_series(trained, values[rows][None])
    found = trained.predict(x, verbose=0)[0]
    first["step"] = np.arange(1, horizon + 1)
    return pd.DataFrame({**first, **{target: found[:, index] for index, target in enumerate(names["targets"])}})


def _check_coming(values, names, horizon):
    """What is known of the steps ahead, `(horizon, K)`, if the last rows are such steps."""
    known = [names["columns"].index(name) for name in names["ahead"]]
    others = np.delete(values, known, axis=1)
    if len(values) < horizon or np.isnan(values[:, known]).any() or not np.isnan(others).all():
        raise ValueError(
            f"The model is told {list_names(names['ahead'])} of the steps that it forecasts: the last {horizon} rows "
            "of the data, or of each group, are those steps, in which these columns are filled in and no others."
        )
    return values[:, known]


def _inputs(trained, form, data):
    """Raw inputs, and columns that say which row is which."""
    import pandas as pd

    kind = form["kind"]
    if kind == "image" and images.is_path(data):
        files = images.find_files(Path(data))
        return images.read_files(files, trained.backbone.image_shape), {"file": [str(file) for file in files]}
    found = _raw(data)
    if kind == "text":
        texts = column(found, _known(form, "text"), "text") if isinstance(found, pd.DataFrame) else found
        return ["" if is_missing(text) else str(text) for text in texts], {}
    if kind == "image":
        return images.check_array(np.asarray(found)), {}
    if isinstance(found, pd.DataFrame):
        return _check_series(trained, numbers.read(found, _known(form, "steps"))[:, :, None]), {}
    return _check_series(trained, numbers.check_array(np.asarray(found))), {}


def _known(form, option):
    """The names of the columns that a model was trained on."""
    if option not in form["columns"]:
        raise ValueError(
            "The model was trained on arrays, so that no column is known by name: give it an array or a list. "
            "Received: a table"
        )
    return form["columns"][option]


def _raw(data):
    """A frame, or inputs alone."""
    if isinstance(data, list) or (hasattr(data, "shape") and not hasattr(data, "columns")):
        return data
    found = reading.read(data)
    return found[0] if isinstance(found, tuple) else found


def _check_series(trained, x):
    """The series, if they are such as the model knows."""
    backbone = trained.backbone
    if x.shape[1] < backbone.sequence_length or x.shape[2] != backbone.channels:
        raise ValueError(
            f"The model takes series of at least {backbone.sequence_length} steps of {backbone.channels} numbers. "
            f"Received: {x.shape[1]} steps of {x.shape[2]}"
        )
    if not backbone.marks_missing and np.isnan(x[:, -backbone.sequence_length :]).any():
        raise ValueError("Numbers are missing, and the model was trained where none were.")
    return x


def _ask(trained, inputs):
    """The model's outputs for prepared inputs, in batches of one size."""
    trained.preprocessor = None
    many = len(next(iter(inputs.values()))) if isinstance(inputs, dict) else len(inputs)
    parts = []
    for start in range(0, many, AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        batch = {name: array[rows] for name, array in inputs.items()} if isinstance(inputs, dict) else inputs[rows]
        parts.append(trained.predict_on_batch(batch))
    return np.concatenate(parts)


def _softmax(logits):
    from scipy import special

    return special.softmax(logits.astype("float64"), axis=-1)


_ANSWERS = {
    "text": _of_labels,
    "image": _of_labels,
    "series": _of_labels,
    "tags": _of_tags,
    "pairs": _of_pairs,
    "forecast": _of_forecasts,
}
