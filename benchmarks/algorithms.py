"""Do memories carry on where others break? Four tasks made by rules, learned short and tested long, at equal size.

    KERAS_BACKEND=jax python benchmarks/algorithms.py train --out FOLDER [--model ntm ...] [--task copy ...]
    KERAS_BACKEND=jax python benchmarks/algorithms.py test --out FOLDER
    python benchmarks/algorithms.py report --out FOLDER

`train` trains a model on every task that is asked for with every seed, all side by side, and keeps their weights;
killed, it goes on where it was. On a CPU one task at a time takes less, for all are as long as the longest. `test`
tries what was trained, a line of JSON for each, and does not try it again. `report` prints medians over the seeds.

The models have about as many parameters as the Turing machine: the table shows how many. All are trained alike: Adam,
its rate falling to zero along half a cosine, gradients held to a global norm, batches of 32 fresh sequences, the loss
counted where an answer is asked for.
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers, ops

from keras_attn import mixers
from zoo.datasets import algorithmic

BATCH, TESTED = 32, 128
WIDTH, SLOTS, SLOT_WIDTH = 32, 128, 20
#: As many as the widest task has; the others leave theirs at zero. So one model serves any task.
CHANNELS, BITS = 10, 9
#: What draws each task, in training as it is by default, and how it is drawn in each of its tests.
TASKS = {
    "copy": (algorithmic.copy, {n: {"shortest": n, "longest": n} for n in (20, 30, 50, 100)}),
    "repeat_copy": (
        algorithmic.repeat_copy,
        {
            "10 x 5": {"shortest": 10, "least": 5},
            "20 x 5": {"shortest": 20, "longest": 20, "least": 5},
            "10 x 10": {"shortest": 10, "least": 10, "most": 10},
        },
    ),
    "associative_recall": (algorithmic.associative_recall, {n: {"least": n, "most": n} for n in (6, 10, 15)}),
    "priority_sort": (algorithmic.priority_sort, {"20 to 16": {}}),
}
MEMORIES = {
    "ntm": {"mixer": "neural_turing_machine"},
    "dnc": {"mixer": "differentiable_neural_computer", "links": "full"},
}
MODELS = (*MEMORIES, "lstm", "multi_head")
#: Widths at which a model has as many parameters as the Turing machine, or nearly: the report says how many.
SIZES = {"ntm": 100, "dnc": 101, "lstm": 68, "multi_head": 56}


def model_of(name, slots=SLOTS):
    """An untrained model from `(B, T, CHANNELS)` to logits `(B, T, BITS)`, causal."""
    size, inputs = SIZES[name], keras.Input((None, CHANNELS))
    if name in MEMORIES:
        spec = {**MEMORIES[name], "slots": slots, "slot_width": SLOT_WIDTH, "units": size}
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
    return keras.Model(inputs, layers.Dense(BITS)(hidden))


def loss_of(logits, targets, weight):
    """Mean cross-entropy of the bits at the steps that count."""
    each = ops.binary_crossentropy(targets, logits, from_logits=True)
    return ops.sum(ops.mean(each, axis=-1) * weight) / ops.sum(weight)


def wide(arrays, steps):
    """A task's arrays with as many channels and bits as any, and so many steps, behind which nothing counts."""
    inputs, targets, weight = arrays
    behind = steps - weight.shape[1]
    return (
        np.pad(inputs, [(0, 0), (0, behind), (0, CHANNELS - inputs.shape[-1])]),
        np.pad(targets, [(0, 0), (0, behind), (0, BITS - targets.shape[-1])]),
        np.pad(weight, [(0, 0), (0, behind)]),
    )


def drawer(copies):
    """What draws batches for copies `(task, seed)`: the same ones for every model, and none twice."""
    steps = max(TASKS[task][0](np.random.default_rng(0), 1)[0].shape[1] for task, _ in copies)

    def draw(task, seed, step):
        return wide(TASKS[task][0](np.random.default_rng((seed, step)), BATCH), steps)

    def batches(first, count):
        # A triple of arrays for each step and each copy, to three arrays (count, copies, B, T, ...).
        drawn = [[draw(*copy, step) for copy in copies] for step in range(first, first + count)]
        return [np.array([[each[part] for each in row] for row in drawn]) for part in range(3)]

    return batches


