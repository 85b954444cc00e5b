"""Puts trained presets among those that come with the zoo: `python -m tests.zoo.publish FOLDER ...`, in the clone.

With `--refresh` the folders are those of published presets: what their cards say of the recipe and its subject is
written as it would be today ("cards"), and their pictures are drawn so too ("pictures", which takes minutes). Nothing
is trained.
"""

import argparse
import functools
import hashlib
import json
import re
import shutil
import tempfile
from pathlib import Path

from tests.zoo.helpers import keys_of_preset
from zoo import cards, catalogue, safety, store
from zoo.recipes import RECIPES
from zoo.subjects import SUBJECTS
from zoo.train import LOOK, about, draw

KEYS = Path(__file__).parent / "weight_keys.json"


def check(folder):
    """The card of a folder that may be published: whole, of one of the recipes, of data whose licence allows it."""
    safety.verify(folder)
    card = safety.read_json(folder, "card.json")
    if card["name"] not in RECIPES:
        raise ValueError(f"{folder} must come from one of the recipes. Its card names {card['name']!r}")
    subject = SUBJECTS[RECIPES[card["name"]].subject]
    if not subject.publishable:
        raise ValueError(
            f"Weights trained on {subject.name} must stay in one's own folder; `python benchmarks/unpublished.py` "
            f"writes down their scores. Licence of the data: {subject.licence}. Received: {folder}"
        )
    return card


def publish(folder):
    """A folder that `zoo.train` wrote, under the name on its card, with the fields as cards have them today."""
    card = check(folder)
    place = store.DIRECTORY / card["name"]
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder, place)
    cards.write(card, place)
    _seal(place)
    keys = json.loads(KEYS.read_text(encoding="utf-8"))
    keys[card["name"]] = keys_of_preset(place)
    KEYS.write_text(json.dumps(keys, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def refresh(folder, pictures=False):
    """The card of a published preset as it would be today, or its picture too; what was measured stays."""
    card = check(folder)
    recipe, place = RECIPES[card["name"]], store.DIRECTORY / card["name"]
    subject = SUBJECTS[recipe.subject]
    judged = {"score": card["test_score"], **card.get("further_scores", {})}
    if subject.goal_of not in judged:
        judged = subject.judge(store.load(place))
        card["further_scores"] = {name: value for name, value in judged.items() if name != "score"}
    card |= about(recipe, subject, card["test_score_by_seed"], judged)
    if pictures and "picture" in card:
        with tempfile.TemporaryDirectory() as elsewhere:
            picture = Path(elsewhere) / LOOK
            draw(subject, place, picture)
            shutil.copy(picture, place / card["picture"])
    cards.write(card, place)
    _seal(place)


def _seal(place):
    """Checksums of what lies in a preset's folder now, and theirs in the list."""
    safety.write_checksums(place)
    store.PRESETS[place.name] = hashlib.sha256((place / safety.CHECKSUMS).read_bytes()).hexdigest()
    _list_presets()


def _list_presets():
    """Writes the table in `zoo/store.py` anew."""
    path = Path(store.__file__)
    rows = "".join(f'    "{name}": "{digest}",\n' for name, digest in sorted(store.PRESETS.items()))
    text = re.sub(r"(?<=^PRESETS = \{\n).*?(?=^\})", rows, path.read_text(encoding="utf-8"), flags=re.S | re.M)
    path.write_text(text, encoding="utf-8")


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tests.zoo.publish", description=__doc__)
    parser.add_argument("folders", metavar="FOLDER", type=Path, nargs="+")
    parser.add_argument("--refresh", choices=("cards", "pictures"), help="write published presets anew: cards, or both")
    options = parser.parse_args(arguments)
    folders, pictures = options.folders, options.refresh == "pictures"
    do = functools.partial(refresh, pictures=pictures) if options.refresh else publish
    try:
        # All before any: half of them published would be in no list.
        for folder in folders:
            check(folder)
    except ValueError as error:
        parser.error(str(error))
    for folder in folders:
        do(folder)
    catalogue.main([str(Path(__file__).parents[2] / "docs" / "presets.md")])


if __name__ == "__main__":
    main()
