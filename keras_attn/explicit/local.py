import dataclasses

import keras
from keras import ops

from keras_attn import masks, normalizers, scores
from keras_attn.cached import Cached
from keras_attn.explicit import _allowed
from keras_attn.lookup import choose, whole_number
from keras_attn.mixer import Asked

ALIGNMENTS = ("monotonic", "predictive")


@keras.saving.register_keras_serializable(package="keras_attn")
class LocalAttention(Cached):
    """Local attention: each query looks at a window of keys around one place, and at nothing else.

    Keys in `[p_t - width, p_t + width]` share the softmax of `q' W k`. With "monotonic" alignment p_t is the query's
    own place: the last query stands at the last key, and padded positions do not count. With "predictive" alignment the
    query names it, `p_t = S_t sigmoid(v · tanh(W_p q_t))`, and what is far from it counts less: the weights are
    multiplied by `exp(-(s - p_t)² / (2 σ²))` with `σ = width / 2`, and sum to less than one. S_t is the number of keys
    that query t may look at, and s = 1, ..., S_t counts them. So padding changes neither, and under a causal mask S_t
    is the number of keys seen so far, for the whole length would tell of the future.

    Args:
        alignment: "monotonic" or "predictive".
        width: how far the window reaches to each side, at least 1.
        dropout: share of the weights dropped in training, in [0, 1).
        seed: an integer that makes the dropout repeatable.

    Call arguments:
        query: `(B, T, D)`, or a list `[query, value]` or `[query, value, key]`.
        value: `(B, S, Dv)`; None for self-attention.
        key: `(B, S, Dk)`; None for the value.
        query_mask, value_mask, key_mask: boolean `(B, T)` and `(B, S)`, True for real positions.
        attention_mask: boolean `(T, S)` or `(B, T, S)`, True where looking is allowed.
        use_causal_mask: whether to forbid looking at later positions.
        return_attention_scores: whether to return the weights `(B, 1, T, S)` too.

    Returns:
        The mix `(B, T, Dv)`.

    Example:
    >>> layer = LocalAttention("predictive", width=2)
    >>> tuple(layer(keras.random.normal((2, 3, 5)), keras.random.normal((2, 7, 4))).shape)
    (2, 3, 4)

    Reference: Luong et al., 2015, https://arxiv.org/abs/1508.04025, section 3.2 (local-m and local-p).
    """

    def __init__(self, alignment="predictive", width=10, dropout=0.0, seed=None, **kwargs):
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        self.alignment = choose("alignment", alignment, ALIGNMENTS)
        self.width = whole_number("width", width)

    @property
    def can_read(self):
        # The own place is counted from the end all at once, and from the start one after another.
        return self.alignment == "predictive"

    @property
    def weights_are(self):
        return "distribution" if self.alignment == "monotonic" else "nonnegative"

    def build_weights(self, query_shape, value_shape, key_shape):
        self.kernel = self.add_weight(name="kernel", shape=(query_shape[-1], key_shape[-1]))
        if self.alignment == "predictive":
            self.hidden_dense = self._projection("hidden", query_shape[-1], query_shape[-1], activation="tanh")
            self.place_dense = self._projection("place", query_shape[-1], 1)

    def _projection(self, name, inputs, units, **options):
        dense = keras.layers.Dense(units, use_bias=False, name=name, dtype=self.dtype_policy, **options)
        dense.build((None, None, inputs))
        return dense

    def _attend(self, query, value, key, query_mask, source_mask, asked):
        if self.alignment == "monotonic":
            given = None if asked.attention_mask is None else masks.given(asked.attention_mask)
            window = self._own_window(query, key, query_mask, source_mask)
            asked = dataclasses.replace(asked, attention_mask=masks.combine(given, window))
        return super()._attend(query, value, key, query_mask, source_mask, asked)

    def _own_window(self, query, key, query_mask, source_mask):
        """Keys at most `width` away from the query's own place: `(B, 1, T, S)`, or one for all sequences."""
        if query_mask is None and source_mask is None:
            return masks.window(ops.shape(query)[1], ops.shape(key)[1], self.width + 1)
        # Counted from the last real position, where both end.
        own, place = _from_the_end(query, query_mask), _from_the_end(key, source_mask)
        return ops.abs(own[:, None, :, None] - place[:, None, None, :]) <= self.width

    def compute_weights(self, query, key, value, mask, query_mask=None, training=None):
        score = scores.general(query, key, self.kernel)[:, None]
        if self.alignment == "monotonic":
            return normalizers.softmax(score, mask)
        distance = self._distance(query, key, mask)
        window = ops.abs(ops.stop_gradient(distance)) <= self.width
        weights = normalizers.softmax(score, masks.combine(mask, window))
        # exp(-(s - p)² / (2 σ²)) with σ = width / 2
        nearness = ops.exp(-2.0 * ops.square(distance / self.width))
        return weights * ops.cast(nearness, weights.dtype)

    def _distance(self, query, key, mask):
        """How far each key stands from the place that each query names, s - p_t: `(B, 1, T, S)`, in float32."""
        allowed = _allowed.pairs(mask, None, query, key)
        if allowed is None:
            place = ops.cast(ops.arange(1, ops.shape(key)[1] + 1), "float32")[None, None]
        else:
            place = ops.cumsum(ops.cast(allowed, "float32"), axis=-1)
        named = ops.sigmoid(ops.cast(self.place_dense(self.hidden_dense(query)), "float32"))
        # (B or 1, T or 1, S) - (B, T, 1) -> (B, T, S)
        return (place - place[..., -1:] * named)[:, None]

    def memory_state(self, prepared):
        """The real key, counted from 0, at which the next query stands if the alignment is "monotonic": `(B, 1)`."""
        return ops.zeros((ops.shape(prepared["memory"])[0], 1), dtype="int32")

    def attend_step(self, query, prepared, state, seed=None):
        if self.alignment == "predictive":
            return super().attend_step(query, prepared, state, seed)
        memory = prepared["memory"]
        real = prepared["mask"] if "mask" in prepared else ops.ones_like(memory[..., 0], dtype="bool")
        place = ops.cast(ops.cumsum(ops.cast(real, "int32"), axis=1), "int32") - 1
        window = ops.logical_and(real, ops.abs(place - state) <= self.width)
        asked = Asked(weights=True, training=seed is not None, seed=seed)
        mix, weights = super()._attend(query[:, None], memory, memory, None, window, asked)
        return mix[:, 0], weights[:, :, 0], state + 1

    def get_config(self):
        return {**super().get_config(), "alignment": self.alignment, "width": self.width}


def _from_the_end(x, mask):
    """How many real positions stand behind each: `(B, T)`, or `(1, T)` without a mask."""
    real = ops.ones((1, ops.shape(x)[1]), dtype="int32") if mask is None else ops.cast(mask, "int32")
    return ops.sum(real, axis=1, keepdims=True) - ops.cumsum(real, axis=1)
