"""Modern Hopfield networks: attention as the update of an associative memory, repeated until it has settled."""

import dataclasses

import keras
from keras import ops

from keras_attn import normalizers, scores
from keras_attn.half import as_held, with_fractions
from keras_attn.lookup import number, plain, whole_number
from keras_attn.memory import _heads
from keras_attn.memory._lookup import Lookup


def settle(update, state, updates, tolerance=None):
    """State patterns `(..., d)` after so many updates.

    With a tolerance, a pattern that an update moves by no more than that (its length, in float32) is not updated again,
    each pattern of each head for itself. The gradient passes through the updates that were made; the decision to stop
    has none.
    """
    active = None
    for _ in range(updates):
        new = update(state)
        if tolerance is None:
            state = new
            continue
        moved = ops.square(ops.cast(ops.stop_gradient(new), "float32") - ops.cast(ops.stop_gradient(state), "float32"))
        moving = ops.sum(moved, axis=-1, keepdims=True) > tolerance**2
        state = new if active is None else ops.where(active, new, state)
        active = moving if active is None else ops.logical_and(active, moving)
    return state


@keras.saving.register_keras_serializable(package="keras_attn")
class Hopfield(_heads.HeadedPairwise):
    """Hopfield association: each query is a state pattern that moves among the stored patterns, then reads a value.

    With projected queries ξ, keys K and values V of a head: `ξ ← softmax(β ξ K') K`, as often as `updates` says less
    one, and then `softmax(β ξ K') V`; the heads are projected back together. One update is multi-head attention. A
    small β finds the mean of many patterns, a large one the nearest.

    All `updates` are computed, also where a tolerance keeps the old state: it saves no time, it ends the search of each
    pattern of each head where it has settled. The gradient passes through all updates that were made.

    Args:
        num_heads: number of heads, at least 1.
        updates: how often the memory is asked, at least 1; the last time for the value.
        beta: inverse temperature β, above 0; None for 1 / sqrt(d).
        tolerance: a state that an update moves by no more than this is not updated again, at least 0; None: all are.
        normalizer: how scores become weights, a name or a spec from `keras_attn.normalizers`; what it draws at random
            it draws for the last update.
        dropout: share of the weights of the last update dropped in training, in [0, 1).
        seed: an integer that makes the dropout repeatable.
        chunk_size: queries at a time, at least 1; None for all at once; "auto" for all at once where that is small.

    Call arguments:
        query: state patterns `(B, T, D)`, or a list `[query, value]` or `[query, value, key]`.
        value: `(B, S, Dv)`; None for self-attention.
        key: stored patterns `(B, S, Dk)`; None for the value.
        query_mask, value_mask, key_mask: boolean `(B, T)` and `(B, S)`, True for real positions.
        attention_mask: boolean `(T, S)`, `(B, T, S)` or `(B, H, T, S)`, True where looking is allowed.
        use_causal_mask: whether to forbid looking at later positions.
        return_attention_scores: whether to return the last update's weights `(B, H, T, S)` too.

    Returns:
        `(B, T, D)`.

    Example:
    >>> layer = Hopfield(num_heads=2, updates=3, beta=4.0)
    >>> read, weights = layer(keras.random.normal((2, 3, 8)), return_attention_scores=True)
    >>> tuple(read.shape), tuple(weights.shape)
    ((2, 3, 8), (2, 2, 3, 3))

    Reference: Ramsauer et al., 2020, https://arxiv.org/abs/2008.02217, eq. 3 (the update) and 10 (with W_V for the
    product W_K W_V).
    """

    def __init__(
        self,
        num_heads=1,
        updates=1,
        beta=None,
        tolerance=None,
        normalizer="softmax",
        dropout=0.0,
        seed=None,
        chunk_size="auto",
        **kwargs,
    ):
        super().__init__(num_heads, normalizer=normalizer, dropout=dropout, seed=seed, chunk_size=chunk_size, **kwargs)
        self.updates = whole_number("updates", updates)
        self.beta = number("beta", beta, low=0.0, optional=True)
        self.tolerance = number("tolerance", tolerance, low=0.0, ends="[)", optional=True)

    def compute_scores(self, query, key, parameters):
        return scores.dot(*self.as_dot_product(query, key, parameters))

    def as_dot_product(self, query, key, parameters):
        return _tempered(query, self.beta), key

    def _look(self, query, key, value, bias, seen, asked):
        # Neither weights nor chance before the last update.
        quiet = dataclasses.replace(asked, weights=False, training=False)

        def update(state):
            return super(Hopfield, self)._look(state, key, key, bias, seen, quiet)[0]

        state = settle(update, query, self.updates - 1, self.tolerance)
        return super()._look(state, key, value, bias, seen, asked)

    def get_config(self):
        return {
            **super().get_config(),
            "updates": self.updates,
            "beta": self.beta,
            "tolerance": self.tolerance,
        }


