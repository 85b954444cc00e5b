import numpy as np
import pytest

from zoo.datasets import arrays


def test_arrays_come_in_the_order_asked_for(tmp_path):
    np.savez(tmp_path / "some.npz", a=[2], b=[3.0, 5.0], c=[7])
    c, b = arrays.read(tmp_path / "some.npz", "c", "b")
    assert c.tolist() == [7] and b.tolist() == [3.0, 5.0]
    with pytest.raises(ValueError, match=r"must hold the arrays \['a', 'd'\]. It holds: \['a', 'b', 'c'\]"):
        arrays.read(tmp_path / "some.npz", "a", "d")


def test_arrays_that_would_run_code_are_not_read(tmp_path):
    np.savez(tmp_path / "some.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        arrays.read(tmp_path / "some.npz", "a")


def test_a_damaged_archive_is_said_to_be(tmp_path):
    path = tmp_path / "some.npz"
    np.savez_compressed(path, a=np.arange(1000))
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(ValueError, match=r"some.npz is damaged: .* end is missing"):
        arrays.read(path, "a")
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + b"damaged" + whole[middle + 7 :])
    with pytest.raises(ValueError, match=r"some.npz is damaged: .* Get it again"):
        arrays.read(path, "a")


def test_what_was_joined_is_taken_apart_without_a_copy():
    joined = np.arange(14).reshape(7, 2)
    parts = arrays.take_apart(joined, np.array([0, 2, 2, 7], "uint32"))
    assert [len(part) for part in parts] == [2, 0, 5] and parts[2][0].tolist() == [4, 5]
    assert all(np.shares_memory(joined, part) for part in parts if len(part))


@pytest.mark.parametrize("offset", [[1, 7], [0, 5], [0, 5, 3, 7]], ids=["start", "end", "order"])
def test_offsets_that_do_not_fit_are_refused(offset):
    with pytest.raises(ValueError, match="must rise from 0 to 7"):
        arrays.take_apart(np.arange(7), np.array(offset, "uint32"))


def test_shorter_parts_are_padded_behind_and_longer_ones_cut():
    parts = [np.full((2, 3), 1), np.full((5, 3), 2)]
    x, lengths = arrays.pad(parts)
    assert x.shape == (2, 5, 3) and x.dtype == "float32" and lengths.tolist() == [2, 5]
    assert x[:, :, 0].tolist() == [[1, 1, 0, 0, 0], [2, 2, 2, 2, 2]]
    x, lengths = arrays.pad(parts, 3)
    assert x[:, :, 0].tolist() == [[1, 1, 0], [2, 2, 2]] and lengths.tolist() == [2, 3]
    with pytest.raises(ValueError, match="length=0"):
        arrays.pad(parts, 0)


def test_the_last_of_every_so_many_of_each_class_are_held_out():
    held = arrays.hold_out(np.array([1, 1, 0, 1, 0, 0, 1, 1, 1]), 3)
    assert np.flatnonzero(held).tolist() == [3, 5, 8]
    with pytest.raises(ValueError, match=r"at least 2\. Received: every=1"):
        arrays.hold_out(np.zeros(5), 1)


def test_a_table_is_read_with_its_dates_or_without(put, tmp_path):
    put("some", "a.csv.gz", "DATE,Up,Down\r\n2020-01-01,2,3.5\r\n2020-01-02,-5,7e1\r\n")
    dates, numbers = arrays.read_table(tmp_path / "some/a.csv.gz", ("up", "down"))
    assert dates == ["2020-01-01", "2020-01-02"] and numbers.tolist() == [[2.0, 3.5], [-5.0, 70.0]]
    put("some", "b.csv.gz", "2,3\n5,7\n")
    assert arrays.read_table(tmp_path / "some/b.csv.gz", ("up", "down"), dated=False)[1].tolist() == [[2, 3], [5, 7]]


@pytest.mark.parametrize("text", ["3\n", "3,x\n", "3,nan\n", "3,\n", "\n"])
def test_a_line_that_is_none_is_named(text, put, tmp_path):
    put("some", "a.csv.gz", f"date,up,down\n2020-01-01,2,3\n2020-01-02,{text}")
    with pytest.raises(ValueError, match=r"Line 3 of .* must have 2 numbers"):
        arrays.read_table(tmp_path / "some/a.csv.gz", ("up", "down"))


def test_a_table_with_other_columns_is_refused(put, tmp_path):
    put("some", "a.csv.gz", "date,down,up\n2020-01-01,2,3\n")
    with pytest.raises(ValueError, match="must name date, up, down"):
        arrays.read_table(tmp_path / "some/a.csv.gz", ("up", "down"))
    put("some", "a.csv.gz", "")
    with pytest.raises(ValueError, match="must name date, up, down"):
        arrays.read_table(tmp_path / "some/a.csv.gz", ("up", "down"))
