import gzip
import hashlib
import io
import os
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.zoo.datasets import unpacking
from zoo.datasets import (
    an4,
    babi,
    catalog,
    checksums,
    cifar10,
    cmudict,
    converters,
    emoji_captions,
    energy,
    ett,
    exchange_rate,
    fashion_mnist,
    files,
    finance,
    fsdd,
    mitbih,
    multi30k,
    physionet2012,
    reuters,
    sst2,
    tinyshakespeare,
    traffic,
    ucr,
    ud_ewt,
    wikitext2,
)
from zoo.datasets.origins import ORIGINS

real = pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")
LOADERS = {
    "an4_mfcc": an4,
    "babi": babi,
    "cifar10_jpeg": cifar10,
    "cmudict": cmudict,
    "emoji_captions": emoji_captions,
    "ett": ett,
    "exchange_rate": exchange_rate,
    "fashion_mnist": fashion_mnist,
    "finance": finance,
    "fsdd": fsdd,
    "metro_traffic": traffic,
    "mitbih_120hz": mitbih,
    "multi30k": multi30k,
    "physionet2012_icu": physionet2012,
    "pjm_hourly": energy,
    "reuters21578": reuters,
    "sst2": sst2,
    "tinyshakespeare": tinyshakespeare,
    "ucr_small": ucr,
    "ud_ewt": ud_ewt,
    "wikitext2": wikitext2,
}
FETCHED = [(dataset, name) for dataset, origins in ORIGINS.items() for name in origins]


@pytest.mark.parametrize("dataset", catalog.DATASETS)
def test_the_table_says_what_the_loader_says(dataset):
    assert catalog.DATASETS[dataset].licence == LOADERS[dataset].LICENCE


@pytest.mark.parametrize("dataset", catalog.DATASETS)
def test_a_data_set_is_fetched_whole_or_says_what_to_do(dataset):
    names = catalog.files(dataset)
    assert names and all(re.fullmatch("[0-9a-f]{64}", catalog.checksum(dataset, name)) for name in names)
    by_hand = bool(catalog.DATASETS[dataset].by_hand)
    assert set(ORIGINS.get(dataset, ())) == (set() if by_hand else set(names))


@pytest.mark.parametrize("dataset, name", FETCHED)
def test_sources_stay_as_they_are(dataset, name):
    for url in ORIGINS[dataset][name].urls:
        file = r"https://raw\.githubusercontent\.com/[\w.-]+/[\w.-]+/[0-9a-f]{40}/[\w./-]+"
        archive = r"https://github\.com/[\w.-]+/[\w.-]+/archive/[0-9a-f]{40}\.zip"
        assert re.fullmatch(f"{file}|{archive}", url)


CONLLU = b"""# sent_id = 1
# text = I don't.
1\tI\tI\tPRON\tPRP\tCase=Nom\t4\tnsubj\t4:nsubj\t_
2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\t_
2\tdo\tdo\tAUX\tVBP\t_\t4\taux\t4:aux\t_
3\tn't\tnot\tPART\tRB\t_\t4\tadvmod\t4:advmod\t_
3.1\tgo\tgo\tVERB\tVB\t_\t_\t_\t0:root\tCopyOf=4

# text = #1
1\t#\t#\tSYM\tNN\t_\t0\troot\t0:root\tSpaceAfter=No
2\t1\t1\tNUM\tCD\t_\t1\tnummod\t1:nummod\t_

"""


def test_words_of_conllu_are_those_that_are_numbered():
    assert converters.words(CONLLU).decode().splitlines() == [
        "I\tPRON\tPRP\t4\tnsubj",
        "do\tAUX\tVBP\t4\taux",
        "n't\tPART\tRB\t4\tadvmod",
        "",
        "#\tSYM\tNN\t0\troot",
        "1\tNUM\tCD\t1\tnummod",
    ]


def test_phrases_lose_their_header_and_those_that_are_to_be_tested():
    table = b"label\tsentence\r\n1\ta joy\r\n0\tdull .\r\n1\tdull\r\n"
    assert converters.phrases(table, b"1 a joy to see\n", b"1 dull .\n") == b"1 a joy\n1 dull\n"


def test_lines_lose_what_is_blank_and_what_is_elsewhere():
    assert converters.lines(b"A  AH\nA  AH\n\n") == b"A  AH\nA  AH\n"
    assert converters.lines_without(b"A  AH\nB  B IY\nA  AH\n\n", b"A  AH\n\n") == b"B  B IY\n"


def test_files_are_packed_in_their_order_with_nothing_else_said():
    packed = converters.archive(["en/b.txt", "en/a.txt"])(b"two", b"one")
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert [(member.name, member.size, member.mtime, member.uid) for member in tar] == [
            ("en/b.txt", 3, 0, 0),
            ("en/a.txt", 3, 0, 0),
        ]
        assert tar.extractfile("en/a.txt").read() == b"one"


