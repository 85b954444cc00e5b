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
from zoo.batches import StoryBatches
from zoo.datasets import babi
from zoo.story import MEMORY, MixerStoryAnswerer, MixerStoryBackbone, MixerStoryPreprocessor
from zoo.subjects import SUBJECTS
from zoo.subjects.stories import by_task, examples, on_facts, on_facts_by_chance

#: A memory network of 3 hops and width 20 trained on each task of 1k alone: errors in percent from the accuracies in
#: github.com/domluna/memn2n. The paper's own mean error, of several settings, is 12 to 15 % on 1k and 4.2 % on 10k.
PUBLISHED = dict(enumerate([0, 17, 46, 2, 13, 8, 16, 14, 10, 22, 16, 0, 10, 7, 0, 56, 48, 12, 87, 0], start=1))
#: How many of the last sentences of a story, and of the words of each, are kept.
LENGTHS = {"sentences": 50, "words": 11}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is built and trained.

    The rate of "adamw" falls to zero along half a cosine; that of "sgd", plain descent, is halved every so many epochs.
    """

    epochs: int
    width: int
    mixer: object = None
    learning_rate: float = 0.005
    weight_decay: float = 0.05
    batch_size: int = 32
    #: Of the gradient of all weights.
    clip: float = 1.0
    #: Whether Adam divides by the largest mean square so far.
    amsgrad: bool = False
    optimizer: str = "adamw"
    halved_every: int = 25
    #: `LinearStart`'s.
    patience: int = 1
    linear_epochs: int = 15


#: The rate and the bound of the gradient are the paper's, 0.01 and 40, taken as of sums over 32 questions. The linear
#: start has a fixed length: ended by the first epoch without a better loss, it is over before induction is learned.
DESCENT = {"optimizer": "sgd", "learning_rate": 0.32, "clip": 1.25, "halved_every": 15, "patience": 100}
JOINT = {"1k": Recipe(epochs=60, width=50), "10k": Recipe(epochs=60, width=50, linear_epochs=15, **DESCENT)}
SINGLE = {"1k": Recipe(epochs=100, width=20), "10k": Recipe(epochs=30, width=20)}
MEMN2N = {"mixer": MEMORY, "hops": 3, "tying": "adjacent", "slots": 50, "noise": 0.1}


class Epochs(keras.utils.PyDataset):
    """Batches in a new order in each epoch."""

    def __init__(self, inputs, targets, batch_size, seed):
        super().__init__()
        self.arguments, self.seed, self.epoch = (inputs, targets, batch_size), seed, 0
        self._arrange()

    def _arrange(self):
        self.batches = StoryBatches(*self.arguments, seed=[self.seed, self.epoch])

    def on_epoch_end(self):
        self.epoch += 1
        self._arrange()

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


def load(tasks, split, size):
    """Pairs of stories and questions of these tasks, and what is right."""
    found = [examples(task, babi.load(task, split, "1k" if (task, split) == (3, "train") else size)) for task in tasks]
    return [[each for part in parts for each in part] for parts in zip(*found)]


def run(recipe, train, test, preprocessor, seed):
    """One model, trained and judged: errors in percent for each task, and how often hops fall on facts."""
    start = time.time()
    inputs, keys = preprocessor(train[0]), train[1]
    answers = preprocessor.answers([key.answer for key in keys])
    held_out, rest = np.split(np.random.default_rng(seed).permutation(len(keys)), [len(keys) // 10])
    keras.utils.set_random_seed(seed)
    backbone = MixerStoryBackbone(
        preprocessor.tokenizer.vocabulary_size(), hidden_dim=recipe.width, num_layers=1, mixer=recipe.mixer
    )
    task = MixerStoryAnswerer(backbone, preprocessor)
    model = keras.Model(task.input, task.output)
    batches = Epochs(StoryBatches.cut(inputs, rest), answers[rest], recipe.batch_size, seed)
    model.compile(
        _optimizer(recipe, len(batches)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    linear = [LinearStart(patience=recipe.patience, epochs=recipe.linear_epochs)] if backbone.memory else []
    history = model.fit(
        batches,
        validation_data=StoryBatches(StoryBatches.cut(inputs, held_out), answers[held_out], recipe.batch_size, [seed]),
        epochs=recipe.epochs,
        callbacks=linear,
        verbose=0,
    ).history
    subject, (stories, asked) = SUBJECTS["babi"], test
    wrong = subject.wrong(subject.outputs(task, preprocessor(stories)), subject.align(preprocessor, stories, asked))
    return {
        "errors": _as_json(by_task(asked, 100.0 * wrong)),
        "facts": _as_json(by_task(asked, on_facts(task, stories, asked))) if linear else {},
        "chance_on_facts": _as_json(by_task(asked, on_facts_by_chance(task, stories, asked))) if linear else {},
        "train_loss": history["loss"][-1],
        "valid_loss": history["val_loss"][-1],
        "valid_accuracy": history["val_accuracy"][-1],
        "linear_until_epoch": linear[0].switched if linear else None,
        "seconds": time.time() - start,
    }


def _optimizer(recipe, steps):
    """The recipe's optimizer, for epochs of so many steps."""
    if recipe.optimizer == "sgd":
        rate = keras.optimizers.schedules.ExponentialDecay(
            recipe.learning_rate, recipe.halved_every * steps, decay_rate=0.5, staircase=True
        )
        return keras.optimizers.SGD(rate, global_clipnorm=recipe.clip)
    return keras.optimizers.AdamW(
        keras.optimizers.schedules.CosineDecay(recipe.learning_rate, recipe.epochs * steps),
        weight_decay=recipe.weight_decay,
        global_clipnorm=recipe.clip,
        amsgrad=recipe.amsgrad,
    )


def _as_json(by_task):
    return {str(task): value for task, value in by_task.items()}


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
    known = [key.answer for key in train[1] + test[1]]
    preprocessor = MixerStoryPreprocessor.of(train[0] + test[0], known, **LENGTHS)
    for each in missing:
        chosen = [_of_tasks(part, each["tasks"]) for part in (train, test)]
        result = run(Recipe(**each["recipe"]), *chosen, preprocessor, each["seed"])
        with path.open("a") as file:
            file.write(json.dumps({**each, **result, "backend": keras.backend.backend()}) + "\n")
        error = np.mean(list(result["errors"].values()))
        print(f"seed {each['seed']}, tasks {each['tasks']}: {error:.1f} % in {result['seconds']:.0f} s", flush=True)


def _of_tasks(part, tasks):
    """Of pairs and keys those of these tasks."""
    found = [(pair, key) for pair, key in zip(*part, strict=True) if key.task in tasks]
    return [list(each) for each in zip(*found)]


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
