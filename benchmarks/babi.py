"""Questions about stories: an end-to-end memory network on the 20 tasks of bAbI.

    KERAS_BACKEND=jax python benchmarks/babi.py --size 1k --seeds 5 [--single] [--tasks 1 2 16] [--mixer lstm]

Trains one model on all chosen tasks, or with `--single` one on each, and prints the errors on the test questions, the
median over the seeds, beside what others published, and how often the largest weight of some hop falls on one of the
sentences that it takes to answer. Every finished run is a line of JSON in the file that `--runs` names; a run that is
there already is not done again, so that a killed benchmark goes on where it was. `--report` prints what is there.

The data lies in the folder that `$KERAS_ATTN_DATA` names. Training of task 3 is on its 1,000 questions in either size:
its 10,000 are not in the archive.
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

from keras_attn import LinearStart
from zoo.datasets import babi
from zoo.story import MEMORY, StoryVectorizer, build, looks

#: A memory network of 3 hops and width 20 trained on each task of 1k alone: errors in percent from the accuracies in
#: github.com/domluna/memn2n. The paper's own mean error, of several settings, is 12 to 15 % on 1k and 4.2 % on 10k.
PUBLISHED = dict(enumerate([0, 17, 46, 2, 13, 8, 16, 14, 10, 22, 16, 0, 10, 7, 0, 56, 48, 12, 87, 0], start=1))
#: Batches are cut to one of these numbers of sentences: nearly nine in ten stories have at most ten.
LENGTHS = (10, 50)
WORDS = 11


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is built and trained: by AdamW, its rate falling to zero along half a cosine."""

    epochs: int
    width: int
    mixer: object = None
    learning_rate: float = 0.005
    weight_decay: float = 0.05
    batch_size: int = 32
    #: Of the gradient of all weights.
    clip: float = 1.0
    #: `LinearStart`'s.
    patience: int = 1
    linear_epochs: int = 15


JOINT = {"1k": Recipe(epochs=60, width=50), "10k": Recipe(epochs=20, width=50, batch_size=64)}
SINGLE = {"1k": Recipe(epochs=100, width=20), "10k": Recipe(epochs=30, width=20)}
MEMN2N = {"mixer": MEMORY, "hops": 3, "tying": "adjacent", "slots": 50, "noise": 0.1}


class Batches(keras.utils.PyDataset):
    """Batches of questions whose stories are of like length, in a new order in each epoch if there is a seed."""

    def __init__(self, arrays, batch_size, seed=None):
        super().__init__()
        self.arrays, self.batch_size, self.seed, self.epoch = arrays, batch_size, seed, 0
        self._arrange()

    def _arrange(self):
        random = np.random.default_rng([self.seed or 0, self.epoch])
        sentences = self.arrays["story"].any(axis=-1).sum(axis=-1)
        order = np.arange(len(sentences)) if self.seed is None else random.permutation(len(sentences))
        self.batches = []
        for shorter, length in zip((-1, *LENGTHS), LENGTHS):
            rows = order[(sentences[order] > shorter) & (sentences[order] <= length)]
            cuts = range(self.batch_size, len(rows), self.batch_size)
            self.batches += [(length, batch) for batch in np.split(rows, cuts) if len(batch)]
        if self.seed is not None:
            # A smaller one would be compiled for itself.
            self.batches = [batch for batch in self.batches if len(batch[1]) == self.batch_size]
            self.batches = [self.batches[index] for index in random.permutation(len(self.batches))]

    def on_epoch_end(self):
        self.epoch += 1
        if self.seed is not None:
            self._arrange()

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        length, rows = self.batches[index]
        inputs = {"story": self.arrays["story"][rows, :length], "question": self.arrays["question"][rows]}
        return inputs, self.arrays["answer"][rows]


def load(tasks, split, size):
    """Questions of these tasks, and of which task each is."""
    questions, of_task = [], []
    for task in tasks:
        found = babi.load(task, split, "1k" if (task, split) == (3, "train") else size)
        questions += found
        of_task += [task] * len(found)
    return questions, np.array(of_task)


def texts(questions):
    return [[getattr(question, part) for question in questions] for part in ("story", "question", "answer")]


