import contextlib
import gzip
import hashlib
import http.server
import io
import os
import threading

import pytest
from rich.console import Console
from rich.progress import Progress

from zoo.datasets import converters, fetching
from zoo.datasets.origins import Origin

#: Nothing that repeats, so that bytes that are put together wrongly show.
CONTENT = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(251))
RIGHT = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` by path. It notes the ranges that it was asked for, and does what a test tells it.

    Attributes:
        cuts: after how many bytes each of the next answers ends; below zero it does not end, but falls silent.
        silence: ends it.
        answers: statuses of the next answers, instead of a file.
        ranges: whether parts of files can be had.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.asked, self.cuts, self.answers, self.ranges = {"/a.txt": CONTENT}, [], [], [], True
        self.silence = threading.Event()

    def url(self, path="/a.txt"):
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request, client_address):
        """A client that goes away is no fault."""


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, content = self.server, self.server.files.get(self.path)
        server.asked.append(self.headers.get("Range"))
        if server.answers or content is None:
            return self.send_error(server.answers.pop(0) if server.answers else 404)
        first = int(self.headers["Range"].removeprefix("bytes=").rstrip("-")) if self.headers["Range"] else 0
        first = first if server.ranges else 0
        if first >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            return self.end_headers()
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else len(content)
        self.wfile.write(content[first:][: abs(cut)])
        if cut < 0:
            server.silence.wait(5.0)

    def log_message(self, *arguments):
        """Tests are quiet."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(fetching, "PAUSE", 0.0)
    monkeypatch.setattr(fetching, "PIECE", 1013)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def all_files(folder):
    """The names of all files, without locks."""
    return {path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


def test_a_file_comes_whole_and_is_compressed_as_its_name_says(server, tmp_path):
    path = tmp_path / "set" / "a.txt.gz"
    fetching.fetch(Origin((server.url(),)), path, RIGHT)
    assert gzip.decompress(path.read_bytes()) == CONTENT
    assert all_files(tmp_path) == {"a.txt.gz"}
    fetching.fetch(Origin((server.url(),)), path, RIGHT)
    assert server.asked == [None]


def test_a_connection_that_is_cut_goes_on_where_it_was(server, tmp_path):
    server.cuts = [3001, 2003]
    fetching.fetch(Origin((server.url(),)), tmp_path / "set" / "a.txt", RIGHT)
    assert (tmp_path / "set" / "a.txt").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=3001-", "bytes=5004-"]


def test_what_is_cut_again_and_again_is_kept_for_the_next_time(server, tmp_path):
    server.cuts = [101] * fetching.TRIES
    with pytest.raises(fetching.FetchError, match=r"ended after 404 of 8,032 bytes. 404 bytes of it are kept"):
        fetching.fetch(Origin((server.url(),)), tmp_path / "set" / "a.txt", RIGHT)
    assert not (tmp_path / "set" / "a.txt").exists()
    fetching.fetch(Origin((server.url(),)), tmp_path / "set" / "a.txt", RIGHT)
    assert server.asked[-1] == "bytes=404-" and (tmp_path / "set" / "a.txt").read_bytes() == CONTENT


def test_an_interruption_leaves_what_came_and_no_file_of_that_name(server, tmp_path):
    class Interrupted(Progress):
        def advance(self, *arguments):
            raise KeyboardInterrupt

    path = tmp_path / "set" / "a.txt"
    with pytest.raises(KeyboardInterrupt):
        fetching.fetch(Origin((server.url(),)), path, RIGHT, Interrupted(disable=True))
    (left,) = all_files(tmp_path)
    assert left.endswith(".part") and not path.exists()
    fetching.fetch(Origin((server.url(),)), path, RIGHT)
    assert server.asked == [None, "bytes=1013-"] and path.read_bytes() == CONTENT


def test_a_server_that_falls_silent_is_left_and_asked_again(server, monkeypatch, tmp_path):
    monkeypatch.setattr(fetching, "PATIENCE", 0.1)
    server.cuts = [-2027]
    fetching.fetch(Origin((server.url(),)), tmp_path / "set" / "a.txt", RIGHT)
    assert server.asked == [None, "bytes=2026-"] and (tmp_path / "set" / "a.txt").read_bytes() == CONTENT
    server.silence.set()


def test_a_server_without_ranges_gives_all_of_it_again(server, tmp_path):
    server.ranges, server.cuts = False, [3001]
    fetching.fetch(Origin((server.url(),)), tmp_path / "set" / "a.txt", RIGHT)
    assert server.asked == [None, "bytes=3001-"] and (tmp_path / "set" / "a.txt").read_bytes() == CONTENT


@pytest.mark.parametrize("kept, asked", [(CONTENT, 1), (CONTENT + b"more", 2)], ids=["all of it", "too much of it"])
def test_a_killed_process_may_leave_all_of_a_source_or_more(kept, asked, server, tmp_path):
    server.cuts = [0] * fetching.TRIES
    with contextlib.suppress(fetching.FetchError):
        fetching.fetch(Origin((server.url(),)), tmp_path / "set" / "a.txt", RIGHT)
    (part,) = (tmp_path / "set" / fetching.SOURCES).glob("*.part")
    part.write_bytes(kept)
    server.asked.clear()
    fetching.fetch(Origin((server.url(),)), tmp_path / "set" / "a.txt", RIGHT)
    assert len(server.asked) == asked and (tmp_path / "set" / "a.txt").read_bytes() == CONTENT


def test_content_that_is_another_is_refused_and_not_kept(server, tmp_path):
    server.files["/a.txt"] = CONTENT[:-1] + b"!"
    with pytest.raises(fetching.FetchError, match=rf"set/a.txt is not what it should be.* and not {RIGHT}"):
        fetching.fetch(Origin((server.url(),)), tmp_path / "set" / "a.txt", RIGHT)
    assert all_files(tmp_path) == set()
    server.files["/a.txt"] = CONTENT
    fetching.fetch(Origin((server.url(),)), tmp_path / "set" / "a.txt", RIGHT)
    assert all_files(tmp_path) == {"a.txt"}


def test_content_that_cannot_be_converted_is_refused_and_not_kept(server, tmp_path):
    with pytest.raises(fetching.FetchError, match=r"a.txt cannot be converted \(BadGzipFile"):
        fetching.fetch(Origin((server.url(),), converters.unzipped), tmp_path / "set" / "a.txt", RIGHT)
    assert all_files(tmp_path) == set()


def test_what_is_not_there_is_said_to_be_at_once(server, tmp_path):
    with pytest.raises(fetching.FetchError, match=r"/b.txt is not there: the server answers 404"):
        fetching.fetch(Origin((server.url("/b.txt"),)), tmp_path / "set" / "b.txt", RIGHT)
    assert len(server.asked) == 1 and all_files(tmp_path) == set()


def test_a_server_that_is_busy_is_asked_again(server, tmp_path):
    server.answers = [503, 429]
    fetching.fetch(Origin((server.url(),)), tmp_path / "set" / "a.txt", RIGHT)
    assert len(server.asked) == 3
    server.answers = [500] * fetching.TRIES
    with pytest.raises(fetching.FetchError, match="the server answers 500"):
        fetching.fetch(Origin((server.url(),)), tmp_path / "set" / "c.txt", RIGHT)


def test_where_there_is_no_network_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(fetching, "PAUSE", 0.0)
    with Server() as server:
        url = server.url()
    with pytest.raises(fetching.FetchError, match=r"could not be read: .*refused.* once there is a network"):
        fetching.fetch(Origin((url,)), tmp_path / "set" / "a.txt", RIGHT)


def test_several_sources_make_a_file_and_those_that_came_do_not_come_again(server, tmp_path):
    server.files |= {"/train": b"A  AH\nB  B IY\n\n", "/dev": b"A  AH\n"}
    origin = Origin((server.url("/train"), server.url("/dev")), converters.lines_without)
    checksum = hashlib.sha256(b"B  B IY\n").hexdigest()
    del server.files["/dev"]
    with pytest.raises(fetching.FetchError, match="/dev is not there"):
        fetching.fetch(origin, tmp_path / "set" / "train.gz", checksum)
    server.files["/dev"] = b"A  AH\n"
    fetching.fetch(origin, tmp_path / "set" / "train.gz", checksum)
    assert len(server.asked) == 3 and all_files(tmp_path) == {"train.gz"}


def test_of_two_at_a_time_one_fetches_and_the_other_waits(server, tmp_path):
    path = tmp_path / "set" / "a.txt"
    threads = [
        threading.Thread(target=fetching.fetch, args=(Origin((server.url(),)), path, RIGHT, Progress(disable=True)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 1 and path.read_bytes() == CONTENT


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no disk here that is always full")
def test_a_full_disk_is_said_to_be(server, tmp_path):
    path = tmp_path / "set" / "a.txt"
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.txt.part").symlink_to("/dev/full")
    with pytest.raises(fetching.FetchError, match=r"no space left for .*a.txt .* bytes are free"):
        fetching.fetch(Origin((server.url(),)), path, RIGHT)
    # What was written is gone, and what came is not.
    assert not path.exists() and [name for name in all_files(tmp_path) if "." not in name]


def test_a_place_that_is_none_is_named(server, tmp_path):
    (tmp_path / "set").write_text("a file")
    with pytest.raises(fetching.FetchError, match=r"set/a.txt cannot be written"):
        fetching.fetch(Origin((server.url(),)), tmp_path / "set" / "a.txt", RIGHT)


def test_a_bar_shows_whose_file_it_is_and_how_far_it_came(server, tmp_path):
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=101)
    progress = Progress("{task.description} {task.completed} of {task.total}", console=console, auto_refresh=False)
    server.cuts = [3001]
    advance = progress.advance

    def watched(*arguments):
        advance(*arguments)
        progress.refresh()

    progress.advance = watched
    with progress:
        fetching.fetch(Origin((server.url(),)), tmp_path / "set" / "a.txt", RIGHT, progress)
    assert "set/a.txt 3001 of 8032" in shown.getvalue() and "set/a.txt 8032 of 8032" in shown.getvalue()
