"""Which map tells where the answer lies? Map x kind of model x data, against what is known to matter.

    KERAS_BACKEND=jax python benchmarks/maps.py run --out FILE [--data recall place ...] [--seeds 3]
    python benchmarks/maps.py report --out FILE

Data of which it is known where the answer lies, told to no model:

- recall: four pairs of a key and a value, then a key; the answer is its value. True are the two positions of the pair.
- place: sixteen symbols and then a number; the answer is the symbol at that place. True is that position.
- facts: task 1 of bAbI, 10,000 stories, word by word. True are the words of the sentence that it takes to answer.
- beats: ten seconds of an electrocardiogram; is there a ventricular beat? True are the positions from 0.2 s before to
  0.3 s behind each of them. The patients of the test are others than those of the training.

Every model is the zoo's stack of two layers of width 48 with another mixer in it, trained alike. Words are answered
from the last position, where the question ends, beats from the mean over all. Of each model maps are made of test rows
(with a ventricular beat), and for each is told

- how often its largest number stands at a true position (the question's own positions do not count), and
- how far deleting positions in its order makes the probability of the answer fall: 0 as far as random orders, 1 as far
  as the order that an oracle finds by asking the model. What a person calls true plays no part in this.

Each run is a line of JSON; one that is there is not done again. Without `$KERAS_ATTN_DATA` facts and beats are left
out.
"""

import argparse
import dataclasses
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import ops

from keras_attn import inspection
from zoo.backbone import stack
from zoo.datasets import babi, mitbih

WIDTH, LAYERS, ROWS = 48, 2, 32
BATCH, RATE = 64, 0.003
#: Two layers of these see 75 positions to each side.
WIDE = [{"mixer": "depthwise_conv", "kernel_size": 31}, {"mixer": "depthwise_conv", "kernel_size": 31, "dilation": 4}]
KINDS = {
    "multi_head": "multi_head",
    "additive": "additive",
    "gru": {"mixer": "gru", "bidirectional": True},
    "depthwise_conv": WIDE,
    "linear_recurrence": {"mixer": "linear_recurrence", "bidirectional": True},
}


@dataclasses.dataclass
class Split:
    """Inputs `(N, T)` of words, 0 being none, or `(N, T, D)`, answers `(N,)`, and what is known `(N, T)`."""

    x: np.ndarray
    y: np.ndarray
    truth: np.ndarray
    #: Positions that may count, the question's left out.
    counting: np.ndarray


