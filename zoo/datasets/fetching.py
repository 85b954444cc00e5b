"""Fetching files from public sources: resumed where it was cut, checked before anything has the final name."""

import contextlib
import errno
import gzip
import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path

from zoo.datasets import checksums

#: How often a cut or silent connection is tried again, how long to wait before, and for an answer, in seconds.
TRIES, PAUSE, PATIENCE = 4, 1.0, 30.0
PIECE = 2**16
#: Where sources lie until all of a file are there, beside the file.
SOURCES = ".sources"


class FetchError(FileNotFoundError):
    """A file could not be fetched; it says why and what to do."""


class _Cut(Exception):
    """A connection that ended too early, or did not come about. What came before is kept."""


def fetch(origin, path, checksum, progress=None, keep=()):
    """Makes a file from its public sources.

    It has its name once it is whole and its content has the checksum. What came of the sources stays when this is
    interrupted, by kill -9 too, and the next call goes on from there.

    Args:
        origin: a `zoo.datasets.origins.Origin`.
        path: the file's path; folders are made. A file that is there already is kept.
        checksum: the SHA-256 that its content must have (see `zoo.datasets.checksums`).
        progress: a `rich.progress.Progress` to show bars in; None for one on standard error where that is a terminal.
        keep: URLs of sources that other files need too, and which stay for them.

    Raises:
        FetchError: if the sources cannot be reached, are not there or are others, or if the disk is full.
    """
    path = Path(path)
    with _in_words(path), contextlib.ExitStack() as stack:
        (path.parent / SOURCES).mkdir(parents=True, exist_ok=True)
        stack.enter_context(_alone(path.parent))
        if path.is_file():
            return
        bar = stack.enter_context(bars()) if progress is None else progress
        task = bar.add_task(f"{path.parent.name}/{path.name}", total=None)
        parts = {url: _download(url, path.parent / SOURCES, _Row(bar, task)) for url in origin.urls}
        _convert(origin, list(parts.values()), path, checksum)
        for url, part in parts.items():
            if url not in keep:
                part.unlink()
        bar.update(task, visible=False)


def bars():
    """Bars of progress on standard error, to be used in a `with`; without a terminal there are none."""
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=20),
        progress.DownloadColumn(),
        progress.TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


class _Row:
    """A file's row among the bars."""

    def __init__(self, bars, task):
        self.bars, self.task = bars, task

    def begin(self, total, completed):
        self.bars.update(self.task, total=total, completed=completed)

    def advance(self, count):
        self.bars.advance(self.task, count)


def _download(url, folder, row):
    """The path of what is behind a URL, whole. It is kept under the URL's own name, as its content never changes."""
    whole = folder / hashlib.sha256(url.encode()).hexdigest()[:20]
    part = whole.with_suffix(".part")
    for attempt in range(TRIES if not whole.is_file() else 0):
        try:
            _continue(url, part, row)
            os.replace(part, whole)
            break
        except _Cut as cut:
            if attempt == TRIES - 1:
                came = part.stat().st_size if part.is_file() else 0
                raise FetchError(
                    f"{url} could not be read: {cut}. {came:,} bytes of it are kept. Try again to go on, once there is "
                    f"a network."
                ) from cut
            time.sleep(PAUSE * 2**attempt)
    return whole


def _continue(url, part, row):
    """Appends what is missing of a file, or begins it anew if the server gives it only whole."""
    size = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": "keras-attn", "Accept-Encoding": "identity"}
    if size:
        headers["Range"] = f"bytes={size}-"
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        return _refused(url, part, size, error)
    except (OSError, http.client.HTTPException) as error:
        raise _Cut(getattr(error, "reason", None) or error) from error
    with response:
        continued = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {size}-")
        size = size if continued else 0
        length = response.headers.get("Content-Length")
        total = None if length is None else size + int(length)
        row.begin(total, size)
        with open(part, "ab" if continued else "wb") as file:
            for piece in _pieces(response):
                file.write(piece)
                row.advance(len(piece))
    if total is not None and part.stat().st_size != total:
        raise _Cut(f"the connection ended after {part.stat().st_size:,} of {total:,} bytes")


def _refused(url, part, size, error):
    """What to do about an answer that is no file: nothing, if all of it is there already."""
    with error:
        if error.code == 416 and error.headers.get("Content-Range", "").endswith(f"/{size}"):
            return
        if error.code == 416:
            part.unlink()
            raise _Cut("what was kept of it is longer than it is, and begins anew")
        if error.code == 429 or error.code >= 500:
            raise _Cut(f"the server answers {error.code} {error.reason}")
        raise FetchError(f"{url} is not there: the server answers {error.code} {error.reason}.") from error


def _pieces(response):
    while True:
        try:
            piece = response.read(PIECE)
        except (OSError, http.client.HTTPException) as error:
            raise _Cut(error) from error
        if not piece:
            return
        yield piece


def _convert(origin, parts, path, checksum):
    """Writes the file beside its name, reads it again, and gives it its name if it is the right one."""
    written = path.with_name(f"{path.name}.part")
    try:
        content = origin.convert(*(part.read_bytes() for part in parts))
    except Exception as error:
        found = f"cannot be converted ({type(error).__name__}: {error})"
    else:
        try:
            with open(written, "wb") as file:
                # Without a time, so that the same content is the same file.
                file.write(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
                file.flush()
                os.fsync(file.fileno())
            found = checksums.content(written, path.suffix)
            if found == checksum:
                os.replace(written, path)
                return
            found = f"gives a file with SHA-256 {found} inside, and not {checksum}"
        finally:
            written.unlink(missing_ok=True)
    for part in parts:
        part.unlink()
    raise FetchError(
        f"{path.parent.name}/{path.name} is not what it should be: {', '.join(origin.urls[:3])} "
        f"{'and others ' * (len(origin.urls) > 3)}{found}. It was changed there or on its way. Nothing is kept."
    )


@contextlib.contextmanager
def _alone(folder):
    """One process at a time makes files of a folder, which may share sources; another one waits."""
    try:
        import fcntl
    except ImportError:  # On Windows two at a time write the same parts, which the checksum then finds.
        yield
        return
    with open(folder / SOURCES / "folder.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _in_words(path):
    try:
        yield
    except FetchError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(path.parent).free
            raise FetchError(
                f"There is no space left for {path} ({free:,} bytes are free). What came is kept: make space, and try "
                f"again to go on."
            ) from error
        raise FetchError(f"{path} cannot be written: {error}.") from error
