"""A result in words and rows: what both reports and the command line say."""

import json
import re
import shlex

from tuning import decide, measures, tasks, weighing


def headline(found):
    """The verdict in one sentence, and one more if a control is better than what it says to take."""
    better = found.verdict.better_controls
    more = f" But the control {' and '.join(better)} is better than {found.verdict.winner}." if better else ""
    return _headline(found) + more


def _headline(found):
    answer, winner, task = found.verdict.answer, found.verdict.winner, found.search["task"]
    if answer == decide.NO_VERDICT:
        if winner and not found.verdict.comparisons:
            return f"No verdict on {task}: {winner} did best in validation, and there is no other kind to compare with."
        return f"No verdict on {task}" + (
            f" yet: {winner} did best in validation, and more seeds would tell." if winner else "."
        )
    if answer == decide.NO_DIFFERENCE and _only_on_average(found.verdict):
        return (
            f"No difference that matters was seen between implicit and explicit on {task}, though one is not excluded: "
            f"take {winner}, which costs no more."
        )
    if answer == decide.NO_DIFFERENCE:
        return (
            f"No difference that matters between implicit and explicit on {task}: take {winner}, which costs no more."
        )
    return f"{answer.capitalize()} attention serves {task} best: take {winner}."


def _only_on_average(verdict):
    """Whether the means lie inside the margin and the interval does not."""
    return any(each.outcome == "inside the margin" for each in verdict.comparisons[:1])


def choice(found, weighed):
    """What weights make of it, in a sentence."""
    said = ", ".join(f"{name} {weight:g}" for name, weight in weighed.weights.items())
    if weighed.choice is None:
        return f"With the weights {said} there is nothing to choose from."
    beside = "the same" if weighed.choice == found.verdict.winner else f"instead of {found.verdict.winner}"
    beside = "" if found.verdict.winner is None else f", {beside}"
    return f"With the weights {said}: {weighed.kind} attention, take {weighed.choice}{beside}."


def agreement(found):
    """How the verdict stands to what is published for the task; empty if nothing is."""
    published = found.task["answer"]
    if published is None:
        return ""
    agrees = "agrees" if published == found.verdict.answer else "does not agree"
    return f"Published for this task: {published}. This search {agrees}."


def collect(found, weights=None, looks=None):
    """All that a template shows, by name.

    Args:
        found: a `tuning.result.Result`.
        weights: by factor, or None.
        looks: what `tuning.looks.load` found, or None.
    """
    finished = sorted(found.finished, key=lambda family: -family.mean)
    weighed = found.weigh(weights) if weights else None
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
        "left_out": [(family.name, family.fate) for family in found.families if family.fate and family.trials],
        "factors": [_factors(family) for family in finished if family.factors],
        "fits": [row for family in finished if family.factors for row in _fits(family)],
        "missing": [
            (family.name, name, why)
            for family in finished
            if family.factors
            for name, why in family.factors.missing.items()
        ],
        "device": next((each.factors.resources.get("device") for each in finished if each.factors), None),
        "fronts": [(cost, ", ".join(names)) for cost, names in found.fronts().items()],
        "weighed": weighed and _weighed(found, weighed),
        "effects": [row for family in found.families for row in _effects(family)],
        "looks": looks,
        "advice": found.advice,
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
    """The command that repeats a search; of data that Python gave the words that say so, and which data it was."""
    # A class has no name on the command line.
    oracle = f", with the oracle {search['proposer']}" if "." in search.get("proposer", "") else ""
    if oracle or (not search.get("arguments") and search["task"] not in tasks.names()):
        return f"tuning.compare from Python, on data with the SHA-256 {search.get('data', '(not kept)')}{oracle}"
    mixers = ",".join(map(_spec, search["mixers"]))
    options = {"mixers": mixers, **{name: search[name] for name in ("trials", "seeds", "seed", "epochs", "backend")}}
    size = {"parameters": search["parameters"]} if search["width"] is None else {"width": search["width"]}
    size = {} if "=" in search.get("budget", "") else size
    # Results that are older than budgets were all of equal parameters.
    size |= {"proposer": search["proposer"]} if search.get("proposer", "random") != "random" else {}
    size |= {"budget": search["budget"]} if search.get("budget", "parameters") != "parameters" else {}
    record = search.get("record")
    size |= {"record": "FILE"} if record not in (None, "empty") else {}
    parts = ["keras-attn", "tune", *(search.get("arguments") or [search["task"]]), "--out", "DIR"]
    for name, value in {**options, **size}.items():
        parts += [f"--{name}", str(value)]
    parts += ["--no-advice"] if record == "empty" else []
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


