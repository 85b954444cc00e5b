"""Equal budgets: the width at which a model has as many parameters, computes as much or takes as long as it may."""

import functools
import math
import statistics
import time

from tuning.journal import SearchFolderError, read_json, write_json

LIMIT = 2048
KINDS = ("parameters", "flops", "time")
#: How far off a budget may be. Steps take longer on one occasion than on another, by more than a width's change does.
TOLERANCE = 0.1
TOLERANCES = {"time": 0.25}
#: What is counted, and how it is said.
UNITS = {"parameters": "parameters", "flops": "FLOPs", "time": "seconds a step"}
REMEMBERED = "budget.json"
WARM_UP, STEPS = 2, 7


class Budget:
    """Finds widths, and remembers them.

    Args:
        model: the function of a `tuning.task.Task` that builds its models.
        amount: what a model shall cost, within 10 % (time: 25 %); None for any.
        width: the one width of all models; None if `amount` decides.
        kind: of what `amount` is: "parameters", "flops" (see `tuning.flops`, of a training step and example) or "time"
            (seconds of a training step).
        cost: a function from a model to what it costs; None to count parameters.
    """

    def __init__(self, model, amount, width=None, kind="parameters", cost=None):
        self.model = model
        self.amount = amount
        self.width = width
        self.kind = kind
        self.cost = cost or _parameters
        self._path = None
        self._found = {}

    def solve(self, mixer):
        """The width for a mixer's spec, and the number of parameters it gives."""
        key = repr(mixer)
        if key not in self._found:
            self._found[key] = self._solve(mixer)
            self._write()
        return tuple(self._found[key])

    def recall(self, folder):
        """Takes the widths that a folder has: time is never measured the same twice."""
        if (folder / REMEMBERED).exists():
            self._found |= _read(folder)["widths"]

    def remember(self, folder):
        """Keeps amount and widths in a folder from now on."""
        self._path = folder / REMEMBERED
        self._write()

    def _write(self):
        if self._path is not None:
            write_json(self._path, {"amount": self.amount, "widths": self._found})

    def _solve(self, mixer):
        width = self.width or self._nearest(mixer)
        return width, self.model(mixer, width, 0.0).count_params()

    def _nearest(self, mixer):
        width, cost = nearest_width(lambda width: self.cost(self.model(mixer, width, 0.0)), self.amount)
        tolerance = TOLERANCES.get(self.kind, TOLERANCE)
        if abs(cost / self.amount - 1) > tolerance:
            say = functools.partial(_say, unit=UNITS[self.kind])
            raise ValueError(
                f"No width gives {mixer!r} {say(self.amount)} within {tolerance:.0%}. "
                f"The closest: {say(cost)}, at width {width}."
            )
        return width


def make(task, data, kind="parameters", amount=None, width=None):
    """The budget of a search.

    Args:
        task: a `tuning.task.Task`.
        data: its `tuning.task.Data`.
        kind: what is the same for all models: "parameters", "flops" or "time".
        amount: how much of it; None for the task's parameters, or for what a model of the task's first mixer costs that
            has as many.
        width: one width for all models instead of a budget.

    Returns:
        A `Budget`.

    Raises:
        ValueError: for another kind, or an amount that is no number above 0.
    """
    check(kind, amount)
    batch = data.train.take(slice(task.batch_size))
    cost = {
        "parameters": _parameters,
        "flops": functools.partial(_flops, batch=batch),
        "time": functools.partial(step_seconds, batch=batch, measure=task.measure),
    }[kind]
    if amount is None and width is None:
        amount = task.parameters if kind == "parameters" else _of_first(task, cost)
    return Budget(task.model, amount, width, kind, cost)


def remembered(folder):
    """The amount that a search in a folder began with; None if none did."""
    return _read(folder)["amount"] if (folder / REMEMBERED).exists() else None