def train(name, options):
    import side_by_side

    copies = [[task, seed] for task in options.task for seed in range(options.seeds)]
    asked = {"model": name, "copies": copies, "steps": options.steps, "rate": options.rate, "clip": options.clip}
    if options.slots != SLOTS:
        asked["slots"] = options.slots
    if options.amsgrad:
        asked["amsgrad"] = True
    place = options.out / "-".join([name, *options.task])
    about = place.with_suffix(".json")
    if about.exists() and json.loads(about.read_text()) != asked:
        raise SystemExit(f"{about} is of another training: give another folder as --out. Asked: {asked}")
    about.write_text(json.dumps(asked))
    if place.with_suffix(".npz").exists():
        return
    rate = keras.optimizers.schedules.CosineDecay(options.rate, options.steps)
    model, optimizer, state = side_by_side.initial(
        lambda: model_of(name, options.slots),
        lambda: keras.optimizers.Adam(rate, global_clipnorm=options.clip, amsgrad=options.amsgrad),
        [seed for _, seed in copies],
    )
    path = place.with_suffix(".state.npz")
    state, losses = side_by_side.train(model, optimizer, state, loss_of, drawer(copies), options.steps, path)
    np.savez(place.with_suffix(".npz"), *[np.asarray(x) for x in state[0]])
    for task in options.task:
        last = [loss for loss, copy in zip(losses[-1], copies) if copy[0] == task]
        print(f"{name}, {task}: last losses {np.round(last, 5)}", flush=True)


def test(about, options):
    """Tries what the training `about` has made."""
    asked = json.loads(about.read_text())
    name = asked["model"]
    if name not in options.model or not about.with_suffix(".npz").exists():
        return
    model = model_of(name, asked.get("slots", SLOTS))
    done = {(line["model"], line["task"], line["seed"]) for line in tested(options.out)}
    with np.load(about.with_suffix(".npz")) as kept:
        weights = list(kept.values())
    for copy, (task, seed) in enumerate(asked["copies"]):
        if task not in options.task or (name, task, seed) in done:
            continue
        for variable, values in zip(model.trainable_variables, weights):
            variable.assign(values[copy])
        draw, cases = TASKS[task]
        found = {str(case): score(model, draw, how) for case, how in cases.items()}
        line = {"model": name, "task": task, "seed": seed, "parameters": model.count_params(), "tests": found}
        with (options.out / "tests.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(name, task, seed, {case: both["bits"] for case, both in found.items()}, flush=True)


def score(model, draw, how):
    """The share of bits that are right, and of sequences without a mistake."""
    arrays = draw(np.random.default_rng(987_654), TESTED, **how)
    bits = arrays[1].shape[-1]
    inputs, targets, weight = wide(arrays, arrays[2].shape[1])
    right = (model.predict(inputs, batch_size=BATCH, verbose=0) > 0.0) == (targets > 0.5)
    right, counted = right[..., :bits], weight > 0.0
    whole = np.all(right | ~counted[..., None], axis=(1, 2))
    return {"bits": round(float(right[counted].mean()), 5), "sequences": round(float(whole.mean()), 5)}


def tested(folder):
    path = folder / "tests.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def report(options):
    """Medians over seeds, a row for each task and model."""
    lines = tested(options.out)
    print("| task | model | parameters | seeds | bits right: median (worst to best); sequences without a mistake |")
    print("|---|---|---|---|---|")
    for task in options.task:
        for name in options.model:
            runs = [line for line in lines if (line["task"], line["model"]) == (task, name)]
            if not runs:
                continue
            cells = []
            for case in runs[0]["tests"]:
                bits, whole = ([line["tests"][case][what] for line in runs] for what in ("bits", "sequences"))
                cells.append(
                    f"{case}: {np.median(bits):.4f} ({min(bits):.4f} to {max(bits):.4f}); {np.median(whole):.2f}"
                )
            print(f"| {task} | {name} | {runs[0]['parameters']} | {len(runs)} | {'<br>'.join(cells)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "test", "report"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--task", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--rate", type=float, default=1e-3, help="of Adam, at first")
    parser.add_argument("--clip", type=float, default=1.0, help="the largest global norm of a gradient")
    parser.add_argument("--amsgrad", action="store_true", help="Adam divides by the largest mean square so far")
    parser.add_argument("--slots", type=int, default=SLOTS, help="of a memory")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.what == "report":
        report(options)
    elif options.what == "test":
        for about in sorted(options.out.glob("*.json")):
            test(about, options)
    else:
        for name in options.model:
            train(name, options)


if __name__ == "__main__":
    main()
