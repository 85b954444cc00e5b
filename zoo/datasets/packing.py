"""From the files of a public source to the arrays of an .npz file: like `zoo.datasets.converters`, for what is no text.

The order, names and dtypes are those of the files that the zoo's models were trained on; the checksum counts them too.
"""

import gzip
import io
import re
import struct
import wave
import zipfile

import numpy as np


def images(pixels, labels):
    """Two gzipped files of the form IDX, of bytes `(N, H, W)` and `(N,)`."""
    return _pack(x=_read_idx(pixels, 3), y=_read_idx(labels, 1))


def photographs(part):
    """A function of an archive of JPEG files `<part>/<class>/<number>.jpg`, which puts them into an order drawn by lot.

    The lots of both parts are drawn one after another from one seed.
    """

    def pack(content):
        found = sorted(_members(content, rf"[^/]+/{part}/([^/]+)/\d+\.jpg"))
        names = sorted({name for (name,), _, _ in found})
        numbers = np.random.default_rng(0)
        order = numbers.permutation(50_000)
        order = numbers.permutation(10_000) if part == "test" else order
        if len(found) != len(order):
            raise ValueError(f"There must be {len(order)} images in {part}. There are {len(found)}.")
        jpeg = [np.frombuffer(found[place][2], "uint8") for place in order]
        y = [names.index(found[place][0][0]) for place in order]
        return _pack(jpeg=np.concatenate(jpeg), offset=_offset(jpeg), y=np.array(y, "uint8"))

    return pack


def recordings(first, last):
    """A function of an archive of sounds `<digit>_<speaker>_<take>.wav`, of which it takes some takes.

    Args:
        first, last: the first take and the last.
    """

    def pack(content):
        found = sorted(_members(content, r"[^/]+/recordings/(\d)_([a-z]+)_(\d+)\.wav"), key=lambda member: member[1])
        speakers = sorted({speaker for (_, speaker, _), _, _ in found})
        found = [member for member in found if first <= int(member[0][2]) <= last]
        sounds = [_read_wave(sound) for _, _, sound in found]
        digits, who, takes = zip(*(name for name, _, _ in found))
        return _pack(
            pcm=np.concatenate(sounds),
            offset=_offset(sounds),
            y=np.array(digits).astype("uint8"),
            speaker=np.array([speakers.index(speaker) for speaker in who], "uint8"),
            take=np.array(takes).astype("uint8"),
            speakers=np.array(speakers),
            sample_rate=np.int64(8000),
        )

    return pack


def utterances(part):
    """A function of an archive of cepstra, `<utterance>.mfc`, and `etc/an4_<part>.transcription` with their texts.

    A line there is `<s> <text> </s> (<utterance>)`, the second part of whose name is the speaker.
    """

    def pack(content):
        ((_, _, lines),) = _members(content, rf".*/etc/an4_{part}\.transcription")
        texts = re.findall(r"<s> (.*) </s> \((.+)\)", lines.decode())
        frames = {name: cepstra for (name,), _, cepstra in _members(content, r".*/([\w-]+)\.mfc")}
        frames = [_read_cepstra(frames[name]) for _, name in texts]
        return _pack(
            mfcc=np.concatenate(frames),
            offset=_offset(frames),
            text=np.array([text for text, _ in texts]),
            speaker=np.array([name.split("-")[1] for _, name in texts]),
            utt=np.array([name for _, name in texts]),
        )

    return pack


def series(classes):
    """A function of two texts, of training and test, a line a series: `<value>,<value>,...:<class>`, or columns.

    Columns are separated by spaces, the class before the values and as a number. What stands above `@data` is left out.

    Args:
        classes: their names, in the order of the labels.
    """

    def pack(*contents):
        arrays = {"classes": np.array(classes)}
        for part, content in zip(("train", "test"), contents, strict=True):
            rows = [_read_series(line) for line in content.decode().split("@data")[-1].splitlines() if line.strip()]
            arrays[f"x_{part}"] = np.concatenate([values for values, _ in rows])[:, None]
            arrays[f"len_{part}"] = np.array([len(values) for values, _ in rows], "uint16")
            arrays[f"y_{part}"] = np.array([classes.index(name) for _, name in rows], "uint8")
        return _pack(**arrays)

    return pack


def _read_series(line):
    values, _, name = line.strip().rpartition(":")
    if values:
        return np.array([float(value) for value in values.split(",")], "float32"), name
    name, *values = line.split()
    return np.array([float(value) for value in values], "float32"), str(int(float(name)))


def _members(content, pattern):
    """Of the files of an archive whose path is of that form: its groups, the path, and the content."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        for path in file.namelist():
            if found := re.fullmatch(pattern, path):
                yield found.groups(), path, file.read(path)


def _read_wave(content):
    with wave.open(io.BytesIO(content)) as file:
        form = (file.getnchannels(), file.getsampwidth(), file.getframerate())
        if form != (1, 2, 8000):
            raise ValueError(
                f"A recording must have 1 channel, 2 bytes a sample and 8000 samples a second, not {form}."
            )
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype("int16")


def _read_cepstra(content):
    """Frames of 13 numbers, in single precision, behind how many numbers there are; in either order of bytes."""
    for order in "><":
        if struct.unpack(f"{order}i", content[:4])[0] == (len(content) - 4) // 4:
            return np.frombuffer(content[4:], f"{order}f4").reshape(-1, 13).astype("float16")
    raise ValueError("A file of cepstra must begin with how many numbers it has.")


def _read_idx(content, dimensions):
    content = gzip.decompress(content)
    # Two zeros, the type (8: bytes), how many dimensions, and each of them in four bytes.
    start = 4 * (1 + dimensions)
    if content[:4] != bytes((0, 0, 8, dimensions)):
        raise ValueError(f"A file of bytes with {dimensions} dimensions begins otherwise than {content[:4]!r}.")
    return np.frombuffer(content[start:], "uint8").reshape(struct.unpack(f">{dimensions}I", content[4:start]))


def _offset(parts):
    return np.cumsum([0, *map(len, parts)]).astype("uint32")


def _pack(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()
