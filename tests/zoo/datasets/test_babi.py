import io
import os
import tarfile

import pytest

from zoo.datasets import babi

real = pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")

TEXT = """1 Mary went to the garden.
2 John took the milk.
3 Where is Mary?\tgarden\t1
4 Mary left.
5 What does John have?\tmilk,apple\t2 4
1 Fred slept.
2 Why?\ttired\t1
"""


def archive(folder, monkeypatch, files, name="babi_v1.2_en.tar.gz"):
    """A data directory with an archive of these files, by name: texts, or None for a link."""
    (folder / "babi").mkdir()
    with tarfile.open(folder / "babi" / name, "w:gz") as tar:
        for path, text in files.items():
            member = tarfile.TarInfo(path)
            if text is None:
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(member)
            else:
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text.encode()))
    monkeypatch.setenv("KERAS_ATTN_DATA", str(folder))


def test_a_question_knows_what_was_told_before_it_and_its_facts_count_sentences_alone():
    first, second, third = babi.parse(TEXT)
    assert first == babi.Question(("Mary went to the garden.", "John took the milk."), "Where is Mary?", "garden", (0,))
    assert second.story == (*first.story, "Mary left.")
    assert second.answer == "milk,apple" and second.facts == (1, 2)
    assert third == babi.Question(("Fred slept.",), "Why?", "tired", (0,))


@pytest.mark.parametrize(
    "text",
    ["Mary went.", "1 Mary went.\n2 Where?\tgarden", "1 Mary went.\n2 Where?\tgarden\t3", "1 Mary.\n2 Where?\t\t1"],
    ids=["no number", "no facts", "a fact that was not told", "no answer"],
)
def test_a_line_that_is_none_is_named(text):
    with pytest.raises(ValueError, match=f"Line {len(text.splitlines())} must"):
        babi.parse(text)


def test_a_task_is_read_from_the_archive_by_its_number(tmp_path, monkeypatch):
    archive(tmp_path, monkeypatch, {"en/qa1_a-b_train.txt": TEXT, "en/qa11_c_train.txt": "", "en/qa1_a-b_test.txt": ""})
    assert babi.load(1, "train") == babi.parse(TEXT)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["babi", "babi_v1.2_en.tar.gz"]


@pytest.mark.parametrize("name", ["../en/qa1_a_train.txt", "/en/qa1_a_train.txt", "en/qa1_../x_train.txt"])
def test_a_file_elsewhere_is_not_read(name, tmp_path, monkeypatch):
    archive(tmp_path, monkeypatch, {name: TEXT})
    with pytest.raises(FileNotFoundError, match="must hold one file"):
        babi.load(1, "train")


def test_links_and_files_that_are_too_large_are_not_read(tmp_path, monkeypatch):
    archive(tmp_path, monkeypatch, {"en/qa1_a_train.txt": None, "en/qa2_b_train.txt": TEXT})
    with pytest.raises(FileNotFoundError, match="must hold one file"):
        babi.load(1, "train")
    monkeypatch.setattr(babi, "LARGEST_FILE", 50)
    with pytest.raises(ValueError, match="none should have over 50"):
        babi.load(2, "train")


def test_what_there_is_not_is_refused_before_anything_is_read():
    with pytest.raises(ValueError, match="from 1 to 20"):
        babi.load(21, "train")
    with pytest.raises(ValueError, match="split of babi"):
        babi.load(1, "dev")
    with pytest.raises(ValueError, match="size of babi"):
        babi.load(1, "train", "100k")


@real
@pytest.mark.parametrize("size, count", [("1k", 1000), ("10k", 10000)])
def test_there_are_as_many_questions_as_are_published(size, count):
    assert len(babi.load(7, "train", size)) == count and len(babi.load(7, "test", size)) == 1000
    # The smaller set is the beginning of the larger one.
    assert babi.load(7, "train", size)[:1000] == babi.load(7, "train")


@real
def test_the_longest_stories_are_as_long_as_is_published():
    assert [max(len(question.story) for question in babi.load(task, "test")) for task in (2, 3)] == [88, 228]
    assert max(len(question.story) for question in babi.load(5, "train")) == 102


@real
def test_the_training_file_that_is_missing_is_said_to_be():
    with pytest.raises(FileNotFoundError, match="task 3, train, 10k"):
        babi.load(3, "train", "10k")


@real
def test_questions_are_those_in_the_file():
    question = babi.load(2, "test")[3]
    assert question.question == "Where is the football?" and question.answer == "hallway"
    assert [question.story[fact] for fact in question.facts] == [
        "John put down the football.",
        "John went to the hallway.",
    ]
    path = babi.load(19, "test")[3]
    assert path.question == "How do you go from the kitchen to the bathroom?" and path.answer == "n,w"
    assert [path.story[fact] for fact in path.facts] == [
        "The kitchen is south of the bedroom.",
        "The bedroom is east of the bathroom.",
    ]
