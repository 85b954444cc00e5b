"""Puts trained presets among those that come with the zoo: `python -m tests.zoo.publish FOLDER ...`, in the clone."""

import argparse
import hashlib
import json
import re
import shutil
from pathlib import Path

from tests.zoo.helpers import keys_of_preset
from zoo import cards, catalogue, safety, store
from zoo.recipes import RECIPES

KEYS = Path(__file__).parent / "weight_keys.json"


def publish(folder):
    """A folder that `zoo.train` wrote, under the name on its card, with the fields as cards have them today."""
    safety.verify(folder)
    card = safety.read_json(folder, "card.json")
    if card["name"] not in RECIPES:
        raise ValueError(f"{folder} must come from one of the recipes. Its card names {card['name']!r}")
    place = store.DIRECTORY / card["name"]
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder, place)
    cards.write(card, place)
    safety.write_checksums(place)
    store.PRESETS[card["name"]] = hashlib.sha256((place / safety.CHECKSUMS).read_bytes()).hexdigest()
    _list_presets()
    keys = json.loads(KEYS.read_text(encoding="utf-8"))
    keys[card["name"]] = keys_of_preset(place)
    KEYS.write_text(json.dumps(keys, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _list_presets():
    """Writes the table in `zoo/store.py` anew."""
    path = Path(store.__file__)
    rows = "".join(f'    "{name}": "{digest}",\n' for name, digest in sorted(store.PRESETS.items()))
    text = re.sub(r"(?<=^PRESETS = \{\n).*?(?=^\})", rows, path.read_text(encoding="utf-8"), flags=re.S | re.M)
    path.write_text(text, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.zoo.publish", description=__doc__)
    parser.add_argument("folders", metavar="FOLDER", type=Path, nargs="+")
    for folder in parser.parse_args().folders:
        publish(folder)
    catalogue.main([str(Path(__file__).parents[2] / "docs" / "presets.md")])


if __name__ == "__main__":
    main()
