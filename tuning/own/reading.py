"""Whatever a person brings, as a table (a pandas frame) or as arrays `(x, y)`; what is wrong with it, in words."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

#: What separates columns, by a file's ending. Each may end in .gz besides.
SEPARATORS = {".csv": ",", ".tsv": "\t"}
ENDINGS = (*SEPARATORS, ".jsonl", ".parquet", ".npz")
LIKELY = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}


def read(data):
    """The data as a pandas frame, or as a pair of arrays `(x, y)` of which y may be None.

    Args:
        data: the path of a file, a frame, `(x, y)`, a dict of arrays (`x` and `y`, or columns by name), an array, a
            `tf.data.Dataset` or a `keras.utils.PyDataset`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read, is empty, or is none of these.
    """
    import pandas as pd

    if isinstance(data, (str, Path)):
        data = _read_file(Path(data))
    elif hasattr(data, "as_numpy_iterator") or _is_py_dataset(data):
        data = _read_dataset(data)
    if isinstance(data, dict):
        data = _from_dict(data)
    if isinstance(data, pd.DataFrame):
        if not len(data):
            raise ValueError("The table has no rows.")
        data = data.reset_index(drop=True).set_axis([str(name) for name in data.columns], axis=1)
        if not data.columns.is_unique:
            raise ValueError(
                f"Columns must have names of their own. Twice: {data.columns[data.columns.duplicated()][0]!r}"
            )
        return data
    x, y = data if isinstance(data, (tuple, list)) and len(data) == 2 else (data, None)
    if not hasattr(x, "__len__") or isinstance(x, (str, bytes)):
        raise ValueError(f"Data is a file, a frame, arrays (x, y) or a data set. Received: {type(x).__name__}")
    if not len(x):
        raise ValueError("The data has no rows.")
    if y is not None and len(x) != len(y):
        raise ValueError(f"x and y must have as many rows. Received: {len(x):,} and {len(y):,}")
    return x, y


def _read_file(path):
    if path.is_dir():
        raise ValueError(f"{path} is a folder. A folder of images is given as `images`.")
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    ending = _ending(path)
    if ending not in ENDINGS:
        raise ValueError(f"Data is read from {', '.join(ENDINGS)}, as the name ends. Received: {path.name!r}")
    if not path.stat().st_size:
        raise ValueError(f"{path.name} is empty.")
    reader = {".npz": _read_npz, ".jsonl": _read_lines, ".parquet": _read_parquet}.get(ending, _read_separated)
    try:
        return reader(path)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not UTF-8 text ({error.reason} at byte {error.start}): save it so.") from None
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from None


def _ending(path):
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return next(iter(suffixes[-2:-1] if suffixes[-1:] == [".gz"] else suffixes[-1:]), "")


def _read_separated(path):
    """Every cell as it was written: what is a number is found out later, by what it is used for."""
    import pandas as pd

    separator = SEPARATORS[_ending(path)]
    as_written = {"sep": separator, "dtype": str, "keep_default_na": False, "na_values": [""], "encoding": "utf-8-sig"}
    try:
        header = pd.read_csv(path, header=None, nrows=1, **as_written).iloc[0].dropna()
        # Of one column a blank line is a row without it.
        table = pd.read_csv(path, skip_blank_lines=len(header) > 1, **as_written)
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path.name} is empty.") from None
    except pd.errors.ParserError as error:
        raise ValueError(f"{path.name} cannot be read as columns between {LIKELY[separator]}: {error}") from None
    if header.duplicated().any():
        # pandas would call the second one another name.
        raise ValueError(f"{path.name} has two columns called {header[header.duplicated()].iloc[0]!r}: rename one.")
    if table.shape[1] == 1:
        _check_separator(path, separator, table.columns[0])
        table = table[: 1 + max(np.flatnonzero(table.iloc[:, 0].notna()), default=-1)]
    if not len(table):
        raise ValueError(f"{path.name} has names of columns ({', '.join(table.columns)}) and no rows.")
    if not isinstance(table.index, pd.RangeIndex):
        # pandas takes the first cells for an index then.
        raise ValueError(
            f"In {path.name} rows have more cells than the header has names ({', '.join(table.columns)}): quote texts "
            f"that contain {LIKELY[separator]}."
        )
    if separator == "\t":
        _check_quotes(path, table)
    return table


def _check_quotes(path, table):
    """Raises if a quotation mark that begins a cell has swallowed whole rows, up to the next one."""
    inside = table.shape[1] - 1
    for name in table.columns if inside else ():
        cells = table[name].fillna("")
        for row in np.flatnonzero(cells.str.contains("\n") & cells.str.contains("\t")):
            first, *others = cells.iloc[row].split("\n")
            if any(line.count("\t") == inside for line in (first, *others[:-1])):
                raise ValueError(
                    f"Row {row + 1} (the first is 1) of {path.name} holds whole rows in {name!r}: {first[:50]!r}... "
                    'A cell that begins with a quotation mark ends at the next one: write it as "...", with "" for '
                    "each mark in it."
                )


def _check_separator(path, separator, header):
    others = [words for character, words in LIKELY.items() if character != separator and character in header]
    if others:
        raise ValueError(
            f"{path.name} has one column, {header!r}: are its columns between {others[0]}? Columns of "
            f"{_ending(path)} are between {LIKELY[separator]}; .tsv is for tabs."
        )


def _read_lines(path):
    import pandas as pd

    try:
        table = pd.read_json(
            path, lines=True, dtype=False, convert_dates=False, convert_axes=False, encoding="utf-8-sig"
        )
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        raise ValueError(f"{path.name} must hold one JSON object a line: {error}") from None
    if not table.shape[1]:
        raise ValueError(f"{path.name} holds no JSON objects.")
    return table


def _read_parquet(path):
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except ImportError:
        raise ValueError("Parquet needs pyarrow: `pip install 'keras-attn[parquet]'`.") from None
    except Exception as error:  # pyarrow has errors of its own.
        raise ValueError(f"{path.name} cannot be read as Parquet: {error}") from None


def _read_npz(path):
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except UnicodeDecodeError:
        raise
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path.name} cannot be read as .npz: {error}") from None


def _from_dict(arrays):
    """The arrays `x` and `y`, or else columns by name."""
    import pandas as pd

    if "x" in arrays and set(arrays) <= {"x", "y"}:
        return arrays["x"], arrays.get("y")
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"Columns must have as many rows, or the arrays be called x and y. Received: {lengths}")
    return pd.DataFrame({name: list(array) for name, array in arrays.items()})


def _is_py_dataset(data):
    import keras

    return isinstance(data, keras.utils.PyDataset)


def _read_dataset(data):
    """All of a data set of `(x, y)`, batched or not, at once; of a dict x and y, columns, among which `y`."""
    if _is_py_dataset(data):
        pairs, batched = [data[index] for index in range(len(data))], True
    else:
        pairs = list(data.as_numpy_iterator())
        batched = _is_batched(data.element_spec)
    if not pairs or not isinstance(pairs[0], tuple) or len(pairs[0]) != 2:
        raise ValueError("A data set must give pairs (x, y), and at least one.")
    join = np.concatenate if batched else np.stack
    y = _decode(join([np.asarray(pair[1]) for pair in pairs]))
    if not isinstance(pairs[0][0], dict):
        return _decode(join([np.asarray(pair[0]) for pair in pairs])), y
    columns = {name: _decode(join([np.asarray(pair[0][name]) for pair in pairs])) for name in pairs[0][0]}
    return {**columns, "y": y}


def _is_batched(spec):
    if not isinstance(spec, tuple) or len(spec) != 2:
        raise ValueError(f"A data set must give pairs (x, y). Received: {spec}")
    return spec[1].shape.rank is None or spec[1].shape.rank > 0


def _decode(array):
    """Strings of tensors are bytes."""
    if array.dtype.kind not in "SO":
        return array
    texts = [each.decode("utf-8") if isinstance(each, bytes) else each for each in array.ravel()]
    return np.array(texts, dtype=object).reshape(array.shape)
