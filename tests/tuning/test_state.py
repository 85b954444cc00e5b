import errno
import os

import pytest

from tuning import state
from tuning.journal import PART, SearchFolderError

FIRST = {"trials": [2, 3], "score": 0.1 + 0.2}
SECOND = {"trials": [2, 3, 5], "score": float("inf"), "name": "Größe", "by number": {7: None}}
SECOND_READ = {**SECOND, "by number": {"7": None}}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "oracle.json"


@pytest.fixture
def told():
    return []


def test_a_state_comes_back_as_it_was(path, told):
    state.write(path, SECOND)
    assert state.read(path, told.append) == SECOND_READ
    assert told == []


def test_the_state_before_is_kept(path):
    state.write(path, FIRST)
    assert sorted(os.listdir(path.parent)) == ["oracle.json"]
    state.write(path, SECOND)
    assert state.read(path.with_name("oracle.json.backup")) == FIRST


def test_truncated_at_any_byte_the_state_before_is_taken_with_a_warning(path):
    state.write(path, FIRST)
    state.write(path, SECOND)
    whole = path.read_bytes()
    for kept in range(len(whole)):
        path.write_bytes(whole[:kept])
        with pytest.warns(UserWarning, match=r"oracle.json is damaged .* The state before it was taken"):
            assert state.read(path) == FIRST


def test_any_changed_byte_is_seen(path, told):
    state.write(path, FIRST)
    state.write(path, {"a": 17})
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        found = state.read(path, told.append)
        assert found == FIRST, (place, path.read_bytes())
    assert len(told) == len(whole)


def test_without_the_last_state_the_backup_is_taken(path, told):
    state.write(path, FIRST)
    state.write(path, SECOND)
    path.unlink()
    assert state.exists(path)
    assert state.read(path, told.append) == FIRST
    assert "is not there" in told[0]


def test_a_damaged_state_never_becomes_the_backup(path, told):
    state.write(path, FIRST)
    state.write(path, SECOND)
    path.write_text("{")
    state.write(path, {"third": 3})
    assert state.read(path, told.append) == {"third": 3}
    path.write_text("{")
    assert state.read(path, told.append) == FIRST


def test_two_damaged_files_are_refused_with_what_to_do(path):
    state.write(path, FIRST)
    state.write(path, SECOND)
    for file in (path, path.with_name("oracle.json.backup")):
        file.write_text("[]")
    with pytest.raises(SearchFolderError, match=r"oracle.json is damaged .* and oracle.json.backup is damaged .* copy"):
        state.read(path)


def test_no_state_at_all_is_no_damage(path):
    assert not state.exists(path)
    with pytest.raises(FileNotFoundError, match="no state"):
        state.read(path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_a_full_disk_is_said_and_the_state_stays(path, told):
    state.write(path, FIRST)
    path.with_name(PART + path.name).symlink_to("/dev/full")
    with pytest.raises(SearchFolderError, match=r"The disk is full: make room.*unharmed"):
        state.write(path, SECOND)
    assert state.read(path, told.append) == FIRST
    state.write(path, SECOND)
    assert state.read(path, told.append) == SECOND_READ
    assert told == []


def test_a_read_only_folder_is_said(path, monkeypatch):
    # By a stand-in, since nothing is read-only to the system's administrator.
    def refuse(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("tuning.journal.os.replace", refuse)
    with pytest.raises(SearchFolderError, match="The file system is read-only: name a folder on another"):
        state.write(path, FIRST)
    assert os.listdir(path.parent) == []


def test_a_kill_at_any_moment_leaves_one_of_the_two_states(path, monkeypatch):
    """Each step that touches the disk is the last one in turn."""

    class Killed(BaseException):
        pass

    replace, fsync = os.replace, os.fsync
    for last in range(13):
        state.write(path, FIRST)
        left = [last]

        def counted(function, left=left):
            def step(*arguments):
                left[0] -= 1
                if left[0] < 0:
                    raise Killed
                return function(*arguments)

            return step

        monkeypatch.setattr("tuning.journal.os.replace", counted(replace))
        monkeypatch.setattr("tuning.journal.os.fsync", counted(fsync))
        try:
            state.write(path, SECOND)
        except Killed:
            assert state.read(path) in (FIRST, SECOND_READ)
        else:
            assert last == 6
            break
        finally:
            monkeypatch.setattr("tuning.journal.os.replace", replace)
            monkeypatch.setattr("tuning.journal.os.fsync", fsync)
