"""What past verdicts teach: `tuning/records/` from the runs of verdicts.py and known_answers.py.

    KERAS_ATTN_DATA=DIRECTORY KERAS_BACKEND=tensorflow python benchmarks/remember.py [--tasks ...]

Each task that is through there becomes a line of the record that comes with the package, from which `tuning.advise`
draws: what every family scored on its seeds at equal parameters, and what the task is like, which is measured here,
about a minute of a core each. A line whose runs are the same ones stays as it is.
"""

import argparse
import dataclasses
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import known_answers
import verdicts

from tuning import comparison, record, tasks
from tuning.characteristics import describe

SEED = 0


@dataclasses.dataclass(frozen=True)
class Finished:
    """A task that is through.

    Args:
        task: the `tuning.Task`.
        candidates: a `tuning.decide.Candidate` for each family.
        version: which data and effort the runs are of.
        script: what made them.
    """

    task: object
    candidates: list
    version: str
    script: str

    @property
    def command(self):
        seeds = f" --seeds {len(self.candidates[0].test)}" if self.script == "verdicts.py" else ""
        return f"python benchmarks/{self.script} run --tasks {self.task.name}{seeds}"


def of_verdicts(names):
    """The real tasks that are through."""
    lines = verdicts.read(verdicts.FILE)
    for name in names:
        found = verdicts.find(lines, name, verdicts.WHOLE)
        if found.complete:
            (version,) = {line["version"] for runs in found.runs.values() for line in runs}
            yield Finished(found.task, list(found.there), version, "verdicts.py")


def of_known_answers(names):
    """The tasks made by rules that are through at their size."""
    lines = known_answers.read(known_answers.FILE)
    for name in names:
        task = tasks.get(name)
        mine = [line for line in known_answers.of_task(lines, task) if line["size"] == 1.0]
        if len(mine) == known_answers.count(task, 1.0):
            yield Finished(task, known_answers.candidates(mine, 1.0), mine[0]["version"], "known_answers.py")


SOURCES = {"verdicts": (of_verdicts, verdicts.NAMES), "known_answers": (of_known_answers, known_answers.NAMES)}


def remember(finished, before):
    """The `tuning.record.Past` of a task: that of before, if it is of the same runs."""
    task, seeds = finished.task, len(finished.candidates[0].test)
    data = task.data(SEED)
    search = {**comparison.describe(task, data, SEED, width=None), "seeds": seeds, "version": finished.version}
    for past in before:
        if all(past.search.get(name) == search[name] for name in ("task", "version", "seeds")):
            return past
    found = describe(task, data, SEED)
    return record.past(task.name, found, finished.candidates, task.margin, search, finished.command)


def write(path, pasts):
    """A record of its own, whole."""
    lines = [json.dumps({"revision": record.REVISION, **dataclasses.asdict(past)}) for past in pasts]
    whole = Path(f"{path}.part")
    whole.write_text("\n".join(lines) + "\n", encoding="utf-8")
    os.replace(whole, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", help="those alone; what is known of others stays")
    asked = parser.parse_args()
    for source, (finished_of, names) in SOURCES.items():
        path = record.SHIPPED / f"{source}.jsonl"
        pasts = {past.task: past for past in (record.read(path) if path.exists() else ())}
        for finished in finished_of([name for name in names if asked.tasks is None or name in asked.tasks]):
            past = remember(finished, pasts.values())
            pasts[past.task] = past
            write(path, pasts.values())
            print(f"{past.task}: {past.answer}, explicit less implicit {past.difference:+.3f}", flush=True)


if __name__ == "__main__":
    main()