def recall(split, numbers):
    count = {"train": 30_000, "test": 1_000}[split]
    keys = numbers.permuted(np.tile(np.arange(6), (count, 1)), axis=1)[:, :4]
    values, asked, rows = numbers.integers(6, size=(count, 4)), numbers.integers(4, size=count), np.arange(count)
    pairs = np.stack([1 + keys, 7 + values], axis=2).reshape(count, 8)
    x = np.concatenate([pairs, 1 + keys[rows, asked, None]], axis=1)
    where = np.arange(9)
    return Split(x, values[rows, asked], where // 2 == asked[:, None], np.tile(where < 8, (count, 1)))


def place(split, numbers):
    count = {"train": 40_000, "test": 1_000}[split]
    symbols, asked = numbers.integers(8, size=(count, 16)), numbers.integers(16, size=count)
    x = np.concatenate([1 + symbols, 9 + asked[:, None]], axis=1)
    where = np.arange(17)
    return Split(x, symbols[np.arange(count), asked], where == asked[:, None], np.tile(where < 16, (count, 1)))


def facts(split, numbers):
    questions = babi.load(1, split, "10k")
    words = sorted({word for each in questions for line in (*each.story, each.question) for word in _words(line)})
    ids, answers = {word: 1 + i for i, word in enumerate(words)}, sorted({each.answer for each in questions})
    length = max(sum(map(len, map(_words, (*each.story, each.question)))) for each in babi.load(1, "train", "10k"))
    x, truth, counting = (np.zeros((len(questions), length), dtype) for dtype in ("int32", bool, bool))
    for row, each in enumerate(questions):
        lines = [*map(_words, each.story), _words(each.question)]
        owner = np.repeat(np.arange(len(lines)), list(map(len, lines)))[-length:]
        # What is too long loses its beginning; what is too short has room in front.
        x[row, length - len(owner) :] = [ids[word] for line in lines for word in line][-length:]
        truth[row, length - len(owner) :] = np.isin(owner, each.facts)
        counting[row, length - len(owner) :] = owner < len(each.story)
    return Split(x, np.array([answers.index(each.answer) for each in questions]), truth, counting)


def _words(line):
    return line.lower().strip(".?").split()


#: How many samples of the signal are one position.
PATCH = 10


def beats(split, numbers):
    strips = mitbih.load_strips(split)
    x, truth = strips.positions(PATCH)
    return Split(x, strips.y, truth, np.ones_like(truth))


DATA = {"recall": recall, "place": place, "facts": facts, "beats": beats}
EPOCHS = {"recall": 6, "place": 6, "facts": 8, "beats": 8}


def build(kind, train):
    """The model: from inputs to logits `(B, classes)`."""
    classes = int(train.y.max()) + 1
    if train.x.ndim == 2:
        inputs = keras.Input((train.x.shape[1],), dtype="int32")
        real = ops.not_equal(inputs, 0)
        hidden = keras.layers.Embedding(int(train.x.max()) + 1, WIDTH, embeddings_initializer="normal")(inputs)
    else:
        inputs, real = keras.Input(train.x.shape[1:]), None
        hidden = keras.layers.Dense(WIDTH)(inputs)
    hidden = stack(hidden, real, KINDS[kind], LAYERS, 2.0, 3, "sinusoid", position_scale=0.1)
    hidden = keras.layers.GlobalAveragePooling1D()(hidden) if real is None else hidden[:, -1]
    return keras.Model(inputs, keras.layers.Dense(classes)(hidden))


def fit(model, train, epochs, seed):
    steps = epochs * (len(train.x) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(0.0, steps, warmup_target=RATE, warmup_steps=steps // 10)
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=0.01, clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    order = np.random.default_rng(seed).permutation(len(train.x))[: len(train.x) // BATCH * BATCH]
    model.fit(train.x[order], train.y[order], batch_size=BATCH, epochs=epochs, verbose=2)


def maps(model, x, y, last):
    """Every map `(B, S)` that the model has; `last`: of the last position and not of the mean over all."""

    def row(rolled):
        return rolled[:, -1] if last else rolled.mean(axis=1)

    def logit(outputs):
        return _of_answer(outputs, y)

    found = {}
    explicit = any(getattr(layer, "kind", None) == "explicit" for layer in model._flatten_layers())
    if explicit:
        found["weights, rolled out"] = row(inspection.rollout(list(inspection.weights(model, x).values())))
        shares = list(inspection.attention_x_gradient(model, x, logit).values())
        found["weights x gradient"] = row(inspection.relevance(shares))
    else:
        try:
            matrices = [np.abs(each.matrix) for each in inspection.implicit_weights(model, x).values()]
            found["implicit weights, rolled out"] = row(inspection.rollout(matrices))
        except ValueError:
            # A GRU has none.
            pass
    found["gradient (sensitivity)"] = inspection.sensitivity(model, x, logit)
    for method in ("gradient_x_input", "integrated_gradients", "smooth_grad", "occlusion"):
        found[method] = inspection.attribution(model, x, logit, method=method).map
    return found


def _of_answer(outputs, y):
    """Each row's own number among outputs `(copies B, classes)`."""
    hot = np.eye(outputs.shape[-1], dtype="float32")[y]
    copies = outputs.shape[0] // len(y)
    return ops.sum(outputs * np.tile(hot, (copies, 1)), axis=-1)


def run(data, kind, seed):
    """One model trained, and all its maps measured."""
    keras.utils.set_random_seed(seed)
    numbers = np.random.default_rng([seed, len(data)])
    train, test = (DATA[data](split, numbers) for split in ("train", "test"))
    model, start = build(kind, train), time.time()
    fit(model, train, EPOCHS[data], seed)
    trained = time.time() - start
    logits = model.predict(test.x, batch_size=256, verbose=0)
    # Rows that have something to be found.
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(test.truth.any(1)))[:ROWS]
    x, y, truth, counting = (each[rows] for each in (test.x, test.y, test.truth, test.counting))
    start = time.time()
    found = maps(model, x, y, last=x.ndim == 2)
    numbers = np.random.default_rng(seed)
    found["random"] = numbers.random(truth.shape)
    faithful = inspection.faithfulness(
        model,
        x,
        found,
        output=lambda outputs: _of_answer(ops.softmax(outputs), y),
        mask=x != 0 if x.ndim == 2 else None,
        truth=truth,
        steps=16,
        draws=6,
        rounds=3,
        seed=seed,
    )
    measured = {}
    for name, map in found.items():
        points = inspection.pointing(map, truth & counting, counting)
        measured[name] = {
            "hit": float(points.hit.mean()),
            "precision": float(points.precision.mean()),
            "deletion": float(faithful[name].overall().deletion),
            "insertion": float(faithful[name].overall().insertion),
        }
    first = faithful["random"]
    measured["truth"] = {
        "hit": 1.0,
        "precision": 1.0,
        "deletion": float(first.overall("truth").deletion),
        "insertion": float(first.overall("truth").insertion),
    }
    return {
        "data": data,
        "kind": kind,
        "seed": seed,
        "accuracy": float(np.mean(logits.argmax(-1) == test.y)),
        "chance": float(points.chance.mean()),
        "majority": float(np.bincount(test.y).max() / len(test.y)),
        "areas": {name: float(getattr(first, name).deletion.mean()) for name in ("random", "oracle")},
        "maps": measured,
        "seconds": {"training": round(trained, 1), "maps": round(time.time() - start, 1)},
    }


def runs(options):
    done = {(each["data"], each["kind"], each["seed"]) for each in read(options.out)}
    for seed in range(options.seeds):
        for data in options.data:
            for kind in options.kinds:
                if (data, kind, seed) in done:
                    continue
                found = run(data, kind, seed)
                with open(options.out, "a") as file:
                    file.write(json.dumps(found) + "\n")
                print(
                    json.dumps({key: found[key] for key in ("data", "kind", "seed", "accuracy", "seconds")}), flush=True
                )
                keras.backend.clear_session()


#: What the tables show.
MEASURES = ("hit", "deletion")


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def report(options):
    """For each data set a table of maps by kinds of model: pointing, and deletion between random and the oracle."""
    found = read(options.out)
    for data in dict.fromkeys(each["data"] for each in found):
        here = [each for each in found if each["data"] == data]
        kinds = [kind for kind in KINDS if any(each["kind"] == kind for each in here)]
        seeds = sorted({each["seed"] for each in here})
        print(f"\n**{data}** (seeds {', '.join(map(str, seeds))}; pointing by chance {here[0]['chance']:.2f}, ", end="")
        print(f"most frequent answer {here[0]['majority']:.2f})\n")
        print(f"| map: pointing; deletion | {' | '.join(kinds)} |\n|---|{'---|' * len(kinds)}")
        print(f"| accuracy | {' | '.join(spread(here, kind, lambda each: each['accuracy']) for kind in kinds)} |")
        for name in dict.fromkeys(name for each in here for name in each["maps"]):
            print(f"| {name} | {' | '.join(cell(here, kind, name) for kind in kinds)} |")


def spread(found, kind, number):
    """Median over the seeds, with the least and the largest if there are several."""
    numbers = [number(each) for each in found if each["kind"] == kind]
    around = f" ({min(numbers):.2f}-{max(numbers):.2f})" if len(numbers) > 1 else ""
    return f"{np.median(numbers):.2f}{around}"


def cell(found, kind, name):
    if not any(each["kind"] == kind and name in each["maps"] for each in found):
        return ""
    hit, deletion = (spread(found, kind, lambda each, what=what: each["maps"][name][what]) for what in MEASURES)
    return f"{hit}; {deletion}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("--out", type=Path, required=True, help="the file of runs, a line of JSON each")
    there = list(DATA) if os.environ.get("KERAS_ATTN_DATA") else ["recall", "place"]
    parser.add_argument("--data", nargs="+", choices=DATA, default=there)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    {"run": runs, "report": report}[options.what](options)


if __name__ == "__main__":
    main()