def _read(folder):
    """What a folder remembers: the amount, None for any, and of each mixer width and parameters.

    Raises:
        SearchFolderError: if that cannot be read, or is not what `Budget` writes.
    """
    path = folder / REMEMBERED
    try:
        found = read_json(path)
        if not _is_budget(found):
            raise SearchFolderError(f"{path} does not hold an amount and widths.")
    except SearchFolderError as error:
        raise SearchFolderError(
            f"{error} Remove it and give the same command again: sizes are then found anew, and what was run stays."
        ) from None
    return found


def _is_budget(content):
    amount, widths = content.get("amount", ""), content.get("widths")
    return (
        (amount is None or _is_amount(amount))
        and isinstance(widths, dict)
        and all(isinstance(pair, list) and list(map(type, pair)) == [int, int] for pair in widths.values())
    )


def parse(text):
    """Kind and amount of a budget, as a person writes it.

    Raises:
        ValueError: for another kind, or an amount that is no number above 0.

    Example:
    >>> parse("flops=2e6"), parse("time")
    (('flops', 2000000.0), ('time', None))
    """
    kind, equals, amount = str(text).partition("=")
    try:
        amount = float(amount) if equals else None
    except ValueError:
        raise ValueError(f"A budget is a kind, or a kind and a number: flops=2e6. Received: {text}") from None
    check(kind, amount)
    return kind, amount


def check(kind, amount):
    """Raises `ValueError` for what is no kind of budget, or no amount."""
    if kind not in KINDS:
        from keras_attn.lookup import choose

        choose("budget", kind, KINDS)
    if amount is not None and not _is_amount(amount):
        raise ValueError(f"A budget is a number above 0 of {UNITS[kind]}. Received: {amount!r}")


def _is_amount(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf


def _of_first(task, cost):
    """What the task's first mixer costs at the task's parameters."""
    from tuning import families, spaces

    family = families.make(task.mixers[0])
    mixer = spaces.realise(family, spaces.defaults(family, task))
    width, _ = Budget(task.model, task.parameters).solve(mixer)
    return cost(task.model(mixer, width, 0.0))


def _parameters(model):
    return model.count_params()


def _flops(model, batch):
    from tuning import flops

    return flops.of_step(model, batch.x)


def step_seconds(model, batch, measure, steps=STEPS):
    """Seconds of a training step, the median of some, without compiling. It changes the model's weights.

    Args:
        model: a Keras model.
        batch: a `tuning.task.Split` of one step's examples.
        measure: a name from `tuning.measures`.
        steps: how many are timed.
    """
    from tuning import measures, training

    model.preprocessor = None
    training._compile(model, measures.get(measure))
    seconds = []
    for _ in range(WARM_UP + steps):
        start = time.perf_counter()
        model.train_on_batch(batch.x, batch.y, sample_weight=batch.weight)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[WARM_UP:])


def nearest_width(count, target):
    """The width whose count is nearest to the target, and that count.

    Args:
        count: a function from a width to a number of parameters, which grows with the width.
        target: the number wanted.

    Example:
    >>> nearest_width(lambda width: 3 * width * width, 1000)
    (18, 972)
    """
    low, high = 1, _guess(count, target)
    counts = {}

    def at(width):
        if width not in counts:
            counts[width] = count(width)
        return counts[width]

    while at(high) < target and high < LIMIT:
        low, high = high, min(LIMIT, high + max(1, high // 4))
    while high - low > 1:
        # Counts grow like the square of the width, so that one such step comes closer than halving does.
        step = round(high * (target / at(high)) ** 0.5)
        middle = min(max(step, low + 1), high - 1)
        low, high = (middle, high) if at(middle) < target else (low, middle)
    best = min((low, high), key=lambda width: abs(at(width) - target))
    return best, at(best)


def _guess(count, target, start=32):
    return max(2, min(LIMIT, round(start * (target / count(start)) ** 0.5)))


def _say(number, unit):
    return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"
