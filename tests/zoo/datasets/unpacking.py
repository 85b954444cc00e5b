"""Sources of arrays, made from the arrays: what `zoo.datasets.packing` reads, with something else beside it."""

import gzip
import io
import itertools
import struct
import wave
import zipfile

import numpy as np


def idx(array):
    head = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(head + array.tobytes(), 1)


def images(arrays, part):
    return [idx(arrays["x"]), idx(arrays["y"])]


def zipped(files):
    """An archive of a repository with these files, by path, the last of them first."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("repository-0123/README.md", "Read me.")
        for path, content in reversed(files.items()):
            archive.writestr(f"repository-0123/{path}", content)
    return [file.getvalue()]


def parts(joined, offset):
    return [joined[first:last] for first, last in itertools.pairwise(offset)]


def wav(samples):
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


def recordings(arrays, part):
    names = [
        f"recordings/{digit}_{arrays['speakers'][speaker]}_{take}.wav"
        for digit, speaker, take in zip(arrays["y"], arrays["speaker"], arrays["take"])
    ]
    other = {"recordings/0_theo_50.wav": wav(np.zeros(3))}
    return zipped(other | dict(zip(names, map(wav, parts(arrays["pcm"], arrays["offset"])))))


def photographs(arrays, part):
    """In the order of classes, and within them of numbers, before lots were drawn."""
    numbers = np.random.default_rng(0)
    order = numbers.permutation(50_000)
    order = numbers.permutation(10_000) if part == "test" else order
    found = dict(zip(order, parts(arrays["jpeg"], arrays["offset"])))
    each = len(order) // 10
    other = {f"{'train' if part == 'test' else 'test'}/class_0/0001.jpg": b""}
    paths = (f"{part}/class_{place // each}/{place % each:04d}.jpg" for place in range(len(order)))
    return zipped(other | {path: found[place].tobytes() for place, path in enumerate(paths)})


def utterances(arrays, part):
    lines = [f"<s> {text} </s> ({name})" for text, name in zip(arrays["text"], arrays["utt"])]
    cepstra = {
        f"an4/feat/{speaker}/{name}.mfc": struct.pack(">i", frames.size) + frames.astype(">f4").tobytes()
        for name, speaker, frames in zip(arrays["utt"], arrays["speaker"], parts(arrays["mfcc"], arrays["offset"]))
    }
    return zipped({f"an4/etc/an4_{part}.transcription": "\n".join(lines)} | cepstra)


def series(arrays, part):
    """As columns where a class is below zero, and else with the classes behind the values."""
    texts = []
    for part in ("train", "test"):
        lines, ends = [], np.cumsum([0, *arrays[f"len_{part}"].astype("int64")])
        for values, label in zip(parts(arrays[f"x_{part}"][:, 0].tolist(), ends), arrays[f"y_{part}"]):
            name = arrays["classes"][label]
            columns = " ".join(f"{value:.9e}" for value in [float(name), *values])
            lines.append(f"  {columns}" if "-1" in arrays["classes"] else f"{','.join(map(repr, values))}:{name}")
        head = "" if "-1" in arrays["classes"] else "# about: it\n@problemName it\n@classLabel true 1 2\n@data\n"
        texts.append((head + "\n".join(lines) + "\n").encode())
    return texts


SOURCES = {
    "an4_mfcc": utterances,
    "cifar10_jpeg": photographs,
    "fashion_mnist": images,
    "fsdd": recordings,
    "ucr_small": series,
}
