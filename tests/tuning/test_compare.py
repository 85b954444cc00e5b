import dataclasses
import errno
import json
import os
import types

import numpy as np
import pytest

import tuning
import zoo
from tests.tuning.standins import BLOBS, DIGITS, dense, search
from tuning import comparison, decide, factors, looks, measures, result, training
from tuning.factors import families as measured
from tuning.journal import Run, SearchFolderError


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("search") / "out"


@pytest.fixture(scope="module")
def found(out):
    return tuning.compare(DIGITS, out=out)


def test_a_search_ends_with_a_verdict_on_paired_seeds(found):
    # So small a budget may well show nothing.
    assert found.verdict.answer in ("implicit", "explicit", "no difference that matters", "no verdict")
    seeds = [[run.seed for run in family.retrainings] for family in found.families]
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 2


def test_no_seed_of_the_search_is_used_to_judge(found):
    trials = {run.seed for family in found.families for run in family.trials}
    judged = {run.seed for family in found.families for run in family.retrainings}
    assert not trials & judged


def test_trials_never_see_the_test_split(found):
    assert all(run.test is None for family in found.families for run in family.trials)


def test_parameters_are_equal_within_ten_percent(found):
    assert all(abs(family.parameters / DIGITS.parameters - 1) <= 0.1 for family in found.families)


def test_time_and_latency_stand_beside_the_scores(found):
    for family in found.families:
        assert family.seconds > 0
        assert set(family.latency) == {"1", "64"}


def test_each_family_knows_how_fine_its_test_scores_are(found):
    assert {family.as_candidate().step for family in found.families} == {1 / len(DIGITS.data(0).test)}


def test_the_interval_is_over_seeds_and_over_test_examples(found):
    for family in found.families:
        candidate = family.as_candidate()
        assert candidate.units == len(DIGITS.data(0).test)
        assert [len(draws) for draws in candidate.redrawn] == [measures.DRAWS] * 2
        # Other examples give other scores, about what these give.
        for score, draws in zip(candidate.test, candidate.redrawn, strict=True):
            assert np.std(draws) > 0 and abs(np.mean(draws) - score) < 4 * np.std(draws) / np.sqrt(measures.DRAWS)
    assert {each.method for each in found.verdict.comparisons} == {decide.BOTH}
    assert "(over seeds and test examples" in found.verdict.reason


def test_results_of_before_test_examples_were_drawn_anew_are_read(found, out, tmp_path):
    content = json.loads((out / "results.json").read_text())
    for family in content["families"]:
        del family["units"]
        for run in (*family["trials"], *family["retrainings"]):
            del run["redrawn"]
    (tmp_path / "results.json").write_text(json.dumps(content))
    older = result.load(tmp_path)
    assert older.verdict == found.verdict and {family.as_candidate().redrawn for family in older.families} == {()}


def test_the_best_of_each_kind_loads_and_scores_as_reported(found, out):
    assert set(found.models) == {"implicit", "explicit"}
    test = DIGITS.data(0).test
    for kind, folder in found.models.items():
        (family,) = (family for family in found.families if family.kind == kind)
        best = max(family.retrainings, key=lambda run: (run.valid, -run.round))
        model = zoo.load(out / folder)
        assert np.mean(model.predict(test.x, verbose=0).argmax(-1) == test.y) == pytest.approx(best.test)


def test_each_family_s_factors_are_measured_and_the_winner_s_maps_drawn(found, out):
    for family in found.families:
        assert family.factors.complexity["flops"] > 0
        assert family.factors.interpretability["by"] == "faithfulness"
        assert family.factors.number == max(family.retrainings, key=lambda run: (run.valid, -run.number)).number
    drawn = looks.load(out)
    assert (drawn["model"], drawn["missing"]) == (found.verdict.winner, None)
    assert len(drawn["examples"]) == 3 and all("<svg" in example["picture"] for example in drawn["examples"])


def test_what_was_measured_before_is_not_measured_again(found, out, monkeypatch):
    monkeypatch.setattr(factors, "measure", lambda *_: pytest.fail("it was measured"))
    (first, _) = found.families
    journal = types.SimpleNamespace(folder=out)
    assert measured.of_all(DIGITS, None, journal, [first]) == (first,)


