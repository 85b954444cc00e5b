"""What a family tries next: keras-tuner's oracles propose, one family at a time.

A proposal depends on the seed, on its number and on what earlier ones scored, and on nothing else: asked again, after a
crash or in another process, it is the same. Number 0 takes the defaults, so that few trials are not all unlucky.
"""

import keras_tuner
import numpy as np
from keras_tuner.engine import trial as trial_module

from keras_attn.lookup import choose
from tuning import spaces

OBJECTIVE = keras_tuner.Objective("score", "max")
#: Before so many are scored there is nothing to learn from.
LEARNS_FROM = 4


def propose(proposer, family, task, seed, number, scored):
    """The values of a family's configuration of that number.

    Args:
        proposer: "random" or "bayesian".
        family: a `tuning.families.Family`.
        task: a `tuning.task.Task`.
        seed: what the proposals are drawn from, the same for all families, so that they draw alike.
        number: which configuration, from 0.
        scored: values and score of those scored before, a list of pairs.

    Returns:
        A dict of values by name, as `spaces.declare` names them.

    Raises:
        ValueError: for an unknown proposer.
    """
    hp = keras_tuner.HyperParameters()
    spaces.declare(hp, family, task)
    if number == 0:
        return dict(hp.values)
    return _PROPOSERS[check(proposer)](hp, seed, number, scored)


def check(proposer):
    """The proposer's name, if there is one of that name."""
    if proposer not in _PROPOSERS:
        choose("proposer", proposer, _PROPOSERS)
    return proposer


def _random(hp, seed, number, scored=()):
    """Drawn at random, none twice while there are others."""
    # Zero would be no seed to keras-tuner.
    oracle = keras_tuner.oracles.RandomSearchOracle(OBJECTIVE, max_trials=None, hyperparameters=hp, seed=seed + 1)
    values = dict(hp.values)
    for _ in range(number):
        oracle._tried_so_far.add(oracle._compute_values_hash(values))
        # In a small space none may be left: then the last one comes again, on another seed.
        values = oracle.populate_space("")["values"] or values
    return dict(values)


def _bayesian(hp, seed, number, scored):
    """By a Gaussian process over what was scored; at random before there is enough of it."""
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


_PROPOSERS = {"random": _random, "bayesian": _bayesian}