def arrays_of(vectorizer, questions, of_task):
    stories, asked, answers = texts(questions)
    facts = vectorizer.facts(stories, [question.facts for question in questions])
    return {
        **vectorizer(stories, asked),
        "answer": vectorizer.answers(answers),
        "facts": facts,
        "task": of_task,
    }


def run(recipe, train, test, vocabulary_size, seed):
    """One model, trained and judged: errors in percent for each task, and how often hops fall on facts."""
    start = time.time()
    order = np.random.default_rng(seed).permutation(len(train["answer"]))
    held_out = len(order) // 10
    valid, train = ({name: array[rows] for name, array in train.items()} for rows in np.split(order, [held_out]))
    keras.utils.set_random_seed(seed)
    model = build(vocabulary_size, recipe.mixer, width=recipe.width)
    batches = Batches(train, recipe.batch_size, seed)
    model.compile(
        keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(recipe.learning_rate, recipe.epochs * len(batches)),
            weight_decay=recipe.weight_decay,
            global_clipnorm=recipe.clip,
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    has_memory = "memory" in {layer.name for layer in model.layers}
    linear = [LinearStart(patience=recipe.patience, epochs=recipe.linear_epochs)] if has_memory else []
    history = model.fit(
        batches,
        validation_data=Batches(valid, recipe.batch_size),
        epochs=recipe.epochs,
        callbacks=linear,
        verbose=0,
    ).history
    return {
        "errors": _by_task(test, 100.0 * _wrong(model, test)),
        "facts": _by_task(test, _on_facts(model, test)) if has_memory else {},
        "chance_on_facts": _by_task(test, _chance_on_facts(test, model)) if has_memory else {},
        "train_loss": history["loss"][-1],
        "valid_loss": history["val_loss"][-1],
        "valid_accuracy": history["val_accuracy"][-1],
        "linear_until_epoch": linear[0].switched if linear else None,
        "seconds": time.time() - start,
    }


def _predict(model, arrays):
    """The model's answer to each question, in the order of the arrays; weights over few sentences are filled up."""
    batches = Batches(arrays, 500)
    parts = [model.predict_on_batch(batches[index][0]) for index in range(len(batches))]
    if parts[0].ndim == 4:
        parts = [np.pad(part, [(0, 0)] * 3 + [(0, LENGTHS[-1] - part.shape[-1])]) for part in parts]
    order = np.concatenate([rows for _, rows in batches.batches])
    return np.concatenate(parts)[np.argsort(order)]


def _wrong(model, arrays):
    return _predict(model, arrays).argmax(axis=-1) != arrays["answer"]


def _on_facts(model, arrays):
    """For each question 1 if in some hop the sentence of the largest weight is a supporting fact, else 0."""
    largest = _predict(looks(model), arrays)[:, :, 0].argmax(axis=-1)  # (N, hops)
    return np.take_along_axis(arrays["facts"], largest, axis=1).any(axis=1)


def _chance_on_facts(arrays, model):
    """How probable that is for each question if every hop looked anywhere."""
    share = arrays["facts"].sum(axis=1) / np.maximum(arrays["story"].any(axis=-1).sum(axis=-1), 1)
    return 1.0 - (1.0 - share) ** model.get_layer("memory").hops


def _by_task(arrays, values):
    return {str(task): float(values[arrays["task"] == task].mean()) for task in np.unique(arrays["task"])}


def plan(options):
    """What is to be run: for each run what identifies it, in the order in which they are done."""
    recipe = (SINGLE if options.single else JOINT)[options.size]
    recipe = dataclasses.replace(recipe, mixer=MEMN2N if options.mixer == MEMORY else options.mixer)
    recipe = dataclasses.replace(recipe, **json.loads(options.recipe))
    groups = [[task] for task in options.tasks] if options.single else [options.tasks]
    return [
        {"size": options.size, "tasks": tasks, "seed": seed, "recipe": dataclasses.asdict(recipe)}
        for seed in range(options.seeds)
        for tasks in groups
    ]


def finished(path, runs):
    """The lines of the file that belong to one of the runs; a line cut short by a kill counts for nothing."""
    lines = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return [line for line in lines if {name: line.get(name) for name in runs[0]} in runs]


def carry_out(runs, path):
    done = finished(path, runs)
    missing = [run for run in runs if not any(all(line[name] == run[name] for name in run) for line in done)]
    if not missing:
        return
    tasks, size = sorted({task for run in missing for task in run["tasks"]}), missing[0]["size"]
    train, test = load(tasks, "train", size), load(tasks, "test", size)
    vectorizer = StoryVectorizer.of(*texts(train[0] + test[0]), sentences=LENGTHS[-1], words=WORDS)
    train, test = arrays_of(vectorizer, *train), arrays_of(vectorizer, *test)
    for each in missing:
        chosen = [
            {name: array[np.isin(arrays["task"], each["tasks"])] for name, array in arrays.items()}
            for arrays in (train, test)
        ]
        result = run(Recipe(**each["recipe"]), *chosen, len(vectorizer.vocabulary), each["seed"])
        with path.open("a") as file:
            file.write(json.dumps({**each, **result, "backend": keras.backend.backend()}) + "\n")
        error = np.mean(list(result["errors"].values()))
        print(f"seed {each['seed']}, tasks {each['tasks']}: {error:.1f} % in {result['seconds']:.0f} s", flush=True)


def report(lines):
    """The table of the errors, the median over the seeds, and of the facts."""
    seeds = sorted({line["seed"] for line in lines})
    by_seed = {seed: {} for seed in seeds}
    facts, chance = {}, {}
    for line in lines:
        by_seed[line["seed"]].update(line["errors"])
        for task, share in line["facts"].items():
            facts.setdefault(task, []).append(share)
            chance.setdefault(task, []).append(line["chance_on_facts"][task])
    tasks = sorted({task for errors in by_seed.values() for task in errors}, key=int)
    whole = {seed: errors for seed, errors in by_seed.items() if len(errors) == len(tasks)}
    print(f"{len(lines)} runs, seeds {seeds}; all of {len(tasks)} tasks: seeds {sorted(whole)}\n")
    print("| task | error, % (median) | from - to | domluna/memn2n, % | on a fact, % | by chance, % |")
    print("|---|---|---|---|---|---|")
    for task in tasks:
        errors = [by_seed[seed][task] for seed in seeds if task in by_seed[seed]]
        looked = f"{100 * np.median(facts[task]):.0f} | {100 * chance[task][0]:.0f}" if task in facts else "- | -"
        print(
            f"| {task} {babi.TASKS[int(task)]} | {np.median(errors):.1f} | {min(errors):.1f} - {max(errors):.1f} "
            f"| {PUBLISHED[int(task)]} | {looked} |"
        )
    means = [np.mean(list(errors.values())) for errors in whole.values()]
    if means:
        published = np.mean([PUBLISHED[int(task)] for task in tasks])
        looked = [
            f"{100 * np.mean([np.median(of[task]) for task in tasks]):.0f}" if of else "-" for of in (facts, chance)
        ]
        print(
            f"| mean | {np.median(means):.1f} | {min(means):.1f} - {max(means):.1f} | {published:.1f} "
            f"| {looked[0]} | {looked[1]} |"
        )
        failed = [sum(error > 5 for error in errors.values()) for errors in whole.values()]
        print(f"\nTasks with an error above 5 %: median {np.median(failed):.0f}. Seconds of a run: ", end="")
        print(f"median {np.median([line['seconds'] for line in lines]):.0f}.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(babi.SIZES), default="1k")
    parser.add_argument("--tasks", type=int, nargs="+", choices=list(babi.TASKS), default=list(babi.TASKS))
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument("--single", action="store_true", help="a model for each task")
    parser.add_argument("--mixer", default=MEMORY, help="a mixer's name, for a model that reads word by word")
    parser.add_argument("--recipe", default="{}", help="what to change in it, as JSON")
    parser.add_argument("--runs", type=Path, default=Path("babi_runs.jsonl"))
    parser.add_argument("--report", action="store_true", help="train nothing")
    options = parser.parse_args()
    runs = plan(options)
    if not options.report:
        carry_out(runs, options.runs)
    lines = finished(options.runs, runs)
    if lines:
        report(lines)


if __name__ == "__main__":
    main()
