import math

import keras
from keras import ops

from keras_attn import masks
from keras_attn.explicit import _allowed, _history
from keras_attn.half import as_held
from keras_attn.lookup import number, whole_number
from keras_attn.mixer import Explicit

# Exponents above this count as this much: its exponential, 403, is far beyond a useful height, sharpness or step.
LARGEST_EXPONENT = 6.0


@keras.saving.register_keras_serializable(package="keras_attn")
class GaussianWindowAttention(Explicit):
    """A soft window that the queries push along the keys, and never back.

    `φ(t, u) = Σ_k α_k exp(-β_k (κ_k - u)²)` with `(α, β) = exp(W q_t + b)`, and centres that each query moves on,
    `κ_t = κ_{t-1} + exp(W_κ q_t + b_κ)` from `κ_0 = 0`. The keys stand at u = 1, 2, ..., U; only their places count,
    not what they hold. The weights are not normalised: a row may sum to anything, and to nearly nothing once the window
    has left the keys behind. Padded keys have no place. A query that is padded or may look at nothing moves nothing.

    Args:
        components: K, the number of Gaussians, at least 1.
        speed: keys per query at the start of training, above 0: `b_κ` starts at its logarithm. 1 where queries and keys
            keep pace; about U/T where U keys are read in T steps, or the window runs off the end at once.
        dropout: share of the weights dropped in training, in [0, 1).
        seed: an integer that makes the dropout repeatable.

    Call arguments:
        query: `(B, T, D)`, or a list `[query, value]` or `[query, value, key]`.
        value: `(B, S, Dv)`; None for self-attention.
        key: `(B, S, Dk)`; it counts for its length only.
        query_mask, value_mask, key_mask: boolean `(B, T)` and `(B, S)`, True for real positions.
        attention_mask: boolean `(T, S)` or `(B, T, S)`, True where looking is allowed.
        use_causal_mask: whether to forbid looking at later positions.
        return_attention_scores: whether to return the weights `(B, 1, T, S)` too.

    Returns:
        The mix `(B, T, Dv)`.

    Example:
    >>> layer = GaussianWindowAttention(components=3, speed=0.4)
    >>> query, value = keras.random.normal((2, 13, 5)), keras.random.normal((2, 5, 7))
    >>> tuple(layer(query, value).shape), tuple(layer.finished(query, value).shape)
    ((2, 13, 7), (2, 13))

    Reference: Graves, 2013, https://arxiv.org/abs/1308.0850, eq. 46-51.
    """

    weights_are = "nonnegative"
    can_step = True

    def __init__(self, components=10, speed=1.0, dropout=0.0, seed=None, **kwargs):
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        self.components = whole_number("components", components)
        self.speed = number("speed", speed, low=0.0)

    def build_weights(self, query_shape, value_shape, key_shape):
        # Σ_u exp(-(κ - u)²) is about sqrt(π), so that the weights sum to about one at first.
        self.height_dense = self._projection("height", query_shape, -math.log(self.components * math.sqrt(math.pi)))
        self.sharpness_dense = self._projection("sharpness", query_shape, 0.0)
        self.step_dense = self._projection("step", query_shape, math.log(self.speed))

    def _projection(self, name, shape, bias):
        dense = keras.layers.Dense(
            self.components,
            # Small at first, so that the biases have their say.
            kernel_initializer=keras.initializers.VarianceScaling(0.1, mode="fan_in"),
            bias_initializer=keras.initializers.Constant(bias),
            name=name,
            dtype=self.dtype_policy,
        )
        dense.build((None, None, shape[-1]))
        return dense

    def compute_weights(self, query, key, value, mask, query_mask=None, training=None):
        height, sharpness, step = self._gaussians(query)
        allowed = _allowed.pairs(mask, query_mask, query, key)
        if allowed is None:
            place = ops.arange(1, ops.shape(key)[1] + 1)[None]
            weights = _window(height, sharpness, ops.cumsum(step, axis=1), place)
        else:
            step = ops.where(ops.any(allowed, axis=2, keepdims=True), step, 0.0)
            # A key that no query may look at is not there.
            place = _places(ops.any(allowed, axis=1))
            weights = ops.where(allowed, _window(height, sharpness, ops.cumsum(step, axis=1), place), 0.0)
        return ops.cast(weights, query.dtype)[:, None]

    def compute_mix(self, weights, value, query):
        # Weights of any sum may make a mix that float16 cannot hold.
        mix = ops.matmul(ops.cast(weights[:, 0], "float32"), ops.cast(value, "float32"))
        return as_held(mix, value.dtype)

    def finished(self, query, value=None, query_mask=None, value_mask=None):
        """Whether the window has left the keys behind: φ(t, U + 1) exceeds φ(t, u) for all of the U keys.

        Args:
            query: `(B, T, D)`.
            value: `(B, S, Dv)`; None for self-attention.
            query_mask, value_mask: boolean `(B, T)` and `(B, S)`, True for real positions.

        Returns:
            Boolean `(B, T)`.
        """
        query = masks.zero(ops.convert_to_tensor(query, dtype=self.compute_dtype), query_mask)
        if value is None:
            value, value_mask = query, query_mask if value_mask is None else value_mask
        height, sharpness, step = self._gaussians(query)
        if query_mask is not None:
            step = ops.where(ops.cast(query_mask, "bool")[..., None], step, 0.0)
        real = ops.ones(ops.shape(value)[:2], dtype="bool") if value_mask is None else ops.cast(value_mask, "bool")
        place = _places(real)
        # One place more, behind the last key.
        place = ops.concatenate([place, ops.sum(ops.cast(real, "int32"), axis=1, keepdims=True) + 1], axis=1)
        window = _window(height, sharpness, ops.cumsum(step, axis=1), place)
        return window[..., -1] > ops.max(ops.where(real[:, None], window[..., :-1], 0.0), axis=-1)

    def _gaussians(self, query):
        """Heights α, sharpnesses β and steps of the centres, each `(B, T, K)`, in float32."""
        exponents = (dense(query) for dense in (self.height_dense, self.sharpness_dense, self.step_dense))
        return tuple(ops.exp(ops.minimum(ops.cast(x, "float32"), LARGEST_EXPONENT)) for x in exponents)

    def prepare_memory(self, memory, memory_mask=None):
        prepared = super().prepare_memory(memory, memory_mask)
        real = prepared["mask"] if "mask" in prepared else ops.ones_like(prepared["memory"][..., 0], dtype="bool")
        return {**prepared, "mask": real, "place": _places(real)}

    def memory_state(self, prepared):
        """The centres `(B, K)`."""
        return ops.zeros((ops.shape(prepared["place"])[0], self.components))

    def attend_step(self, query, prepared, state, seed=None):
        memory, real = prepared["memory"], prepared["mask"]
        height, sharpness, step = self._gaussians(query[:, None])
        centre = state + ops.where(ops.any(real, axis=1, keepdims=True), step[:, 0], 0.0)
        window = ops.where(real[:, None], _window(height, sharpness, centre[:, None], prepared["place"]), 0.0)
        weights = ops.cast(window, memory.dtype)[:, None]
        return self.compute_mix(self._drop(weights, seed), memory, query)[:, 0], weights[:, :, 0], centre

    def initial_state(self, batch_size, max_length=None):
        """The state before the first position: the centres, and room for `max_length` values (None: it grows)."""
        width = self.height_dense.kernel.shape[0]
        return {
            "centre": ops.zeros((batch_size, self.components)),
            "values": _history.empty(batch_size, max_length, width, self.compute_dtype),
            **_history.start(batch_size, max_length),
        }

    def step(self, inputs, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position."""
        _history.check_room(self, state, state["values"])
        height, sharpness, step = self._gaussians(inputs[:, None])
        centre = state["centre"] + step[:, 0]
        values = _history.append(state["values"], inputs, state.get("position"))
        window = _window(height, sharpness, centre[:, None], ops.arange(1, ops.shape(values)[1] + 1)[None])
        weights = ops.where(_history.written(values, state.get("position"))[:, None], window, 0.0)
        output = self.compute_mix(ops.cast(weights, values.dtype)[:, None], values, inputs)[:, 0]
        return output, {"centre": centre, "values": values, **_history.advance(state)}

    def get_config(self):
        return {**super().get_config(), "components": self.components, "speed": self.speed}


def _window(height, sharpness, centre, place):
    """φ `(B, T, S)` of components `(B, T, K)` at places `(B, S)` or `(1, S)`."""
    # (B, T, K, 1) - (B, 1, 1, S) -> (B, T, K, S)
    distance = centre[..., None] - ops.cast(place, "float32")[:, None, None]
    return ops.sum(height[..., None] * ops.exp(-sharpness[..., None] * ops.square(distance)), axis=2)


def _places(real):
    """Where each real key stands among the real ones, from 1: `(B, S)`."""
    return ops.cumsum(ops.cast(real, "int32"), axis=1)
