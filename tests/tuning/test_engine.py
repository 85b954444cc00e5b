"""Each fault of keras-tuner's: its own classes have it (when they no longer do, a test here fails), ours do not."""

import contextlib
import sys
import threading
import time
from concurrent import futures

import keras_tuner
import pytest
from keras_tuner.engine import base_tuner
from keras_tuner.engine import trial as trial_module

from tuning import chief
from tuning.engine import SafeOracle, SafeTuner, SearchFailed
from tuning.journal import SearchFolderError

OBJECTIVE = keras_tuner.Objective("score", "max")
LEASE = 53.0
BOTH = [pytest.param("plain", marks=pytest.mark.xfail(strict=True, reason="a fault of keras-tuner's")), "safe"]
both = pytest.mark.parametrize("kind", BOTH)


class Killed(BaseException):
    """As kill -9 ends a process: nothing catches it."""


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class SafeRandom(SafeOracle, keras_tuner.oracles.RandomSearchOracle):
    pass


class SafeBayesian(SafeOracle, keras_tuner.oracles.BayesianOptimizationOracle):
    pass


class SafeGrid(SafeOracle, keras_tuner.oracles.GridSearchOracle):
    pass


class PlainTuner(base_tuner.BaseTuner):
    def run_trial(self, trial):
        return {"score": self.work(trial)}


class OurTuner(SafeTuner, PlainTuner):
    pass


ORACLES = {
    "plain": keras_tuner.oracles.RandomSearchOracle,
    "safe": SafeRandom,
    "plain bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
    "safe bayesian": SafeBayesian,
    "plain grid": keras_tuner.oracles.GridSearchOracle,
    "safe grid": SafeGrid,
}


def space():
    """Two families; the first has a choice of its own, and both one of the same name."""
    hp = keras_tuner.HyperParameters()
    hp.Choice("mixer", ["gru", "multi_head"])
    for mixer in ("gru", "multi_head"):
        with hp.conditional_scope("mixer", [mixer]):
            hp.Float("rate", 0.0, 1.0)
            hp.Choice(f"{mixer}/size", [2, 3, 5])
    return hp


def line():
    hp = keras_tuner.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    return hp


def grid():
    """Seven combinations: three families, the second of which has a choice of its own."""
    hp = keras_tuner.HyperParameters()
    hp.Choice("mixer", ["gru", "multi_head", "pooling"])
    with hp.conditional_scope("mixer", ["multi_head"]):
        hp.Choice("heads", [1, 2, 3, 5, 7])
    return hp


def make_oracle(kind, hyperparameters=None, **options):
    options = {"max_trials": 5, "seed": 7, **options}
    oracle = ORACLES[kind](objective=OBJECTIVE, hyperparameters=hyperparameters or line(), **options)
    oracle.verbose = 0
    return oracle


def make_tuner(kind, folder, work=lambda trial: 0.5, **options):
    tuner = (OurTuner if kind.startswith("safe") else PlainTuner)(
        oracle=make_oracle(kind, **options), directory=folder, project_name="search"
    )
    tuner.work = work
    return tuner


def in_folder(oracle, folder):
    oracle._set_project_dir(str(folder), "search")
    return oracle


def end(oracle, trial, score=0.5):
    oracle.update_trial(trial.trial_id, {"score": score})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)


def values(tuner):
    return [trial.hyperparameters.values for trial in tuner.oracle.trials.values()]


def dies_at(calls, work=lambda trial: trial.hyperparameters.values["x"]):
    """Work that a kill ends at the given call, counted from 1."""
    left = [calls]

    def run(trial):
        left[0] -= 1
        if not left[0]:
            raise Killed
        return work(trial)

    return run


# What is kept


