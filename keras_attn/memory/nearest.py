import dataclasses
import math

import keras
from keras import ops

from keras_attn import attend, masks, noise, normalizers, scores
from keras_attn.lookup import whole_number
from keras_attn.memory import _heads, _state


@keras.saving.register_keras_serializable(package="keras_attn")
class NearestMemory(_heads.HeadedPairwise):
    """Attention within a segment, and beside it to the nearest of all keys of earlier segments.

    The sequence is cut into segments of n positions. In head h query t has for key s the score
    `β_h cos(q_t, k_s)`. Two attentions share queries, keys and values: a local one, causal, to the positions of its
    own segment, whose scores have a learned bias for each distance besides; and one to the `neighbours` best scores
    among all positions of earlier segments, the memory. A learned gate mixes them:
    `g_h memory + (1 - g_h) local`, and where there is nothing in the memory the local one is all there is.

    No gradient passes into the memory: its keys and values are as if stored. The search is exact. It is always causal;
    the memory never holds the query's own segment. Documents that share a row are kept apart by `segment_ids`, in
    decoding by `reset`.

    Args:
        num_heads: number of heads, at least 1.
        segment_length: positions of a segment n, at least 1.
        neighbours: keys that a query retrieves for each head, at least 1; their weights are a softmax.
        normalizer: how the scores of the local attention become weights, a name or a spec from
            `keras_attn.normalizers`.
        dropout: share of the weights dropped in training, in [0, 1).
        seed: an integer that makes the dropout repeatable.
        chunk_size: queries at a time, at least 1; None for all at once; "auto" for all at once where that is small.

    Call arguments:
        query: `(B, T, D)`, or a list `[query, value]` or `[query, value, key]`.
        value: `(B, S, Dv)`; None for self-attention. The last query stands at the last key.
        key: `(B, S, Dk)`; None for the value.
        query_mask, value_mask, key_mask: boolean `(B, T)` and `(B, S)`, True for real positions.
        attention_mask: boolean `(T, S)`, `(B, T, S)` or `(B, H, T, S)`, True where looking is allowed.
        use_causal_mask: changes nothing.
        return_attention_scores: whether to return the weights `(B, H, T, S)` of both, by their gates, too.
        attention_bias: what to add to the scores, `(T, S)`, `(B, T, S)` or `(B, H, T, S)`.
        segment_ids: whole numbers `(B, T)`, one for each document: only equal ones look at each other. (These are not
            the segments of n positions, which go on counting.)

    Returns:
        `(B, T, D)`.

    Example:
    >>> layer = NearestMemory(num_heads=2, segment_length=4, neighbours=3)
    >>> mix, weights = layer(keras.random.normal((2, 11, 8)), return_attention_scores=True)
    >>> tuple(mix.shape), tuple(weights.shape)
    ((2, 11, 8), (2, 2, 11, 11))

    Reference: Wu et al., 2022, https://arxiv.org/abs/2203.08913, section 3.
    """

    # Always causal, from the last key on: another sequence would be read only as far as queries are left.
    can_read = False
    #: Two arrays of scores and of weights, and the order of the best.
    pair_cost = 4

    def __init__(
        self,
        num_heads,
        segment_length=64,
        neighbours=32,
        normalizer="softmax",
        dropout=0.0,
        seed=None,
        chunk_size="auto",
        **kwargs,
    ):
        super().__init__(num_heads, normalizer=normalizer, dropout=dropout, seed=seed, chunk_size=chunk_size, **kwargs)
        self.segment_length = whole_number("segment_length", segment_length)
        self.neighbours = whole_number("neighbours", neighbours)

    def build_weights(self, query_shape, value_shape, key_shape):
        super().build_weights(query_shape, value_shape, key_shape)
        by_head = (self.num_heads,)
        self.log_strength = self.add_weight(
            name="log_strength", shape=by_head, initializer=keras.initializers.Constant(math.log(10.0))
        )
        self.gate = self.add_weight(name="gate", shape=by_head, initializer="zeros")
        self.distance_bias = self.add_weight(
            name="distance_bias", shape=(self.num_heads, self.segment_length), initializer="zeros"
        )

    def project_query(self, query, rows):
        return scores.unit(super().project_query(query, rows))

    def project_key(self, key, cols):
        return scores.unit(super().project_key(key, cols))

    def score_parameters(self):
        own = {"log_strength": self.log_strength, "gate": self.gate, "distance_bias": self.distance_bias}
        return {**super().score_parameters(), **{name: ops.convert_to_tensor(weight) for name, weight in own.items()}}

    def compute_scores(self, query, key, parameters):
        strength = ops.exp(ops.cast(parameters["log_strength"], "float32"))[:, None, None]
        return scores.dot(ops.cast(strength, query.dtype) * query, key)

    def _sight(self, query, key, source_mask, asked):
        return super()._sight(query, key, source_mask, dataclasses.replace(asked, causal=True))

    def _pairs(self, seed, compute_scores=None):
        def look(query, key, value, bias, parameters, seen):
            place = (seen.first_query, seen.first_key)
            local, memory = self._scores_of_both(query, key, bias, parameters, seen)
            near, far = self._sights_of_both(seen)
            learned = tuple(parameters[name] for name, _ in self._normalizer.learned)
            drawing = seed is not None and self._normalizer.uses_noise
            draw = noise.uniform(seed, ops.shape(local), *place, stream=1) if drawing else None
            local = self._normalizer(local, near, learned, draw)
            memory = normalizers.top_k(memory, far, self.neighbours)
            gate = ops.cast(_gate(parameters["gate"], near, far), local.dtype)
            local, memory = local * (1.0 - gate), memory * gate
            weights = local + memory
            if seed is not None and self.dropout:
                local, memory = (noise.dropout(x, self.dropout, seed, *place) for x in (local, memory))
            stored = ops.stop_gradient(value)
            return attend.grouped_matmul(local, value) + attend.grouped_matmul(memory, stored), weights

        return look

    def _scores_of_both(self, query, key, bias, parameters, seen):
        """Scores `(B, H, t, s)` for the local attention, and for the memory, whose keys pass no gradient."""
        local = self.compute_scores(query, key, parameters)
        # (t, 1) - (1, s)
        distance = ops.clip(seen.rows[:, None] - seen.cols[None, :], 0, self.segment_length - 1)
        local = local + ops.cast(ops.take(parameters["distance_bias"], distance, axis=1), local.dtype)
        memory = self.compute_scores(query, ops.stop_gradient(key), parameters)
        if bias is None:
            return local, memory
        return local + ops.cast(bias, local.dtype), memory + ops.cast(bias, memory.dtype)

    def _sights_of_both(self, seen):
        """Who may look at whom in the local attention, and in the memory."""
        rows, cols = (ops.floor_divide(positions, self.segment_length) for positions in (seen.rows, seen.cols))
        allowed = seen.mask()
        near, far = rows[:, None] == cols[None, :], rows[:, None] > cols[None, :]
        return tuple(masks.combine(allowed, segments[None, None]) for segments in (near, far))

    def prefill(self, inputs, state, mask=None):
        heads = (inputs.shape[0], self.num_heads, None, self.key_dense.units // self.num_heads)
        shapes = {"keys": heads, "values": heads, "real": (inputs.shape[0], None), "position": ()}
        _state.check(self, state, shapes)
        return super().prefill(inputs, state, mask)

    def reset(self, state, rows=None):
        """The state without what was stored, for a new document; with booleans `rows` `(B,)` where they are True only.

        Positions go on counting, and with them the segments.
        """
        return _state.forget(state, rows, "real")

    def get_config(self):
        return {
            **super().get_config(),
            "segment_length": self.segment_length,
            "neighbours": self.neighbours,
        }


def _gate(logit, near, far):
    """The share of the memory, `(B, H, t, 1)` in float32: none or all of it where one of both has nothing to show."""
    has_near, has_far = (ops.any(x, axis=-1, keepdims=True) for x in (near, far))
    gate = ops.sigmoid(ops.cast(logit, "float32"))[:, None, None]
    return ops.where(has_far, ops.where(has_near, gate, 1.0), 0.0)
