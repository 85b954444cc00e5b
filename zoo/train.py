"""Trains a preset: `python -m zoo.train NAME`. Run it again after a kill and it goes on where it was."""

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path

import keras
import keras_hub
import numpy as np

from keras_attn.lookup import choose
from zoo import checkpoint, store
from zoo.explain import explain
from zoo.recipes import RECIPES
from zoo.subjects import SUBJECTS
from zoo.subjects.subject import SPLITS

#: A picture of what the preset looks at, beside its card.
LOOK = "look.png"


def train(name, directory, work, epochs=None):
    """Trains a recipe with each of its seeds and saves the run that did best on dev.

    Args:
        name: a name from `zoo.recipes.RECIPES`.
        directory: where the preset is written; it must be empty or not exist.
        work: directory of the state of the runs, not in `directory`; what is there already is not trained again.
        epochs: fewer passes than the recipe's, to try it out.

    Returns:
        The preset's card, a dict.

    Raises:
        PresetError: if no preset can be written into the directory; nothing is trained then.
    """
    recipe = RECIPES[choose("recipe", name, RECIPES)]
    work = Path(work)
    _check_places(directory, work)
    work.mkdir(parents=True, exist_ok=True)
    course = _Course(recipe, work, epochs or recipe.epochs)
    runs = {seed: course.run(seed) for seed in recipe.seeds}
    best = choose_best(course.subject, {seed: progress["dev"] for seed, (progress, _) in runs.items()})
    task = course.build(best)
    task.set_weights(runs[best][1])
    return _publish(course, task, {seed: progress for seed, (progress, _) in runs.items()}, best, directory)


def _check_places(directory, work):
    """Raises before hours of training if the preset could not be written in the end."""
    store.check_free(directory)
    if Path(directory).resolve() in (work.resolve(), *work.resolve().parents):
        raise store.PresetError(
            "The state of the runs would lie where the preset is written, which must be empty. Received: "
            f"work={str(work)!r}, directory={str(directory)!r}"
        )


def rehearse(recipe, work, epochs=None):
    """The score on test of a recipe's first seed, chosen by dev as always; nothing is published."""
    work = Path(work)
    work.mkdir(parents=True, exist_ok=True)
    progress, _ = _Course(recipe, work, epochs or recipe.epochs).run(recipe.seeds[0])
    return progress["test"]


def choose_best(subject, scores):
    """The seed with the best score, the first of equal ones."""
    return (min if subject.lower_is_better else max)(scores, key=scores.get)


class _Course:
    """A recipe with its data: what all of its runs share."""

    def __init__(self, recipe, work, epochs):
        self.recipe, self.work, self.epochs = recipe, work, epochs
        self.subject = SUBJECTS[choose("subject", recipe.subject, SUBJECTS)]
        self.preprocessor = self.subject.prepare(recipe, work)
        self.data = {split: self._encode(*self.subject.load(split)) for split in SPLITS}
        inputs, answers = self.data["train"]
        self.inputs, self.targets = inputs, self.subject.targets(recipe, answers)

    def _encode(self, inputs, answers):
        subject, preprocessor = self.subject, self.preprocessor
        return subject.encode(preprocessor, inputs), subject.align(preprocessor, inputs, answers)

    def plan(self):
        """What a run must have in common with one that goes on with it."""
        return {**as_plain(self.recipe), "options": self.subject.settings(self.recipe), "epochs": self.epochs}

    def build(self, seed):
        """The recipe's task with a seed's first weights."""
        keras.utils.set_random_seed(seed)
        return self.subject.build(self.recipe, self.preprocessor)

    def batches(self, seed, epoch):
        return self.subject.batches(self.recipe, self.preprocessor, self.inputs, self.targets, [seed, epoch])

    def score(self, model, split):
        inputs, answers = self.data[split]
        return float(self.subject.score(self.subject.outputs(model, inputs), answers))

    def run(self, seed):
        """One seed: its progress, with the scores of its epoch that is best on dev, and the weights of that epoch."""
        model = _without_preprocessor(self.build(seed))
        _compile(model, self.recipe, self.subject, steps=self.epochs * len(self.batches(seed, 0)))
        state = self.work / f"{self.recipe.name}.{seed}.npz"
        progress, best = _go_on(state, plan=self.plan())
        checkpoint.restore(state, model)
        for epoch in range(progress["epoch"], self.epochs):
            start = time.perf_counter()
            callbacks = self.subject.callbacks(self.recipe, epoch)
            model.fit(self.batches(seed, epoch), initial_epoch=epoch, epochs=epoch + 1, callbacks=callbacks, verbose=1)
            dev = self.score(model, "dev")
            if not best or self.subject.is_better(dev, progress["dev"]):
                progress["dev"], best = dev, model.get_weights()
            seconds = progress["seconds"] + time.perf_counter() - start
            progress.update(epoch=epoch + 1, seconds=seconds, history=[*progress["history"], dev])
            print(f"seed {seed} epoch {epoch + 1}: dev {self.subject.measure} {dev:.4f}, best {progress['dev']:.4f}")
            checkpoint.save(state, model, progress, best)
        if progress["test"] is None:
            # The score on test is for the card alone: nothing is chosen by it.
            model.set_weights(best)
            progress["test"] = self.score(model, "test")
            checkpoint.save(state, model, progress, best)
        return progress, best


