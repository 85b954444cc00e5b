"""Past verdicts, one a line of JSON: the only thing that advice is drawn from."""

import dataclasses
import hashlib
import json
from pathlib import Path

from tuning import decide, ledger
from tuning.characteristics import Characteristics

#: Verdicts that were measured by the project, and come with it.
SHIPPED = Path(__file__).parent / "records"
#: How characteristics are measured. Another way makes other numbers: then this is raised, and old lines are refused.
REVISION = 1


class RecordError(ValueError):
    """A record that cannot be read, or is not to be written."""


@dataclasses.dataclass(frozen=True)
class Scores:
    """A family's scores on fresh seeds.

    Args:
        kind: "implicit", "explicit", "hybrid" or "control".
        valid, test: one a seed.
    """

    kind: str
    valid: tuple
    test: tuple

    @property
    def mean(self):
        """The mean test score."""
        return sum(self.test) / len(self.test)


@dataclasses.dataclass(frozen=True)
class Past:
    """What a finished search found, on a task of which it is known what it is like.

    Args:
        task: its name. Verdicts on one task are one piece of evidence, whatever their seeds.
        characteristics: its `tuning.characteristics.Characteristics`.
        families: the `Scores` of each family by name.
        best: the name of the family that speaks for each kind, by kind: that with the best validation score.
        difference, low, high: test scores of the best explicit less the best implicit, with the 95 % interval, None
            with one seed.
        answer: the verdict.
        margin: the smallest difference that matters.
        search: which search it was, all that could change its scores; its versions too.
        command: what repeats it.
    """

    task: str
    characteristics: Characteristics
    families: dict
    best: dict
    difference: float
    low: float | None
    high: float | None
    answer: str
    margin: float
    search: dict
    command: str

    def gap(self, names):
        """How far the best of some families is behind the best of all, at most 0; None if none of them took part.

        As a share of what a constant answer leaves to be gained, so that tasks and measures can be compared.
        """
        skills = {name: self._skill(scores.mean) for name, scores in self.families.items()}
        found = [skills[name] for name in names if name in skills]
        return max(found) - max(skills.values()) if found else None

    @property
    def advantage(self):
        """What the best explicit family is better by than the best implicit one, as such a share, in [-1, 1]."""
        explicit, implicit = (self._skill(self.families[self.best[kind]].mean) for kind in ("explicit", "implicit"))
        return explicit - implicit

    def of_kind(self, kind):
        """The family that speaks for a kind, in a list; empty if none took part."""
        return [self.best[kind]] if kind in self.best else []

    def _skill(self, score):
        from tuning.probes import skill

        return skill(score, self.characteristics.constant)


def past(task, characteristics, candidates, margin, search, command):
    """A `Past` from scores, wherever they come from.

    Args:
        task: its name.
        characteristics: what it is like.
        candidates: a `tuning.decide.Candidate` for each family; at least one implicit and one explicit.
        margin: the smallest difference that matters.
        search: plain data, which says what was run with what.
        command: what repeats it.

    Raises:
        RecordError: if one of the two kinds is missing.
    """
    kinds = ("implicit", "explicit", "hybrid")
    best = {kind: found for kind in kinds if (found := decide.best_of(candidates, kind)) is not None}
    if not {"implicit", "explicit"} <= set(best):
        raise RecordError(
            f"A verdict to learn from has an implicit and an explicit family. Received: {task} with "
            f"{', '.join(best) or 'neither'}"
        )
    found = decide.compare(best["explicit"], best["implicit"], margin)
    return Past(
        task=task,
        characteristics=characteristics,
        families={one.name: Scores(one.kind, tuple(one.valid), tuple(one.test)) for one in candidates},
        best={kind: candidate.name for kind, candidate in best.items()},
        difference=found.mean,
        low=found.low,
        high=found.high,
        answer=decide.decide(candidates, margin).answer,
        margin=margin,
        search=search,
        command=command,
    )


def add(result, characteristics, path):
    """Appends what a finished search found to a record of one's own; once, however often it is called.

    Args:
        result: a `tuning.result.Result`.
        characteristics: what its task is like, a `tuning.characteristics.Characteristics`.
        path: a file. It is made if it is not there.

    Returns:
        The `Past` that was appended.

    Raises:
        RecordError: if the search compared no two kinds, the file cannot be read, or it belongs to the package.
    """
    from tuning.reporting import words

    candidates = [family.as_candidate() for family in result.families if family.finished]
    search = result.search
    found = past(search["task"], characteristics, candidates, result.task["margin"], search, words.command(search))
    append(found, path)
    return found


def remember(folder, path):
    """Measures what the task of a finished search is like, and appends what the search found to a record.

    Args:
        folder: the search's.
        path: see `add`.

    Returns:
        The `Past` that was appended.

    Raises:
        ValueError: if the task does not come with the project: then measure it with `tuning.characteristics.describe`
            and call `add`.
        SearchFolderError: if the folder holds no finished search.
        RecordError: if the task's data is no longer what was searched on; and see `add`.
    """
    from tuning import result, tasks
    from tuning.characteristics import describe

    found = result.load(Path(folder))
    if found.search["task"] not in tasks.names():
        raise ValueError(
            "Only searches on the project's own tasks are measured from their folder. For data of your own: "
            "`tuning.record.add(result, tuning.characteristics.describe(task, data, seed), path)` in Python. "
            f"Received: a search on {found.search['task']!r}"
        )
    task = tasks.get(found.search["task"])
    data = task.data(found.search["seed"])
    if data.checksum() != found.search["data"]:
        raise RecordError(f"The data of {task.name} is not what {folder} was searched on: its checksum is another.")
    return add(found, describe(task, data, found.search["seed"]), path)


def append(found, path):
    """Appends a `Past` to a file, unless it is there.

    Raises:
        RecordError: if the file cannot be read, or belongs to the package.
    """
    path = Path(path)
    if SHIPPED.resolve() in path.resolve().parents:
        raise RecordError(f"The package's own record stays as it is: name a file of yours. Received: {path}")
    if path.exists() and found in read(path):
        return
    ledger.append(path, {"revision": REVISION, **dataclasses.asdict(found)})


def load(paths=()):
    """The verdicts that come with the package, and those of files.

    Args:
        paths: files of one's own.

    Returns:
        A tuple of `Past`, each once.

    Raises:
        RecordError: if a file cannot be read.
    """
    found = []
    for path in (*sorted(SHIPPED.glob("*.jsonl")), *paths):
        found += [one for one in read(path) if one not in found]
    return tuple(found)


def name(record):
    """What tells a record from others: None if it is None, "empty", or the first digits of its checksum."""
    if record is None:
        return None
    text = json.dumps([dataclasses.asdict(one) for one in record], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16] if record else "empty"


def read(path):
    """The verdicts of one file, a tuple of `Past`.

    Raises:
        RecordError: if it cannot be read; it says which line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"The record {path} cannot be read ({error}).") from None
    return tuple(_parse(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip())


def _parse(line, where):
    try:
        content = json.loads(line)
        revision = content.pop("revision")
        if revision != REVISION:
            raise RecordError(
                f"{where}: its characteristics were measured another way (revision {revision}, here {REVISION}). "
                "Describe the task again."
            )
        families = {name: Scores(**_tuples(scores)) for name, scores in content["families"].items()}
        characteristics = Characteristics(**_tuples(content["characteristics"]))
        return Past(**{**content, "families": families, "characteristics": characteristics})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(f"{where} is no verdict ({error}). Remove the line, or take a backup.") from None


def _tuples(content):
    return {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}
