"""How well a recipe for spoken digits does with each speaker left out: `python -m zoo.strangers NAME`."""

import argparse
import dataclasses

import numpy as np

from keras_attn.lookup import choose
from zoo.recipes import RECIPES
from zoo.subjects import FSDD_STRANGERS
from zoo.train import rehearse

NAMES = tuple(name for name, recipe in RECIPES.items() if recipe.subject == "fsdd")


def strangers(name, work, epochs=None):
    """Trains a recipe of the subject fsdd once for each speaker, who is left out and then tested on.

    Args:
        name: a name from `NAMES`.
        work: directory of the state of the runs; what is there already is not trained again.
        epochs: fewer passes than the recipe's, to try it out.

    Returns:
        A dict from the subjects' names to accuracies.
    """
    recipe = RECIPES[choose("recipe of spoken digits", name, NAMES)]
    runs = {
        subject.name: dataclasses.replace(recipe, name=f"{name}_{subject.name}", subject=subject.name)
        for subject in FSDD_STRANGERS
    }
    return {subject: rehearse(run, work, epochs) for subject, run in runs.items()}


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m zoo.strangers", description=__doc__)
    parser.add_argument("name", metavar="NAME", help=f"one of: {', '.join(NAMES)}")
    parser.add_argument("--work", help="where the state of the runs is kept (default: ./NAME.work)")
    parser.add_argument("--epochs", type=int, help="fewer passes than the recipe's, to try it out")
    chosen = parser.parse_args(arguments)
    scores = strangers(chosen.name, chosen.work or f"{chosen.name}.work", chosen.epochs)
    for subject, score in scores.items():
        print(f"{subject}: accuracy {score:.4f}")
    print(f"mean accuracy {np.mean(list(scores.values())):.4f}")


if __name__ == "__main__":
    main()
