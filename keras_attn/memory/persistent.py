import dataclasses

import keras
from keras import ops

from keras_attn import attend, masks, scores
from keras_attn.lookup import whole_number
from keras_attn.memory import _heads


@keras.saving.register_keras_serializable(package="keras_attn")
class PersistentMemory(_heads.HeadedPairwise):
    """Multi-head attention to the sequence and to learned keys and values beside it, which every query may look at.

    `head_h = softmax(Q_h [M^K_h; K_h]' / sqrt(d)) [M^V_h; V_h]` with N learned rows M^K and M^V for each head: what is
    known of all sequences and stands in none. With enough rows it does the work of a feed-forward block.

    No mask hides the learned rows, so that no query ever has nothing to look at. They stand before the first position,
    and bias and segments of the positions do not touch them.

    Args:
        num_heads: number of heads, at least 1.
        slots: number of learned rows N of each head, at least 0 (0: multi-head attention).
        normalizer: how scores become weights, a name or a spec from `keras_attn.normalizers`.
        dropout: share of the weights dropped in training, in [0, 1).
        seed: an integer that makes the dropout repeatable.
        chunk_size: queries at a time, at least 1; None for all at once; "auto" for all at once where that is small.

    Call arguments:
        query: `(B, T, D)`, or a list `[query, value]` or `[query, value, key]`.
        value: `(B, S, Dv)`; None for self-attention.
        key: `(B, S, Dk)`; None for the value.
        query_mask, value_mask, key_mask: boolean `(B, T)` and `(B, S)`, True for real positions.
        attention_mask: boolean `(T, S)`, `(B, T, S)` or `(B, H, T, S)`, True where looking is allowed.
        use_causal_mask: whether to forbid looking at later positions.
        return_attention_scores: whether to return the weights `(B, H, T, N + S)` too, the learned rows first.
        attention_bias: what to add to the scores of positions, `(T, S)`, `(B, T, S)` or `(B, H, T, S)`.
        segment_ids: whole numbers `(B, T)`, or two tensors for queries and keys; only equal ones look at each other.

    Returns:
        `(B, T, D)`.

    Example:
    >>> layer = PersistentMemory(num_heads=2, slots=5)
    >>> mix, weights = layer(keras.random.normal((2, 3, 8)), return_attention_scores=True)
    >>> tuple(mix.shape), tuple(weights.shape)
    ((2, 3, 8), (2, 2, 3, 8))

    Reference: Sukhbaatar et al., 2019, https://arxiv.org/abs/1907.01470, eq. 8-9.
    """

    def __init__(self, num_heads, slots=16, normalizer="softmax", dropout=0.0, seed=None, chunk_size="auto", **kwargs):
        super().__init__(num_heads, normalizer=normalizer, dropout=dropout, seed=seed, chunk_size=chunk_size, **kwargs)
        self.slots = whole_number("slots", slots, least=0)

    @property
    def extra_keys(self):
        return self.slots

    def build_weights(self, query_shape, value_shape, key_shape):
        super().build_weights(query_shape, value_shape, key_shape)
        if self.slots:
            # Keys and values of about the size that projections of standardised inputs have.
            start = keras.initializers.RandomNormal(stddev=1.0)
            shape = (self.num_heads, self.slots, _heads.width(query_shape[-1], self.num_heads))
            self.slot_keys = self.add_weight(name="slot_keys", shape=shape, initializer=start)
            self.slot_values = self.add_weight(name="slot_values", shape=shape, initializer=start.clone())

    def compute_scores(self, query, key, parameters):
        return scores.scaled_dot(query, key)

    def as_dot_product(self, query, key, parameters):
        return scores.scaled(query), key

    def _look(self, query, key, value, bias, seen, asked):
        if not self.slots:
            return super()._look(query, key, value, bias, seen, asked)
        bias = self._bias_behind(bias, ops.shape(key)[2])
        key, value = self._behind("slot_keys", key), self._behind("slot_values", value)
        return super()._look(query, key, value, bias, self._seen_behind(seen), asked)

    def _behind(self, name, of_sequence):
        """The learned rows and behind them those of the sequence: `(B, H, N + S, d)`."""
        learned = ops.cast(getattr(self, name), of_sequence.dtype)
        return ops.concatenate(
            [ops.broadcast_to(learned, (ops.shape(of_sequence)[0], *learned.shape)), of_sequence], axis=2
        )

    def _bias_behind(self, bias, length):
        if bias is None:
            return None
        bias = ops.broadcast_to(bias, (*ops.shape(bias)[:3], length))
        return ops.concatenate([ops.zeros((*ops.shape(bias)[:3], self.slots), dtype=bias.dtype), bias], axis=3)

    def _seen_behind(self, seen):
        """The same sight where the learned rows stand at positions 0..N-1, before all queries, then the sequence."""
        padding, given, length = seen.source_mask, seen.given, ops.shape(seen.cols)[0]
        if seen.segments is not None:
            # No number of a segment is equal to all: the segments become a mask.
            given = masks.combine(given, dataclasses.replace(seen, source_mask=None, causal=False, given=None).mask())
        if given is not None:
            given = ops.broadcast_to(given, (*ops.shape(given)[:3], length))
            given = ops.concatenate([ops.ones((*ops.shape(given)[:3], self.slots), dtype="bool"), given], axis=3)
        if padding is not None:
            padding = ops.concatenate([ops.ones((ops.shape(padding)[0], self.slots), dtype="bool"), padding], axis=1)
        # Of more queries than keys the first ones stand before the first key.
        behind = seen.first_row is not None and seen.first_row >= 0
        shift = self.slots if behind else self.slots + ops.maximum(-ops.min(seen.rows), 0)
        return dataclasses.replace(
            seen,
            rows=seen.rows + shift,
            cols=ops.concatenate([ops.arange(self.slots, dtype="int32"), seen.cols + shift]),
            first_row=seen.first_row + self.slots if behind else None,
            source_mask=padding,
            segments=None,
            given=given,
        )

    def compute_mix(self, weights, value, query):
        value = self.project_value(value)
        value = self._behind("slot_values", value) if self.slots else value
        return self.merge(attend.grouped_matmul(weights, value), query)

    def get_config(self):
        return {**super().get_config(), "slots": self.slots}