@keras.saving.register_keras_serializable(package="keras_attn")
class HopfieldLookup(Lookup):
    """A memory of learned patterns: each position is a state that moves among them, then reads a value.

    As in `Hopfield`, but keys K and values V `(N, d)` of each head are learned, the same for every input: where the
    states settle are the prototypes of what was trained on. Positions do not see each other, so that it stands where a
    feed-forward block stands.

    Args:
        slots: number of stored patterns N, at least 1.
        num_heads: number of heads, at least 1.
        updates: how often the memory is asked, at least 1; the last time for the value.
        beta: inverse temperature β, above 0; None for 1 / sqrt(d).
        tolerance: a state that an update moves by no more than this is not updated again, at least 0; None: all are.
        normalizer: how scores become weights, of `keras_attn.normalizers` one that learns and draws nothing.

    Call arguments:
        inputs: state patterns `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions.
        use_causal_mask: changes nothing.
        return_attention_scores: whether to return the last update's weights `(B, H, T, N)` too.

    Returns:
        `(B, T, D)`.

    Example:
    >>> layer = HopfieldLookup(slots=5, num_heads=2)
    >>> read, weights = layer(keras.random.normal((2, 3, 8)), return_attention_scores=True)
    >>> tuple(read.shape), tuple(weights.shape)
    ((2, 3, 8), (2, 2, 3, 5))

    Reference: Ramsauer et al., 2020, https://arxiv.org/abs/2008.02217, section 3 (the layer HopfieldLayer).
    """

    def __init__(self, slots=64, num_heads=1, updates=1, beta=None, tolerance=None, normalizer="softmax", **kwargs):
        super().__init__(**kwargs)
        self.slots = whole_number("slots", slots)
        self.num_heads = whole_number("num_heads", num_heads)
        self.updates = whole_number("updates", updates)
        self.beta = number("beta", beta, low=0.0, optional=True)
        self.tolerance = number("tolerance", tolerance, low=0.0, ends="[)", optional=True)
        self.normalizer = normalizer
        self._normalize = normalizers.get(normalizer)
        if self._normalize.learned or self._normalize.uses_noise:
            raise ValueError(
                "All updates share a normalizer that learns nothing and draws nothing. "
                f"Received: normalizer={normalizer!r}"
            )

    @property
    def weight_rows(self):
        return self.num_heads

    def build(self, input_shape):
        d = _heads.width(input_shape[-1], self.num_heads)
        units = self.num_heads * d
        self.query_dense = _heads.projection(self, "query", input_shape[-1], units)
        # As long as the states: of length about one, a softmax of their products would be flat.
        patterns = keras.initializers.RandomNormal(stddev=1.0)
        self.slot_keys = self.add_weight(name="slot_keys", shape=(self.num_heads, self.slots, d), initializer=patterns)
        self.slot_values = self.add_weight(name="slot_values", shape=(self.num_heads, self.slots, d))
        self.output_dense = _heads.projection(self, "attention_output", units, input_shape[-1])
        self.built = True

    def compute_mix(self, inputs, mask, causal, training):
        state = _heads.split(self.query_dense(inputs), self.num_heads)
        keys, values = (ops.cast(x, state.dtype)[None] for x in (self.slot_keys, self.slot_values))

        def ask(state):
            return self._normalize(scores.dot(_tempered(state, self.beta), keys))

        state = settle(lambda state: ops.matmul(ask(state), keys), state, self.updates - 1, self.tolerance)
        weights = ask(state)
        return self.output_dense(_heads.join(ops.matmul(weights, values))), weights

    def get_config(self):
        return {
            **super().get_config(),
            "slots": self.slots,
            "num_heads": self.num_heads,
            "updates": self.updates,
            "beta": self.beta,
            "tolerance": self.tolerance,
            "normalizer": plain(self.normalizer),
        }


