"""Numbers over time, and what comes next. Windows are cut within each split, so that none reaches over a border."""

import math

import numpy as np

from tuning import measures
from tuning.own import numbers, series, splits
from tuning.own import times as moments
from tuning.own.examples import Examples, as_names, column, list_names, rows
from tuning.task import Data, Split

SUBJECT = "forecast"
MIXERS, CONTROLS = series.MIXERS, ("identity",)
RATES, DROPOUTS = series.RATES, series.DROPOUTS
#: The longest look back, in horizons and in steps.
LOOK_BACK, LONGEST = 4, 256
#: The most windows of a split, and the most numbers in them.
WINDOWS, MOST = {"train": 20_000, "valid": 2_000, "test": 2_000}, 50_000_000


def of_table(table, words, names, split_by, used, written=None):
    """The `Examples` of a table whose rows are steps: a series, or one for each group, sorted by time.

    Args:
        table: a pandas frame.
        words: a `Words`.
        names: the columns of numbers.
        split_by: arrays `(R,)` of group and time, or None, by option.
        used: the names of their columns, if they are columns.
        written: how the training data writes its times, if this is to judge by.
    """
    for option in ("text", "tokens", "tags", "pairs", "predict"):
        if getattr(words, option) is not None:
            raise ValueError(f"`{option}` means nothing for numbers that are forecast.")
    ahead = as_names(words.ahead)
    targets = as_names(words.label) or [name for name in names if name not in ahead]
    for option, chosen in (("label", targets), ("ahead", ahead)):
        for name in chosen:
            column(table, name, option)
    values = numbers.read(table, names)
    _check_ahead(values, names, targets, ahead)
    group, times, notes = split_by["group"], split_by["time"], ()
    parts = [np.arange(len(table))] if group is None else [np.flatnonzero(group == each) for each in _distinct(group)]
    if times is not None:
        # Days and months must not change places from one column to the next.
        written = written or moments.find(times)
        times, used = moments.read(times, written), {**used, "written": written}
        notes = _check_times(times, parts)
        parts = [part[np.argsort(times[part], kind="stable")] for part in parts]
    return Examples(
        "forecast",
        [values[part] for part in parts],
        group=None if group is None else np.array(_distinct(group), object),
        names={"columns": _as_text(names), "targets": _as_text(targets), **_told(ahead), **used},
        notes=notes,
    )


def of_array(x, y, words):
    """The `Examples` of an array `(R,)` or `(R, C)`, rows in the order of time."""
    x = np.asarray(x)
    if y is not None or x.ndim not in (1, 2) or x.dtype.kind not in "fiub":
        raise ValueError(f"Numbers to forecast are an array (R,) or (R, C). Received: shape {x.shape}, dtype {x.dtype}")
    if any(getattr(words, option) is not None for option in ("group", "time", "label", "ahead")):
        raise ValueError("`group`, `time`, `label` and `ahead` name columns: give a frame, whose columns have names.")
    values = numbers.check(x[:, None] if x.ndim == 1 else x)
    names = [str(channel) for channel in range(values.shape[1])]
    return Examples("forecast", [values], names={"columns": names, "targets": names})


def describe(found, sizes, count):
    """What is forecast from what, in words."""
    targets, horizon = found.names["targets"], sizes["horizon"]
    shown = list_names(targets[:5]) + f" and {len(targets) - 5} more" * (len(targets) > 5)
    many = f" in {len(found.x)} groups" if found.group is not None else ""
    told = f", told of {list_names(found.names['ahead'])} of these steps too" if sizes["ahead"] else ""
    return (
        f"Read {count:,} steps of {sizes['channels']} number{'s' * (sizes['channels'] > 1)}{many}: forecast of {shown} "
        f"for {horizon} step{'s' * (horizon > 1)} from the last {sizes['sequence_length']}{told}"
        f"{series.missing(np.concatenate(found.x))}"
    )


