import numpy as np


def rollout(maps, residual=0.5):
    """How much of each position of the input reaches each of the output, were weights all that moves information.

    `R = Â_L ... Â_2 Â_1` with `Â = ρ I + (1 - ρ) A`, rows scaled to sum to one, and A a layer's weights, averaged over
    its heads. What stands between layers - norms, values, networks - is left out: it is a picture of the weights, not
    of the model.

    Args:
        maps: weights of layers that follow each other, the first one first: each `(B, H, T, T)` or `(B, T, T)`, not
            negative.
        residual: ρ in [0, 1), the share that goes past a layer by the short cut around it.

    Returns:
        `(B, T, T)`, float64; rows sum to one, but those of queries that look at nothing and have no short cut.

    Raises:
        ValueError: for a map that is not square, is negative, or does not fit the others.

    Example:
    >>> rollout([np.full((1, 2, 3, 3), 1 / 3)] * 2).round(2)[0, 0].tolist()
    [0.5, 0.25, 0.25]

    Reference: Abnar and Zuidema, 2020, https://arxiv.org/abs/2005.00928, section 3, eq. 1.
    """
    if not 0.0 <= residual < 1.0:
        raise ValueError(f"`residual` is a share in [0, 1). Received: residual={residual}")
    whole = None
    for index, weights in enumerate(maps):
        one = _of_layer(np.asarray(weights, dtype="float64"), index, residual)
        if whole is not None and one.shape != whole.shape:
            raise ValueError(
                f"The maps must all be of the same batch and length. Received: {whole.shape[-3:]} and, as number "
                f"{index}, {one.shape[-3:]}"
            )
        whole = one if whole is None else one @ whole
    if whole is None:
        raise ValueError("`rollout` takes the weights of one layer or more. Received: none")
    return whole


def _of_layer(weights, index, residual):
    weights = weights.mean(axis=1) if weights.ndim == 4 else weights
    if weights.ndim != 3 or weights.shape[1] != weights.shape[2] or weights.min(initial=0.0) < 0.0:
        raise ValueError(
            "Only weights of positions on the same positions can be rolled out, (B, H, T, T), none of them negative. "
            f"Received: as number {index}, an array of shape {weights.shape}, least {weights.min(initial=0.0):.3g}"
        )
    mixed = residual * np.eye(weights.shape[1]) + (1.0 - residual) * weights
    total = mixed.sum(axis=-1, keepdims=True)
    return np.divide(mixed, total, out=np.zeros_like(mixed), where=total > 0.0)
