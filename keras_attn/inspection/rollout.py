import functools

import numpy as np


def rollout(maps, residual=0.5):
    """How much of each position of the input reaches each of the output, were weights all that moves information.

    `R = Â_L ... Â_2 Â_1` with `Â = ρ I + (1 - ρ) A`, rows scaled to sum to one, and A a layer's weights, averaged over
    its heads. What stands between layers - norms, values, networks - is left out: it is a picture of the weights, not
    of the model.

    Args:
        maps: weights of layers that follow each other, the first one first: each `(B, H, T, T)` or `(B, T, T)`, not
            negative. A dictionary of them, as `weights` returns it, is taken in its order.
        residual: ρ in [0, 1), the share that goes past a layer by the short cut around it.

    Returns:
        `(B, T, T)`, float64; rows sum to one, but those of queries that look at nothing and have no short cut.

    Raises:
        ValueError: for a map that is not square, is negative or not finite, or does not fit the others.

    Example:
    >>> rollout([np.full((1, 2, 3, 3), 1 / 3)] * 2).round(2)[0, 0].tolist()
    [0.5, 0.25, 0.25]

    Reference: Abnar and Zuidema, 2020, https://arxiv.org/abs/2005.00928, section 3, eq. 1.
    """
    layers = of_layers(maps, residual)
    return functools.reduce(lambda whole, one: one @ whole, layers)


def of_layers(maps, residual):
    """`Â` of each layer, `(B, T, T)` of float64, checked."""
    if not 0.0 <= residual < 1.0:
        raise ValueError(f"`residual` is a share in [0, 1). Received: residual={residual}")
    layers, maps = [], maps.values() if isinstance(maps, dict) else maps
    for index, weights in enumerate(maps):
        layers.append(_of_layer(np.asarray(weights, dtype="float64"), index, residual))
        if layers[-1].shape != layers[0].shape:
            raise ValueError(
                f"The maps must all be of the same batch and length. Received: {layers[0].shape} and, as number "
                f"{index}, {layers[-1].shape}"
            )
    if not layers:
        raise ValueError("Layers follow each other: there must be the weights of one or more. Received: none")
    return layers


def _of_layer(weights, index, residual):
    weights = weights.mean(axis=1) if weights.ndim == 4 else weights
    if not np.isfinite(weights).all():
        raise ValueError(f"The weights of each layer must be finite. Received: as number {index}, some that are not")
    if weights.ndim != 3 or weights.shape[1] != weights.shape[2] or weights.min(initial=0.0) < 0.0:
        raise ValueError(
            "Layers that follow each other have weights of positions on the same positions, (B, H, T, T), none of them "
            f"negative. Received: as number {index}, an array of shape {weights.shape}, least "
            f"{weights.min(initial=0.0):.3g}"
        )
    mixed = residual * np.eye(weights.shape[1]) + (1.0 - residual) * weights
    total = mixed.sum(axis=-1, keepdims=True)
    return np.divide(mixed, total, out=np.zeros_like(mixed), where=total > 0.0)
