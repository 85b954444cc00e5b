"""What models reach whose weights may not be published: a section for RESULTS.md, from the cards in their folders.

    python benchmarks/unpublished.py FOLDER [FOLDER ...]

A folder is one that `python -m zoo.train NAME` wrote. It is read, not measured again: scores are those of the weights
as stored, on test data that nothing was chosen by. Needs no data.
"""

import argparse
from pathlib import Path

from zoo import safety

HEAD = "## `python benchmarks/unpublished.py`: models that may not be published"
COLUMNS = ("recipe", "kind", "score", "on test", "on dev, by seed", "also on test", "parameters", "training, s")


def section(cards):
    """The section, in Markdown, with a row for each card and what is true of their data."""
    told = dict.fromkeys(line for card in cards for line in _told(card))
    rows = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}", *map(_row, cards)]
    return "\n".join([HEAD, "", *told, "", *rows])


def _told(card):
    """Lines about a card's data and what others reached."""
    yield f"- `{card['subject']}`: {card['data']}. Licence {card['licence']}."
    for line in card.get("published", ()):
        yield f"- `{card['subject']}`, others: {line}."


def _row(card):
    further = ", ".join(f"{name} {value:.3f}" for name, value in card.get("further_scores", {}).items())
    cells = (
        f"`{card['name']}`",
        card["kind"],
        card["score_is"],
        f"{card['test_score']:.3f}",
        ", ".join(f"{score:.3f}" for score in card["dev_score"]),
        further or "-",
        f"{card['parameters']:,}",
        ", ".join(f"{seconds:,}" for seconds in card["training_s"]),
    )
    return f"| {' | '.join(cells)} |"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", metavar="FOLDER", type=Path, nargs="+")
    folders = parser.parse_args(arguments).folders
    for folder in folders:
        safety.verify(folder)
    print(section([safety.read_json(folder, "card.json") for folder in folders]))


if __name__ == "__main__":
    main()
