import base64
import dataclasses
import json
import re

import pytest

import tuning
from tests.keras_attn.inspection import browser
from tuning import decide, looks, result
from tuning.factors import Factors
from tuning.journal import Run, SearchFolderError
from tuning.reporting import words

NASTY = '<script>alert("x")</script> | $a_b*'


FACTORS = Factors(
    number=1,
    complexity={"parameters": 1000, "flops": 1_740_000, "memory": 3 * 2**20},
    interpretability={
        "value": 0.71,
        "by": "pointing",
        "map": "weights (rollout)",
        "maps": {},
        "chance": 0.1,
        "examples": 32,
    },
    fit={
        "by": "length",
        "bins": [
            {"low": 3.0, "high": 5.0, "count": 7, "score": 0.95},
            {"low": 6.0, "high": 11.0, "count": 5, "score": None},
        ],
        "reach": 3.4,
        "profile": [{"low": 0, "high": 0, "share": 0.25}, {"low": 1, "high": 1, "share": 0.75}],
        "distance": [{"low": 1.0, "high": 4.0, "count": 12, "score": 0.875}],
    },
    resources={"training": 2.5, "latency": {}, "throughput": {}, "device": "a processor"},
    missing={"fit/by": "nobody <b>knows</b>"},
    seconds={"fit": 1.0},
)
needs_chromium = pytest.mark.skipif(browser.BINARY is None, reason="needs Chromium: name it in $KERAS_ATTN_CHROMIUM")


