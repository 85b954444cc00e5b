"""A family: a mixer, or a hybrid of several, that takes part in a search."""

import dataclasses
import json

from keras_attn import mixers

KINDS = ("implicit", "explicit", "hybrid", "control")


@dataclasses.dataclass(frozen=True)
class Family:
    """What takes part in a search.

    Args:
        name: how it is called in reports: `gru`, `gru+multi_head`, `multi_head(num_heads=2)`.
        specs: the mixers' specs, each a dict with the options that were asked for; several make a hybrid.
        kind: "implicit", "explicit", "hybrid" or "control".
    """

    name: str
    specs: tuple
    kind: str


def make(spec):
    """The `Family` of a spec, or of a list of them.

    Raises:
        ValueError: for an unknown mixer or option; near names are shown.
    """
    parts = spec if isinstance(spec, (list, tuple)) else [spec]
    if not parts:
        raise ValueError("A hybrid is a list of at least one mixer. Received an empty list.")
    kinds = {_check(part) for part in parts}
    real = kinds - {"control"} or kinds
    # A mixer beside a control is still that mixer; hybrid is what has both kinds.
    kind = "hybrid" if len(real) > 1 else real.pop()
    return Family("+".join(map(_name, parts)), tuple(map(_as_dict, parts)), kind)


def make_all(specs):
    """The families of a list of specs, each once."""
    families = [make(spec) for spec in specs]
    names = [family.name for family in families]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"Each mixer takes part once. Received twice: {', '.join(twice)}")
    if not families:
        raise ValueError(f"A search needs at least one mixer. Known: {', '.join(mixers.names())}.")
    return families


def parse(text):
    """Specs from a command line: `gru,multi_head,gru+multi_head,{"mixer": "multi_head", "num_heads": 2}`."""
    return [_parse_hybrid(part) for part in _split(text, ",") if part.strip()]


def _parse_hybrid(text):
    parts = [_parse_one(part.strip()) for part in _split(text, "+")]
    return parts if len(parts) > 1 else parts[0]


def _parse_one(text):
    if not text.startswith("{"):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f'A mixer with options is JSON, {{"mixer": "gru", "bidirectional": true}}. Received: {text} ({error})'
        ) from None


def _split(text, separator):
    """The parts of a text between separators that stand outside braces and quotes."""
    parts, depth, quoted = [""], 0, False
    for character in text:
        quoted ^= character == '"'
        depth += 0 if quoted else (character == "{") - (character == "}")
        if character == separator and not depth and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _check(part):
    """The kind of one mixer, after its options were tried."""
    mixers.get(part)
    return mixers.kind_of(part)


def _as_dict(part):
    return dict(part) if isinstance(part, dict) else {"mixer": part}


def _name(part):
    options = _as_dict(part)
    name = options.pop("mixer")
    return f"{name}({', '.join(f'{key}={value}' for key, value in options.items())})" if options else name
