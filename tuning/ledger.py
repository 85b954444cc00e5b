"""Results as lines of JSON in a file that processes share and a kill cannot spoil."""

import json
import os


def append(path, content):
    """Adds a line in one write, so that processes may share a file; behind half a line, on a line of its own.

    Args:
        path: where to.
        content: plain data, as JSON has it.
    """
    text = (json.dumps(content) + "\n").encode()
    with open(path, "ab+", buffering=0) as file:
        if file.tell() and _last_byte(file) != b"\n":
            text = b"\n" + text
        file.write(text)
        os.fsync(file.fileno())


def read(path, key):
    """What stands in a file, none if there is no file; what a kill left unfinished is no line.

    Args:
        path: a `pathlib.Path`.
        key: a function that tells what a line is about: of several about the same the last counts.

    Returns:
        A list.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = [line for line in map(parse, lines) if line is not None]
    return list({key(line): line for line in found}.values())


def parse(line):
    """A line's content; None for half a line."""
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None


def _last_byte(file):
    file.seek(-1, os.SEEK_END)
    return file.read(1)