@both
def test_a_truncated_state_costs_no_more_than_one_step(kind, tmp_path):
    make_tuner(kind, tmp_path).search()
    path = tmp_path / "search" / "oracle.json"
    path.write_bytes(path.read_bytes()[:61])
    with pytest.warns(UserWarning, match="The state before it was taken"):
        assert len(values(make_tuner(kind, tmp_path))) == 5


@both
def test_killed_during_the_first_trial_it_is_not_forgotten(kind, tmp_path):
    with pytest.raises(Killed):
        make_tuner(kind, tmp_path, dies_at(1)).search()
    assert len(values(make_tuner(kind, tmp_path))) == 1


@pytest.mark.parametrize("calls", [1, 4])
def test_killed_at_any_trial_it_goes_on_as_if_it_had_not_been(calls, tmp_path):
    whole = make_tuner("safe", tmp_path / "whole")
    whole.search()
    with pytest.raises(Killed):
        make_tuner("safe", tmp_path / "killed", dies_at(calls)).search()
    resumed = make_tuner("safe", tmp_path / "killed")
    resumed.search()
    assert values(resumed) == values(whole)
    assert {trial.status for trial in resumed.oracle.trials.values()} == {"COMPLETED"}


@pytest.mark.parametrize("kind", [pytest.param("plain bayesian", marks=BOTH[0].marks), "safe bayesian"])
def test_the_bayesian_oracle_goes_on_with_its_random_numbers(kind, tmp_path):
    options = {"num_initial_points": 2, "max_trials": 4}
    work = lambda trial: trial.hyperparameters.values["x"] % 0.31  # noqa: E731
    whole = make_tuner(kind, tmp_path / "whole", work, **options)
    whole.search()
    with pytest.raises(Killed):
        make_tuner(kind, tmp_path / "killed", dies_at(4, work), **options).search()
    resumed = make_tuner(kind, tmp_path / "killed", work, **options)
    resumed.search()
    assert values(resumed) == values(whole)
    restored = make_tuner(kind, tmp_path / "killed", work, **options).oracle._random_state
    assert restored.uniform() == whole.oracle._random_state.uniform()


@pytest.mark.parametrize("kind", [pytest.param("plain grid", marks=BOTH[0].marks), "safe grid"])
def test_a_grid_goes_on_after_any_of_its_trials(kind, tmp_path):
    options = {"hyperparameters": grid(), "max_trials": 17}
    whole = make_tuner(kind, tmp_path / "whole", **options)
    whole.search()
    assert len(values(whole)) == 7
    for _ in range(4):
        # A process does one trial, and is killed in the next one.
        with pytest.raises(Killed):
            make_tuner(kind, tmp_path / "killed", dies_at(2, lambda trial: 0.5), **options).search()
    resumed = make_tuner(kind, tmp_path / "killed", **options)
    resumed.search()
    assert values(resumed) == values(whole)


def test_a_grid_goes_on_behind_what_kills_the_process(tmp_path):
    def work(trial):
        if trial.hyperparameters.values.get("heads") == 3:
            raise Killed
        return 0.5

    for _ in range(3):
        with contextlib.suppress(Killed):
            make_tuner("safe grid", tmp_path, work, hyperparameters=grid(), max_trials=17).search()
    statuses = [trial.status for trial in make_tuner("safe grid", tmp_path).oracle.trials.values()]
    assert statuses.count("COMPLETED") == 6 and statuses.count("FAILED") == 1


def test_a_full_disk_is_said(tmp_path):
    tuner = make_tuner("safe", tmp_path)
    (tmp_path / "search" / ".part.oracle.json").symlink_to("/dev/full")
    with pytest.raises(SearchFolderError, match="The disk is full"):
        tuner.search()


# What fails


@both
def test_a_configuration_that_kills_the_process_is_tried_twice(kind, tmp_path):
    begun = []

    def work(trial):
        begun.append(trial.trial_id)
        if trial.trial_id == "1":
            raise Killed
        return 0.5

    for _ in range(4):
        try:
            make_tuner(kind, tmp_path, work).search()
        except Killed:
            continue
    assert begun == ["0", "1", "1", "2", "3", "4"]
    failed = make_tuner(kind, tmp_path).oracle.trials["1"]
    assert failed.status == "FAILED"
    assert failed.message == "Tried 2 times, and its process ended before it did."


