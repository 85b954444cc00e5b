"""Trains copies of one model side by side on jax, each with its own weights and its own data.

A recurrence takes many small steps, each too small for an accelerator: here each step is that of all copies. Each copy
computes what it would alone, but for rounding.
"""

import concurrent.futures
import os
import time
from pathlib import Path

import jax
import keras
import numpy as np
from rich.progress import track


def initial(model_of, optimizer_of, seeds):
    """A model, its optimizer, and for each seed the values of their variables, stacked: `(weights, rest, moments)`."""
    each = []
    for seed in seeds:
        keras.utils.set_random_seed(seed)
        model, optimizer = model_of(), optimizer_of()
        optimizer.build(model.trainable_variables)
        parts = model.trainable_variables, model.non_trainable_variables, optimizer.variables
        each.append([[np.asarray(variable.value) for variable in part] for part in parts])
    return model, optimizer, jax.tree.map(lambda *values: np.stack(values), *each)


def many_steps(model, optimizer, loss):
    """A compiled function from the state and batches `(steps, copies, ...)` to the state after them and the losses."""

    def alone(state, batch):
        weights, rest, moments = state

        def loss_of(weights):
            outputs, after = model.stateless_call(weights, rest, batch[0], training=True)
            return loss(outputs, *batch[1:]), after

        (value, rest), slopes = jax.value_and_grad(loss_of, has_aux=True)(weights)
        weights, moments = optimizer.stateless_apply(moments, slopes, weights)
        return [weights, rest, moments], value

    return jax.jit(lambda state, batches: jax.lax.scan(jax.vmap(alone), state, batches), donate_argnums=0)


def train(model, optimizer, state, loss, batches, steps, path, at_once=25, save_every=120.0):
    """The state after so many steps, and the losses `(steps / at_once, copies)`.

    `batches(first, count)` draws arrays `(count, copies, ...)`. The state is kept in the file at `path` every so many
    seconds, and from there a training that was killed goes on.
    """
    if steps % at_once:
        raise ValueError(f"`steps` is a multiple of `at_once`, {at_once}. Received: steps={steps}")
    run, done, losses = many_steps(model, optimizer, loss), 0, []
    if path.exists():
        state, done, losses = _restored(path, state)
    starts, saved = range(done, steps, at_once), time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        coming = pool.submit(batches, done, at_once)
        for start in track(starts, f"{path.stem}, from step {done} to {steps}, by {at_once}"):
            now, coming = coming.result(), pool.submit(batches, start + at_once, at_once)
            state, values = run(state, now)
            losses.append(np.asarray(values).mean(axis=0))
            after = start + at_once
            if time.monotonic() - saved > save_every or after >= steps:
                _save(path, state, after, losses)
                saved = time.monotonic()
    return state, np.array(losses)


def _save(path, state, done, losses):
    arrays = {f"array_{index}": np.asarray(x) for index, x in enumerate(jax.tree.leaves(state))}
    fresh = Path(f"{path}.part")
    with fresh.open("wb") as file:
        np.savez(file, done=done, losses=np.array(losses), **arrays)
    os.replace(fresh, path)


def _restored(path, like):
    with np.load(path) as kept:
        leaves = [kept[f"array_{index}"] for index in range(len(jax.tree.leaves(like)))]
        return jax.tree.unflatten(jax.tree.structure(like), leaves), int(kept["done"]), list(kept["losses"])