def test_factors_can_be_left_out(tmp_path):
    found = tuning.compare(BLOBS, trials=1, seeds=1, epochs=1, out=tmp_path, factors=False)
    assert [family.factors for family in found.families] == [None, None]
    assert looks.load(tmp_path) is None


def test_a_budget_of_flops_is_the_same_for_all(tmp_path):
    found = tuning.compare(BLOBS, trials=1, seeds=1, epochs=1, out=tmp_path, factors=False, budget="flops=1200")
    assert {family.retrainings[0].width for family in found.families} == {25}
    assert found.search["budget"] == "flops=1200"


def test_the_winning_preset_is_of_the_winning_family(found):
    assert found.preset == found.models[found.family(found.verdict.winner).kind]


def test_results_come_back_from_the_folder_as_they_were(found, out):
    assert result.load(out) == found


def test_the_same_search_in_another_folder_gives_the_same_scores(found, tmp_path):
    (again,) = search(DIGITS, mixers=["multi_head"], seeds=1, out=tmp_path).families
    assert again.test == found.family("multi_head").test[:1]


def test_without_a_folder_nothing_is_kept():
    found = search(BLOBS, mixers=["identity"], trials=1, seeds=1, epochs=1)
    assert found.verdict.answer == "no verdict"
    assert len(found.families[0].retrainings) == 1


def breaking(mixer, width, dropout):
    """A model whose training fails for one mixer."""
    model = dense(mixer, width, dropout)
    if mixer == {"mixer": "pooling"}:

        def fail(*arguments, **options):
            raise MemoryError("no room <for> it")

        model.fit = fail
    return model


def test_a_family_that_fails_is_recorded_and_the_others_go_on(tmp_path, capsys):
    task = dataclasses.replace(BLOBS, model=breaking)
    found = search(task, out=tmp_path)
    assert "Traceback" not in "".join(capsys.readouterr())
    good, bad = found.families
    assert good.finished and not bad.finished
    assert len(bad.trials) == 3 and bad.retrainings == () and bad.fate == "no run came to its end"
    assert bad.failures == ["MemoryError: no room <for> it"] * 3
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text()
        assert "no room &lt;for&gt; it" in text
        assert "it has no result" in text


def test_a_disk_that_fills_up_while_models_are_saved_loses_nothing(tmp_path):
    task = dataclasses.replace(DIGITS, mixers=("gated_conv",))

    def full(card, directory):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(zoo.cards, "write", full)
        with pytest.raises(SearchFolderError, match="The disk is full: make room"):
            search(task, out=tmp_path)
    assert not list((tmp_path / "models").iterdir()) and not (tmp_path / "results.json").exists()
    # On a disk that is full before, nothing of a model is written: HDF5 might end the process.
    (tmp_path / "models" / ".part.room").symlink_to("/dev/full")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(zoo, "save", lambda *_, **__: pytest.fail("a model was written"))
        with pytest.raises(SearchFolderError, match="The disk is full: make room"):
            search(task, out=tmp_path)
    assert not list((tmp_path / "models").iterdir()) and not (tmp_path / "results.json").exists()
    runs = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*.json")}
    assert search(task, out=tmp_path).models == {"implicit": "models/implicit"}
    assert runs == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*.json")}


def test_a_finalist_that_fails_is_named_beside_the_verdict():
    run = Run("gru", "retraining", 0, 0, 3, 7, {})
    failed = dataclasses.replace(run, round=1, failure="MemoryError: too large")
    families = [result.FamilyResult("gru", "implicit", (), runs) for runs in ((run, failed), (run,))]
    verdict = comparison._with_failed(decide.Verdict("explicit", "why", "additive", notes=("more",)), families)
    said = "gru failed in 1 of 2 retrainings (MemoryError: too large) and has no part in this."
    assert verdict.notes == ("more", said)


