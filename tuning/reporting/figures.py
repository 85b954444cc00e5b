"""Drawings: what each family costs and scores, how it learnt, and what its hyperparameters did."""

import base64
import io

COLOURS = {"implicit": "#0072b2", "explicit": "#d55e00", "hybrid": "#009e73", "control": "#777777"}
MARKERS = "os^DvP*X<>"


#: How costs are named below an axis.
LABELS = {
    "parameters": "parameters",
    "flops": "FLOPs of a training step, for an example",
    "memory": "bytes of a training step",
    "training": "seconds of training",
    "latency": "seconds for an example alone",
}


def draw(found):
    """The figures of a `tuning.result.Result`, by name, as SVG text."""
    families = found.finished
    return {
        "scores": _draw_scores(families, found.fronts()),
        "learning": _draw_learning(families),
        "effects": _draw_effects([family for family in found.families if _rates(family)]),
    }


def as_data_uri(svg):
    """An image in the text of a page, so that the page is one file."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _draw_scores(families, fronts):
    """Test scores against each cost: every seed, the families' means, and the front that nothing beats in both."""
    costs = [cost for cost in LABELS if fronts.get(cost)] or ["parameters"]
    figure, axes = _new_figure(len(costs))
    for axis, cost in zip(axes, costs, strict=True):
        points = {family.name: (family.numbers[cost], family.mean) for family in families}
        for family, marker in zip(families, _markers(families), strict=True):
            if points[family.name][0] is None:
                continue
            style = {"color": COLOURS[family.kind], "marker": marker, "linestyle": "none"}
            axis.plot([points[family.name][0]] * len(family.test), family.test, alpha=0.3, markersize=4, **style)
            axis.plot(*points[family.name], label=family.name, markersize=8, **style)
        line = [points[name] for name in fronts.get(cost, ())]
        # Nothing is cheaper and better: what lies on the line is what is left to choose from.
        axis.plot(*zip(*line), color="#555555", linestyle="--", linewidth=1, drawstyle="steps-post", zorder=0)
        axis.set(xlabel=LABELS[cost], ylabel="test score", title=f"Score and {cost}")
    return _finish(figure, axes[0], families)


def _draw_effects(families):
    """Validation score of each trial against its learning rate."""
    figure, (axes,) = _new_figure(1)
    for family, marker in zip(families, _markers(families), strict=True):
        style = {"color": COLOURS[family.kind], "marker": marker, "markersize": 5, "linestyle": "-", "linewidth": 0.5}
        axes.plot(*zip(*sorted(_rates(family))), label=family.name, **style)
    axes.set(xlabel="learning rate", ylabel="validation score", title="At the first rung", xscale="log")
    return _finish(figure, axes, families)


def _rates(family):
    return [
        (run.values["learning_rate"], run.valid)
        for run in family.openers
        if run.valid is not None and "learning_rate" in run.values
    ]


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
