import base64
import dataclasses
import re

import pytest

import tuning
from tuning import decide, result
from tuning.journal import Run, SearchFolderError
from tuning.reporting import words

NASTY = '<script>alert("x")</script> | $a_b*'


def family(name, kind, *test, failure=None):
    retrainings = tuple(
        Run(
            name,
            "retraining",
            number,
            100 + number,
            {"mixer": name, "learning_rate": 0.003},
            parameters=1000,
            valid=score,
            test=score,
            curve=(0.1, score),
            seconds=2.0 + number,
            latency={"1": 2e-3, "64": 1e-4},
        )
        for number, score in enumerate(test)
    )
    trial = Run(name, "trial", 0, 7, {"mixer": name, "learning_rate": 0.003}, valid=0.5, curve=(0.5,), failure=failure)
    return result.FamilyResult(name, kind, (trial,), retrainings)


def whole(task="digits", answer="explicit"):
    families = (
        family("multi_head", "explicit", 0.9, 0.92),
        family("gru", "implicit", 0.5, 0.52),
        family("identity", "control", 0.3, 0.3),
        family("lstm", "implicit", failure=NASTY),
    )
    search = {
        "task": task,
        "mixers": ["multi_head", ["gru", "multi_head"], {"mixer": "gru", "bidirectional": True}],
        "trials": 1,
        "seeds": 2,
        "seed": 0,
        "epochs": 2,
        "parameters": 1000,
        "width": None,
        "backend": "tensorflow",
        "versions": {"keras": "3.15.1"},
    }
    about = {"description": "Some task.", "margin": 0.02, "answer": answer, "measure": "accuracy"}
    verdict = decide.decide([one.as_candidate() for one in families if one.finished], 0.02)
    return result.Result(search, about, families, verdict, {"explicit": "models/explicit"}, 61.0)


@pytest.fixture
def folder(tmp_path):
    whole().save(tmp_path)
    tuning.report(tmp_path)
    return tmp_path


def test_results_are_read_back_as_they_were_written(folder):
    assert result.load(folder) == whole()


def test_the_first_line_is_the_verdict_in_words(folder):
    headline = "Explicit attention serves digits best: take multi_head."
    assert (folder / "report.md").read_text().splitlines()[0] == "# " + words.escape_markdown(headline)
    assert f"<h1>{headline}</h1>" in (folder / "report.html").read_text()


@pytest.mark.parametrize("name", ["report.md", "report.html"])
def test_a_report_says_all_that_was_found(folder, name):
    text = re.sub(r"\\(.)", r"\1", (folder / name).read_text())
    for said in (
        "multi_head less gru",
        "+0.4000",
        "0.9100",
        "0.0141",
        "1,000",
        "models/explicit",
        "Published for this task: explicit. This search agrees.",
        "keras-attn tune digits",
        "keras 3.15.1",
        "101",
    ):
        assert said in text


@pytest.mark.parametrize("name", ["report.md", "report.html"])
def test_no_name_or_failure_breaks_out_of_its_place(tmp_path, name):
    whole(task=NASTY).save(tmp_path)
    tuning.report(tmp_path)
    lines = (tmp_path / name).read_text().splitlines()
    # In Markdown four spaces make a block of code, in which everything is plain text.
    text = "\n".join(line for line in lines if not (name == "report.md" and line.startswith("    ")))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_tables_of_the_markdown_keep_their_columns(tmp_path):
    found = whole()
    odd = family("a|b", "control", 0.2, 0.2)
    dataclasses.replace(found, families=(*found.families, odd)).save(tmp_path)
    tuning.report(tmp_path)
    lines = [line for line in (tmp_path / "report.md").read_text().splitlines() if line.startswith("| a")]
    assert lines and all(r"a\|b" in line for line in lines)


def test_the_page_is_one_file_with_its_pictures(folder):
    page = (folder / "report.html").read_text()
    pictures = re.findall(r'<img alt="[^"]+" src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert len(pictures) == 2
    assert all(b"<svg" in base64.b64decode(picture) for picture in pictures)
    assert "http://" not in page and "https://" not in page
    assert 'name="viewport"' in page


def test_the_same_result_is_reported_the_same(folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    tuning.report(folder)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_search_in_which_all_failed_is_reported(tmp_path):
    found = whole()
    verdict = decide.decide([], 0.02)
    failed = (family("lstm", "implicit", failure="MemoryError: all of it"),)
    dataclasses.replace(found, families=failed, verdict=verdict, models={}).save(tmp_path)
    tuning.report(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert text.startswith("# No verdict on digits.")
    assert "MemoryError: all of it" in text


def test_the_headline_of_no_difference_names_the_cheaper():
    found = whole()
    even = decide.Verdict(decide.NO_DIFFERENCE, "", "gru")
    assert words.headline(dataclasses.replace(found, verdict=even)).endswith("take gru, the cheaper.")


def test_a_verdict_against_what_is_published_is_said():
    assert words.agreement(whole(answer="implicit")).endswith("This search does not agree.")
    assert words.agreement(whole(answer=None)) == ""


def test_the_command_that_is_shown_is_read_as_the_same_mixers():
    import shlex

    from tuning import families

    parts = shlex.split(words.command(whole().search))
    assert families.parse(parts[parts.index("--mixers") + 1]) == whole().search["mixers"]


def test_results_of_something_else_are_refused(tmp_path):
    (tmp_path / "results.json").write_text('{"verdict": 1}')
    with pytest.raises(SearchFolderError, match="does not hold the results of a search"):
        tuning.report(tmp_path)


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(SearchFolderError, match=r"results.json cannot be read"):
        tuning.report(tmp_path)
