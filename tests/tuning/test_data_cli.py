import gzip
import hashlib

import pytest

from tests.tuning.test_cli import run
from zoo.datasets import catalog, files

TEXT = b"All:\nSpeak.\n"


@pytest.fixture
def shakespeare(tmp_path, monkeypatch):
    """A data directory with one data set, which is not what it should be, and an empty cache."""
    (tmp_path / "tinyshakespeare").mkdir()
    (tmp_path / "tinyshakespeare" / "input.txt.gz").write_bytes(gzip.compress(TEXT))
    monkeypatch.setenv(files.VARIABLE, str(tmp_path))
    monkeypatch.setenv(files.CACHE, str(tmp_path / "cache"))
    return tmp_path


def test_all_data_sets_are_listed_with_their_licence_and_where_they_lie(shakespeare):
    found = run("data", "list")
    assert found.exit_code == 0, found.output
    for name, about in catalog.DATASETS.items():
        assert (
            f"{name} " in found.output
            and f"Licence: {about.licence}. Weights trained on it {about.weights}." in found.output
        )
    assert f"At {shakespeare / 'tinyshakespeare'}." in found.output
    assert "Not here. Get it: `keras-attn data fetch wikitext2`." in found.output
    assert "It is not fetched automatically: `keras-attn data fetch pjm_hourly` says what to do." in found.output


def test_content_is_verified_and_what_is_wrong_is_said(shakespeare, monkeypatch):
    found = run("data", "verify")
    assert found.exit_code == 1 and found.output == "tinyshakespeare/input.txt.gz: NOT what it should be\n"
    monkeypatch.setattr(catalog, "checksum", lambda *names: hashlib.sha256(TEXT).hexdigest())
    found = run("data", "verify", "tinyshakespeare")
    assert found.exit_code == 0 and found.output == "tinyshakespeare/input.txt.gz: right\n"
    found = run("data", "verify", "ett")
    assert found.exit_code == 1 and "ett/ETTh1.csv.gz: missing\n" in found.output


def test_where_nothing_lies_it_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv(files.VARIABLE, raising=False)
    monkeypatch.setenv(files.CACHE, str(tmp_path))
    found = run("data", "verify")
    assert found.exit_code == 1 and "There is no data here" in found.output


def test_what_is_there_is_not_fetched_again(shakespeare):
    found = run("data", "fetch", "tinyshakespeare")
    assert found.exit_code == 0 and found.output.startswith("All of it is there already.\n")


def test_what_is_fetched_is_named_with_its_place(shakespeare, monkeypatch):
    def fetch(dataset, name, progress=None):
        path = files.cache() / dataset / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    monkeypatch.setattr(files, "fetch", fetch)
    found = run("data", "fetch", "ett")
    assert found.exit_code == 0
    assert found.output == f"Fetched: ETTh1.csv.gz, ETTh2.csv.gz\nAt {shakespeare / 'cache' / 'ett'}.\n"


def test_errors_are_said_in_words(shakespeare):
    found = run("data", "fetch", "pjm_hourly")
    assert found.exit_code == 2 and "Error: pjm_hourly is not fetched automatically. Lay pjm10.csv.gz" in found.output
    found = run("data", "verify", "tinyshakespear")
    assert found.exit_code == 2 and "Did you mean 'tinyshakespeare'" in found.output
