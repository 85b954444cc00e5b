import numpy as np


def relevance(maps):
    """What layers that follow each other contribute to one answer, from `attention_x_gradient`, as one map.

    `R = (I + Ā_L) ... (I + Ā_2) (I + Ā_1)` with `Ā = mean_h max(A ⊙ ∂f/∂A, 0)`, I being the short cut around a layer.
    Unlike `rollout`, it is of one answer, and weights that play no part in it count for nothing. What speaks against
    the answer is left out too. A pooling, k queries over S positions, has no short cut: it may come last.

    Whose row is to be read depends on how the model answers: that of the position that the answer is read from, or
    their sum, which counts rows by what they do for the answer already.

    Args:
        maps: of layers that follow each other, the first one first: each `(B, H, T, T)`, the last one maybe
            `(B, H, k, T)`. A dictionary of them, as `attention_x_gradient` returns it, is taken in its order.

    Returns:
        `(B, T, S)`, float64, or `(B, k, S)` after a pooling.

    Raises:
        ValueError: for maps that do not follow each other.

    Example:
    >>> look, pool = np.zeros((1, 1, 3, 3)), np.array([[[[0.5, -1.0, 0.25]]]])
    >>> look[0, 0, 0, 2] = 2.0
    >>> relevance([look, pool]).tolist()
    [[[0.5, 0.0, 1.25]]]

    Reference: Chefer et al., 2021, https://arxiv.org/abs/2103.15679, eq. 5 and 6.
    """
    whole, maps = None, maps.values() if isinstance(maps, dict) else maps
    for index, each in enumerate(maps):
        each = np.asarray(each, dtype="float64")
        if each.ndim != 4 or (whole is not None and (len(each), each.shape[3]) != whole.shape[:2]):
            after = "" if whole is None else f" behind one of {whole.shape[1]} positions"
            raise ValueError(
                f"Layers must follow each other: maps (B, H, T, T), a last one (B, H, k, T). Received: as number "
                f"{index} an array of shape {each.shape}{after}"
            )
        positive = np.maximum(each, 0.0).mean(axis=1)
        whole = np.broadcast_to(np.eye(each.shape[3]), (len(each), *each.shape[3:] * 2)) if whole is None else whole
        mixed = positive @ whole
        whole = whole + mixed if mixed.shape == whole.shape and each.shape[2] == each.shape[3] else mixed
    if whole is None:
        raise ValueError("`relevance` takes the map of one layer or more. Received: none")
    return whole
