"""State that outlives a crash: JSON with its checksum, written whole, and the state before it kept as a backup."""

import contextlib
import errno
import hashlib
import json
import warnings
from pathlib import Path

from tuning.journal import SearchFolderError, write_whole

BACKUP = ".backup"
#: What to do about an error of the file system, by its number.
REMEDIES = {
    errno.ENOSPC: "The disk is full: make room, then give the same command again",
    errno.EDQUOT: "Your share of the disk is full: make room, then give the same command again",
    errno.EROFS: "The file system is read-only: name a folder on another",
    errno.EACCES: "You may not write there: name another folder, or change its permissions",
    errno.EPERM: "You may not write there: name another folder, or change its permissions",
}


def write(path, content):
    """Writes a state. A crash at any moment leaves it, or the one before, whole.

    Args:
        path: where to. The state that is there becomes the backup beside it.
        content: plain data, as JSON has it.

    Raises:
        SearchFolderError: if the disk is full, or the folder cannot be written to; what was there stays as it was.
    """
    path = Path(path)
    text = json.dumps({"checksum": _checksum(content), "state": content})
    with told(path):
        # Only what is whole becomes the backup: a damaged state must not replace the last good one.
        if _problem(path) is None:
            _write_text(_backup(path), path.read_text(encoding="utf-8"))
        _write_text(path, text)


def read(path, warn=warnings.warn):
    """The state that was written last, or the one before it if that is damaged.

    Args:
        path: where it lies.
        warn: a function that is told if the backup was taken.

    Raises:
        FileNotFoundError: if there is neither state nor backup.
        SearchFolderError: if both are damaged, or one is and the other is not there.
    """
    path = Path(path)
    problem = _problem(path)
    if problem is None:
        return _load(path)
    backup = _backup(path)
    if not path.exists() and not backup.exists():
        raise FileNotFoundError(f"There is no state at {path}.")
    worse = _problem(backup)
    if worse is not None:
        raise SearchFolderError(
            f"{path.name} {problem}, and {backup.name} {worse}, in {path.parent}. Put back a copy of one of them, or "
            "remove both to begin again."
        )
    warn(f"{path} {problem}. The state before it was taken, from {backup.name}.")
    return _load(backup)


def exists(path):
    """Whether there is a state, or its backup."""
    return Path(path).exists() or _backup(Path(path)).exists()


@contextlib.contextmanager
def told(path):
    """Errors of the file system in a `with`, as a `SearchFolderError` that says what to do."""
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno, "Name another folder, or mend this one")
        raise SearchFolderError(
            f"{path} cannot be written ({error.strerror or error}). {remedy}; what was there before is unharmed."
        ) from error


def _write_text(path, text):
    with write_whole(path) as part:
        part.write_text(text, encoding="utf-8")


def _backup(path):
    return path.with_name(path.name + BACKUP)


def _problem(path):
    """What is wrong with a state, in words; None if nothing is."""
    try:
        _load(path)
    except FileNotFoundError:
        return "is not there"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"is damaged ({' '.join(str(error).split())})"
    return None


def _load(path):
    whole = json.loads(path.read_text(encoding="utf-8"))
    if whole["checksum"] != _checksum(whole["state"]):
        raise ValueError("its checksum does not fit")
    return whole["state"]


def _checksum(content):
    """SHA-256 of plain data, whatever the order of its keys; of what JSON makes of it, where keys are text."""
    plain = json.loads(json.dumps(content))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
