"""What a memory's heads did, step by step, as a picture."""

from keras import ops

from keras_attn._figure import check_labels, literal, new_figure, save, ticks


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
    weights = ops.convert_to_numpy(ops.cast(weights, "float32"))
    weights = weights[0] if weights.ndim == 4 and len(weights) == 1 else weights
    if weights.ndim != 3:
        raise ValueError(
            "A picture shows the weights (H, T, N) of one sequence: take one of the batch. "
            f"Received: weights of shape {weights.shape}"
        )
    heads, length, slots = weights.shape
    names = check_labels("names", names, heads) or [f"head {head}" for head in range(heads)]
    steps = check_labels("steps", steps, length)
    wide = min(16.0, 0.25 * length)
    figure = new_figure(1.5 + wide, heads * (0.8 + min(5.0, 0.08 * slots)))
    panels = figure.subplots(heads, 1, sharex=True, squeeze=False)[:, 0]
    for panel, name, rows in zip(panels, names, weights):
        image = panel.imshow(rows.T, aspect="auto", cmap="viridis", vmin=0.0, vmax=1.0, interpolation="nearest")
        panel.set_title(name, **literal())
        panel.set_ylabel("slot")
    panels[-1].set_xlabel("step")
    if steps is not None:
        ticks(panels[-1].xaxis, steps, wide)
        panels[-1].tick_params(axis="x", rotation=90)
    figure.colorbar(image, ax=list(panels), label="weight")
    save(figure, path)
    return figure
