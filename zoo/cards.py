"""What a preset is: written once as data (`card.json`) and once for reading (`README.md`)."""

import html
import json
import re
from pathlib import Path

#: What a card says, in this order, with the words that introduce it.
FIELDS = {
    "kind": "Kind of attention",
    "mixer": "Mixer",
    "subject": "Trained on",
    "classes": "Classes",
    "data": "Data",
    "licence": "Licence",
    "limits": "Limits",
    "recipe": "Recipe",
    "seeds": "Seeds",
    "score_is": "Score",
    "dev_score": "Score on dev, by seed",
    "test_score": "Score on test, as stored",
    "test_score_by_seed": "Score on test, by seed",
    "further_scores": "Further scores on test, as stored",
    "goal": "Aimed at",
    "published": "What others reached",
    "parameters": "Parameters",
    "megabytes": "Size of the weights in MB",
    "training_s": "Seconds of training, by seed, by the clock, whatever else ran",
    "latency_ms": "Milliseconds for one example",
    "weights": "Weights stored as",
    "trained_with": "Trained with",
    "command": "Command that reproduces it",
}
#: What stands elsewhere on a card, or is for programs.
NOT_LISTED = ("name", "summary", "form", "picture")


def write(card, directory):
    """Writes `card.json` and `README.md` into the preset's directory."""
    directory = Path(directory)
    (directory / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    (directory / "README.md").write_text(as_markdown(card), encoding="utf-8")


def as_markdown(card):
    """A card for reading: its known fields in order, then any others; then the picture and the command."""
    order = [name for name in FIELDS if name in card and name != "command"]
    order += [name for name in card if name not in FIELDS and name not in NOT_LISTED]
    lines = [f"# {escape(card.get('name') or 'A preset')}", "", escape(card.get("summary", "")), ""]
    lines += [f"- **{escape(FIELDS.get(name, name))}**: {_as_text(card[name])}" for name in order]
    if "picture" in card:
        lines += ["", f"![What it looks at]({card['picture']})"]
    if "command" in card:
        # In a block of code everything is plain text, as long as it is one line.
        lines += ["", f"{FIELDS['command']}:", "", f"    {' '.join(str(card['command']).split())}"]
    return "\n".join(lines) + "\n"


def _as_text(value):
    if isinstance(value, dict):
        return escape(json.dumps(value, ensure_ascii=False))
    if isinstance(value, (list, tuple)):
        parts = [_as_text(part) for part in value]
        return ("; " if any("," in part for part in parts) else ", ").join(parts)
    return f"{value:.4g}" if isinstance(value, float) else escape(value)


def escape(text):
    """Text that Markdown and the HTML in it leave alone, on one line: it may hold names from anybody's data."""
    return re.sub(r"([\\`*_~\[\]|#!])", r"\\\1", html.escape(" ".join(str(text).split()), quote=False))