def family(name, kind, *test, failure=None, factors=None):
    retrainings = tuple(
        Run(
            name,
            "retraining",
            0,
            number,
            2,
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
    values = {"mixer": name, "learning_rate": 0.003}
    trial = Run(name, "trial", 0, 0, 2, 7, values, valid=0.5, curve=(0.5,), failure=failure)
    return result.FamilyResult(name, kind, (trial,), retrainings, factors)


def whole(task="digits", answer="explicit"):
    families = (
        family("multi_head", "explicit", 0.9, 0.92, factors=FACTORS),
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
        "1.74 M",
        "3.0 MiB",
        "0.71 (pointing, weights (rollout))",
        "a processor",
        "3 to 5: 0.950; 6 to 11: –",
        "0: 0.250; 1: 0.750",
        "1 to 4: 0.875",
        "nobody &lt;b&gt;knows",
        "SHA-256",
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
    assert len(pictures) == 3
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
    assert words.headline(dataclasses.replace(found, verdict=even)).endswith("take gru, which costs no more.")


def test_a_verdict_against_what_is_published_is_said():
    assert words.agreement(whole(answer="implicit")).endswith("This search does not agree.")
    assert words.agreement(whole(answer=None)) == ""


def test_a_difference_that_is_alike_on_all_seeds_is_said_to_be_of_least_spread():
    found = whole()
    (row, *_) = words._against(found.families[0], found.finished[:2], 0.02)
    # 0.4 on both seeds; each test score is one of a thousand, unless the result says better.
    assert row["method"] == "seeds, least spread"
    assert row["interval"] == row["of_seeds"] == "+0.3963 to +0.4037"
    assert dataclasses.replace(found.families[0], step=1 / 7).as_candidate().step == 1 / 7


def test_the_command_that_is_shown_is_read_as_the_same_mixers():
    import shlex

    from tuning import families

    parts = shlex.split(words.command(whole().search))
    assert families.parse(parts[parts.index("--mixers") + 1]) == whole().search["mixers"]


def test_the_command_names_the_proposer_if_it_is_not_the_usual_one():
    search = whole().search
    assert "--proposer" not in words.command(search) + words.command({**search, "proposer": "random"})
    assert "--proposer bayesian" in words.command({**search, "proposer": "bayesian"})


def test_the_command_says_the_size_of_models_once():
    search = {**whole().search, "budget": "flops=2e6"}
    assert "--budget flops=2e6" in words.command(search) and "--parameters" not in words.command(search)


def test_data_that_python_gave_has_no_command_but_a_checksum():
    search = {**whole(task="films").search, "arguments": [], "data": "0a1b"}
    assert words.command(search) == "tuning.compare from Python, on data with the SHA-256 0a1b"
    named = words.command({**search, "arguments": ["--train", "films.csv"]})
    assert named.startswith("keras-attn tune --train films.csv --out DIR")


def test_results_of_something_else_are_refused(tmp_path):
    (tmp_path / "results.json").write_text('{"verdict": 1}')
    with pytest.raises(SearchFolderError, match="does not hold the results of a search"):
        tuning.report(tmp_path)


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(SearchFolderError, match=r"results.json cannot be read"):
        tuning.report(tmp_path)


def test_old_results_without_factors_are_read_and_reported(tmp_path):
    whole().save(tmp_path)
    content = json.loads((tmp_path / "results.json").read_text())
    for each in content["families"]:
        del each["factors"]
    for comparison in content["verdict"]["comparisons"]:
        for name in ("method", "p", "adjusted", "among"):
            del comparison[name]
    (tmp_path / "results.json").write_text(json.dumps(content))
    assert result.load(tmp_path).families[0].factors is None
    tuning.report(tmp_path)
    assert "Five factors" not in (tmp_path / "report.html").read_text()


def test_fronts_are_of_the_means():
    assert whole().fronts()["parameters"] == ["multi_head"]
    assert whole().fronts()["flops"] == ["multi_head"]


@pytest.mark.parametrize("name", ["report.md", "report.html"])
def test_weights_are_followed_in_words_and_sums(tmp_path, name):
    whole().save(tmp_path)
    tuning.report(tmp_path, weigh="latency=2,flops=1")
    text = re.sub(r"\\(.)", r"\1", (tmp_path / name).read_text())
    assert "With the weights latency 2, flops 1: explicit attention, take multi_head, the same." in text
    assert "The flops of gru is missing and counts nothing." in text
    assert "3.000" in text and "latency (x 2)" in text


def test_weights_that_are_none_are_refused_before_anything_is_written(tmp_path):
    whole().save(tmp_path)
    with pytest.raises(ValueError, match="Did you mean 'latency'"):
        tuning.report(tmp_path, weigh={"latancy": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_the_json_report_says_what_the_page_says(folder):
    found = json.loads((folder / "report.json").read_text())
    assert found["headline"] == "Explicit attention serves digits best: take multi_head."
    assert found["factors"][0]["flops"] == "1.74 M"
    assert found["verdict"]["answer"] == "explicit"


def with_looks(folder):
    (folder / "looks").mkdir()
    (folder / "looks" / "0.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><text>mine</text></svg>')
    content = {"model": NASTY, "missing": None, "examples": [{"kind": "text", "answer": NASTY, "maps": {"a": [0.5]}}]}
    (folder / "looks" / "looks.json").write_text(json.dumps(content))


def test_maps_of_the_winner_are_in_the_page(folder):
    with_looks(folder)
    tuning.report(folder)
    page, markdown = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    assert base64.b64encode((folder / "looks" / "0.svg").read_bytes()).decode() in page
    assert "<script>" not in page + markdown and "](looks/0.svg)" in markdown
    assert "picture" not in json.loads((folder / "report.json").read_text())["looks"]["examples"][0]


def test_without_maps_there_is_no_word_of_them(folder):
    assert looks.load(folder) is None
    assert "looks at" not in (folder / "report.html").read_text()


def test_what_averages_inside_the_margin_is_told_from_what_lies_there():
    found = whole()
    pair = decide.Comparison("a", "b", (0.0, 0.01), 0.005, -0.1, 0.11, "inside the margin", "t", 0.5, 0.5)
    unsure = decide.Verdict(decide.NO_DIFFERENCE, "", "gru", (pair,))
    assert "though one is not excluded" in words.headline(dataclasses.replace(found, verdict=unsure))
    sure = decide.Verdict(decide.NO_DIFFERENCE, "", "gru", (dataclasses.replace(pair, outcome="equivalent"),))
    assert "not excluded" not in words.headline(dataclasses.replace(found, verdict=sure))


def test_trials_are_in_tensorboard_s_hparams_view(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2
    from tensorboard.util import tensor_util

    # Four families with a trial each, of which one failed.
    runs = sorted((folder / "tensorboard").iterdir())
    assert [run.name for run in runs] == ["gru-1-1-2", "identity-1-1-2", "multi_head-1-1-2"]
    events = EventAccumulator(str(runs[0])).Reload()
    tags = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    values = plugin_data_pb2.HParamsPluginData.FromString(tags).session_start_info.hparams
    assert (values["family"].string_value, values["learning_rate"].number_value) == ("gru", 0.003)
    assert tensor_util.make_ndarray(events.Tensors("validation score")[-1].tensor_proto) == pytest.approx(0.5)


def test_values_that_trials_chose_between_are_compared():
    runs = [
        Run("gru", "trial", n, 0, 2, 7, {"mixer": "gru", "dropout": d, "0/gru/bidirectional": True}, valid=v)
        for n, (d, v) in enumerate([(0.1, 0.5), (0.3, 0.7), (0.1, 0.6)])
    ]
    rows = words._effects(result.FamilyResult("gru", "implicit", tuple(runs), ()))
    assert [(row["option"], row["value"], row["trials"], row["best"], row["mean"]) for row in rows] == [
        ("dropout", "0.1", 2, "0.6000", "0.5500"),
        ("dropout", "0.3", 1, "0.7000", "0.7000"),
    ]


@needs_chromium
def test_the_page_is_readable_on_a_phone_and_asks_for_nothing(tmp_path):
    whole(task="w" * 90).save(tmp_path)
    with_looks(tmp_path)
    tuning.report(tmp_path, weigh={"score": 1, "latency": 2})
    with browser.Browser() as chromium:
        chromium._say("Emulation.setDeviceMetricsOverride", width=360, height=640, deviceScaleFactor=1, mobile=True)
        chromium.open(tmp_path / "report.html")
        # The page itself does not scroll sideways; tables do, in boxes of their own.
        assert chromium.run("document.documentElement.scrollWidth") <= 360
        assert chromium.run("[...document.querySelectorAll('table')].every(t => t.parentElement.className == 'table')")
        widths = "[...document.querySelectorAll('.table')].map(t => [t.scrollWidth, t.clientWidth])"
        assert any(whole > seen for whole, seen in chromium.run(widths))
        assert chromium.run("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert chromium.run("document.images.length") == 4
        asked = [each["request"]["url"][:5] for each in chromium.heard("Network.requestWillBeSent")]
        assert set(asked) <= {"file:", "data:"}
        assert not chromium.heard("Log.entryAdded") and not chromium.heard("Runtime.exceptionThrown")
