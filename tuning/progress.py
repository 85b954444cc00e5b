"""What a search says while it runs. The search reports events; where they are shown is decided here."""

import dataclasses
import warnings


@dataclasses.dataclass(frozen=True)
class Event:
    """A run began, or ended.

    Args:
        done, total: epochs, the total being the most that it can come to; or families whose factors are measured.
        family: whose run it is.
        what: which of its runs, in words.
        best: the best validation score so far and the name of its family; None at first.
        left: seconds that the rest will take about; None at first.
        outcome: how it ended, in words; None if it began.
    """

    done: int
    total: int
    family: str
    what: str
    best: tuple | None
    left: float | None
    outcome: str | None = None


class Silent:
    """Shows nothing but warnings."""

    def update(self, event):
        """Takes an `Event`."""

    def warn(self, text):
        """Says what a person should know."""
        warnings.warn(text, stacklevel=2)


class Lines(Silent):
    """A line for each run that ended: for files and pipes.

    Args:
        show: a function that prints a line.
    """

    def __init__(self, show=print):
        self.show = show

    def update(self, event):
        if event.outcome is not None:
            self.show(f"[{_share(event)}] {_describe(event)}: {event.outcome}{_describe_rest(event)}")

    def warn(self, text):
        self.show(f"Note: {text}")


class Bar(Lines):
    """A bar that stays at the bottom of the terminal, and a line above it for each run that ended. Use it in a `with`.

    Args:
        console: a `rich.console.Console`.
    """

    def __init__(self, console):
        from rich import progress

        self.bar = progress.Progress(
            progress.BarColumn(bar_width=20),
            progress.TextColumn("{task.description}"),
            console=console,
            transient=True,
        )
        self.row = self.bar.add_task("preparing", total=None)
        # Names of families hold brackets that rich would take for its own.
        super().__init__(lambda text: console.print(text, markup=False, highlight=False))

    def __enter__(self):
        self.bar.start()
        return self

    def __exit__(self, *exception):
        self.bar.stop()

    def update(self, event):
        from rich.markup import escape

        super().update(event)
        text = escape(f"{_share(event)} {_describe(event)}{_describe_rest(event)}")
        self.bar.update(self.row, completed=event.done, total=event.total, description=text)


def _share(event):
    return f"{event.done / event.total:.0%}".rjust(4)


def _describe(event):
    return f"{event.family} {event.what}"


def _describe_rest(event):
    best = f"; best so far {event.best[1]} {event.best[0]:.3f}" if event.best else ""
    left = f"; at most about {say_seconds(event.left)} left" if event.left else ""
    return best + left


def say_seconds(seconds):
    """A time for people: `45 s`, `2 min 5 s`, `1 h 3 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
