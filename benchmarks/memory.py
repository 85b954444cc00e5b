"""Time and memory of a training step: the Turing machine and the computer beside the torch package `dnc`, and by size.

    KERAS_BACKEND=jax python benchmarks/memory.py [--jit] [--dnc FOLDER] [--sizes]

Batches of 32, 128 slots of 20, 40 steps of 9 channels, an LSTM of 100 units as controller, one reading and one writing
head; forward, backward and a step of gradient descent, in float32. All take turns in one process; times are medians
with the quickest and the slowest. FOLDER is where `pip install --no-deps --target FOLDER dnc==1.1.0` has put the
package; without it ours are timed alone. With --jit ours are compiled with `jit_compile=True` on tensorflow too, which
Keras does not do by itself where there is no GPU. With --sizes instead: how time and memory of the computer's step grow
with the slots and the steps, for full and for sparse links; memory is how far the peak of a fresh process grows.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import in_turns
import keras
import numpy as np

from keras_attn import mixers

REPEATS = 7
BATCH, STEPS, CHANNELS, SLOTS, SLOT_WIDTH, UNITS = 32, 40, 9, 128, 20, 100
OURS = {
    "neural_turing_machine": {"mixer": "neural_turing_machine"},
    "differentiable_neural_computer, full links": {"mixer": "differentiable_neural_computer", "links": "full"},
    "differentiable_neural_computer, 8 links": {"mixer": "differentiable_neural_computer", "links": 8},
    "differentiable_neural_computer, no links": {"mixer": "differentiable_neural_computer", "links": None},
}
SIZES = [(128, 40), (256, 40), (512, 40), (1024, 10), (128, 80), (128, 160)]


def data(steps):
    return np.random.default_rng(0).normal(size=(BATCH, steps, CHANNELS)).astype("float32")


def our_step(spec, jit, slots=SLOTS, steps=STEPS):
    """A function that runs one training step and waits for it."""
    x = data(steps)
    inputs = keras.Input((steps, CHANNELS))
    layer = mixers.get({**spec, "slots": slots, "slot_width": SLOT_WIDTH, "units": UNITS})
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", "mse", jit_compile=True if jit else "auto")
    return lambda: float(model.train_on_batch(x, x))


def their_step(folder):
    sys.path.append(str(folder))
    import torch
    from dnc.dnc import DNC

    x = torch.tensor(data(STEPS))
    model = DNC(
        CHANNELS, UNITS, num_hidden_layers=1, nr_cells=SLOTS, cell_size=SLOT_WIDTH, read_heads=1, batch_first=True
    )
    descent = torch.optim.SGD(model.parameters(), lr=0.01)

    def step():
        descent.zero_grad()
        outputs, _ = model(x, (None, None, None), reset_experience=True, pass_through_memory=True)
        loss = ((outputs - x) ** 2).mean()
        loss.backward()
        descent.step()
        return loss.item()

    return step


def peak():
    """The most memory this process has had, in MiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def beside_dnc(given):
    steps = {name: our_step(spec, given.jit) for name, spec in OURS.items()}
    if given.dnc:
        steps["dnc"] = their_step(given.dnc)
    taken = in_turns.times(steps, REPEATS)
    print("| step of | s | of dnc's time |\n|---|---|---|")
    for name, seconds in taken.items():
        ratio = f"{np.median(seconds) / np.median(taken['dnc']):.2f}" if given.dnc else ""
        print(f"| {name} | {in_turns.spread(seconds)} | {ratio} |", flush=True)


def by_size(given):
    print("| slots N | steps T | links | s | MiB |\n|---|---|---|---|---|")
    for slots, length in SIZES:
        for links in ("full", 8):
            command = [sys.executable, __file__, "--one", str(slots), str(length), str(links)]
            done = subprocess.run([*command, *(["--jit"] if given.jit else [])], capture_output=True, text=True)
            found = done.stdout.splitlines()[-1] if done.returncode == 0 else f"failed ({done.returncode}) | "
            print(f"| {slots} | {length} | {links} | {found} |", flush=True)


def one_size(given):
    slots, length, links = given.one
    spec = {"mixer": "differentiable_neural_computer", "links": links if links == "full" else int(links)}
    step = our_step(spec, given.jit, int(slots), int(length))
    before = peak()
    taken = in_turns.times({"step": step}, repeats=3)["step"]
    print(f"{in_turns.spread(taken)} | {peak() - before:.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dnc", type=Path)
    parser.add_argument("--jit", action="store_true")
    parser.add_argument("--sizes", action="store_true")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        return one_size(given)
    jit = ", ours with jit" if given.jit else ""
    print(f"{keras.config.backend()}{jit}, Keras {keras.__version__}, {os.cpu_count()} cores\n")
    return by_size(given) if given.sizes else beside_dnc(given)


if __name__ == "__main__":
    main()