@keras.saving.register_keras_serializable(package="keras_attn")
class HopfieldPooling(keras.layers.Layer):
    """A sequence as one vector, or as several: learned state patterns move among its positions.

    It is no mixer: the positions are gone afterwards.

    Args:
        seeds: number of learned state patterns k, at least 1, for a result `(B, k, D)`; None for one and `(B, D)`.
        num_heads, updates, beta, tolerance, normalizer: see `Hopfield`.
        dropout: share of the weights of the last update dropped in training, in [0, 1).
        seed: an integer that makes the dropout repeatable.

    Call arguments:
        inputs: stored patterns `(B, S, D)`.
        mask: boolean `(B, S)`, True for real positions; Keras fills it in from the inputs.
        return_attention_scores: whether to return the last update's weights `(B, H, k, S)` too.
        training: whether dropout acts.

    Returns:
        `(B, D)`, or `(B, k, D)` with `seeds`; zero for a sequence of padding alone. It carries no mask.

    Example:
    >>> layer = HopfieldPooling(seeds=2, num_heads=4)
    >>> pooled, weights = layer(keras.random.normal((3, 7, 8)), return_attention_scores=True)
    >>> tuple(pooled.shape), tuple(weights.shape)
    ((3, 2, 8), (3, 4, 2, 7))

    Reference: Ramsauer et al., 2020, https://arxiv.org/abs/2008.02217, section 3 (the layer HopfieldPooling).
    """

    def __init__(
        self,
        seeds=None,
        num_heads=1,
        updates=1,
        beta=None,
        tolerance=None,
        normalizer="softmax",
        dropout=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.seeds = whole_number("seeds", seeds, optional=True)
        self.association = Hopfield(
            num_heads, updates, beta, tolerance, normalizer, dropout, seed, dtype=self.dtype_policy, name="association"
        )

    def build(self, input_shape):
        width = input_shape[-1]
        self.states = self.add_weight(name="states", shape=(self.seeds or 1, width))
        self.association.build((None, self.seeds or 1, width), tuple(input_shape))
        self.built = True

    def call(self, inputs, mask=None, return_attention_scores=False, training=None):
        inputs = with_fractions(inputs, self.compute_dtype)
        states = ops.cast(self.states, inputs.dtype)
        query = ops.broadcast_to(states, (ops.shape(inputs)[0], *states.shape))
        pooled, weights = self.association(
            query, inputs, value_mask=mask, return_attention_scores=True, training=training
        )
        pooled = pooled if self.seeds else pooled[:, 0]
        return (pooled, weights) if return_attention_scores else pooled

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *((self.seeds,) if self.seeds else ()), input_shape[-1])

    def compute_output_spec(self, inputs, mask=None, return_attention_scores=False, training=None):
        pooled = keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)
        if not return_attention_scores:
            return pooled
        shape = (inputs.shape[0], self.association.num_heads, self.seeds or 1, inputs.shape[1])
        return pooled, keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self):
        own = self.association
        return {
            **super().get_config(),
            "seeds": self.seeds,
            "num_heads": own.num_heads,
            "updates": own.updates,
            "beta": own.beta,
            "tolerance": own.tolerance,
            "normalizer": plain(own.normalizer),
            "dropout": own.dropout,
            "seed": own.seed,
        }


def _tempered(state, beta):
    if beta is None:
        return scores.scaled(state)
    # Infinity times zero would be no number.
    return as_held(beta * ops.cast(state, "float32"), state.dtype)
