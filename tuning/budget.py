"""Equal budgets: the width at which a model has as many parameters, computes as much or takes as long as it may."""

import functools
import statistics
import time

from tuning.journal import read_json, write_json

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
        path: a file in which widths are remembered between runs, since time is never measured the same twice; None for
            nowhere.
    """

    def __init__(self, model, amount, width=None, kind="parameters", cost=None, path=None):
        self.model = model
        self.amount = amount
        self.width = width
        self.kind = kind
        self.cost = cost or _parameters
        self.path = path
        self._found = {} if path is None or not path.exists() else read_json(path)

    def solve(self, mixer):
        """The width for a mixer's spec, and the number of parameters it gives."""
        key = repr(mixer)
        if key not in self._found:
            self._found[key] = list(self._solve(mixer))
            if self.path is not None:
                write_json(self.path, self._found)
        return tuple(self._found[key])

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


def make(task, data, kind="parameters", amount=None, width=None, folder=None):
    """The budget of a search.

    Args:
        task: a `tuning.task.Task`.
        data: its `tuning.task.Data`.
        kind: what is the same for all models: "parameters", "flops" or "time".
        amount: how much of it; None for the task's parameters, or for what a model of the task's first mixer costs that
            has as many.
        width: one width for all models instead of a budget.
        folder: where widths are remembered; None for nowhere.

    Returns:
        A `Budget`.

    Raises:
        ValueError: for another kind, or an amount that is no number above 0.
    """
    if kind not in KINDS:
        from keras_attn.lookup import choose

        choose("budget", kind, KINDS)
    if amount is not None and (isinstance(amount, bool) or not isinstance(amount, (int, float)) or not amount > 0):
        raise ValueError(f"A budget is a number above 0 of {UNITS[kind]}. Received: {amount!r}")
    batch = data.train.take(slice(task.batch_size))
    cost = {
        "parameters": _parameters,
        "flops": functools.partial(_flops, batch=batch),
        "time": functools.partial(step_seconds, batch=batch, measure=task.measure),
    }[kind]
    path = None if folder is None else folder / REMEMBERED
    if amount is None and width is None:
        amount = task.parameters if kind == "parameters" else _of_first(task, cost, path)
    return Budget(task.model, amount, width, kind, cost, path)


def _of_first(task, cost, path):
    """What the task's first mixer costs at the task's parameters. Like widths it is remembered."""
    if path is not None and path.exists() and "amount" in (found := read_json(path)):
        return found["amount"]
    from tuning import families, spaces

    family = families.make(task.mixers[0])
    mixer = spaces.realise(family, spaces.defaults(family, task))
    width, _ = Budget(task.model, task.parameters).solve(mixer)
    amount = cost(task.model(mixer, width, 0.0))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"amount": amount})
    return amount


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
