"""Trains a preset: `python -m zoo.train NAME`. Run it again after a kill and it goes on where it was."""

import argparse
import dataclasses
import json
import os
import tempfile
import time
from pathlib import Path

import keras
import keras_hub
import numpy as np

from keras_attn import mixers
from keras_attn.lookup import choose
from zoo import checkpoint, store
from zoo.batches import Batches
from zoo.datasets import sst2
from zoo.recipes import RECIPES
from zoo.text import MixerTextBackbone, MixerTextClassifier, MixerTextClassifierPreprocessor, MixerTokenizer

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def train(name, directory, work, epochs=None):
    """Trains a recipe with each of its seeds and saves the run that did best on dev.

    Args:
        name: a name from `zoo.recipes.RECIPES`.
        directory: where the preset is written; it must be empty or not exist.
        work: directory of the state of the runs; what is there already is not trained again.
        epochs: fewer passes than the recipe's, to try it out.

    Returns:
        The preset's card, a dict.
    """
    recipe = RECIPES[choose("recipe", name, RECIPES)]
    work = Path(work)
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = MixerTokenizer(_read_vocabulary(recipe, work / f"{name}.vocabulary.txt"))
    data = {split: _encode(recipe, tokenizer, *sst2.load(split)) for split in ("phrases", "dev", "test")}
    runs = {seed: _run(recipe, tokenizer, data, seed, work, epochs or recipe.epochs) for seed in recipe.seeds}
    best = max(runs, key=lambda seed: runs[seed][0]["dev"])
    task = build(recipe, tokenizer, seed=best)
    _without_preprocessor(task).set_weights(runs[best][1])
    return _publish(recipe, task, {seed: progress for seed, (progress, _) in runs.items()}, best, directory)


def build(recipe, tokenizer, seed):
    """The classifier of a recipe, untrained."""
    keras.utils.set_random_seed(seed)
    backbone = MixerTextBackbone(tokenizer.vocabulary_size(), **recipe.backbone)
    preprocessor = MixerTextClassifierPreprocessor(tokenizer, sequence_length=recipe.sequence_length)
    return MixerTextClassifier(backbone, num_classes=2, preprocessor=preprocessor, dropout=recipe.head_dropout)


def accuracy(task, split):
    """Share of a split of SST-2 that a classifier with a preprocessor gets right, from raw text."""
    texts, labels = sst2.load(split)
    return _share_right(task.predict(texts, batch_size=128, verbose=0), labels)


def _read_vocabulary(recipe, file):
    """Word pieces of the training phrases, learned once a work directory."""
    if not file.exists():
        import tensorflow as tf  # Needed by KerasHub's learner of word pieces alone.

        texts, _ = sst2.load("phrases")
        pieces = keras_hub.tokenizers.compute_word_piece_vocabulary(
            tf.data.Dataset.from_tensor_slices(texts),
            recipe.vocabulary_size,
            lowercase=True,
            reserved_tokens=SPECIAL_TOKENS,
        )
        part = file.with_suffix(".part")
        part.write_text("\n".join(pieces) + "\n", encoding="utf-8")
        os.replace(part, file)
    return file.read_text(encoding="utf-8").splitlines()


def _encode(recipe, tokenizer, texts, labels):
    encoded = MixerTextClassifierPreprocessor(tokenizer, sequence_length=recipe.sequence_length)(texts)
    return {key: np.asarray(value).astype("int32") for key, value in encoded.items()}, labels


