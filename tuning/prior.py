"""What a search makes of an advice: the order in which families get their first trials. Afterwards: was it right?

An advice decides the order only: the same trials are run with it and without, so that it cannot sway the verdict.
"""

import dataclasses
import math
import time

from tuning import advice as advices
from tuning import families
from tuning.advice import Advice, Expectation, Neighbour, Start
from tuning.characteristics import Characteristics
from tuning.isolation import cause
from tuning.journal import read_json, write_json
from tuning.progress import Event
from tuning.reporting.advice import headline

#: Where a search's folder keeps it.
REMEMBERED = "advice.json"


@dataclasses.dataclass(frozen=True)
class Prior:
    """What a search was advised.

    Args:
        order: the names of all families, those to begin with first.
        said: the advice in words, or why there is none.
        advice: the `tuning.advice.Advice`; None if there is none.
        seconds: what it took.
    """

    order: tuple
    said: str
    advice: Advice | None = None
    seconds: float = 0.0


def form(task, data, record, seed, folder, progress):
    """The advice that a search begins with: drawn once, and from then on the one in the search's folder.

    Args:
        task: a `tuning.task.Task`.
        data: its `tuning.task.Data`.
        record: what to draw it from, a list of `tuning.record.Past`.
        seed: the master seed.
        folder: the search's.
        progress: what is told that it takes a while.

    Returns:
        A `Prior`.
    """
    path = folder / REMEMBERED
    if path.exists():
        return _load(read_json(path))
    prior = _draw(task, data, record, seed, progress)
    write_json(path, _finite(dataclasses.asdict(prior)))
    return prior


def judge(prior, result):
    """What is kept of an advice in results: what it said, the order it gave, and whether it was right.

    Args:
        prior: a `Prior`.
        result: the `tuning.result.Result` of the search that began with it.

    Returns:
        A dict of plain data. Its "judgement" is None if there was no advice.
    """
    kept = {"said": prior.said, "order": list(prior.order), "seconds": prior.seconds, "judgement": None}
    if prior.advice is None:
        return kept
    judgement = dataclasses.asdict(advices.judge(prior.advice, result))
    winner = result.verdict.winner
    if winner:
        place = f"number {prior.order.index(winner) + 1} of {len(prior.order)}"
        judgement["words"] += f" In its order {winner}, which is to be taken, was {place}."
    return {**kept, "answer": prior.advice.answer, "judgement": judgement}


def _draw(task, data, record, seed, progress):
    given = tuple(family.name for family in families.make_all(task.mixers))
    too_few = advices.too_few(record)
    if too_few:
        # Two models are not trained for nothing.
        return Prior(given, too_few)
    event = Event(0, 1, task.name, "looked at for an advice, about a minute", None, None)
    progress.update(event)
    start = time.perf_counter()
    try:
        found = advices.advise(task, record, seed, data)
    except Exception as error:
        # A task that cannot be looked at can be searched all the same.
        found, said = None, f"No advice: {cause(error)}"
    else:
        said = f"{headline(found)} {found.uncertainty}"
    seconds = time.perf_counter() - start
    progress.update(dataclasses.replace(event, outcome=f"{found.answer if found else 'no advice'}, {seconds:.0f} s"))
    order = tuple(one.family for one in found.start) if found else given
    return Prior(order, said, found, seconds)


def _finite(content):
    """Without infinity, which JSON has no word for: of a kernel's width None says the same."""
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if content == math.inf else content


def _load(content):
    advice = content["advice"] and _load_advice(content["advice"])
    return Prior(**{**content, "order": tuple(content["order"]), "advice": advice})


def _load_advice(content):
    characteristics = {
        name: tuple(value) if isinstance(value, list) else value for name, value in content["characteristics"].items()
    }
    return Advice(
        **{
            **content,
            "characteristics": Characteristics(**characteristics),
            "difference": _load_expectation(content["difference"]),
            "kinds": tuple(map(_load_expectation, content["kinds"])),
            "gaps": tuple(map(_load_expectation, content["gaps"])),
            "neighbours": tuple(Neighbour(**one) for one in content["neighbours"]),
            "start": tuple(Start(**one) for one in content["start"]),
        }
    )


def _load_expectation(content):
    return Expectation(**{**content, "width": math.inf if content["width"] is None else content["width"]})
