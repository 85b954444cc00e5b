import keras
from keras import ops

from keras_attn import masks, normalizers, scores
from keras_attn.cached import Cached
from keras_attn.explicit import _allowed
from keras_attn.lookup import whole_number


@keras.saving.register_keras_serializable(package="keras_attn")
class LocationAttention(Cached):
    """Location attention: the query alone says which places to look at, whatever stands there.

    `a_t = softmax(W q_t)`, with a learned row of W for each of `positions` places. Of a shorter source the first rows
    are used; what stands behind the last place of a longer one is never looked at. Padded keys have no place, nor have
    those that no query may look at.

    Args:
        positions: number of places, at least 1; None for the number of keys the layer is built with.
        dropout: share of the weights dropped in training, in [0, 1).
        seed: an integer that makes the dropout repeatable.

    Call arguments:
        query: `(B, T, D)`, or a list `[query, value]` or `[query, value, key]`.
        value: `(B, S, Dv)`; None for self-attention.
        key: `(B, S, Dk)`; its length counts only.
        query_mask, value_mask, key_mask: boolean `(B, T)` and `(B, S)`, True for real positions.
        attention_mask: boolean `(T, S)` or `(B, T, S)`, True where looking is allowed.
        use_causal_mask: whether to forbid looking at later positions.
        return_attention_scores: whether to return the weights `(B, 1, T, S)` too.

    Returns:
        The mix `(B, T, Dv)`.

    Example:
    >>> layer = LocationAttention(positions=11)
    >>> mix, weights = layer(keras.random.normal((2, 3, 5)), keras.random.normal((2, 7, 4)),
    ...                      return_attention_scores=True)
    >>> tuple(mix.shape), tuple(weights.shape)
    ((2, 3, 4), (2, 1, 3, 7))

    Reference: Luong et al., 2015, https://arxiv.org/abs/1508.04025, section 3.1 (the location-based function).
    """

    def __init__(self, positions=None, dropout=0.0, seed=None, **kwargs):
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        self.positions = whole_number("positions", positions, optional=True)

    @property
    def fixed_length(self):
        return self.positions is None

    def build_weights(self, query_shape, value_shape, key_shape):
        positions = self.positions or key_shape[1]
        if positions is None:
            raise ValueError(
                f"{type(self).__name__} learns a weight for each place: give `positions`, or build it on keys of a "
                f"known length. Received: positions=None, key_shape={key_shape}"
            )
        self.kernel = self.add_weight(name="kernel", shape=(query_shape[-1], positions))

    def compute_weights(self, query, key, value, mask, query_mask=None, training=None):
        allowed = _allowed.pairs(mask, None, query, key)
        if allowed is None:
            place = ops.arange(ops.shape(key)[1], dtype="int32")[None]
        else:
            # A key that no query may look at is not there.
            place = ops.cast(ops.cumsum(ops.cast(ops.any(allowed, axis=1), "int32"), axis=1), "int32") - 1
        last = self.kernel.shape[1] - 1
        # (B or 1, S, D)
        rows = ops.take(ops.transpose(self.kernel), ops.clip(place, 0, last), axis=0)
        known = (place <= last)[:, None, None]
        return normalizers.softmax(scores.dot(query, rows)[:, None], masks.combine(mask, known))

    def get_config(self):
        return {**super().get_config(), "positions": self.positions}
