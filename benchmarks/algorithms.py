"""Do memories carry on where others break? Four tasks made by rules, learned short and tested long, at equal size.

    KERAS_BACKEND=jax python benchmarks/algorithms.py --out FILE [--task copy ...] [--model ntm ...] [--seeds 5]
        [--steps 10000] [--rate 0.001] [--clip 10]

Each finished run is a line of JSON in FILE, and is not run again. At the end medians over the seeds are printed. The
models have about as many parameters as the Turing machine: the table shows how many. All are trained alike: Adam,
gradients held to a global norm, batches of 32 fresh sequences.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

from keras_attn import mixers
from zoo.datasets import algorithmic

BATCH, TESTED = 32, 128
WIDTH, UNITS, SLOTS, SLOT_WIDTH = 32, 100, 128, 20
#: How each task is drawn in training, and how in each of its tests.
TASKS = {
    "copy": (algorithmic.copy, {}, {n: {"shortest": n, "longest": n} for n in (20, 30, 50, 100)}),
    "repeat_copy": (
        algorithmic.repeat_copy,
        {},
        {
            "10 x 5": {"shortest": 10, "least": 5},
            "20 x 5": {"shortest": 20, "longest": 20, "least": 5},
            "10 x 10": {"shortest": 10, "least": 10, "most": 10},
        },
    ),
    "associative_recall": (
        algorithmic.associative_recall,
        {},
        {n: {"least": n, "most": n} for n in (6, 10, 15)},
    ),
    "priority_sort": (algorithmic.priority_sort, {}, {"20 to 16": {}}),
}
MEMORIES = {
    "ntm": {"mixer": "neural_turing_machine"},
    "dnc": {"mixer": "differentiable_neural_computer", "links": "full"},
}
#: What tells one run from another.
KEY = ("task", "model", "seed", "steps", "rate", "clip")
MODELS = (*MEMORIES, "lstm", "multi_head")


def model_of(name, channels, bits, size=None):
    """An untrained model from `(B, T, channels)` to logits `(B, T, bits)`, causal; `size` is a width to be fitted."""
    inputs = keras.Input((None, channels))
    if name in MEMORIES:
        spec = {**MEMORIES[name], "slots": SLOTS, "slot_width": SLOT_WIDTH, "units": size or UNITS}
        hidden = mixers.get(spec)(layers.Dense(WIDTH)(inputs))
    elif name == "lstm":
        hidden = mixers.get("lstm")(mixers.get("lstm")(layers.Dense(size)(inputs)))
    else:
        hidden = layers.Dense(size)(inputs)
        for _ in range(2):
            heads = mixers.get({"mixer": "multi_head", "num_heads": 4, "positions": "rotary", "use_bias": False})
            hidden = layers.add([hidden, heads(layers.LayerNormalization()(hidden), use_causal_mask=True)])
            wide = layers.Dense(4 * size, activation="gelu")(layers.LayerNormalization()(hidden))
            hidden = layers.add([hidden, layers.Dense(size)(wide)])
    return keras.Model(inputs, layers.Dense(bits)(hidden))


def equal_model(name, channels, bits):
    """The model whose number of parameters is nearest to the Turing machine's."""
    goal = model_of("ntm", channels, bits).count_params()
    if name == "ntm":
        return model_of(name, channels, bits)
    sizes = range(16, 160, 8 if name == "multi_head" else 2)
    low, high = 0, len(sizes) - 1
    while low < high:
        middle = (low + high) // 2
        if model_of(name, channels, bits, sizes[middle]).count_params() < goal:
            low = middle + 1
        else:
            high = middle
    near = [sizes[place] for place in (max(0, low - 1), low)]
    return min((model_of(name, channels, bits, size) for size in near), key=lambda m: abs(m.count_params() - goal))


class Fresh(keras.utils.PyDataset):
    """Batches that never come twice."""

    def __init__(self, draw, options, seed, steps):
        super().__init__()
        self._draw, self._options, self._seed, self._steps = draw, options, seed, steps

    def __len__(self):
        return self._steps

    def __getitem__(self, index):
        return self._draw(np.random.default_rng((self._seed, index)), BATCH, **self._options)


class Said(keras.callbacks.Callback):
    """Says the loss now and then."""

    def __init__(self, every):
        super().__init__()
        self._every, self._start, self.losses = every, time.perf_counter(), []

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append(round(float(logs["loss"]), 5))
        rate = (epoch + 1) * self._every / (time.perf_counter() - self._start)
        print(f"  {(epoch + 1) * self._every} steps, loss {logs['loss']:.5f}, {rate:.1f} steps/s", flush=True)


def run(task, name, seed, steps, rate, clip):
    """Trains and tests once: a dictionary of what came out."""
    draw, options, tests = TASKS[task]
    keras.utils.set_random_seed(seed)
    inputs, targets, _ = draw(np.random.default_rng(0), 1, **options)
    model = equal_model(name, inputs.shape[-1], targets.shape[-1])
    model.compile(keras.optimizers.Adam(rate, global_clipnorm=clip), keras.losses.BinaryCrossentropy(from_logits=True))
    every = min(500, steps)
    said, start = Said(every), time.perf_counter()
    data = Fresh(draw, options, seed, steps)
    model.fit(data, steps_per_epoch=every, epochs=steps // every, shuffle=False, verbose=0, callbacks=[said])
    seconds = time.perf_counter() - start
    found = {str(case): test(model, draw, {**options, **changed}) for case, changed in tests.items()}
    return {
        "task": task,
        "model": name,
        "seed": seed,
        "steps": steps,
        "rate": rate,
        "clip": clip,
        "parameters": model.count_params(),
        "seconds": round(seconds),
        "losses": said.losses,
        "tests": found,
    }


def test(model, draw, options):
    """The share of bits that are right, and of sequences without a mistake."""
    inputs, targets, weight = draw(np.random.default_rng(987_654), TESTED, **options)
    right = (model.predict(inputs, batch_size=BATCH, verbose=0) > 0.0) == (targets > 0.5)
    counted = weight > 0.0
    whole = np.all(right | ~counted[..., None], axis=(1, 2))
    return {"bits": round(float(right[counted].mean()), 5), "sequences": round(float(whole.mean()), 5)}


def finished(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def report(lines):
    """Medians over seeds, a row for each task and model."""
    print("| task | model | parameters | seeds | " + "share of bits right: median (worst to best) |")
    print("|---|---|---|---|---|")
    for task in TASKS:
        for name in MODELS:
            runs = [line for line in lines if (line["task"], line["model"]) == (task, name)]
            if not runs:
                continue
            cells = []
            for case in runs[0]["tests"]:
                bits = [line["tests"][case]["bits"] for line in runs]
                cells.append(f"{case}: {np.median(bits):.4f} ({min(bits):.4f} to {max(bits):.4f})")
            print(f"| {task} | {name} | {runs[0]['parameters']} | {len(runs)} | {'; '.join(cells)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--task", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=1e-3, help="of Adam")
    parser.add_argument("--clip", type=float, default=10.0, help="the largest global norm of a gradient")
    given = parser.parse_args()
    for seed in range(given.seeds):
        for task in given.task:
            for name in given.model:
                key = (task, name, seed, given.steps, given.rate, given.clip)
                done = {tuple(line[part] for part in KEY) for line in finished(given.out)}
                if key in done:
                    continue
                print(*key, flush=True)
                line = json.dumps(run(*key))
                with given.out.open("a") as file:
                    file.write(line + "\n")
    how = [given.steps, given.rate, given.clip]
    report([line for line in finished(given.out) if [line[part] for part in KEY[3:]] == how])


if __name__ == "__main__":
    main()
