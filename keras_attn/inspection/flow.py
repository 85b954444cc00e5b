import numpy as np

from keras_attn.inspection.rollout import of_layers

#: Capacities are whole numbers for SciPy: a weight of one is so many.
UNIT = 2**24


def flow(maps, residual=0.5):
    """How much each position of the input could send to each of the output, were weights the widths of pipes.

    The layers' weights, mixed with the short cut as in `rollout`, are capacities in a graph of positions, one set of
    nodes before each layer; `F[t, s]` is the maximum flow from position s of the input to position t of the output. It
    counts the narrowest place of each way where rollout multiplies, so it is never below it.

    A maximum flow is sought for each of the T T pairs: meant for sentences, not for documents.

    Args:
        maps: weights of layers that follow each other, the first one first: each `(B, H, T, T)` or `(B, T, T)`, not
            negative. A dictionary of them, as `weights` returns it, is taken in its order.
        residual: in [0, 1), the share that goes past a layer by the short cut around it.

    Returns:
        `(B, T, T)`, float64, in units of the weights; rows do not sum to one.

    Raises:
        ValueError: for a map that is not square, is negative, or does not fit the others.

    Example:
    >>> flow([np.full((1, 2, 3, 3), 1 / 3)] * 2).round(2)[0, 0].tolist()
    [1.0, 0.5, 0.5]

    Reference: Abnar and Zuidema, 2020, https://arxiv.org/abs/2005.00928, section 3, "Attention flow".
    """
    layers = np.stack(of_layers(maps, residual), axis=1)
    return np.stack([_of_row(row) for row in layers])


def _of_row(layers):
    """`(T, T)` from the capacities of all layers of one row, `(L, T, T)`."""
    # Late: nothing else here needs SciPy.
    from scipy.sparse.csgraph import maximum_flow

    length = layers.shape[1]
    graph = _graph(layers)
    first_of_last = len(layers) * length
    found = [[maximum_flow(graph, s, first_of_last + t).flow_value for s in range(length)] for t in range(length)]
    return np.array(found) / UNIT


def _graph(layers):
    """Node `l T + i` is position i before layer l; layer l leads from its positions s to t with capacity A_l[t, s]."""
    from scipy.sparse import coo_array

    count, length = layers.shape[:2]
    layer, to, start = np.indices(layers.shape)
    widths = np.rint(layers * UNIT).astype("int32")
    nodes = (count + 1) * length
    places = (layer * length + start).ravel(), ((layer + 1) * length + to).ravel()
    return coo_array((widths.ravel(), places), shape=(nodes, nodes)).tocsr()
