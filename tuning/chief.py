"""A search on several machines: keras-tuner's chief and workers, over its own protocol, until all of them have ended.

Trials travel as one text. keras-tuner's own form of them loses the message of a failure, rounds scores, adds values
whose condition is not met, and prints a line for each condition.
"""

import json
import os
import time
from concurrent import futures

import grpc
import keras_tuner
from keras_tuner.engine import trial as trial_module
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_chief

from tuning.engine import SearchFailed

TEXT = "text"
#: Seconds between two looks, and between two tries to reach the chief.
LOOK = 1.0


def serve(oracle, patience):
    """Gives an oracle's trials to workers until there are none left and all workers know.

    Args:
        oracle: a `tuning.engine.SafeOracle`.
        patience: seconds for which no worker needs to be heard of.

    Raises:
        SearchFailed: if the address is taken, no worker is heard of for so long, or the oracle itself fails.
    """
    address = _address()
    # Without this a second chief would share the port, and the workers.
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1), options=[("grpc.so_reuseport", 0)])
    wired = _OnTheWire(oracle)
    servicer = oracle_chief.OracleServicer(wired)
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError:
        bound = 0
    if not bound:
        raise SearchFailed(f"The chief cannot listen at {address}: another may be there. Name another port.")
    server.start()
    try:
        _wait(oracle, wired, servicer, patience)
    finally:
        server.stop(LOOK).wait()


def _wait(oracle, wired, servicer, patience):
    heard = time.monotonic()
    while True:
        time.sleep(LOOK)
        oracle.reclaim()
        if wired.error is not None:
            raise SearchFailed(f"The chief had to give up. {type(wired.error).__name__}: {wired.error}")
        if oracle.living():
            heard = time.monotonic()
        silent = time.monotonic() - heard
        over = oracle.is_over() or servicer.stop_triggered
        # Workers that were at work when the chief was started anew may not have been heard of yet.
        if (
            over
            and not oracle.ongoing_trials
            and not oracle.living()
            and (servicer.stop_triggered or silent > patience)
        ):
            return
        if not over and silent > patience:
            done = len(oracle.end_order)
            raise SearchFailed(
                f"No worker was heard of for {patience:g} s, with {done} trials done. Start the "
                "chief and workers again to go on."
            )


class _OnTheWire:
    """The oracle as the chief's service calls it: what goes out is text, and so is what comes in."""

    def __init__(self, oracle):
        self.oracle = oracle
        #: What the oracle raised; the chief ends by it.
        self.error = None

    def get_space(self):
        return _as_values(self.oracle.get_space().get_config())

    def update_space(self, hyperparameters):
        self._call("update_space", keras_tuner.HyperParameters.from_config(_from_values(hyperparameters)))

    def create_trial(self, tuner_id):
        return _pack(self._call("create_trial", tuner_id))

    def update_trial(self, trial_id, metrics, step=0):
        return _pack(self._call("update_trial", trial_id, dict(metrics), step=step))

    def end_trial(self, trial):
        self._call("end_trial", _unpack(trial))

    def get_trial(self, trial_id):
        return _pack(self._call("get_trial", trial_id))

    def get_best_trials(self, num_trials=1):
        return [_pack(trial) for trial in self._call("get_best_trials", num_trials)]

    def _call(self, name, *args, **kwargs):
        try:
            return getattr(self.oracle, name)(*args, **kwargs)
        except Exception as error:
            self.error = error
            raise


class RemoteOracle:
    """The chief's oracle, for a worker. It waits for a chief that is away, and says so in the end.

    Args:
        client: the `OracleClient` that keras-tuner made.
        patience: seconds to wait.
    """

    def __init__(self, client, patience):
        self.lease = client._oracle.lease
        self.objective = client.objective
        self._client = client
        options = [("grpc.initial_reconnect_backoff_ms", 500), ("grpc.max_reconnect_backoff_ms", 2000)]
        channel = grpc.insecure_channel(_address(), options=options)
        client.stub = _PatientStub(protos.get_service_grpc().OracleStub(channel), patience)

    def __getattr__(self, name):
        return getattr(self._client, name)

    def get_space(self):
        return keras_tuner.HyperParameters.from_config(_from_values(self._client.get_space()))

    def update_space(self, hyperparameters):
        self._client.update_space(_as_values(hyperparameters.get_config()))

    def create_trial(self, tuner_id):
        return _unpack(self._client.create_trial(tuner_id))

    def update_trial(self, trial_id, metrics, step=0):
        return _unpack(self._client.update_trial(trial_id, metrics, step=step))

    def end_trial(self, trial):
        self._client.end_trial(_pack(trial))

    def get_trial(self, trial_id):
        return _unpack(self._client.get_trial(trial_id))

    def get_best_trials(self, num_trials=1):
        return [_unpack(trial) for trial in self._client.get_best_trials(num_trials)]


class _PatientStub:
    """Calls again what a chief that died left unanswered. Every call of a `SafeOracle` may be made twice."""

    def __init__(self, stub, patience):
        self.stub = stub
        self.patience = patience

    def __getattr__(self, name):
        def call(request, **_):
            deadline = time.monotonic() + self.patience
            while True:
                left = deadline - time.monotonic()
                try:
                    return getattr(self.stub, name)(request, wait_for_ready=True, timeout=max(left, LOOK))
                except grpc.RpcError as error:
                    gone = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
                    if gone and left > 0:
                        time.sleep(LOOK)
                        continue
                    raise SearchFailed(self._describe(error)) from None

        return call

    def _describe(self, error):
        if error.code() == grpc.StatusCode.UNKNOWN:
            return f"The chief at {_address()} gave up. {error.details()}"
        return f"The chief at {_address()} was not heard of for {self.patience:g} s ({error.code().name})."


def _pack(trial):
    """The trial with all that it holds as one value, and no space, so that nothing is made up at the other end."""
    values = _as_values(trial.get_state())
    return trial_module.Trial(values, trial_id=trial.trial_id, status=trial.status)


def _unpack(trial):
    return trial_module.Trial.from_state(_from_values(trial.hyperparameters))


def _as_values(content):
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.values = {TEXT: json.dumps(content)}
    return hyperparameters


def _from_values(hyperparameters):
    return json.loads(hyperparameters.values[TEXT])


def _address():
    return f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"
