"""What a search found, as data: written to results.json, read by the reports."""

import dataclasses
import statistics

from tuning import decide, weighing
from tuning.factors import Factors
from tuning.journal import SearchFolderError, load_run, read_json, write_json

RESULTS = "results.json"


@dataclasses.dataclass(frozen=True)
class FamilyResult:
    """A family's runs.

    Args:
        name: the family's name.
        kind: "implicit", "explicit", "hybrid" or "control".
        trials: the search's runs.
        retrainings: its best trial on fresh seeds; empty if it did not come so far.
        factors: what was measured of the best of them, a `tuning.factors.Factors`; None if nothing was.
        fate: why it was not retrained, in words; empty if it was.
        step: the smallest difference that two test scores can have; None in older results.
        units: how many test examples stand for themselves, `tuning.measures.units`; None in older results.
    """

    name: str
    kind: str
    trials: tuple
    retrainings: tuple
    factors: Factors | None = None
    fate: str = ""
    step: float | None = None
    units: int | None = None

    @property
    def finished(self):
        """Whether there are scores on all seeds to decide by."""
        return bool(self.retrainings) and all(run.failure is None for run in self.retrainings)

    @property
    def openers(self):
        """The trials on equal terms: up to the first rung, on the first seed."""
        first = min((run.epochs for run in self.trials), default=None)
        return [run for run in self.trials if run.epochs == first and run.round == 0]

    @property
    def failures(self):
        """The causes of what failed."""
        return [run.failure for run in (*self.trials, *self.retrainings) if run.failure is not None]

    @property
    def test(self):
        """Test scores, one a seed."""
        return tuple(run.test for run in self.retrainings)

    @property
    def mean(self):
        """The mean test score."""
        return sum(self.test) / len(self.test)

    @property
    def spread(self):
        """The standard deviation of the test scores."""
        return decide.spread(self.test)

    @property
    def parameters(self):
        """How many parameters the retrained model has."""
        return self.retrainings[0].parameters

    @property
    def seconds(self):
        """Training time of a run, the mean over seeds."""
        return sum(run.seconds for run in self.retrainings) / len(self.retrainings)

    @property
    def latency(self):
        """Seconds for an example by batch size, the median over seeds."""
        sizes = self.retrainings[0].latency
        return {size: statistics.median([run.latency[size] for run in self.retrainings]) for size in sizes}

    @property
    def numbers(self):
        """What can be weighed, by the names of `tuning.weighing.FACTORS`; None where it was not measured."""
        found = dict.fromkeys(weighing.FACTORS)
        found |= {"score": self.mean, "parameters": self.parameters, "training": self.seconds}
        found |= {"latency": self.latency.get("1"), "latency_64": self.latency.get("64")}
        if self.factors is not None:
            found |= {name: self.factors.complexity.get(name) for name in ("flops", "memory")}
            found["interpretability"] = self.factors.interpretability.get("value")
            found["length"] = _last_score(self.factors.fit.get("bins"))
            found["distance"] = _last_score(self.factors.fit.get("distance"))
        return found

    def as_candidate(self):
        """What `tuning.decide` wants to know."""
        valid = tuple(run.valid for run in self.retrainings)
        cost = min(self.latency.values(), default=0.0)
        known = {} if self.step is None else {"step": self.step}
        redrawn = tuple(run.redrawn for run in self.retrainings)
        if self.units is not None and all(redrawn):
            known |= {"redrawn": redrawn, "units": self.units}
        return decide.Candidate(self.name, self.kind, valid, self.test, self.parameters, cost, **known)


@dataclasses.dataclass(frozen=True)
class Result:
    """A finished search.

    Args:
        search: which search it is: task, mixers, trials, seeds, backend, versions.
        task: what people should know of the task: description, margin, published answer.
        families: a `FamilyResult` for each.
        verdict: a `tuning.decide.Verdict`.
        models: the folder of the best model of each kind, by kind, under the output folder.
        seconds: time of all runs together.
        advice: what was advised, and whether it was right, as `tuning.prior.judge` has it; None in older results.
    """

    search: dict
    task: dict
    families: tuple
    verdict: decide.Verdict
    models: dict
    seconds: float
    advice: dict | None = None

    @property
    def finished(self):
        """The families that finished."""
        return [family for family in self.families if family.finished]

    def fronts(self):
        """By cost the names of the families that none is both better and cheaper than, the cheapest first."""
        numbers = {family.name: family.numbers for family in self.finished}
        points = {
            cost: {name: (each["score"], each[cost]) for name, each in numbers.items() if each[cost] is not None}
            for cost in weighing.COSTS
        }
        return {cost: weighing.front(each) for cost, each in points.items() if each}

    def weigh(self, weights):
        """The `tuning.weighing.Weighed` of the families that finished."""
        numbers = {family.name: family.numbers for family in self.finished}
        return weighing.weigh(numbers, {family.name: family.kind for family in self.finished}, weights)

    def family(self, name):
        """The family of that name."""
        return next(family for family in self.families if family.name == name)

    @property
    def preset(self):
        """The folder of the winning model under the output folder; None if nothing won."""
        return self.models.get(self.family(self.verdict.winner).kind) if self.verdict.winner else None

    def save(self, folder):
        """Writes results.json."""
        write_json(folder / RESULTS, dataclasses.asdict(self))


def load(folder):
    """The `Result` in a folder.

    Raises:
        SearchFolderError: if there is none, or it cannot be read.
    """
    content = read_json(folder / RESULTS)
    try:
        return _load(content)
    except (KeyError, TypeError) as error:
        raise SearchFolderError(f"{folder / RESULTS} does not hold the results of a search ({error}).") from None


def _load(content):
    verdict = content["verdict"]
    comparisons = tuple(
        decide.Comparison(**{**comparison, "differences": tuple(comparison["differences"])})
        for comparison in verdict["comparisons"]
    )
    return Result(
        **{
            **content,
            "families": tuple(map(_load_family, content["families"])),
            "verdict": decide.Verdict(
                **{
                    **verdict,
                    "comparisons": comparisons,
                    **{name: tuple(verdict.get(name, ())) for name in ("notes", "better_controls")},
                }
            ),
        }
    )


def _load_family(content):
    runs = {stage: tuple(map(load_run, content[stage])) for stage in ("trials", "retrainings")}
    measured = content.get("factors")
    return FamilyResult(**{**content, **runs, "factors": measured and Factors(**measured)})


def _last_score(bins):
    return bins[-1]["score"] if bins else None