def test_where_what_kills_is_kept_away_a_killed_process_s_trial_never_fails(tmp_path):
    for _ in range(5):
        with pytest.raises(Killed):
            make_tuner("safe", tmp_path, dies_at(1), attempts=None).search()
    tuner = make_tuner("safe", tmp_path, attempts=None)
    tuner.search()
    assert {trial.status for trial in tuner.oracle.trials.values()} == {"COMPLETED"}


@pytest.mark.parametrize("in_a_row", [False, True])
def test_beginnings_in_a_row_are_those_since_another_trial_ended(in_a_row, tmp_path):
    oracle = in_folder(make_oracle("safe", in_a_row=in_a_row), tmp_path)
    first, other = oracle.create_trial("first@1"), oracle.create_trial("other@1")
    assert oracle.create_trial("first@2") is first
    end(oracle, other)
    assert (oracle.create_trial("first@3") is first) == in_a_row
    if in_a_row:
        assert oracle.create_trial("first@4") is first
        assert oracle.create_trial("first@5") is not first
    assert first.status == "FAILED"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SearchFailed("the disk is full")])
def test_what_is_no_fault_of_a_trial_s_is_no_attempt(error, tmp_path):
    def interrupt(trial):
        raise error

    for _ in range(3):
        with pytest.raises(type(error)):
            make_tuner("safe", tmp_path, interrupt).search()
    tuner = make_tuner("safe", tmp_path)
    tuner.search()
    assert {trial.status for trial in tuner.oracle.trials.values()} == {"COMPLETED"}


@both
def test_a_broken_family_does_not_end_the_others_search(kind, tmp_path):
    def work(trial):
        if trial.hyperparameters.values["mixer"] == "gru":
            raise ValueError("a broken mixer")
        return 0.5

    options = {"family": "mixer"} if kind == "safe" else {}
    tuner = make_tuner(kind, tmp_path, work, hyperparameters=space(), max_trials=17, **options)
    tuner.search()
    ends = {(trial.hyperparameters.values["mixer"], trial.status) for trial in tuner.oracle.trials.values()}
    assert ends == {("gru", "FAILED"), ("multi_head", "COMPLETED")}


def test_over_the_limit_in_every_family_the_search_ends_and_says_why(tmp_path):
    def work(trial):
        raise ValueError(f"no {trial.hyperparameters.values['mixer']} here")

    tuner = make_tuner("safe", tmp_path, work, hyperparameters=space(), max_trials=17, family="mixer")
    with pytest.raises(SearchFailed, match=r"failed in each family of mixer\. .*ValueError: no \w+ here"):
        tuner.search()
    assert 6 <= len(tuner.oracle.trials) < 17


@both
def test_what_failed_is_never_the_best(kind, tmp_path):
    def work(trial):
        raise keras_tuner.errors.FailedTrialError("nothing worked")

    tuner = make_tuner(kind, tmp_path, work, max_trials=2)
    tuner.search()
    assert tuner.get_best_hyperparameters() == []


@both
def test_without_tensorboard_trials_run(kind, monkeypatch):
    import keras

    if keras.config.backend() != "tensorflow":
        pytest.skip("keras-tuner imports TensorBoard on TensorFlow only")

    class Safe(SafeTuner, keras_tuner.Tuner):
        pass

    # The method needs nothing of a tuner that is set up.
    tuner = object.__new__(Safe if kind == "safe" else keras_tuner.Tuner)
    monkeypatch.setitem(sys.modules, "tensorboard.plugins.hparams", None)
    tuner._configure_tensorboard_dir([keras.callbacks.EarlyStopping()], None)