def test_a_checksum_is_of_what_is_inside(tmp_path):
    quick, small = tmp_path / "quick", tmp_path / "small"
    quick.write_bytes(gzip.compress(b"text" * 101, 1))
    small.write_bytes(gzip.compress(b"text" * 101, 9, mtime=7))
    assert checksums.content(quick, ".gz") == checksums.content(small, ".gz") != checksums.content(small, ".txt")
    small.write_bytes(small.read_bytes()[:-5])
    assert checksums.content(small, ".gz") is None


def test_a_checksum_of_arrays_sees_values_names_dtypes_and_shapes(tmp_path):
    x, path = np.arange(6, dtype="int16"), tmp_path / "a.npz"
    found = set()
    for arrays in ({"x": x}, {"y": x}, {"x": x.reshape(2, 3)}, {"x": x.view("uint16")}, {"x": x[::-1]}):
        np.savez(path, **arrays)
        found.add(checksums.content(path, ".npz"))
    assert len(found) == 5 and None not in found
    np.savez_compressed(path, x=x)
    assert checksums.content(path, ".npz") in found
    for damaged in (path.read_bytes()[:-7], b"no archive"):
        path.write_bytes(damaged)
        assert checksums.content(path, ".npz") is None


def sources(dataset, name):
    """What a file's sources could be, made from the file at hand, and what else stands in them."""
    convert, path = ORIGINS[dataset][name].convert, files.find(dataset, name, "")
    if path.suffix == ".npz":
        with np.load(path) as file:
            return unpacking.SOURCES[dataset]({key: file[key] for key in file.files}, path.stem)
    if path.suffix != ".gz":
        return [path.read_bytes()]
    content = gzip.decompress(path.read_bytes())
    if dataset == "babi":
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            names = [url.partition("data/tasks_1-20_v1-2/")[2] for url in ORIGINS[dataset][name].urls]
            return [tar.extractfile(name).read() for name in names]
    if convert is converters.unzipped:
        return [gzip.compress(content, 1)]
    if convert is converters.lines_without:
        dev = gzip.decompress(files.find(dataset, "g2p_dev.txt.gz", "").read_bytes())
        return [dev + content + b"\n", dev]
    if convert is converters.phrases:
        rows = [line.replace(b" ", b"\t", 1) + b"\r\n" for line in content.splitlines()]
        return [b"label\tsentence\r\n0\tno film at all\r\n" + b"".join(rows), b"1 a joy .\n", b"0 no film at all\n"]
    if convert is converters.words:
        sentences = [sentence.split("\n") for sentence in content.decode().strip("\n").split("\n\n")]
        return ["".join(f"# text\n{as_conllu(sentence)}\n" for sentence in sentences).encode()]
    return [content]


def as_conllu(sentence):
    rows = [line.split("\t") for line in sentence]
    lines = ["{}\t{}\tlemma\t{}\t{}\t_\t{}\t{}\t_\t_\n".format(at, *row) for at, row in enumerate(rows, start=1)]
    return "1-2\t_\t_\n" + "".join(lines)


#: Not converted in the tests: what takes longest.
LONG = {("fashion_mnist", "train.npz"), ("cifar10_jpeg", "train.npz"), ("an4_mfcc", "train.npz"), ("fsdd", "train.npz")}


@real
@pytest.mark.parametrize("dataset, name", [pair for pair in FETCHED if pair not in LONG])
def test_sources_of_that_form_give_what_the_checksum_asks_for(dataset, name, tmp_path):
    written = tmp_path / name
    written.write_bytes(ORIGINS[dataset][name].convert(*sources(dataset, name)))
    kind = ".npz" if written.suffix == ".npz" else ".txt"
    assert checksums.content(written, kind) == catalog.checksum(dataset, name)


@real
def test_words_of_wikitext_are_the_very_files_that_its_source_names():
    """Git's names of these files there."""
    for name, blob in {"train": "2d84b35a", "valid": "eec944eb"}.items():
        content = gzip.decompress(files.find("wikitext2", f"{name}.txt.gz", "").read_bytes())
        assert hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest().startswith(blob)


def test_the_document_has_a_row_for_each_data_set_that_says_the_same():
    rows = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8").splitlines()
    words = {catalog.PUBLISH: "yes", catalog.MARK: "yes, marked", catalog.KEEP: "no"}
    for name, about in catalog.DATASETS.items():
        fetched = "by hand" if about.by_hand else "yes"
        assert f"| `{name}` | {about.task} | {about.licence} | {words[about.weights]} | {fetched} |" in rows
