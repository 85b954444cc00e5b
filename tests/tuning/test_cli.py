import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import keras_attn
from tests.tuning.standins import BLOBS
from tuning import cli, tasks, terminal

ROOT = Path(__file__).parents[2]
SMALL = ["--mixers", "identity", "--trials", "1", "--seeds", "1", "--epochs", "1"]


def run(*arguments):
    """Runs a command in this process."""
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def start(*arguments, **options):
    """Starts a command in a process of its own."""
    command = [sys.executable, "-m", "tuning", *map(str, arguments)]
    # A shell starts what runs in the background deaf to Ctrl-C, and what that starts inherits it.
    options["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


@pytest.fixture
def blobs(monkeypatch):
    monkeypatch.setitem(tasks.TASKS, "blobs", BLOBS)


def test_tasks_are_listed_with_what_is_published():
    found = run("tasks")
    assert found.exit_code == 0
    assert all(name in found.output for name in tasks.names())
    assert "Published: explicit" in found.output
    assert "Commonly said: implicit, for information spread out: a topic is said by" in found.output


def test_the_zoo_is_listed():
    found = run("zoo")
    assert found.exit_code == 0 and found.output == run("zoo", "list").output
    assert "mixer_gru_sst2" in found.output and "implicit; accuracy 0.832; 1,115,266 parameters" in found.output


def test_a_preset_s_card_is_shown():
    found = run("zoo", "show", "mixer_gru_sst2")
    assert found.exit_code == 0 and "**Licence**: of the data: none stated" in found.output


def test_a_preset_is_asked():
    found = run("zoo", "predict", "mixer_gru_sst2", "a stirring, funny and finally transporting film")
    assert found.exit_code == 0
    (first, high), (second, low) = (line.split() for line in found.output.splitlines())
    assert (first, second) == ("for", "against") and float(high) > 0.9 and float(high) + float(low) == pytest.approx(1)


@pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="KERAS_ATTN_DATA is not set")
def test_a_preset_is_evaluated_beside_its_card():
    found = run("zoo", "evaluate", "mixer_multi_head_sst2")
    assert found.exit_code == 0
    assert "accuracy: 0.8199" in found.output and "On its card: 0.8199" in found.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "mixer_gru_sst"], "Did you mean 'mixer_gru_sst2'"),
        (["evaluate", "mixer_gru_sst"], "Did you mean 'mixer_gru_sst2'"),
        (["predict", "mixer_gru_sst2", "nowhere.csv"], "There is no file 'nowhere.csv'"),
    ],
)
def test_what_the_zoo_has_not_is_said_in_a_line(arguments, message):
    found = run("zoo", *arguments)
    assert found.exit_code == 2 and found.output.startswith("Error: ") and message in found.output


def test_help_and_tasks_import_no_keras():
    for argument in ("--help", "tasks"):
        code = f"import sys; sys.argv = ['x', {argument!r}]; from tuning import cli\n"
        code += "try: cli.main()\nexcept SystemExit: pass\n"
        code += "assert not {'keras', 'tensorflow', 'keras_tuner'} & set(sys.modules)"
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def test_a_search_says_its_progress_and_its_verdict(blobs, tmp_path):
    found = run("tune", "blobs", "--out", tmp_path / "out", *SMALL)
    assert found.exit_code == 0, found.output
    assert "[ 50%] identity trial 1, seed 1, epoch 1 of 1" in found.output
    assert "best so far identity" in found.output
    assert "left" in found.output
    assert "No verdict on blobs." in found.output
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"results.json", "report.md", "report.html"}


def test_a_report_is_written_again(blobs, tmp_path):
    run("tune", "blobs", "--out", tmp_path / "out", *SMALL)
    (tmp_path / "out" / "report.html").unlink()
    found = run("report", tmp_path / "out")
    assert found.exit_code == 0
    assert "No verdict on blobs." in found.output
    assert (tmp_path / "out" / "report.html").exists()