@both
def test_an_error_in_one_thread_does_not_stop_the_others_for_ever(kind, tmp_path):
    oracle = in_folder(make_oracle(kind), tmp_path)
    propose = oracle.populate_space

    def fail(trial_id):
        oracle.populate_space = propose
        raise ArithmeticError

    oracle.populate_space = fail

    def ask(tuner_id):
        try:
            oracle.create_trial(tuner_id)
        except ArithmeticError:
            return

    for tuner_id in ("a", "b"):
        thread = threading.Thread(target=ask, args=(tuner_id,), daemon=True)
        thread.start()
        thread.join(2)
        assert not thread.is_alive()
    assert list(oracle.ongoing_trials) == ["b"]


def test_tuners_of_several_threads_save_one_after_the_other(tmp_path, monkeypatch):
    tuner, writing = make_tuner("safe", tmp_path), []

    def write(path, content):
        writing.append(threading.current_thread())
        assert len(writing) == 1, "another thread writes the same file"
        time.sleep(0.02)
        writing.pop()

    monkeypatch.setattr("tuning.engine.state.write", write)
    with futures.ThreadPoolExecutor(4) as pool:
        # A tuner does so at a trial's end, while the oracle may be at work for another.
        for done in [pool.submit(save) for save in [tuner.oracle.save, tuner.save] * 4]:
            done.result()


# Several processes


@both
def test_the_trial_of_a_worker_that_died_is_another_s(kind, tmp_path):
    clock = Clock()
    options = {"clock": clock, "lease": LEASE} if kind == "safe" else {}
    oracle = in_folder(make_oracle(kind, max_trials=1, **options), tmp_path)
    lost = oracle.create_trial("first@1")
    clock.now += LEASE - 1
    assert oracle.create_trial("second@2").status == "IDLE"
    clock.now += 2
    again = oracle.create_trial("second@2")
    assert (again.trial_id, again.status) == (lost.trial_id, "RUNNING")
    end(oracle, again)
    assert oracle.create_trial("second@2").status == "STOPPED"
    assert chief.oracle_chief.exit_chief(oracle) and oracle.is_over() and not oracle.living()


def test_a_worker_that_gives_signs_of_life_keeps_its_trial():
    clock = Clock()
    oracle = make_oracle("safe", max_trials=1, clock=clock, lease=LEASE)
    oracle.save = lambda: None
    trial = oracle.create_trial("first@1")
    for _ in range(7):
        clock.now += LEASE - 1
        oracle.update_trial(trial.trial_id, {})
        assert oracle.create_trial("second@2").status == "IDLE"


def test_a_worker_that_starts_again_gets_its_trial_at_once_and_not_for_ever(tmp_path):
    oracle = in_folder(make_oracle("safe", clock=Clock()), tmp_path)
    ids = [oracle.create_trial(f"worker@{start}").trial_id for start in range(5)]
    assert ids == ["0", "0", "1", "1", "2"]


def test_an_answer_that_got_lost_is_given_again(tmp_path):
    oracle = in_folder(make_oracle("safe", clock=Clock()), tmp_path)
    assert {oracle.create_trial("worker@1").trial_id for _ in range(5)} == {"0"}


@both
def test_a_chief_that_starts_again_leaves_running_trials_to_who_runs_them(kind, tmp_path):
    first = in_folder(make_oracle(kind), tmp_path)
    running = first.create_trial("first@1")
    again = in_folder(make_oracle(kind), tmp_path)
    again.reload()
    assert again.create_trial("second@2").trial_id != running.trial_id
    end(again, running)
    assert again.trials[running.trial_id].status == "COMPLETED"
    assert again.create_trial("first@1").trial_id not in (running.trial_id, "1")


