"""Files and data sets become tables or arrays, or an error that says what is wrong."""

import gzip

import keras
import numpy as np
import pandas as pd
import pytest

from tuning.own import reading

TABLE = pd.DataFrame({"review": ["good, so good", "bad", 'a "b"'], "stars": ["1", "0", "1"]})


def written(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz"])
def test_a_table_comes_back_as_it_was_written(tmp_path, name):
    TABLE.to_csv(tmp_path / name, index=False, sep="\t" if ".tsv" in name else ",")
    pd.testing.assert_frame_equal(reading.read(tmp_path / name).astype(object), TABLE.astype(object))


def test_lines_of_json_keep_their_types(tmp_path):
    path = written(tmp_path, "a.jsonl", '{"tokens": ["a", "b"], "n": 3}\n{"tokens": [], "n": 5}\n')
    found = reading.read(path)
    assert found["tokens"].tolist() == [["a", "b"], []] and found["n"].tolist() == [3, 5]


def test_parquet_is_read(tmp_path):
    pytest.importorskip("pyarrow")
    TABLE.to_parquet(tmp_path / "a.parquet")
    assert reading.read(tmp_path / "a.parquet")["review"].tolist() == TABLE["review"].tolist()


def test_what_looks_like_a_missing_value_may_be_a_class(tmp_path):
    found = reading.read(written(tmp_path, "a.csv", "text,country\nx,NA\ny,\n"))
    assert found["country"].tolist()[0] == "NA" and pd.isna(found["country"][1])


def test_arrays_come_from_npz_dicts_and_pairs(tmp_path):
    x, y = np.ones((5, 3)), np.arange(5)
    np.savez(tmp_path / "a.npz", x=x, y=y)
    for data in (tmp_path / "a.npz", {"x": x, "y": y}, (x, y)):
        found = reading.read(data)
        assert found[0].shape == (5, 3) and found[1].tolist() == [0, 1, 2, 3, 4]


def test_a_dict_of_columns_is_a_table():
    assert list(reading.read({"a": ["x", "y"], "b": [1, 2]}).columns) == ["a", "b"]


@pytest.mark.parametrize("batch", [None, 2])
def test_a_tf_dataset_is_read_batched_or_not(batch):
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices((["good", "é", "bad"], [1, 0, 1]))
    x, y = reading.read(data if batch is None else data.batch(batch))
    assert (x.tolist(), y.tolist()) == (["good", "é", "bad"], [1, 0, 1])


def test_a_py_dataset_is_read():
    class Pairs(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return np.full((3, 5), index), np.full(3, index)

    x, y = reading.read(Pairs())
    assert x.shape == (6, 5) and y.tolist() == [0, 0, 0, 1, 1, 1]


def test_of_one_column_blank_lines_are_rows_but_for_the_last(tmp_path):
    found = reading.read(written(tmp_path, "a.csv", "text\nhello\n\nworld\n\n"))
    assert found["text"].fillna("").tolist() == ["hello", "", "world"]


def test_texts_of_several_lines_are_texts(tmp_path):
    TABLE.assign(review=["a\nb", "a\n\n", 'so "good"\n']).to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    assert reading.read(tmp_path / "a.tsv")["review"].tolist() == ["a\nb", "a\n\n", 'so "good"\n']


def test_lines_of_json_keep_their_names_and_may_begin_with_a_mark_of_their_encoding(tmp_path):
    found = reading.read(written(tmp_path, "a.jsonl", '\ufeff{"01": "a", "1": 2}\n'))
    assert list(found.columns) == ["01", "1"] and found["01"].tolist() == ["a"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "a.csv is empty"),
        ("a.csv", "review,stars\n", "names of columns .review, stars. and no rows"),
        ("a.csv", "review;stars\ngood;1\n", "are its columns between semicolons"),
        ("a.csv", "review\tstars\ngood\t1\n", "are its columns between tabs"),
        ("a.csv", "review,stars\né,1\n".encode("latin-1"), "a.csv is not UTF-8 text .* at byte 13"),
        ("a.csv", "a,b\n1,2\n1,2,3\n", "cannot be read as columns between commas"),
        ("a.csv", "text,label\ngood, yes,5\nbad, no,3\n", "more cells than the header has names .text, label.: quote"),
        ("a.csv", "text,label\ngood, yes,5\nbad,3\n", "more cells than the header has names"),
        ("a.csv", "text,label,label\ngood,1,2\n", "two columns called 'label'"),
        ("a.tsv", 'text\tlabel\n"so"\t1\n"so\t1\nbad\t0\n"no"\t1\n', "Row 2 .* holds whole rows in 'text': 'so.t1'"),
        ("a.jsonl", "{", "one JSON object a line"),
        ("a.npz", "no zip", "cannot be read as .npz"),
        ("a.npz", b"PK\x03\x04 cut", "cannot be read as .npz"),
        ("a.xlsx", "x", "Data is read from .csv, .tsv, .jsonl, .parquet, .npz"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, name, content, message):
    with pytest.raises(ValueError, match=message):
        reading.read(written(tmp_path, name, content))


def test_a_truncated_archive_is_said(tmp_path):
    whole = gzip.compress(b"a,b\n" + b"1,2\n" * 999)
    with pytest.raises(ValueError, match=r"a.csv.gz cannot be read"):
        reading.read(written(tmp_path, "a.csv.gz", whole[: len(whole) // 2]))


def test_nothing_pickled_is_read(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}], dtype=object), y=np.arange(1))
    with pytest.raises(ValueError, match=r"cannot be read as .npz"):
        reading.read(tmp_path / "a.npz")


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        reading.read(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((np.ones(3), np.ones(2)), "x and y must have as many rows. Received: 3 and 2"),
        ({"a": [1], "b": [1, 2]}, "Columns must have as many rows"),
        ((np.ones((0, 3)), np.ones(0)), "no rows"),
        (pd.DataFrame({"a": []}), "no rows"),
        (7, "Received: int"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        reading.read(data)
