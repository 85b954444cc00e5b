"""All presets on one page, from their cards: `python -m zoo.catalogue docs/presets.md`."""

import argparse
import itertools
from pathlib import Path

from zoo import store
from zoo.cards import escape
from zoo.subjects import SUBJECTS

HEAD = """# Presets

Models that come trained, each loaded by `zoo.load(NAME)` without a network. `keras-attn zoo show NAME` has the whole
card: data, licence, recipe, what others reached, a picture of what the model looks at. `keras-attn zoo evaluate NAME`
measures the score again. Scores are of the weights as stored, on test data that nothing was chosen by; where such
scores had been seen before, the line about the data says so. On a subject the models were not tuned against each other:
they are models to use, not a verdict.

This page is written by `python -m zoo.catalogue docs/presets.md`.
"""
COLUMNS = ("preset", "kind", "score on test", "by seed", "parameters", "MB", "ms for one")


def as_markdown(cards):
    """A section for each subject, in the order of `zoo.subjects.SUBJECTS`, with a row for each of its presets."""
    order = list(SUBJECTS)
    cards = sorted(cards.values(), key=lambda card: (order.index(card["subject"]), card["name"]))
    sections = [_section(SUBJECTS[name], list(group)) for name, group in itertools.groupby(cards, _subject)]
    return "\n".join([HEAD, *sections])


def _subject(card):
    return card["subject"]


def _section(subject, cards):
    direction = ", lower is better" if subject.lower_is_better else ""
    lines = [
        f"## {escape(subject.summary)}",
        "",
        f"{escape(subject.data)}. Licence of the data: {escape(subject.licence)}. Score: {subject.measure}{direction}.",
        *(f"Others: {escape(line)}." for line in subject.published),
        *([_aim(subject)] if subject.goal is not None else []),
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
        *(_row(card) for card in cards),
        "",
    ]
    return "\n".join(lines)


def _aim(subject):
    of = "" if subject.goal_of == "score" else f" of {escape(subject.goal_of)}"
    return f"Aimed at: {subject.goal:g}{of}; each card says whether that is reached."


def _row(card):
    by_seed = ", ".join(f"{score:.3f}" for score in card["test_score_by_seed"])
    cells = (
        f"[`{card['name']}`](../zoo/presets/{card['name']}/README.md)",
        card["kind"],
        f"{card['test_score']:.3f}",
        by_seed,
        f"{card['parameters']:,}",
        f"{card['megabytes']:.1f}",
        f"{card['latency_ms']:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m zoo.catalogue", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.parse_args(arguments).file.write_text(as_markdown(store.presets()), encoding="utf-8")


if __name__ == "__main__":
    main()
