"""What the monotonic mechanisms share: energies, the alignment of a reader that only moves forward, and its steps."""

import keras
from keras import ops

from keras_attn import scores
from keras_attn.explicit import _alignment, _allowed, _history
from keras_attn.lookup import choose, number, whole_number
from keras_attn.mixer import Explicit
from keras_attn.noise import uniform

MODES = ("soft", "hard")


class Monotonic(Explicit):
    """Attention by a reader that only moves forward. A concrete layer says what it looks at from there, in `look`.

    What the layer needs to know of the keys is a dictionary of tensors `(B, S, U)`, so that steps can keep it.
    """

    weights_are = "nonnegative"
    can_step = True

    def __init__(self, units=64, mode="soft", noise=0.0, score_bias=-4.0, dropout=0.0, seed=None, **kwargs):
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        self.units = whole_number("units", units)
        self.mode = choose("mode", mode, MODES)
        self.noise = number("noise", noise, low=0.0, ends="[)")
        self.score_bias = number("score_bias", score_bias)
        if noise and self._seeds is None:
            self._seeds = keras.random.SeedGenerator(seed)

    def build_weights(self, query_shape, value_shape, key_shape):
        self.energy = self._energy("energy", query_shape, key_shape, offset=self.score_bias)
        self.align = _alignment.Alignment(name="align")
        self.align.build((None, None, None))

    def _energy(self, name, query_shape, key_shape, offset=None):
        energy = AdditiveEnergy(self.units, offset, name=name, dtype=self.dtype_policy)
        energy.build(query_shape, key_shape)
        return energy

    def project(self, key):
        """What the layer needs to know of keys `(B, S, Dk)`."""
        return {"keys": self.energy.project(key)}

    def look(self, alignment, query, known, allowed):
        """The weights `(B, T, S)` that follow from an alignment of that shape, where looking is allowed (or None)."""
        raise NotImplementedError(f"{type(self).__name__} must say what it looks at: define `look`.")

    def compute_weights(self, query, key, value, mask, query_mask=None, training=None):
        known = self.project(key)
        energies = self._energies(query, known, self._seeds.next() if self.noise and training else None)
        allowed = _allowed.pairs(mask, query_mask, query, key)
        alignment = self.align(_alignment.probabilities(energies, allowed, self._is_hard(training)))
        weights = self.look(_where(allowed, alignment), query, known, allowed)
        return ops.cast(weights[:, None], query.dtype)

    def _energies(self, query, known, seed):
        """Energies `(B, T, S)`, with noise unless the seed is None."""
        energies = self.energy(query, known["keys"])
        return energies if seed is None or not self.noise else energies + self.noise * _normal(seed, energies)

    def _is_hard(self, training):
        return self.mode == "hard" and not training

    def prepare_memory(self, memory, memory_mask=None):
        prepared = super().prepare_memory(memory, memory_mask)
        return {**prepared, "known": self.project(prepared["memory"])}

    def memory_state(self, prepared):
        """Where the reader stands, `(B, S + 1)`: at the first position. The last place is behind the end."""
        return _at_the_first(*ops.shape(prepared["memory"])[:2])

    def attend_step(self, query, prepared, state, seed=None):
        query, memory = query[:, None], prepared["memory"]
        allowed = prepared["mask"][:, None] if "mask" in prepared else None
        weights, state = self._go_on(query, prepared["known"], allowed, state, seed)
        weights = ops.cast(weights, memory.dtype)[:, None]
        return self.compute_mix(self._drop(weights, seed), memory, query)[:, 0], weights[:, :, 0], state

    def initial_state(self, batch_size, max_length=None):
        """The state before the first position: where the reader stands, and room for `max_length` keys and values.

        Without `max_length` it grows with each step.
        """
        width = self.energy.query_dense.kernel.shape[0]
        values = _history.empty(batch_size, max_length, width, self.compute_dtype)
        return {
            "reader": _at_the_first(batch_size, max_length or 0),
            "known": self.project(values),
            "values": values,
            **_history.start(batch_size, max_length),
        }

    def step(self, inputs, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position."""
        _history.check_room(self, state, state["values"])
        query, position = ops.cast(inputs, self.compute_dtype)[:, None], state.get("position")

        def append(rows, row):
            return _history.append(rows, row[:, 0], position)

        values = append(state["values"], query)
        known = keras.tree.map_structure(append, state["known"], self.project(query))
        reader = state["reader"] if "position" in state else ops.pad(state["reader"], ((0, 0), (0, 1)))
        weights, reader = self._go_on(query, known, _history.written(values, position)[:, None], reader)
        output = ops.matmul(ops.cast(weights, values.dtype), values)[:, 0]
        return output, {"reader": reader, "known": known, "values": values, **_history.advance(state)}

    def _go_on(self, query, known, allowed, reader, seed=None):
        """Weights `(B, 1, S)` of one query `(B, 1, D)`, and where the reader stands then."""
        hard = self._is_hard(training=seed is not None)
        p = _alignment.probabilities(self._energies(query, known, seed), allowed, hard)[:, 0]
        # Behind the end it waits, for there may be more at the next step.
        reader = _alignment.next_alignment(ops.pad(p, ((0, 0), (0, 1)), constant_values=1.0), reader)
        return self.look(_where(allowed, reader[:, None, :-1]), query, known, allowed), reader

    def get_config(self):
        options = {"units": self.units, "mode": self.mode, "noise": self.noise, "score_bias": self.score_bias}
        return {**super().get_config(), **options}


class AdditiveEnergy(keras.layers.Layer):
    """Energies `e(q, k) = v · tanh(W_q q + W_k k + b)`, in float32.

    With an offset they are `g v / |v| · tanh(W_q q + W_k k + b) + r`, with g learned from 1 / sqrt(units) on and r from
    the offset on (Raffel et al., 2017, https://arxiv.org/abs/1704.00784, section 2.4).
    """

    def __init__(self, units, offset=None, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.offset = offset

    def build(self, query_shape, key_shape):
        # One bias serves both: they are only ever added.
        self.query_dense = self._dense("query", query_shape, use_bias=False)
        self.key_dense = self._dense("key", key_shape, use_bias=True)
        self.vector = self.add_weight(name="vector", shape=(self.units,), initializer="glorot_uniform", autocast=False)
        if self.offset is not None:
            self.gain = self._scalar("gain", self.units**-0.5)
            self.bias = self._scalar("bias", self.offset)
        self.built = True

    def _dense(self, name, shape, use_bias):
        dense = keras.layers.Dense(self.units, use_bias=use_bias, name=name, dtype=self.dtype_policy)
        dense.build(shape)
        return dense

    def _scalar(self, name, value):
        start = keras.initializers.Constant(value)
        return self.add_weight(name=name, shape=(), initializer=start, autocast=False)

    def project(self, key):
        """W_k k + b, of shape `(B, S, units)`."""
        return self.key_dense(key)

    def call(self, query, projected):
        """Energies `(B, T, S)` of queries `(B, T, D)` and projected keys `(B, S, units)`."""
        vector = ops.cast(self.vector, "float32")
        if self.offset is None:
            return self._score(query, projected, vector)
        # The epsilon stands inside the root, whose slope at zero is infinite.
        unit = vector * ops.rsqrt(ops.sum(ops.square(vector)) + 1e-12)
        scaled = ops.cast(self.gain, "float32") * unit
        return self._score(query, projected, scaled) + ops.cast(self.bias, "float32")

    def _score(self, query, projected, vector):
        query = self.query_dense(query)
        return ops.cast(scores.additive(query, projected, ops.cast(vector, query.dtype)), "float32")


def _normal(seed, like):
    """Normally distributed numbers, shaped like `(B, T, S)`, that depend on the seed and on where they stand."""
    batch, queries, keys = ops.shape(like)
    # Drawn for places where no query stands: dropout may have the same seed.
    numbers = uniform(seed, (batch, 1, queries, keys), first_query=2**24)[:, 0]
    return 2.0**0.5 * ops.erfinv(2.0 * numbers - 1.0)


def _at_the_first(batch_size, length):
    """A reader at the first of `length` positions, `(B, length + 1)`."""
    first = ops.cast(ops.arange(length + 1) == 0, "float32")
    return ops.broadcast_to(first, (batch_size, length + 1))


def _where(allowed, alignment):
    return alignment if allowed is None else ops.where(allowed, alignment, 0.0)
