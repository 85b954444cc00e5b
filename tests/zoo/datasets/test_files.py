import gzip

import pytest

from tests.zoo.datasets.test_fetching import CONTENT, RIGHT, all_files, server  # noqa: F401
from zoo.datasets import catalog, fetching, files, holdings
from zoo.datasets.origins import ORIGINS, Origin


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A data directory and a cache, both empty, and one data set of two files whose source cannot be reached."""
    monkeypatch.setenv(files.VARIABLE, str(tmp_path / "data"))
    monkeypatch.setenv(files.CACHE, str(tmp_path / "cache"))
    monkeypatch.setenv(files.OFFLINE, "0")
    monkeypatch.setattr(fetching, "TRIES", 1)
    (tmp_path / "data" / "letters").mkdir(parents=True)
    offer(monkeypatch, "http://127.0.0.1:9/a.txt")
    return tmp_path


def offer(monkeypatch, url):
    monkeypatch.setitem(catalog.DATASETS, "letters", catalog.DataSet("reading", "none", catalog.KEEP))
    monkeypatch.setitem(ORIGINS, "letters", {name: Origin((url,)) for name in ("a.txt.gz", "b.txt")})
    monkeypatch.setattr(catalog, "_checksums", lambda: {"letters/a.txt.gz": RIGHT, "letters/b.txt": RIGHT})


def test_the_data_directory_comes_before_the_cache_and_the_cache_before_fetching(places, server, monkeypatch):  # noqa: F811
    offer(monkeypatch, server.url())
    fetched = files.find("letters", "a.txt.gz", "somewhere")
    assert fetched == places / "cache" / "letters" / "a.txt.gz" and gzip.decompress(fetched.read_bytes()) == CONTENT
    assert files.find("letters", "a.txt.gz", "somewhere") == fetched and len(server.asked) == 1
    (places / "data" / "letters" / "a.txt.gz").write_bytes(b"mine")
    assert files.find("letters", "a.txt.gz", "somewhere") == places / "data" / "letters" / "a.txt.gz"
    monkeypatch.delenv(files.VARIABLE)
    assert files.find("letters", "a.txt.gz", "somewhere") == fetched


def test_the_cache_is_in_keras_own_directory_unless_it_is_said_where(monkeypatch, tmp_path):
    monkeypatch.delenv(files.CACHE, raising=False)
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.cache() == tmp_path / ".keras" / "keras_attn" / "data"
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    assert files.cache() == tmp_path / "home" / "keras_attn" / "data"


def test_what_cannot_be_fetched_says_why_and_what_else_to_do(places):
    with pytest.raises(FileNotFoundError, match=r"could not be read: .* Set \$KERAS_ATTN_DATA to .* from somewhere"):
        files.find("letters", "a.txt.gz", "somewhere")


def test_nothing_is_fetched_where_that_is_not_wanted_or_not_possible(places, monkeypatch):
    with pytest.raises(
        FileNotFoundError, match=r"There is no .*/unknown/a .* holds unknown/a. The data comes from there"
    ):
        files.find("unknown", "a", "there")
    monkeypatch.setenv(files.OFFLINE, "1")
    with pytest.raises(FileNotFoundError, match=r"There is no .*, or fetch it: `keras-attn data fetch letters`"):
        files.find("letters", "a.txt.gz", "there")
    assert not (places / "cache").exists()


def test_a_data_directory_that_is_none_is_named(places, monkeypatch):
    monkeypatch.setenv(files.VARIABLE, str(places / "dta"))
    with pytest.raises(FileNotFoundError, match=r"\$KERAS_ATTN_DATA must be a directory. Received: .*dta"):
        files.find("letters", "a.txt.gz", "there")


def test_what_is_missing_is_fetched_and_what_is_there_is_kept(places, server, monkeypatch):  # noqa: F811
    offer(monkeypatch, server.url())
    (places / "data" / "letters" / "b.txt").write_bytes(CONTENT[:-1])
    assert holdings.look("letters").missing == ["a.txt.gz"]
    assert holdings.fetch("letters") == ["a.txt.gz"] and holdings.fetch("letters") == []
    assert holdings.look("letters").folders == [places / "cache" / "letters", places / "data" / "letters"]
    assert holdings.verify("letters") == {"a.txt.gz": True, "b.txt": False}


def test_a_source_of_two_files_comes_once_and_goes_once_it_is_not_needed(places, server, monkeypatch):  # noqa: F811
    offer(monkeypatch, server.url())
    files.fetch("letters", "a.txt.gz")
    sources = places / "cache" / "letters" / fetching.SOURCES
    assert len(all_files(sources)) == 1
    assert files.fetch("letters", "b.txt").read_bytes() == CONTENT and len(server.asked) == 1
    assert not all_files(sources)


def test_what_is_not_fetched_automatically_says_where_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv(files.VARIABLE, str(tmp_path))
    monkeypatch.setenv(files.CACHE, str(tmp_path))
    with pytest.raises(ValueError, match=r"Lay captions.tsv.gz, images.npz into a folder emoji_captions .*noto-emoji"):
        holdings.fetch("emoji_captions")
    with pytest.raises(ValueError, match="Did you mean 'reuters21578'"):
        holdings.fetch("reuters")