def _go_on(state, plan):
    """Where a run stands; a new one stands at epoch 0."""
    progress, best = checkpoint.read(state)
    progress = progress or {"plan": plan, "epoch": 0, "dev": None, "test": None, "seconds": 0.0, "history": []}
    changed = sorted(key for key in plan if plan[key] != progress["plan"].get(key))
    if changed:
        raise ValueError(
            f"{state} is of a run with another {', '.join(changed)}: remove it, or give another work directory. "
            f"It had: {progress['plan']}. Received: {plan}"
        )
    return progress, best


def _without_preprocessor(task):
    """The same weights as a model of encoded inputs: a KerasHub task takes no `PyDataset`."""
    return keras.Model(task.input, task.output)


def as_plain(recipe):
    """A recipe as JSON gives it back."""
    return json.loads(json.dumps(dataclasses.asdict(recipe)))


def _compile(model, recipe, subject, steps):
    warmup = max(1, steps // 10)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warmup), warmup_target=recipe.learning_rate, warmup_steps=warmup
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay, clipnorm=1.0)
    model.compile(optimizer, loss=subject.loss(recipe))


def _publish(course, task, runs, best, directory):
    """Saves the preset with a card about what was saved: the weights as stored, not as trained."""
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / course.recipe.name
        store.save(task, trial, weights="float16")
        stored = store.load(trial)
        card = _card(course, stored, runs, best)
        card["megabytes"] = sum(file.stat().st_size for file in trial.glob("*.h5")) / 1e6
        picture = Path(folder) / LOOK
        draw(course.subject, trial, picture)
        files = {LOOK: picture.read_bytes()} if picture.exists() else {}
        card |= {"picture": LOOK} if files else {}
    store.save(task, directory, card=card, weights="float16", files=files)
    return card


def draw(subject, preset, path):
    """What the preset looks at, for the subject's example; nothing for models whose answers `explain` does not know."""
    try:
        explain(preset, subject.example(), out=path)
    except ValueError as error:
        print(f"No picture of what it looks at: {error}")


def about(recipe, subject, by_seed, judged):
    """What a card says of a recipe and its subject, given the test score of each seed and those of the stored one."""
    kind = subject.kind(recipe)
    said = {
        "name": recipe.name,
        "summary": f"{subject.summary}, by {kind} attention.",
        "kind": kind,
        "mixer": subject.mixer(recipe),
        "subject": subject.name,
        "classes": list(subject.classes()),
        "data": subject.data,
        "licence": f"of the data: {subject.licence}",
        "limits": subject.limits,
        "recipe": as_plain(recipe),
        "score_is": subject.measure,
        "goal": subject.aim(by_seed, judged),
        "published": list(subject.published),
    }
    return {name: value for name, value in said.items() if value not in ([], "")}


def _card(course, task, runs, best):
    recipe, subject, backend = course.recipe, course.subject, keras.backend.backend()
    judged, by_seed = subject.judge(task), [run["test"] for run in runs.values()]
    card = {
        **about(recipe, subject, by_seed, judged),
        "seeds": f"{', '.join(str(seed) for seed in runs)}; stored: {best}, the best on dev",
        "dev_score": [run["dev"] for run in runs.values()],
        "test_score": judged["score"],
        "test_score_by_seed": by_seed,
        "further_scores": {name: value for name, value in judged.items() if name != "score"},
        "parameters": task.count_params(),
        "training_s": [round(run["seconds"]) for run in runs.values()],
        "latency_ms": _latency(course, task),
        "weights": "float16",
        "trained_with": f"keras {keras.__version__}, keras-hub {keras_hub.__version__}, {backend}, {_device()}",
        "command": f"KERAS_ATTN_DATA=DIRECTORY KERAS_BACKEND={backend} python -m zoo.train {recipe.name}",
    }
    return {name: value for name, value in card.items() if value != {}}


def _device():
    """What the backend computes on, where it is not told otherwise: "CPU", "GPU" or "TPU"."""
    place = str(keras.ops.ones(1).device).upper()
    return next((kind for kind in ("CPU", "TPU") if kind in place), "GPU")


def _latency(course, task, repeats=31):
    """Median milliseconds for one example, already encoded, from the model's inputs to its outputs."""
    inputs = course.subject.encode(task.preprocessor, course.subject.first())
    model = _without_preprocessor(task)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        model.predict_on_batch(inputs)
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m zoo.train", description=__doc__)
    parser.add_argument("name", metavar="NAME", help=f"one of: {', '.join(RECIPES)}")
    parser.add_argument("--directory", help="an empty or new folder for the preset (default: ./NAME)")
    parser.add_argument("--work", help="where the state of the runs is kept (default: ./NAME.work)")
    parser.add_argument("--epochs", type=int, help="fewer passes than the recipe's, to try it out")
    chosen = parser.parse_args(arguments)
    try:
        name = choose("recipe", chosen.name, RECIPES)
    except ValueError as error:
        parser.error(str(error))
    try:
        card = train(name, chosen.directory or name, chosen.work or f"{name}.work", epochs=chosen.epochs)
    except (FileNotFoundError, store.PresetError) as error:
        parser.exit(2, f"{error}\n")
    print(f"test {card['score_is']} {card['test_score']:.4f} (by seed: {card['test_score_by_seed']})")


if __name__ == "__main__":
    main()
