import keras
from keras import ops

from keras_attn.explicit._monotonic import Monotonic
from keras_attn.lookup import whole_number


@keras.saving.register_keras_serializable(package="keras_attn")
class MonotonicChunkwiseAttention(Monotonic):
    """Monotonic chunkwise attention (MoChA): a softmax over the last few positions up to a forward-moving reader.

    Where the reader stops with the probabilities α_ik of `MonotonicAttention`, a softmax of second energies
    `u_ij = v · tanh(W_q q_i + W_k k_j + b)` shares α_ik out among the w positions up to k:
    `β_ij = Σ_{k=j}^{j+w-1} α_ik exp(u_ij) / Σ_{l=k-w+1}^{k} exp(u_il)`. The weights are β; their row sums to what α's
    does, less than one as far as the reader may run off the end. The mix is the weighted sum of the values as they are.

    Masked positions are in no chunk; what they do to the reader, see `MonotonicAttention`.

    Args:
        units: width of the hidden layers that score each pair, at least 1.
        chunk_width: w, at least 2 (1 is `MonotonicAttention`).
        mode: "soft" for probabilities; "hard" for the same in training, and at inference for a reader that stops at the
            first position with p > 1/2: then a row is the softmax over one chunk, or zero. The weights fit both.
        noise: standard deviation of the Gaussian noise on the reader's energies in training, at least 0; 1.0 in the
            paper.
        score_bias: the reader's r at first. At `-log(n)` it goes on by about n positions for each query.
        dropout: share of the weights dropped in training, in [0, 1).
        seed: an integer that makes noise and dropout repeatable.

    Call arguments:
        query: `(B, T, D)`, or a list `[query, value]` or `[query, value, key]`.
        value: `(B, S, Dv)`; None for self-attention.
        key: `(B, S, Dk)`; None for the value.
        query_mask, value_mask, key_mask: boolean `(B, T)` and `(B, S)`, True for real positions.
        attention_mask: boolean `(T, S)` or `(B, T, S)`, True where looking is allowed.
        use_causal_mask: whether to forbid looking at later positions.
        return_attention_scores: whether to return the weights `(B, 1, T, S)` too.
        training: whether noise and dropout act.

    Returns:
        The mix `(B, T, Dv)`.

    Example:
    >>> layer = MonotonicChunkwiseAttention(units=8, chunk_width=3)
    >>> tuple(layer(keras.random.normal((2, 3, 5)), keras.random.normal((2, 7, 4))).shape)
    (2, 3, 4)

    Reference: Chiu and Raffel, 2018, https://arxiv.org/abs/1712.05382, eq. 14-23.
    """

    def __init__(
        self, units=64, chunk_width=4, mode="soft", noise=0.0, score_bias=-4.0, dropout=0.0, seed=None, **kwargs
    ):
        options = {"mode": mode, "noise": noise, "score_bias": score_bias, "dropout": dropout, "seed": seed}
        super().__init__(units, **options, **kwargs)
        self.chunk_width = whole_number("chunk_width", chunk_width, least=2)

    def build_weights(self, query_shape, value_shape, key_shape):
        super().build_weights(query_shape, value_shape, key_shape)
        self.chunk_energy = self._energy("chunk_energy", query_shape, key_shape)

    def project(self, key):
        return {**super().project(key), "chunk_keys": self.chunk_energy.project(key)}

    def look(self, alignment, query, known, allowed):
        energies = self.chunk_energy(query, known["chunk_keys"])
        return spread(alignment, energies, self.chunk_width, allowed)

    def get_config(self):
        return {**super().get_config(), "chunk_width": self.chunk_width}


def spread(alignment, energies, width, allowed=None):
    """Shares an alignment `(B, T, S)` out over chunks of `width` positions, by a softmax of energies `(B, T, S)`.

    `allowed` is None or boolean and broadcasts to them; an alignment is zero where it is False.
    """
    # Far below any energy, and near enough to zero for differences to be numbers.
    low = -1e30
    energies = energies if allowed is None else ops.where(allowed, energies, low)
    # The largest energy of each chunk: the row's own would let whole chunks vanish below it.
    largest = energies
    for back in range(1, width):
        largest = ops.maximum(largest, _later(energies, back, low))
    # It cancels, so that no gradient is lost here.
    largest = ops.stop_gradient(largest)
    total = sum(ops.exp(_later(energies, back, low) - largest) for back in range(width))
    share = alignment / total
    return sum(
        _earlier(share, ahead, 0.0) * ops.exp(energies - _earlier(largest, ahead, -low)) for ahead in range(width)
    )


def _later(x, by, fill):
    """`x` moved to later positions along its last axis, with `fill` in front."""
    return ops.pad(x, ((0, 0), (0, 0), (by, 0)), constant_values=fill)[..., : ops.shape(x)[-1]]


def _earlier(x, by, fill):
    """`x` moved to earlier positions along its last axis, with `fill` behind."""
    return ops.pad(x, ((0, 0), (0, 0), (0, by)), constant_values=fill)[..., by:]
