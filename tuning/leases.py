"""Who works on what, for processes that share a folder and no server: a claim is a file that must be kept fresh.

A claim on a name is the file `NAME.GENERATION.lease`, made by the one call that fails if it is there already; of
several the highest generation counts. Its holder sets the file's time anew from a thread. One that has not been set for
the lease's time has expired, as that of a process that was killed, and whoever makes the next generation has it then.
So a claim is never taken over by renaming or removing: between looking and doing it might be somebody else's.

Ages are differences of two times that the folder's own file system gave, so that no two clocks are compared.
"""

import contextlib
import dataclasses
import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path

from tuning.journal import file_name
from tuning.state import told

SUFFIX = ".lease"
#: How often a claim is set anew within its time: so many may come late before it is lost.
BEATS = 5


class Leases:
    """The claims in a folder.

    Args:
        folder: a path that all processes share. It is made if it is not there.
        seconds: how long a claim lives that is not renewed, above 0 and the same for all; some minutes on a network's
            file system, whose times may be seconds old.
        owner: who claims, for people; None for host and process.

    Raises:
        SearchFolderError: if the folder cannot be written to.

    Example:
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first, second = Leases(folder), Leases(folder)
    ...     with first.claim("gru.trial-0") as lease:
    ...         taken = second.claim("gru.trial-0")
    ...     with second.claim("gru.trial-0") as later:
    ...         lease is not None, taken is None, later.held
    (True, True, True)
    """

    def __init__(self, folder, seconds=60.0, owner=None):
        if not seconds > 0:
            raise ValueError(f"`seconds` must be above 0. Received: seconds={seconds!r}")
        self.folder = Path(folder)
        self.seconds = seconds
        self.owner = owner or f"{socket.gethostname()}:{os.getpid()}"
        self._probe = self.folder / f".now.{uuid.uuid4().hex}"
        with told(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def claim(self, name):
        """Claims a name.

        Whether the work is done already must be looked up once it is claimed: another may have just done it.

        Returns:
            A `Lease`, or None while another's lives.

        Raises:
            SearchFolderError: if the folder cannot be written to.
        """
        newest = self._newest(name)
        if newest is not None and self._age(newest) <= self.seconds:
            return None
        path = self._path(name, 0 if newest is None else _generation(newest) + 1)
        with told(path):
            if not self._create(path):
                return None
        if self._newest(name) != path:
            # It was looked at so long ago that this generation had already come and gone.
            path.unlink(missing_ok=True)
            return None
        for old in self._claims(name):
            if _generation(old) < _generation(path):
                old.unlink(missing_ok=True)
        return Lease(path, self.seconds)

    def holder(self, name):
        """Who holds a living claim: a dict with owner, host, pid and time; None if nobody does."""
        newest = self._newest(name)
        if newest is None or self._age(newest) > self.seconds:
            return None
        try:
            return json.loads(newest.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            # It is being written.
            return {"owner": "unknown"}

    def _create(self, path):
        """Makes a claim's file; False if another was first."""
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return False
        about = {"owner": self.owner, "host": socket.gethostname(), "pid": os.getpid(), "time": time.time()}
        try:
            with open(handle, "w", encoding="utf-8") as file:
                json.dump(about, file)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return True

    def _age(self, path):
        """How long ago a claim was renewed; for ever, if it has just gone."""
        try:
            return self._now() - path.stat().st_mtime
        except FileNotFoundError:
            return float("inf")

    def _now(self):
        """The time by the file system's clock."""
        with told(self._probe):
            self._probe.touch()
            now = self._probe.stat().st_mtime
            self._probe.unlink()
        return now

    def _newest(self, name):
        return max(self._claims(name), key=_generation, default=None)

    def _claims(self, name):
        start = f"{file_name(name)}."
        with os.scandir(self.folder) as entries:
            names = [entry.name for entry in entries]
        return [
            self.folder / found
            for found in names
            if found.startswith(start) and found.endswith(SUFFIX) and found[len(start) : -len(SUFFIX)].isdecimal()
        ]

    def _path(self, name, generation):
        return self.folder / f"{file_name(name)}.{generation}{SUFFIX}"


@dataclasses.dataclass(eq=False)
class Lease:
    """A claim that is held, and renewed until it is released. Use it in a `with`.

    Args:
        path: the claim's file.
        seconds: how long it lives that is not renewed.
    """

    path: Path
    seconds: float

    def __post_init__(self):
        self._ended = threading.Event()
        self._lost = False
        threading.Thread(target=self._beat, name=f"lease {self.path.name}", daemon=True).start()

    @property
    def held(self):
        """Whether it is still this process's: another may have it once it could not be renewed in time."""
        return not self._lost and not self._ended.is_set() and not self._is_lost()

    def release(self):
        """Gives it back: it has expired from now on. Its file stays, so that generations go on."""
        if self._ended.is_set():
            return
        self._ended.set()
        with contextlib.suppress(OSError):
            os.utime(self.path, (0, 0))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.release()

    def _beat(self):
        while not self._ended.wait(self.seconds / BEATS):
            try:
                os.utime(self.path)
            except FileNotFoundError:
                self._lost = True
            except OSError:
                # A full or unreachable disk may come back before the time is over.
                continue
            if self._ended.is_set():
                # It was released in this very moment.
                with contextlib.suppress(OSError):
                    os.utime(self.path, (0, 0))
                return
            if self._lost or self._is_lost():
                self._lost = True
                return

    def _is_lost(self):
        """Whether there is a later generation, or the file is gone."""
        name, _, _ = self.path.name.removesuffix(SUFFIX).rpartition(".")
        later = self.path.with_name(f"{name}.{_generation(self.path) + 1}{SUFFIX}")
        return later.exists() or not self.path.exists()


def _generation(path):
    return int(path.name.removesuffix(SUFFIX).rpartition(".")[2])