def _run(recipe, tokenizer, data, seed, work, epochs):
    """One seed: its progress, with the accuracies of its epoch that is best on dev, and the weights of that epoch."""
    model = _without_preprocessor(build(recipe, tokenizer, seed))
    inputs, labels = data["phrases"]
    targets = np.eye(2, dtype="float32")[labels] * (1 - recipe.label_smoothing) + recipe.label_smoothing / 2
    _compile(model, recipe, steps=epochs * (len(labels) // recipe.batch_size))

    state = work / f"{recipe.name}.{seed}.npz"
    progress, best = _go_on(state, plan={**as_plain(recipe), "epochs": epochs})
    checkpoint.restore(state, model)
    for epoch in range(progress["epoch"], epochs):
        batches = Batches(
            inputs, targets, recipe.batch_size, [seed, epoch], tokenizer.token_to_id("[UNK]"), recipe.word_dropout
        )
        model.fit(batches, initial_epoch=epoch, epochs=epoch + 1, verbose=1)
        dev = _evaluate(model, *data["dev"])
        if dev > progress["dev"]:
            # Accuracy on test is for the card alone: nothing is chosen by it.
            progress.update(dev=dev, test=_evaluate(model, *data["test"]))
            best = model.get_weights()
        progress.update(epoch=epoch + 1, history=[*progress["history"], dev])
        print(f"seed {seed} epoch {epoch + 1}: dev accuracy {dev:.4f}, best {progress['dev']:.4f}")
        checkpoint.save(state, model, progress, best)
    return progress, best


def _go_on(state, plan):
    """Where a run stands; a new one stands at epoch 0."""
    progress, best = checkpoint.read(state)
    progress = progress or {"plan": plan, "epoch": 0, "dev": 0.0, "test": 0.0, "history": []}
    changed = sorted(key for key in plan if plan[key] != progress["plan"].get(key))
    if changed:
        raise ValueError(
            f"{state} is of a run with another {', '.join(changed)}: remove it, or give another work directory. "
            f"It had: {progress['plan']}. Received: {plan}"
        )
    return progress, best


def _without_preprocessor(task):
    """The same weights as a model of encoded texts: a KerasHub task takes no `PyDataset`."""
    return keras.Model(task.input, task.output)


def as_plain(recipe):
    """A recipe as JSON gives it back."""
    return json.loads(json.dumps(dataclasses.asdict(recipe)))


def _compile(model, recipe, steps):
    warmup = max(1, steps // 10)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup, warmup_target=recipe.learning_rate, warmup_steps=warmup
    )
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay, clipnorm=1.0),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )


def _evaluate(model, inputs, labels):
    return _share_right(model.predict(inputs, batch_size=128, verbose=0), labels)


def _share_right(logits, labels):
    return float(np.mean(np.argmax(logits, axis=-1) == labels))


def _publish(recipe, task, runs, best, directory):
    """Saves the preset with a card about what was saved: the weights as stored, not as trained."""
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / recipe.name
        store.save(task, trial, weights="float16")
        card = _card(recipe, store.load(trial), runs, best)
        card["megabytes"] = sum(file.stat().st_size for file in trial.glob("*.h5")) / 1e6
    store.save(task, directory, card=card, weights="float16")
    return card


def _card(recipe, task, runs, best):
    kind, backend = mixers.kind_of(recipe.backbone["mixer"]), keras.backend.backend()
    return {
        "name": recipe.name,
        "summary": f"Sentiment of English sentences, for (1) or against (0), by {kind} attention.",
        "kind": kind,
        "mixer": recipe.backbone["mixer"],
        "data": f"SST-2: 67,334 phrases to train, 872 sentences to choose, 1,821 to test; {sst2.SOURCE}",
        "licence": f"of the data: {sst2.LICENCE}",
        "limits": "Knows sentences of film reviews in English, in lower case, from 2005 and before; nothing else.",
        "recipe": as_plain(recipe),
        "seeds": f"{', '.join(str(seed) for seed in runs)}; stored: {best}, the best on dev",
        "dev_accuracy": [run["dev"] for run in runs.values()],
        "test_accuracy": accuracy(task, "test"),
        "test_accuracy_by_seed": [run["test"] for run in runs.values()],
        "parameters": task.count_params(),
        "latency_ms": _latency(task),
        "weights": "float16",
        "trained_with": f"keras {keras.__version__}, keras-hub {keras_hub.__version__}, {backend}, CPU",
        "command": f"KERAS_ATTN_DATA=DIRECTORY KERAS_BACKEND={backend} python -m zoo.train {recipe.name}",
    }


def _latency(task, repeats=31):
    """Median milliseconds for one sentence, already encoded, from ids to logits."""
    inputs = task.preprocessor(["a gripping , funny and quietly moving film ."])
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
    parser.add_argument("--directory", help="where the preset is written (default: ./NAME)")
    parser.add_argument("--work", help="where the state of the runs is kept (default: ./NAME.work)")
    parser.add_argument("--epochs", type=int, help="fewer passes than the recipe's, to try it out")
    chosen = parser.parse_args(arguments)
    try:
        name = choose("recipe", chosen.name, RECIPES)
    except ValueError as error:
        parser.error(str(error))
    try:
        card = train(name, chosen.directory or name, chosen.work or f"{name}.work", epochs=chosen.epochs)
    except FileNotFoundError as error:
        parser.exit(2, f"{error}\n")
    print(f"test accuracy {card['test_accuracy']:.4f} (by seed: {card['test_accuracy_by_seed']})")


if __name__ == "__main__":
    main()
