"""What a memory's heads did, step by step, as a picture."""

from keras import ops


def draw_weights(weights, names=None, steps=None, path=None):
    """Draws weights over slots: a panel for each row of weights, steps from left to right, slots from top to bottom.

    Args:
        weights: `(H, T, N)`, those of one sequence; or `(1, H, T, N)`.
        names: a title for each of the H panels; None for their numbers.
        steps: a label for each of the T steps, such as tokens; None for their numbers.
        path: where to write the picture too, by its ending as PNG, SVG or PDF; None for nowhere.

    Returns:
        The `matplotlib.figure.Figure`; it belongs to no window.

    Example:
    >>> figure = draw_weights(keras.ops.ones((2, 3, 5)) / 5, names=["read", "write"])
    >>> [panel.get_title() for panel in figure.axes[:2]]
    ['read', 'write']
    """
    # Late: layers need no pictures.
    from matplotlib.figure import Figure

    weights = ops.convert_to_numpy(ops.cast(weights, "float32"))
    weights = weights[0] if weights.ndim == 4 and len(weights) == 1 else weights
    if weights.ndim != 3:
        raise ValueError(
            "A picture shows the weights (H, T, N) of one sequence: take one of the batch. "
            f"Received: weights of shape {weights.shape}"
        )
    heads, length, slots = weights.shape
    names = [f"head {head}" for head in range(heads)] if names is None else list(names)
    for what, given, right in (("names", names, heads), ("steps", steps, length)):
        if given is not None and len(given) != right:
            raise ValueError(f"There must be {right} `{what}`. Received: {len(given)}")
    figure = Figure(
        figsize=(1.5 + min(16.0, 0.25 * length), heads * (0.8 + min(5.0, 0.08 * slots))), layout="constrained"
    )
    panels = figure.subplots(heads, 1, sharex=True, squeeze=False)[:, 0]
    for panel, name, rows in zip(panels, names, weights):
        image = panel.imshow(rows.T, aspect="auto", cmap="viridis", vmin=0.0, vmax=1.0, interpolation="nearest")
        panel.set_title(name)
        panel.set_ylabel("slot")
    panels[-1].set_xlabel("step")
    if steps is not None:
        panels[-1].set_xticks(range(length), [str(step) for step in steps], rotation=90)
    figure.colorbar(image, ax=list(panels), label="weight")
    if path is not None:
        figure.savefig(path)
    return figure
