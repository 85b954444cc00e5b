"""The memory of a search: one file a finished run, written so that neither Ctrl-C nor kill -9 can break it.

A file is there whole or not at all: it is written beside its place, forced to the disk, and renamed. A search that is
started again draws the same trials from the same seeds and finds the finished ones here.
"""

import contextlib
import dataclasses
import json
import os
import re
import zipfile
import zlib
from pathlib import Path

import numpy as np

DESCRIPTION = "search.json"
RUNS = "runs"
LOCK = ".lock"
PART = ".part."
STATE = ".state.npz"
#: What other processes make the task from.
TASK, DATA = "task.json", "data.npz"


class SearchFolderError(ValueError):
    """A folder that cannot hold this search."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run: a trial of the search, or a retraining of a family's best.

    Args:
        family: the family's name.
        stage: "trial" or "retraining".
        number: which of its configurations, from 0.
        round: which seed, from 0.
        epochs: after how many it was to stop: a rung of the race, or all of the task's.
        seed: of weights, order and dropout, drawn from the stage and the round.
        values: what keras-tuner drew, by name.
        mixer: the spec, or the list of them, that this means.
        width: the model's width.
        parameters: how many parameters the model has.
        valid: the validation score after the last epoch; None if the run failed.
        test: the test score; None for trials, which never see the test split.
        curve: the validation score after each epoch.
        seconds: time in training steps.
        epoch_seconds: the same, epoch by epoch.
        wall: time for all of the run, compiling included.
        redrawn: the test score on test examples drawn anew, as `tuning.measures.redrawn` has it; empty for trials.
        latency: seconds for an example by batch size, as text for JSON's sake; empty for trials.
        solved: whether it stopped early because nothing was left to learn.
        failure: why it failed; None if it did not.
    """

    family: str
    stage: str
    number: int
    round: int
    epochs: int
    seed: int
    values: dict
    mixer: object = None
    width: int = 0
    parameters: int = 0
    valid: float | None = None
    test: float | None = None
    curve: tuple = ()
    seconds: float = 0.0
    epoch_seconds: tuple = ()
    wall: float = 0.0
    redrawn: tuple = ()
    latency: dict = dataclasses.field(default_factory=dict)
    solved: bool = False
    failure: str | None = None

    @property
    def key(self):
        """What tells it from all other runs of a search."""
        return self.family, self.stage, self.number, self.round, self.epochs


def load_run(content):
    """The `Run` in plain data."""
    tuples = ("curve", "epoch_seconds", "redrawn")
    return Run(**{name: tuple(value) if name in tuples else value for name, value in content.items()})