def test_a_loss_that_is_no_number_is_a_failed_trial(tmp_path, monkeypatch):
    def diverge(*_):
        raise ArithmeticError("The loss became nan in epoch 1.")

    monkeypatch.setattr(training.Workbench, "train", diverge)
    found = search(BLOBS, out=tmp_path)
    assert found.verdict.winner is None
    assert found.families[0].failures[0] == "ArithmeticError: The loss became nan in epoch 1."
    assert json.loads((tmp_path / "results.json").read_text())["verdict"]["answer"] == "no verdict"


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("digit", {}, "Did you mean 'digits'"),
        ("digits", {"mixers": ["grv"]}, "Did you mean 'gru'"),
        ("digits", {"mixers": [{"mixer": "gru", "bidirektional": True}]}, "Did you mean 'bidirectional'"),
        ("digits", {"mixers": ["gru", "gru"]}, "Received twice: gru"),
        ("digits", {"mixers": ["gru", "lstm", ["gru", "lstm", "multi_head"]]}, "list of mixers is taken in turn"),
        ("parity", {"mixers": ["gru", {"mixer": "lstm", "bidirectional": True}]}, "looks both ways"),
        ("digits", {"trials": 0}, "`trials`: it must be an integer of at least 1. Received: trials=0"),
        ("digits", {"seeds": 1.5}, "`seeds`: it must be"),
        ("digits", {"epochs": -1}, "`epochs`: it must be"),
        ("digits", {"seed": -1}, "`seed`: it must be an integer of at least 0"),
        ("digits", {"width": 0}, "`width`: it must be"),
        ("digits", {"parameters": 10}, "The closest: "),
        ("digits", {"parameters": 5003, "width": 7}, "is said once.*Received: parameters=5003, width=7"),
        ("digits", {"budget": "flops=2e6", "width": 7}, "is said once.*Received: width=7, budget=2000000.0"),
        ("digits", {"budget": "flops", "width": 7}, "is said once.*Received: width=7, with a budget of flops"),
        ("digits", {"budget": "parameters=5e4", "parameters": 5003}, "is said once"),
        ("digits", {"width": 100_000}, "`width` must be at most 2048"),
        (
            "digits",
            {"mixers": [{"mixer": "multi_head", "attention_axes": 5}]},
            "multi_head.* cannot do the task digits",
        ),
        (dataclasses.replace(BLOBS, batch_size=65), {}, "An epoch of 64 examples must fill a batch"),
        (dataclasses.replace(BLOBS, mixers=("gru",)), {}, "could not be saved.*a task model of the zoo.*: Sequential"),
        (["digits"], {}, "Unknown task"),
    ],
)
def test_what_is_wrong_is_said_before_any_training(task, options, message, tmp_path, monkeypatch):
    monkeypatch.setattr(training.Workbench, "train", lambda *_: pytest.fail("it was trained"))
    with pytest.raises(ValueError, match=message):
        tuning.compare(task, out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_missing_data_is_said_before_any_training(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_ATTN_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="sst2"):
        tuning.compare("sst2", out=tmp_path / "out")


@pytest.mark.slow
@pytest.mark.skipif(
    "KERAS_ATTN_DATA" not in os.environ, reason="needs $KERAS_ATTN_DATA, the directory that holds sst2/"
)
def test_the_winner_on_text_takes_raw_sentences(tmp_path):
    found = search("sst2", mixers=["multi_head", "gated_conv"], trials=1, seeds=2, epochs=1, out=tmp_path)
    model = zoo.load(tmp_path / found.preset)
    against, for_it = model.predict(["a dull , lifeless bore", "a moving and beautiful film"], verbose=0).argmax(-1)
    assert (against, for_it) == (0, 1)


def test_a_folder_of_the_same_task_with_other_data_is_refused(tmp_path):
    search(BLOBS, mixers=["identity"], trials=1, seeds=1, out=tmp_path)
    other = dataclasses.replace(BLOBS, data=lambda seed: BLOBS.data(seed + 1))
    with pytest.raises(SearchFolderError, match="data: "):
        tuning.compare(other, mixers=["identity"], trials=1, seeds=1, out=tmp_path)


def test_a_folder_of_another_search_is_refused(found, out):
    with pytest.raises(SearchFolderError, match=r"trials: 1 there, 2 now"):
        tuning.compare(DIGITS, trials=2, out=out)
