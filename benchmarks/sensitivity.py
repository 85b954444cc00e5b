"""What the sequential Jacobian of a GRU costs, beside the backend's own function for Jacobians, in the same run.

    KERAS_BACKEND=jax python benchmarks/sensitivity.py [--length 128] [--repeats 5]
    KERAS_BACKEND=torch python benchmarks/sensitivity.py

The model is `keras.layers.GRU(128, return_sequences=True)` over one sequence of 128 positions of width 128, and what is
asked for the norms `(T, S)`. The peer is `jax.jacrev`, compiled with the norms, or `torch.func.jacrev`, in pieces of as
many rows as are quickest of three. On tensorflow it is `GradientTape.jacobian`. Times are medians over repeats in which
all take turns, with the quickest and the slowest; what compiles has been called before.
"""

import argparse
import functools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import in_turns
import keras
import numpy as np

from keras_attn import inspection

WIDTH, GOAL = 128, 2.0


def on_jax(model, x):
    import jax
    import jax.numpy as jnp

    weights = [each.value for each in model.trainable_variables]
    others = [each.value for each in model.non_trainable_variables]

    def answer(x, weights):
        return model.stateless_call(weights, others, x)[0][0]

    @jax.jit
    def norms(x, weights):
        return jnp.sqrt(jnp.sum(jax.jacrev(answer)(x, weights)[:, :, 0] ** 2, axis=(1, 3)))

    x = jnp.asarray(x)
    return {"jax.jacrev": lambda: np.asarray(norms(x, weights))}


def on_torch(model, x):
    import torch

    x = torch.as_tensor(x)

    def norms(rows):
        found = torch.func.jacrev(lambda x: model(x)[0], chunk_size=rows)(x)
        return found[:, :, 0].square().sum(dim=(1, 3)).sqrt().detach().numpy()

    return {f"torch.func.jacrev, {rows} rows at once": lambda rows=rows: norms(rows) for rows in (128, 1024, 4096)}


def on_tensorflow(model, x):
    import tensorflow as tf

    x = tf.constant(x)

    @tf.function
    def norms():
        with tf.GradientTape() as tape:
            tape.watch(x)
            answer = model(x)[0]
        found = tape.jacobian(answer, x, experimental_use_pfor=False)
        return tf.sqrt(tf.reduce_sum(found[:, :, 0] ** 2, axis=(1, 3)))

    return {"GradientTape.jacobian": lambda: norms().numpy()}


def _kept(answers, name, step):
    answers[name] = step()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(1, options.length, WIDTH)).astype("float32")
    model = keras.layers.GRU(WIDTH, return_sequences=True)
    model.build(x.shape)
    peers = {"jax": on_jax, "torch": on_torch, "tensorflow": on_tensorflow}[keras.config.backend()](model, x)
    ours = {
        "sensitivity": lambda: inspection.sensitivity(model, x)[0],
        "sensitivity, causal=True": lambda: inspection.sensitivity(model, x, causal=True)[0],
    }
    answers = {}
    steps = {name: functools.partial(_kept, answers, name, step) for name, step in (*peers.items(), *ours.items())}
    taken = in_turns.times(steps, options.repeats, before=1)
    least = min(np.median(taken[name]) for name in peers)
    cores = len(os.sched_getaffinity(0))
    print(f"{keras.config.backend()}, GRU({WIDTH}), T {options.length}, {cores} cores, {options.repeats} repeats\n")
    print("| | time, s | of the best peer's |\n|---|---|---|")
    for name, seconds in taken.items():
        print(f"| {name} | {in_turns.spread(seconds, 2)} | {np.median(seconds) / least:.2f} |")
    apart = max(np.abs(answers[name] - answers[next(iter(peers))]).max() for name in ours)
    print(f"\nLargest difference between the norms {apart:.1g}, of {answers[next(iter(peers))].max():.2g}.")


if __name__ == "__main__":
    main()