@both
def test_a_trial_that_two_have_ended_counts_once(kind, tmp_path):
    clock = Clock()
    options = {"clock": clock, "lease": LEASE} if kind == "safe" else {}
    oracle = in_folder(make_oracle(kind, **options), tmp_path)
    trial = oracle.create_trial("thought-dead@1")
    if kind == "safe":
        clock.now += LEASE + 1
        assert oracle.create_trial("second@2").trial_id == trial.trial_id
    end(oracle, trial, 0.25)
    end(oracle, trial_module.Trial.from_state(trial.get_state()), 0.75)
    assert oracle.end_order == [trial.trial_id]
    assert oracle.trials[trial.trial_id].score == 0.25


def test_what_was_measured_before_a_trial_was_given_away_is_not_averaged(tmp_path):
    clock = Clock()
    oracle = in_folder(make_oracle("safe", clock=clock, lease=LEASE), tmp_path)
    trial = oracle.create_trial("first@1")
    oracle.update_trial(trial.trial_id, {"score": 0.0})
    clock.now += LEASE + 1
    again = oracle.create_trial("second@2")
    late = trial_module.Trial.from_state(again.get_state())
    late.status = "COMPLETED"
    oracle.end_trial(late)  # the first one's, whose measurement is gone: the second goes on
    end(oracle, again, 0.75)
    assert again.score == 0.75


def over_the_wire(kind, trial):
    if kind == "plain":
        return trial_module.Trial.from_proto(trial.to_proto())
    return chief._unpack(trial_module.Trial.from_proto(chief._pack(trial).to_proto()))


def failed_trial():
    hp = space()
    hp.values = {"mixer": "multi_head", "rate": 0.1 + 0.2, "multi_head/size": 3}
    trial = trial_module.Trial(hp, "0", "FAILED", "ValueError: why")
    trial.score = 0.1
    return trial


@both
def test_over_the_wire_no_value_of_another_family_is_added(kind):
    assert over_the_wire(kind, failed_trial()).hyperparameters.values == failed_trial().hyperparameters.values


@both
def test_over_the_wire_the_cause_and_the_score_stay_what_they_were(kind):
    found = over_the_wire(kind, failed_trial())
    assert (found.message, found.score) == ("ValueError: why", 0.1)


@both
def test_over_the_wire_nothing_is_printed(kind, capsys):
    over_the_wire(kind, failed_trial())
    assert capsys.readouterr().out == ""


@both
def test_a_name_in_two_scopes_keeps_its_value(kind, tmp_path):
    oracle = in_folder(make_oracle(kind, hyperparameters=space(), max_trials=17), tmp_path)
    for number in range(11):
        found = oracle.create_trial(f"worker-{number}").hyperparameters.values
        assert set(found) == {"mixer", "rate", f"{found['mixer']}/size"}


def test_an_idle_process_waits_before_it_asks_again(tmp_path, monkeypatch):
    tuner = make_tuner("safe", tmp_path, max_trials=1)
    answers = ["IDLE", "IDLE", "STOPPED"]
    tuner.oracle.create_trial = lambda tuner_id: trial_module.Trial(None, "", answers.pop(0))
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    tuner.search()
    assert slept == [1.0, 1.0]


def test_a_chief_whose_workers_all_know_that_it_is_over_does_not_wait_for_them_again(tmp_path, monkeypatch):
    for name, value in (("TUNER_ID", "chief"), ("ORACLE_IP", "127.0.0.1"), ("ORACLE_PORT", "1")):
        monkeypatch.setenv(f"KERASTUNER_{name}", value)
    served = []

    def serve(oracle, patience):
        served.append(patience)
        for _ in range(oracle.max_trials - len(oracle.trials)):
            end(oracle, oracle.create_trial("worker@1"))

    monkeypatch.setattr(chief, "serve", serve)
    for _ in range(3):
        make_tuner("safe", tmp_path).search()
    assert len(served) == 1
    # With more to be done it serves again.
    make_tuner("safe", tmp_path, max_trials=7).search()
    assert len(served) == 2