def _factors(family):
    """A row of what was measured, as text; a dash for what was not."""
    measured = family.factors
    shown, fit = measured.interpretability, measured.fit
    return {
        "name": family.name,
        "kind": family.kind,
        "score": f"{family.mean:.4f}",
        "parameters": f"{family.parameters:,}",
        "flops": _say(measured.complexity.get("flops"), short),
        "memory": _say(measured.complexity.get("memory"), lambda size: f"{size / 2**20:.1f} MiB"),
        "interpretability": _say(shown.get("value"), lambda value: f"{value:.2f} ({shown['by']}, {shown['map']})"),
        "chance": _say(shown.get("chance"), "{:.2f}".format),
        "reach": _say(fit.get("reach"), "{:.1f}".format),
        "length": _say(family.numbers["length"], "{:.4f}".format),
        "distance": _say(family.numbers["distance"], "{:.4f}".format),
        "training": f"{family.seconds:.1f}",
        **{f"latency_{size}": f"{seconds * 1e3:.3g}" for size, seconds in family.latency.items()},
        **{f"throughput_{size}": f"{1 / seconds:,.0f}" for size, seconds in family.latency.items()},
    }


def _say(value, how):
    return "–" if value is None else how(value)


def short(number):
    """A large number in four characters or so: `1.74 M`."""
    for power, letter in ((12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if number >= 10**power:
            return f"{number / 10**power:.3g} {letter}"
    return f"{number:.3g}"


def _fits(family):
    """Scores by length and by distance, a row each, and the profile of the sensitivity."""
    fit = family.factors.fit
    by = {"length": "score by length", "position": "score by position"}.get(fit.get("by"))
    rows = [(by, fit.get("bins"), "score"), ("score by reach", fit.get("distance"), "score")]
    rows.append(("sensitivity by distance", fit.get("profile"), "share"))
    return [
        {"name": family.name, "what": what, "bins": "; ".join(_bin(each, number) for each in bins)}
        for what, bins, number in rows
        if bins
    ]


def _bin(each, number):
    between = f"{each['low']:.3g}" if each["low"] == each["high"] else f"{each['low']:.3g} to {each['high']:.3g}"
    return f"{between}: {_say(each[number], '{:.3f}'.format)}"


def _weighed(found, weighed):
    rows = [
        {
            "name": name,
            "sum": f"{total:.3f}",
            "shares": [_say(share, "{:.3f}".format) for share in weighed.shares[name].values()],
        }
        for name, total in weighed.sums.items()
    ]
    return {
        "choice": choice(found, weighed),
        "factors": [f"{name} (x {weight:g})" for name, weight in weighed.weights.items()],
        "rows": rows,
        "scale": weighing.SCALE,
        "notes": weighed.notes,
    }


def _effects(family):
    """Of each value that a family chose between, how it did at the first rung; learning rates are in a figure."""
    groups = {}
    for run in family.openers:
        for name, value in run.values.items():
            if name not in ("mixer", "learning_rate") and run.valid is not None:
                groups.setdefault((name.split("/", 1)[-1], value), []).append(run.valid)
    chosen_from = [name for name, _ in groups]
    return [
        {
            "name": family.name,
            "option": option,
            "value": str(value),
            "trials": len(scores),
            "best": f"{max(scores):.4f}",
            "mean": f"{sum(scores) / len(scores):.4f}",
        }
        for (option, value), scores in groups.items()
        # One value has no effect to show.
        if chosen_from.count(option) > 1
    ]


def _against(winner, families, margin):
    """The winner less each other family, seed by seed, corrected for how many they are."""
    others = [other for other in families if other.name != winner.name]
    compared = [decide.compare(winner.as_candidate(), other.as_candidate(), margin) for other in others]
    rows = []
    for found in decide.correct(compared, margin):
        meaning = {"first": f"{found.first} is better", "second": f"{found.second} is better"}
        rows.append(
            {
                "pair": f"{found.first} less {found.second}",
                "mean": f"{found.mean:+.4f}",
                "interval": _between(found.low, found.high),
                "method": (found.method or "") + (", least spread" if found.floor else ""),
                "of_seeds": _between(*decide.interval(found.differences, found.floor or 0.0)),
                "p": _say(found.p, "{:.2g}".format),
                "adjusted": _say(found.adjusted, "{:.2g}".format),
                "each": ", ".join(f"{difference:+.4f}" for difference in found.differences),
                "meaning": meaning.get(found.outcome, found.outcome),
            }
        )
    return rows


def _between(low, high):
    return "one seed" if low is None else f"{low:+.4f} to {high:+.4f}"


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
        "seed": run.round + 1,
        "values": ", ".join(said),
        "valid": "failed" if run.failure else f"{run.valid:.4f}",
        "epochs": f"{len(run.curve)} (solved)" if run.solved else str(len(run.curve)),
    }
