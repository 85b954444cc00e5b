"""Five factors of a trained model, measured: score, complexity, interpretability, fit to the data, resources.

Each has a limit of seconds. What could not be measured is None, with the cause beside it.
"""

import dataclasses
import time

SECONDS = 15.0


@dataclasses.dataclass(frozen=True)
class Factors:
    """What was measured of a family's best model, as plain data. The score is in its retrainings.

    Args:
        number: which retraining the model is of.
        complexity: "parameters", "flops" (of a training step and example), "memory" (bytes, of a training step).
        interpretability: "value" (of the best map), "by" ("pointing" or "faithfulness"), "map" (which is best), "maps"
            (the values of all), "chance" (what knows nothing reaches), "examples".
        fit: "by" ("length" or "position"), "bins" (each a dict of low, high, count, score), "reach" (how far apart what
            matters lies, the mean), "profile" (by distance: low, high, share), "distance" (bins by reach).
        resources: "training" (seconds), "latency" and "throughput" by batch size, "device".
        missing: why something is None, by factor and number: "fit/reach".
        seconds: by factor how long measuring took.
    """

    number: int
    complexity: dict
    interpretability: dict
    fit: dict
    resources: dict
    missing: dict
    seconds: dict


class CannotMeasure(ValueError):
    """Why there is no number."""


class Clock:
    """Says when a factor has had its time.

    Args:
        seconds: how long it has.
    """

    def __init__(self, seconds):
        self.seconds = seconds
        self.start = time.perf_counter()

    def spent(self):
        """Seconds since the start."""
        return time.perf_counter() - self.start

    def over(self):
        """Whether nothing more should be begun."""
        return self.spent() >= self.seconds

    def check(self):
        """Raises `CannotMeasure` if the time is over."""
        if self.over():
            raise CannotMeasure(f"it was left out after {self.seconds:g} s")


def measure(task, data, model, run, seconds=SECONDS):
    """Measures a trained model.

    Nothing that goes wrong ends it: then a number is None. The model's weights are as before afterwards.

    Args:
        task: a `tuning.task.Task`.
        data: its `tuning.task.Data`.
        model: the trained model of the run.
        run: the `tuning.journal.Run`, a retraining.
        seconds: the limit of each factor. What runs when it is over is let run.

    Returns:
        A `Factors`.
    """
    from tuning.factors import complexity, fit, interpretability, resources

    found, missing, took = {}, {}, {}
    for name, module in (
        ("resources", resources),
        ("interpretability", interpretability),
        ("fit", fit),
        # Last, since it trains.
        ("complexity", complexity),
    ):
        clock, causes = Clock(seconds), {}
        found[name] = attempt(module.parts(task, data, model, run, clock), clock, causes)
        missing |= {f"{name}/{number}": cause for number, cause in causes.items()}
        took[name] = round(clock.spent(), 3)
    return Factors(number=run.number, missing=missing, seconds=took, **found)


def attempt(parts, clock, missing):
    """What each part finds, a dict of numbers; those of a part that fails are None, and why is put into `missing`.

    Args:
        parts: by the names of their numbers, which are a tuple, functions that return as many.
        clock: a `Clock`.
        missing: a dict from names to causes, added to.
    """
    found = {}
    for names, part in parts.items():
        try:
            clock.check()
            values = part()
        except Exception as error:
            cause = str(error) if isinstance(error, CannotMeasure) else f"{type(error).__name__}: {error}"
            values = (None,) * len(names)
            missing[names[0]] = " ".join(cause.split())[:300]
        found.update(zip(names, values, strict=True))
    return found
