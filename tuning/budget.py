"""Equal parameters: the width at which a model has as many as its task allows."""

TOLERANCE = 0.1
LIMIT = 2048


class Budget:
    """Finds widths, and remembers them.

    Args:
        model: the function of a `tuning.task.Task` that builds its models.
        parameters: how many parameters a model shall have, within 10 %; None for any number.
        width: the one width of all models; None if `parameters` decides.
    """

    def __init__(self, model, parameters, width=None):
        self.model = model
        self.parameters = parameters
        self.width = width
        self._found = {}

    def solve(self, mixer):
        """The width for a mixer's spec, and the number of parameters it gives."""
        key = repr(mixer)
        if key not in self._found:
            self._found[key] = self._solve(mixer)
        return self._found[key]

    def _solve(self, mixer):
        if self.width is not None:
            return self.width, self._count(mixer, self.width)
        width, count = nearest_width(lambda width: self._count(mixer, width), self.parameters)
        if abs(count / self.parameters - 1) > TOLERANCE:
            raise ValueError(
                f"No width gives {mixer!r} {self.parameters:,} parameters within {TOLERANCE:.0%}. "
                f"The closest: {count:,}, at width {width}."
            )
        return width, count

    def _count(self, mixer, width):
        return self.model(mixer, width, 0.0).count_params()


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