def measure(found, test, horizon):
    """How far back a forecast looks, so that windows fit into each split; and what else a model's shape is made of.

    Raises:
        ValueError: if the horizon is too long for the series.
    """
    from keras_attn.lookup import whole_number

    whole_number("horizon", horizon)
    lengths = [len(each) for each in found.x]
    room = min(lengths) if found.group is not None else lengths[0] // splits.FOLDS
    room = min([room, *(len(each) for each in (test.x if test else ()))])
    fewest = max(2, math.ceil(horizon / 2))
    if room < horizon + fewest:
        raise ValueError(
            f"horizon={horizon} is too long: of {sum(lengths):,} rows the smallest stretch that windows are cut from "
            f"has {room}, and a window takes at least {fewest} steps to look back and {horizon} to look ahead."
        )
    back = max(fewest, min(LOOK_BACK * horizon, LONGEST, (room - horizon) // 2))
    patch = -(-back // series.TOKENS)
    columns = found.names["columns"]
    return {
        "channels": len(columns),
        "sequence_length": back - back % patch,
        "patch_size": patch,
        "marks_missing": any(bool(np.isnan(each).any()) for each in (*found.x, *(test.x if test else ()))),
        "horizon": horizon,
        "targets": [columns.index(name) for name in found.names["targets"]],
        "ahead": [columns.index(name) for name in found.names.get("ahead", ())],
    }


def data(found, test, sizes, form, seed):
    """The `Data`: windows of each split, standardised by the training split's numbers."""
    import zoo

    parts = _split(found, test, seed)
    options = {
        "sequence_length": sizes["sequence_length"],
        "targets": sizes["targets"],
        "ahead": sizes["ahead"] or None,
    }
    preprocessor = zoo.MixerSeriesPreprocessor.of(np.concatenate(parts["train"]), **options)
    made = {name: _windows(part, sizes, preprocessor, name, found.group is not None) for name, part in parts.items()}
    return Data(**made, preprocessor=preprocessor, form=form)


def model(mixer, width, dropout, sizes):
    """A forecaster."""
    import zoo

    shape = {name: sizes[name] for name in ("channels", "sequence_length", "patch_size", "marks_missing")}
    backbone = zoo.MixerSeriesBackbone(mixer=mixer, hidden_dim=width, dropout=dropout, **shape)
    ahead = sizes["ahead"] or None
    return zoo.MixerForecaster(backbone, sizes["horizon"], sizes["targets"], dropout=dropout, ahead=ahead)


def naive(split, sizes):
    """The score of the last value as the forecast."""
    series = split.x["series"] if sizes["ahead"] else split.x
    last = np.nan_to_num(series[:, -1:, sizes["targets"]])
    return measures.score("explained", split, np.broadcast_to(last, split.y.shape))


def _split(found, test, seed):
    """A list of series for each split."""
    if found.group is not None:
        train, valid, judge = splits.draw(len(found.x), seed, group=found.group, tested=test is not None)
        parts = {name: [found.x[index] for index in part] for name, part in (("train", train), ("valid", valid))}
        return {**parts, "test": [found.x[index] for index in judge] if test is None else test.x}
    whole = found.x[0]
    cuts = [round(len(whole) * share) for share in ((0.9,) if test else (0.8, 0.9))]
    pieces = np.split(whole, cuts)
    names = ("train", "valid", "test")
    return {name: [piece] for name, piece in zip(names, pieces)} | ({"test": test.x} if test else {})


def _windows(parts, sizes, preprocessor, name, grouped):
    """A `Split` of windows, evenly far apart if there are too many. Those of a group's series belong together."""
    back, ahead, targets = sizes["sequence_length"], sizes["horizon"], sizes["targets"]
    count = sum(len(part) - back - ahead + 1 for part in parts)
    step = max(1, -(-count // max(1, min(WINDOWS[name], MOST // (back * sizes["channels"])))))
    # (N, C, back + ahead)
    cut = [np.lib.stride_tricks.sliding_window_view(part, back + ahead, axis=0)[::step] for part in parts]
    whole = np.swapaxes(np.concatenate(cut), 1, 2)
    together = _of_series(cut) if grouped else _together(cut, step, ahead)
    y = whole[:, back:, targets]
    missing = np.isnan(y).any(axis=-1)
    kept = ~missing.all(axis=-1)
    if not kept.any():
        raise ValueError(f"All that is to be forecast is missing in the {name} split.")
    if name != "train" and not np.ptp(y[~missing]):
        raise ValueError(
            f"All that is to be forecast is the same number in the {name} split, so that there is nothing to explain: "
            "bring another stretch of the series."
        )
    x, told = whole[kept][:, :back], sizes["ahead"]
    x, y = preprocessor({"series": x, "ahead": whole[kept][:, back:, told]} if told else x, y[kept])
    x = {name: np.asarray(each, "float32") for name, each in x.items()} if told else np.asarray(x, "float32")
    weight = (~missing[kept]).astype("float32") if missing.any() else None
    return Split(x, np.nan_to_num(np.asarray(y, "float32")), weight, together[kept])


def _together(cut, step, ahead):
    """A number `(N,)` for each window, the same if they begin within a horizon: they foretell the same steps."""
    blocks = [np.arange(len(part)) * step // ahead for part in cut]
    starts = np.cumsum([0, *(int(block.max(initial=-1)) + 1 for block in blocks)])
    return np.concatenate([block + start for block, start in zip(blocks, starts)])


def _of_series(cut):
    """A number `(N,)` for each window, that of its series."""
    return np.repeat(np.arange(len(cut)), [len(part) for part in cut])


def _check_times(times, parts):
    """Raises if a moment comes twice; says what is odd about the order."""
    notes = []
    for part in parts:
        steps = np.diff(np.sort(times[part]))
        if not steps.all():
            raise ValueError(
                f"The same `time` comes twice, {int((steps == 0).sum())} times: if there are several series, name the "
                "`group` that tells them apart."
            )
    if any((np.diff(times[part]) < 0).any() for part in parts):
        notes.append("The rows were sorted by time.")
    lengths = {round(float(step), 6) for part in parts for step in np.diff(np.sort(times[part]))}
    if len(lengths) > 1:
        notes.append(f"Steps are of {len(lengths)} lengths, and count as equal.")
    return tuple(notes)


def _check_ahead(values, names, targets, ahead):
    """Raises if what is to be known of the steps ahead is what is forecast, or is not always known."""
    if not targets or set(targets) & set(ahead):
        raise ValueError(f"What is forecast is not known ahead. Received: label={targets}, ahead={ahead}")
    for name in ahead:
        gaps = np.flatnonzero(np.isnan(values[:, names.index(name)]))
        if len(gaps):
            raise ValueError(f"A column of `ahead` is known of every step, and {name!r} is missing in {rows(gaps)}.")


def _told(ahead):
    return {"ahead": _as_text(ahead)} if ahead else {}


def _as_text(names):
    return [str(name) for name in names]


def _distinct(values):
    return list(dict.fromkeys(values))
