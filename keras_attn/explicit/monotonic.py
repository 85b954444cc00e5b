import keras

from keras_attn.explicit._monotonic import Monotonic


@keras.saving.register_keras_serializable(package="keras_attn")
class MonotonicAttention(Monotonic):
    """Monotonic attention: a reader that only moves forward looks at the one position where it stops.

    For query i it goes on from where it stands, and stops at each position j that it comes to with probability `p_ij`:
    `e_ij = g v / |v| · tanh(W_q q_i + W_k k_j + b) + r`, `p_ij = sigmoid(e_ij)`,
    `α_ij = p_ij ((1 - p_{i,j-1}) α_{i,j-1} / p_{i,j-1} + α_{i-1,j})`. The weights α are the probabilities that it stops
    there, and the mix is the weighted sum of the values as they are. They are computed without the quotient, exactly at
    any length. A row sums to less than one as far as the reader may run off the end; from there it does not come back.

    Masked positions are passed over. Behind the last position that a query may look at, the reader waits: under a
    causal mask it goes on from there once there is more to see, and a padded query leaves it where it is.

    Args:
        units: width of the hidden layer that scores each pair, at least 1.
        mode: "soft" for the probabilities; "hard" for the same in training, and at inference the walk itself: stop at
            the first position with p > 1/2, so that a row is one-hot, or zero behind the end. The weights fit both.
        noise: standard deviation of the Gaussian noise on e in training, at least 0. The paper's 1.0 teaches p to be
            near 0 or 1, as "hard" needs it.
        score_bias: r at first. At `-log(n)` the reader goes on by about n positions for each query.
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
    >>> layer = MonotonicAttention(units=8, score_bias=-1.0)
    >>> mix, weights = layer(keras.random.normal((2, 3, 5)), keras.random.normal((2, 7, 4)),
    ...                      return_attention_scores=True)
    >>> tuple(mix.shape), tuple(weights.shape)
    ((2, 3, 4), (2, 1, 3, 7))

    Reference: Raffel et al., 2017, https://arxiv.org/abs/1704.00784, eq. 9-14 (expectation), section 2.2 (walk),
    sections 2.4 and 2.5 (energy and noise).
    """

    def look(self, alignment, query, known, allowed):
        return alignment