def test_weights_are_followed_by_a_report(tmp_path):
    from tests.tuning.test_report import whole

    whole().save(tmp_path)
    found = run("report", tmp_path, "--weigh", "latency=2,score=1")
    assert found.exit_code == 0, found.output
    assert "With the weights latency 2, score 1: explicit attention, take multi_head, the same." in found.output
    assert "latency (x 2)" in (tmp_path / "report.html").read_text()
    wrong = run("report", tmp_path, "--weigh", "latancy=2")
    assert wrong.exit_code == 2 and "Did you mean 'latency'" in wrong.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tune", "digits", "--weigh", "latency"], "Received: latency"),
        (["tune", "digits", "--budget", "flop"], "Did you mean 'flops'"),
        (["tune", "digit"], "Did you mean 'digits'"),
        (["tune", "digits", "--mixers", "grv"], "Did you mean 'gru'"),
        (["tune", "digits", "--mixers", '{"mixer": "gru", "bidirektional": true}'], "Did you mean 'bidirectional'"),
        (["tune", "digits", "--trials", "0"], "`trials`: it must be an integer of at least 1"),
        (["tune", "digits", "--backend", "tensorflov"], "must be one of tensorflow, jax, torch. Received: tensorflov"),
    ],
)
def test_what_is_wrong_is_said_in_a_line_with_status_2(arguments, message, tmp_path):
    found = run(*arguments, "--out", tmp_path / "out")
    assert found.exit_code == 2
    assert found.output.startswith("Error: ") and message in found.output
    assert len(found.output.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_backend_that_is_not_installed_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(terminal.importlib.util, "find_spec", lambda name: None)
    found = run("tune", "digits", "--backend", "jax", "--out", tmp_path / "out")
    assert found.exit_code == 2
    assert "The backend jax is not installed" in found.output


def test_an_unknown_option_is_answered_with_a_near_one(tmp_path):
    found = run("tune", "digits", "--out", tmp_path, "--mixer", "gru")
    assert found.exit_code == 2
    assert "--mixers" in re.sub(r"\x1b\[[0-9;]*m", "", found.output)


def test_missing_data_is_said_with_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_ATTN_DATA", raising=False)
    found = run("tune", "sst2", "--out", tmp_path / "out")
    assert found.exit_code == 2
    assert "Set $KERAS_ATTN_DATA" in found.output


def test_a_folder_with_other_things_is_said(blobs, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    found = run("tune", "blobs", "--out", tmp_path, *SMALL)
    assert found.exit_code == 2
    assert "holds other things (thesis.txt)" in found.output


def test_a_report_of_nothing_is_said(tmp_path):
    found = run("report", tmp_path)
    assert found.exit_code == 2
    assert "results.json cannot be read" in found.output


def test_a_model_is_explained_as_a_page(tmp_path):
    quick = ["--method", "gradient_x_input"]
    found = run("explain", "mixer_multi_head_sst2", "not bad", *quick, "--out", tmp_path / "a.html")
    assert found.exit_code == 0, found.output
    assert found.output.startswith("Output ") and f"Written: {tmp_path / 'a.html'}" in found.output
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert 'aria-label="bad"' in text and "weights of multi_head" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mixer_gru_sst3", "not bad"], "Did you mean 'mixer_gru_sst2'"),
        (["none.keras", "not bad"], "There is no model 'none.keras'"),
        (["mixer_gru_sst2", "none.npy"], "There is no file 'none.npy'"),
        (["mixer_gru_sst2", "not bad", "--method", "occlusions"], "Did you mean 'occlusion'"),
        (["mixer_gru_sst2", "not bad", "--backend", "tensorflov"], "Received: tensorflov"),
    ],
)
def test_what_cannot_be_explained_is_said_in_a_line_with_status_2(arguments, message, tmp_path):
    found = run("explain", *arguments, "--out", tmp_path / "a.html")
    assert found.exit_code == 2
    assert found.output.startswith("Error: ") and message in found.output
    assert len(found.output.splitlines()) == 1 and not list(tmp_path.iterdir())


def test_a_page_into_a_folder_that_is_not_there_is_refused(tmp_path):
    found = run("explain", "mixer_gru_sst2", "not bad", "--out", tmp_path / "no" / "a.html")
    assert found.exit_code == 2 and "make it first" in found.output


def test_ctrl_c_says_how_to_go_on_and_the_same_command_goes_on(tmp_path):
    arguments = ["tune", "digits", "--out", tmp_path / "out", "--width", 4, *SMALL]
    process = start(*arguments)
    while process.poll() is None and not list(tmp_path.glob("out/runs/[!.]*.json")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Give the same command again to go on" in said
    assert "Traceback" not in said
    (kept,) = tmp_path.glob("out/runs/[!.]*.json")
    before = kept.read_bytes()
    again = start(*arguments)
    shown, said = again.communicate(timeout=240)
    assert again.returncode == 0, said
    assert "No verdict on digits." in shown
    assert kept.read_bytes() == before
    assert json.loads((tmp_path / "out" / "results.json").read_text())["search"]["width"] == 4


def test_a_backend_is_chosen_before_keras_is_imported(tmp_path):
    # Keras would not even be imported with this one.
    environment = {**os.environ, "KERAS_BACKEND": "none-of-them"}
    process = start("tune", "nothing", "--backend", "tensorflow", "--out", tmp_path / "out", env=environment)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "Unknown task 'nothing'" in said


def test_the_version_is_said():
    found = run("--version")
    assert (found.exit_code, found.output.strip()) == (0, keras_attn.__version__)


def test_who_reads_no_further_is_told_nothing():
    command = f"{sys.executable} -m tuning zoo list | true; exit ${{PIPESTATUS[0]}}"
    found = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (1, "")


def test_only_some_of_the_variables_of_a_chief_are_refused(blobs, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    found = run("tune", "blobs", "--out", tmp_path / "out", *SMALL)
    assert found.exit_code == 2 and "without KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_PORT" in found.output


def test_a_search_on_data_of_one_s_own_is_not_remembered_from_its_folder(tmp_path):
    rows = "".join(f"good fun {number},1\nbad film {number},0\n" for number in range(40))
    (tmp_path / "t.csv").write_text("text,label\n" + rows)
    own = ["--train", tmp_path / "t.csv", "--text", "text", "--label", "label", "--no-advice"]
    assert run("tune", *own, "--out", tmp_path / "out", *SMALL).exit_code == 0
    found = run("remember", tmp_path / "out", "--record", tmp_path / "mine.jsonl")
    assert found.exit_code == 2 and "tuning.record.add" in found.output
