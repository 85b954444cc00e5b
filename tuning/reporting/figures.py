"""Two drawings: what each family costs and scores, and how it learnt."""

import base64
import io

COLOURS = {"implicit": "#0072b2", "explicit": "#d55e00", "hybrid": "#009e73", "control": "#777777"}
MARKERS = "os^DvP*X<>"


def draw(found):
    """The figures of a `tuning.result.Result`, by name, as SVG text."""
    families = [family for family in found.families if family.finished]
    return {"scores": _draw_scores(families), "learning": _draw_learning(families)}


def as_data_uri(svg):
    """An image in the text of a page, so that the page is one file."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _draw_scores(families):
    """Test score of each seed against parameters, and against training time."""
    figure, axes = _new_figure(2)
    for family, marker in zip(families, _markers(families), strict=True):
        style = {"color": COLOURS[family.kind], "marker": marker, "linestyle": "none", "alpha": 0.8}
        axes[0].plot([family.parameters] * len(family.test), family.test, label=family.name, **style)
        axes[1].plot([run.seconds for run in family.retrainings], family.test, **style)
    axes[0].set(xlabel="parameters", ylabel="test score", title="Score and size")
    axes[1].set(xlabel="seconds of training", ylabel="test score", title="Score and time")
    return _finish(figure, axes[0], families)


def _draw_learning(families):
    """Validation score after each epoch, the mean over seeds."""
    figure, (axes,) = _new_figure(1)
    for family, marker in zip(families, _markers(families), strict=True):
        curve = _mean_curve([run.curve for run in family.retrainings])
        style = {"color": COLOURS[family.kind], "marker": marker, "markersize": 4}
        axes.plot(range(1, len(curve) + 1), curve, label=family.name, **style)
    axes.set(xlabel="epoch", ylabel="validation score", title="How they learnt")
    return _finish(figure, axes, families)


def _new_figure(rows):
    from matplotlib.figure import Figure

    # Not pyplot: it keeps figures alive, and asks for a screen.
    figure = Figure(figsize=(5.6, 3.2 * rows), layout="constrained")
    axes = figure.subplots(rows, 1, squeeze=False)[:, 0]
    for one in axes:
        one.grid(alpha=0.3)
    return figure, axes


def _finish(figure, axes, families):
    import matplotlib

    if families:
        handles, labels = axes.get_legend_handles_labels()
        # A dollar sign would begin a formula.
        labels = [label.replace("$", r"\$") for label in labels]
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    stream = io.StringIO()
    # Without a date and with fixed names of its parts the same result draws the same file.
    with matplotlib.rc_context({"svg.hashsalt": "tuning"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def _markers(families):
    return [MARKERS[index % len(MARKERS)] for index in range(len(families))]


def _mean_curve(curves):
    """The mean of curves; one that ended early stays at its last value."""
    length = max(map(len, curves))
    filled = [list(curve) + [curve[-1]] * (length - len(curve)) for curve in curves]
    return [sum(values) / len(values) for values in zip(*filled, strict=True)]
