"""What a family tries next: keras-tuner's oracles propose, one family at a time.

A proposal depends on the seed, on its number and on what earlier ones scored, and on nothing else: asked again, after a
crash or in another process, it is the same. Number 0 takes the defaults, so that few trials are not all unlucky.

Any of keras-tuner's oracles can propose. It is asked for values only: how long they are run and what goes on is the
race's, whose rungs stand in the place of a Hyperband's.
"""

import keras_tuner
import numpy as np
from keras_tuner.engine import trial as trial_module

from keras_attn.lookup import choose
from tuning import spaces

OBJECTIVE = keras_tuner.Objective("score", "max")
#: Before so many are scored there is nothing to learn from.
LEARNS_FROM = 4
#: So often an oracle is asked for something new: a Hyperband sends what it promotes to its next rung once more.
ASKED = 50
#: What a Hyperband adds to values begins with this.
OF_TUNERS = "tuner/"


def propose(proposer, family, task, seed, number, past):
    """The values of a family's configuration of that number.

    Args:
        proposer: "random", "bayesian", "hyperband", or a class of keras-tuner's oracles.
        family: a `tuning.families.Family`.
        task: a `tuning.task.Task`.
        seed: what the proposals are drawn from, the same for all families, so that they draw alike.
        number: which configuration, from 0.
        past: of those before it values and score, by number: a list of pairs, the score None while there is none.

    Returns:
        A dict of values by name, as `spaces.declare` names them.

    Raises:
        ValueError: for an unknown proposer.
    """
    hp = keras_tuner.HyperParameters()
    spaces.declare(hp, family, task)
    if number == 0:
        return dict(hp.values)
    check(proposer)
    if isinstance(proposer, type):
        return _by_oracle(proposer, hp, seed, number, past)
    return _PROPOSERS[proposer](hp, seed, number, past)


def check(proposer):
    """The proposer's name, if it is one: of a class where it is defined.

    Raises:
        ValueError: if it is none.
    """
    if isinstance(proposer, type):
        return _check_class(proposer)
    if proposer not in _PROPOSERS:
        choose("proposer", proposer, _PROPOSERS)
    return proposer


def _check_class(proposer):
    name = f"{proposer.__module__}.{proposer.__qualname__}"
    if not issubclass(proposer, keras_tuner.Oracle):
        raise ValueError(
            f"A proposer is {', '.join(_PROPOSERS)}, or a class of keras-tuner's oracles. Received: the class {name}"
        )
    try:
        make_oracle(proposer, keras_tuner.HyperParameters(), 0)
    except TypeError as error:
        raise ValueError(
            f"An oracle that proposes is made of `objective`, `hyperparameters` and `seed`. Received: {name} ({error})"
        ) from error
    return name


def _random(hp, seed, number, past=()):
    """Drawn at random, none twice while there are others."""
    # Zero would be no seed to keras-tuner.
    oracle = keras_tuner.oracles.RandomSearchOracle(OBJECTIVE, max_trials=None, hyperparameters=hp, seed=seed + 1)
    values = dict(hp.values)
    for _ in range(number):
        oracle._tried_so_far.add(oracle._compute_values_hash(values))
        # In a small space none may be left: then the last one comes again, on another seed.
        values = oracle.populate_space("")["values"] or values
    return dict(values)


def _bayesian(hp, seed, number, past):
    """By a Gaussian process over what was scored; at random before there is enough of it."""
    scored = [(values, score) for values, score in past if score is not None]
    if len(scored) < LEARNS_FROM:
        return _random(hp, seed, number)
    oracle = keras_tuner.oracles.BayesianOptimizationOracle(
        OBJECTIVE, max_trials=None, num_initial_points=1, hyperparameters=hp, seed=seed + 1
    )
    oracle._random_state = np.random.RandomState([seed, number])
    for index, (values, score) in enumerate(scored):
        space = hp.copy()
        space.values = dict(values)
        trial = trial_module.Trial(space, str(index), "COMPLETED")
        trial.score = score
        oracle.trials[trial.trial_id] = trial
    return dict(oracle.populate_space("")["values"])


def _hyperband(hp, seed, number, past):
    """What a Hyperband lets begin: drawn at random. Its rungs are the race's."""
    return _by_oracle(keras_tuner.oracles.HyperbandOracle, hp, seed, number, past)


def _by_oracle(oracle_class, hp, seed, number, past):
    """What an oracle proposes that has proposed all before, and was told what came of it."""
    oracle = make_oracle(oracle_class, hp, seed)
    tried = [dict(values) for values, _ in past[:number]]
    for before, (values, score) in enumerate(past[:number]):
        trial = oracle.create_trial(f"before {before}")
        if trial.status != trial_module.TrialStatus.RUNNING:
            break
        # What was tried is what counts: number 0 is the defaults, and what was known then is not what is known now.
        trial.hyperparameters.values = dict(values)
        oracle._record_values(trial)
        if score is not None:
            oracle.update_trial(trial.trial_id, {OBJECTIVE.name: score})
            trial.status = trial_module.TrialStatus.COMPLETED
            oracle.end_trial(trial)
    for attempt in range(ASKED):
        trial = oracle.create_trial(f"attempt {attempt}")
        if trial.status != trial_module.TrialStatus.RUNNING:
            break
        found = {name: value for name, value in trial.hyperparameters.values.items() if not name.startswith(OF_TUNERS)}
        if found not in tried:
            return found
    # It waits for what is running, or has no more: in a family something is tried all the same.
    return _random(hp, seed, number)


def make_oracle(oracle_class, hp, seed, **options):
    """An oracle that keeps nothing on the disk, prints nothing, and has no end of its own."""
    oracle = oracle_class(objective=OBJECTIVE, hyperparameters=hp, seed=seed + 1, **options)
    oracle.max_trials = None
    oracle.verbose = 0
    oracle.save = lambda: None
    oracle._save_trial = lambda trial: None
    return oracle


_PROPOSERS = {"random": _random, "bayesian": _bayesian, "hyperband": _hyperband}
