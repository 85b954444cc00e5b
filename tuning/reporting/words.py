"""A result in words and rows: what both reports and the command line say."""

import json
import re
import shlex

from tuning import decide, measures


def headline(found):
    """The verdict in one sentence."""
    answer, winner, task = found.verdict.answer, found.verdict.winner, found.search["task"]
    if answer == decide.NO_VERDICT:
        return f"No verdict on {task}" + (f" yet: {winner} did best, and more seeds would tell." if winner else ".")
    if answer == decide.NO_DIFFERENCE:
        return f"No difference that matters between implicit and explicit on {task}: take {winner}, the cheaper."
    return f"{answer.capitalize()} attention serves {task} best: take {winner}."


def agreement(found):
    """How the verdict stands to what is published for the task; empty if nothing is."""
    published = found.task["answer"]
    if published is None:
        return ""
    agrees = "agrees" if published == found.verdict.answer else "does not agree"
    return f"Published for this task: {published}. This search {agrees}."


def collect(found):
    """All that a template shows, by name."""
    finished = sorted((family for family in found.families if family.finished), key=lambda family: -family.mean)
    winner = found.family(found.verdict.winner) if found.verdict.winner else None
    return {
        "headline": headline(found),
        "agreement": agreement(found),
        "verdict": found.verdict,
        "search": found.search,
        "task": found.task,
        "measure": measures.get(found.task["measure"]).says,
        "preset": found.preset,
        "models": found.models,
        "rows": [_row(family) for family in finished],
        "differences": _against(winner, finished, found.task["margin"]) if winner else [],
        "seeds": _scores_by_seed(finished),
        "trials": [_trial(family, run) for family in found.families for run in family.trials],
        "failed": [(family.name, family.failures, family.finished) for family in found.families if family.failures],
        "minutes": f"{found.seconds / 60:.1f}",
        "command": command(found.search),
    }


def table(found):
    """The families' table as lines of plain text, the best first."""
    rows = [["family", "kind", "test", "spread", "parameters", "training s", "ms alone", "ms in 64"]]
    for row in collect(found)["rows"]:
        names = ("name", "kind", "mean", "spread", "parameters", "seconds", "latency_1", "latency_64")
        rows.append([row[name] for name in names])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def command(search):
    """The command that repeats a search."""
    mixers = ",".join(map(_spec, search["mixers"]))
    options = {"mixers": mixers, **{name: search[name] for name in ("trials", "seeds", "seed", "epochs", "backend")}}
    size = {"parameters": search["parameters"]} if search["width"] is None else {"width": search["width"]}
    parts = ["keras-attn", "tune", *(search.get("arguments") or [search["task"]]), "--out", "DIR"]
    for name, value in {**options, **size}.items():
        parts += [f"--{name}", str(value)]
    # On one line: in Markdown a new one would end the block of code.
    return " ".join(shlex.join(parts).splitlines())


def escape_markdown(text):
    """Text that Markdown and the HTML in it leave alone, on one line."""
    text = " ".join(str(text).split())
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, entity)
    return re.sub(r"([\\`*_\[\]|#!])", r"\\\1", text)


def _spec(mixer):
    if isinstance(mixer, list):
        return "+".join(map(_spec, mixer))
    return json.dumps(mixer) if isinstance(mixer, dict) else mixer


def _row(family):
    latency = {f"latency_{size}": f"{seconds * 1e3:.2f}" for size, seconds in family.latency.items()}
    return {
        "name": family.name,
        "kind": family.kind,
        "mean": f"{family.mean:.4f}",
        "spread": f"{family.spread:.4f}",
        "parameters": f"{family.parameters:,}",
        "seconds": f"{family.seconds:.1f}",
        **latency,
    }


def _against(winner, families, margin):
    """The winner less each other family, seed by seed."""
    rows = []
    for other in families:
        if other.name == winner.name:
            continue
        found = decide.compare(winner.as_candidate(), other.as_candidate(), margin)
        between = "one seed" if found.low is None else f"{found.low:+.4f} to {found.high:+.4f}"
        each = ", ".join(f"{difference:+.4f}" for difference in found.differences)
        meaning = {"first": f"{winner.name} is better", "second": f"{other.name} is better"}
        rows.append(
            {
                "pair": f"{winner.name} less {other.name}",
                "mean": f"{found.mean:+.4f}",
                "interval": between,
                "each": each,
                "meaning": meaning.get(found.outcome, found.outcome),
            }
        )
    return rows


def _scores_by_seed(families):
    return [
        {"name": family.name, "seed": run.seed, "valid": f"{run.valid:.4f}", "test": f"{run.test:.4f}"}
        for family in families
        for run in family.retrainings
    ]


def _trial(family, run):
    values = {name.split("/", 1)[-1]: value for name, value in run.values.items() if name != "mixer"}
    said = [f"{name} {value:.2g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()]
    return {
        "name": family.name,
        "number": run.number + 1,
        "values": ", ".join(said),
        "valid": "failed" if run.failure else f"{run.valid:.4f}",
        "epochs": f"{len(run.curve)} (solved)" if run.solved else str(len(run.curve)),
    }