class Files:
    """The files of a search's runs, under their names in its folder.

    Args:
        folder: a path.
    """

    def __init__(self, folder):
        self.folder = Path(folder)

    def weights(self, run):
        """Where the weights of a retraining lie."""
        return self._path(run).with_suffix(".npz")

    def width(self, run):
        """Width and parameters of the run's configuration in any other trial; None if there is none yet."""
        for path in sorted(self.folder.glob(f"{RUNS}/{file_name(run.family)}.trial-{run.number}.*.json")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                found = json.loads(path.read_text(encoding="utf-8"))
                if found["values"] == run.values and found["width"]:
                    return found["width"], found["parameters"]
        return None

    def keep_state(self, run, state):
        """Keeps what a run that paused at a rung needs to go on."""
        with write_whole(self._state(run)) as part, open(part, "wb") as file:
            np.savez(file, *state)

    def state(self, run):
        """What was kept for a run; None if nothing was, or it cannot be read: then it is trained from the start."""
        return _read_arrays(self._state(run))

    def drop_states(self, family, number):
        """Removes what was kept for a family's round, once it is over."""
        for path in self.folder.glob(f"{RUNS}/{file_name(family)}.trial-*.{number}.*{STATE}"):
            path.unlink(missing_ok=True)

    def clear(self):
        """Removes what a finished search needs no more: weights and states of runs, and what workers were given."""
        for path in (*self.folder.glob(f"{RUNS}/*.npz"), self.folder / TASK, self.folder / DATA):
            path.unlink(missing_ok=True)

    def _path(self, run):
        name = f"{run.round}" if run.stage == "retraining" else f"{run.number}.{run.round}.{run.epochs}"
        return self.folder / RUNS / f"{file_name(run.family)}.{run.stage}-{name}.json"

    def _state(self, run):
        return self._path(run).with_suffix(STATE)


class Journal(Files):
    """The runs of one search in one folder.

    Args:
        folder: a path. It is made if it is not there.
        description: a dict of plain data that says which search it is.
        warn: a function that is told what was set aside.
        alone: whether no other process works in the folder: then what a kill left half written is cleared.

    Raises:
        SearchFolderError: if the folder holds another search, or anything else.
    """

    def __init__(self, folder, description, warn=print, alone=True):
        super().__init__(folder)
        self.description = description
        self.warn = warn
        check_folder(self.folder, description)
        (self.folder / RUNS).mkdir(parents=True, exist_ok=True)
        write_json(self.folder / DESCRIPTION, description)
        if alone:
            for left_over in self.folder.glob(f"{RUNS}/{PART}*"):
                left_over.unlink()

    def find(self, wanted):
        """The finished run of the same key and values as `wanted`, or None if it must be run."""
        path = self._path(wanted)
        try:
            run = load_run(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, AttributeError) as error:
            return self._set_aside(path, f"cannot be read ({error})")
        if (run.key, run.values) != (wanted.key, wanted.values):
            return self._set_aside(path, "is not of this search")
        if run.test is not None and _read_arrays(self.weights(run)) is None:
            return self._set_aside(path, f"has lost its weights ({self.weights(run).name} cannot be read)")
        return run

    def add(self, run):
        """Writes a finished run."""
        write_json(self._path(run), dataclasses.asdict(run))

    def _set_aside(self, path, why):
        aside = path.with_suffix(".unreadable")
        os.replace(path, aside)
        self.warn(f"{path} {why}. It was renamed to {aside.name}, and this one run is done again.")


@contextlib.contextmanager
def alone(folder):
    """Keeps other processes of this machine out of a folder, where the system can.

    Raises:
        SearchFolderError: if one is at work there.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    # It is the process that holds the lock, and not the file, which a kill may leave behind.
    with open(folder / LOCK, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SearchFolderError(
                f"Another process is at work in {folder}: wait until it has ended, or name another folder."
            ) from None
        try:
            yield
        finally:
            (folder / LOCK).unlink(missing_ok=True)


def check_folder(folder, description):
    """Raises `SearchFolderError` unless the folder is new, empty, or holds this very search."""
    if folder.exists() and not folder.is_dir():
        raise SearchFolderError(f"The output must be a folder, and {folder} is a file.")
    path = folder / DESCRIPTION
    if not path.exists():
        _check_empty(folder)
        return
    found = read_json(path)
    differing = [
        f"{key}: {json.dumps(found.get(key))} there, {json.dumps(description.get(key))} now"
        for key in sorted({*found, *description})
        if found.get(key) != description.get(key)
    ]
    if differing:
        raise SearchFolderError(
            f"{folder} holds another search. What differs: {'; '.join(differing)}. Name another folder, "
            "or give the same command as then to go on."
        )


def _check_empty(folder):
    # What a kill in the first moment leaves behind is ours.
    names = (entry.name for entry in folder.glob("*"))
    strangers = sorted(name for name in names if name not in (RUNS, LOCK) and not name.startswith(PART))
    if strangers:
        raise SearchFolderError(
            f"{folder} holds other things ({', '.join(strangers[:3])}) and no search. Name a new folder."
        )


def read_json(path):
    """What a JSON file of a search holds, a dict.

    Raises:
        SearchFolderError: if it is not there or cannot be read.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SearchFolderError(f"{path} cannot be read ({error}).") from None
    if not isinstance(found, dict):
        raise SearchFolderError(f"{path} must hold a JSON object. Received: {str(found)[:40]}")
    return found


def write_json(path, content):
    """Writes JSON whole or not at all."""
    with write_whole(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@contextlib.contextmanager
def write_whole(path):
    """A path to write to; when all is written it becomes `path` in one step, and survives a crash of the machine."""
    part = part_of(path)
    try:
        yield part
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except Exception:
        # Half a file would keep a full disk full.
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    _sync_folder(path.parent)


def _read_arrays(path):
    """The arrays of an .npz file, each with its checksum; None if it is not there or cannot be read."""
    try:
        with np.load(path) as arrays:
            return [arrays[name] for name in arrays.files]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def part_of(path):
    """What a file is called while it is written; machines that share a folder do not share the name."""
    who = os.environ.get("KERASTUNER_TUNER_ID")
    return path.with_name(PART + (f"{file_name(who)}." if who else "") + path.name)


def _sync_folder(folder):
    """Makes the renaming itself last, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def file_name(name):
    """A name that is safe for files; if it had to be changed, with a checksum that keeps names apart."""
    safe = re.sub(r"[^\w+-]+", "-", name).strip("-")[:60]
    return safe if safe and safe == name else f"{safe}-{zlib.crc32(name.encode()):08x}"
