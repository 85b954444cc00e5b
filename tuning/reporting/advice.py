"""An advice on a terminal."""

from tuning import probes


def show(advice, console=None):
    """Prints an advice: what the task is like, what is expected, from which past tasks, and how far to believe it.

    Args:
        advice: a `tuning.advice.Advice`.
        console: a `rich.console.Console`; None for standard output.
    """
    from rich.console import Console

    console = console or Console()
    # Names may hold brackets that rich would take for its own: they are shown as they are.
    for title, header, rows in tables(advice):
        if rows:
            console.print(_table(title, header, rows))
    console.print(headline(advice), markup=False, highlight=False)
    console.print(advice.uncertainty, markup=False, highlight=False)


def headline(advice):
    """The guess in a sentence."""
    if advice.difference is None:
        return f"No advice on {advice.task}."
    low, high = advice.difference.low, advice.difference.high
    guess = "either kind may win" if advice.answer == "open" else f"{advice.answer} attention"
    return f"A first guess at {advice.task}: {guess}. Explicit less implicit: {low:+.3f} to {high:+.3f}, 4 times in 5."


def tables(advice):
    """Titles, headers and rows of text."""
    expected = {one.name: one for one in (*advice.kinds, *advice.gaps)}
    return (
        (f"What {advice.task} is like", ("", ""), _likeness(advice.characteristics)),
        (
            "Past tasks, the nearest first",
            ("task", "deviations away", "share of the guess", "explicit less implicit, of what is to be gained"),
            [
                (one.task, f"{one.distance:.2f}", f"{one.weight:.0%}", f"{one.difference:+.2f}")
                for one in advice.neighbours
            ],
        ),
        (
            "How a search should begin",
            ("family", "first trials", "expected behind the best", "4 times in 5"),
            [(start.family, str(start.trials), *_behind(expected.get(start.family))) for start in advice.start],
        ),
    )


def _likeness(task):
    what = "tokens" if task.tokens else "numbers"
    asked = f"{task.classes} classes, {task.entropy:.2f} bits" if task.labels else f"{task.classes} numbers"
    near = ", ".join(f"{share:.0%} within {near}" for near, share in zip(probes.NEAR, task.within))
    return [
        ("positions", f"{task.length:g}, the middle half {task.spread:g} apart"),
        (what, f"{task.values} {'different' if task.tokens else 'channels'}"),
        ("examples", f"{task.examples:,}"),
        ("asked for", f"{asked}, {task.asked * task.length:.3g} answers an example"),
        ("a constant answer", f"{task.constant:.3f}"),
        ("linear in what there is", f"{task.bag:.3f}"),
        ("small implicit model", f"{task.implicit:.3f}"),
        ("small explicit model", f"{task.explicit:.3f} (each {task.steps} steps)"),
        ("looks how far", f"{task.distance:g} (median); {near}; by the {task.looks} one"),
        ("at how many positions", f"half of it at {task.half:g}"),
        ("quarters from the start", ", ".join(f"{share:.0%}" for share in task.quarters)),
    ]


def _behind(expectation):
    if expectation is None:
        return "not known", ""
    return f"{expectation.mean:+.3f}", f"{expectation.low:+.3f} to {expectation.high:+.3f}"


def _table(title, header, rows):
    from rich import table, text

    found = table.Table(title=text.Text(title), title_justify="left", show_header=any(header), box=None)
    for name in header:
        found.add_column(name)
    for row in rows:
        found.add_row(*map(text.Text, row))
    return found
