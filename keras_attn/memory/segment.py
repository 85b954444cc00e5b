import keras
from keras import ops

from keras_attn import masks, normalizers, positions
from keras_attn.lookup import choose, plain, whole_number
from keras_attn.memory import _heads, _state
from keras_attn.memory.slots import SlotMemory

COMPRESSIONS = ("mean", "conv")


@keras.saving.register_keras_serializable(package="keras_attn")
class SegmentMemory(SlotMemory):
    """Transformer-XL's recurrence: attention to the own segment and to those before it, with relative positions.

    The sequence is cut into segments of n positions. A query looks at the positions of its own segment up to itself, at
    all of the `memory_segments` segments before, and, with a `compression` c, at older ones in compressed form: each c
    positions as one slot, of the `compressed_segments` segments before those. The slot j that stands d_j slots before
    the query scores

    `((q + u_h) · k_j + (q + v_h) · W_h r(d_j)) / sqrt(d)`

    with sinusoids r of the distance and learned u, v, W. It is always causal, and time and memory are linear in the
    length. No gradient passes into earlier segments, except to the projections of keys and values.

    A state has a fixed size, whatever the length: `prefill` of one segment after another reads as a whole. What it
    brings from the segments before is fixed: their keys and values, and a learned compression, get gradients only where
    a sequence is given as a whole.

    Args:
        num_heads: number of heads, at least 1.
        segment_length: positions of a segment n, at least 1.
        memory_segments: segments before its own that a query sees, at least 1.
        compression: c, how many positions become one slot, at least 1 and a divisor of n; None: what is older is gone.
        compressed_segments: segments that are kept in compressed form, at least 1; it counts with a compression only.
        compress: "mean" of c inputs, or "conv", a learned map of them that starts as the mean.
        normalizer: how scores become weights, of `keras_attn.normalizers` one that learns and draws nothing.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; others are never looked at.
        use_causal_mask: changes nothing.
        return_attention_scores: whether to return the weights `(B, H, T, N)` too. The slots stand from old to new:
            `compressed_segments n / c` compressed ones, then those of `memory_segments` segments, then the n positions
            of the query's own.

    Returns:
        `(B, T, D)`.

    Example:
    >>> layer = SegmentMemory(num_heads=2, segment_length=4, compression=2)
    >>> read, weights = layer(keras.random.normal((2, 11, 8)), return_attention_scores=True)
    >>> tuple(read.shape), tuple(weights.shape)
    ((2, 11, 8), (2, 2, 11, 10))

    Reference: Dai et al., 2019, https://arxiv.org/abs/1901.02860, section 3 and appendix B; Rae et al., 2019,
    https://arxiv.org/abs/1911.05507, section 3 (compression, here trained by the task's own loss).
    """

    can_step = True

    def __init__(
        self,
        num_heads,
        segment_length=64,
        memory_segments=1,
        compression=None,
        compressed_segments=1,
        compress="mean",
        normalizer="softmax",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = whole_number("num_heads", num_heads)
        self.segment_length = whole_number("segment_length", segment_length)
        self.memory_segments = whole_number("memory_segments", memory_segments)
        self.compression = whole_number("compression", compression, optional=True)
        self.compressed_segments = whole_number("compressed_segments", compressed_segments)
        self.compress = choose("compress", compress, COMPRESSIONS)
        self.normalizer = normalizer
        self._normalize = normalizers.get(normalizer)
        if self._normalize.learned or self._normalize.uses_noise:
            raise ValueError(
                "A memory of segments has a normalizer that learns nothing and draws nothing. "
                f"Received: normalizer={normalizer!r}"
            )
        if segment_length % (compression or 1):
            raise ValueError(
                "`compression` must divide `segment_length`. "
                f"Received: compression={compression}, segment_length={segment_length}"
            )

    @property
    def weight_rows(self):
        return self.num_heads

    @property
    def slots(self):
        return self._compressed_slots + (self.memory_segments + 1) * self.segment_length

    @property
    def _compressed_slots(self):
        return self.compressed_segments * self.segment_length // self.compression if self.compression else 0

    def build(self, input_shape):
        width = input_shape[-1]
        d = _heads.width(width, self.num_heads)
        units = self.num_heads * d
        self.query_dense = _heads.projection(self, "query", width, units)
        self.key_dense = _heads.projection(self, "key", width, units)
        self.value_dense = _heads.projection(self, "value", width, units)
        self.distance_dense = _heads.projection(self, "distance", width, units)
        self.output_dense = _heads.projection(self, "attention_output", units, width)
        # u and v of the paper.
        self.content_bias = self.add_weight(name="content_bias", shape=(units,), initializer="zeros")
        self.distance_bias = self.add_weight(name="distance_bias", shape=(units,), initializer="zeros")
        if self.compression and self.compress == "conv":
            self.compress_kernel = self.add_weight(
                name="compress_kernel", shape=(self.compression, width, width), initializer=_mean_of_taps
            )
        self._width = width
        self.built = True

    def compute_mix(self, inputs, mask, causal, training):
        length = inputs.shape[1] or ops.shape(inputs)[1]
        whole = -(-length // self.segment_length) * self.segment_length
        present = ops.ones_like(inputs[..., 0], dtype="bool") if mask is None else mask
        # As much as a segment behind it, and then cut: the length may be unknown.
        inputs, present = (_followed(x, self.segment_length)[:, :whole] for x in (inputs, present))
        track = self._track(self.initial_state(ops.shape(inputs)[0]), self._stored(inputs, present))
        own = {"keys": self.key_dense(inputs), "values": self.value_dense(inputs), "real": present}
        mix, weights = self._look(self.query_dense(inputs), None, own, track, self._compressed(track))
        return mix[:, :length], weights[:, :, :length]

    def _stored(self, inputs, present):
        """What is kept of inputs `(B, t, D)`: rows that pass no gradient to them."""
        inputs = ops.stop_gradient(inputs)
        rows = {"keys": self.key_dense(inputs), "values": self.value_dense(inputs), "real": present}
        return {**rows, "inputs": inputs} if self.compression else rows

    def _track(self, state, rows):
        """All rows that are at hand: those in memory, and behind them these, of whole segments."""
        memory = self.memory_segments * self.segment_length
        track = {name: ops.concatenate([state[name][:, :memory], x], axis=1) for name, x in rows.items()}
        old = {name: state[name] for name in state if name.startswith("compressed")}
        return {**track, **old}

    def _compressed(self, track):
        """The compressed rows that are at hand, from old to new, `(B, C + G n / c, ...)`; nothing without compression.

        Behind those of the state stand those of the G first segments of the track, which memory gives up one by one.
        """
        if not self.compression:
            return {}
        given_up = -self.memory_segments * self.segment_length
        real = _folded(track["real"][:, :given_up], self.compression)
        inputs = _folded(track["inputs"][:, :given_up], self.compression)
        inputs = ops.where(real[..., None], inputs, 0.0)
        if self.compress == "conv":
            rows = ops.einsum("bgci,cio->bgo", inputs, ops.cast(self.compress_kernel, inputs.dtype))
        else:
            count = ops.sum(ops.cast(real, "float32"), axis=2)[..., None]
            rows = ops.sum(ops.cast(inputs, "float32"), axis=2) / ops.maximum(count, 1.0)
            rows = ops.cast(rows, inputs.dtype)
        fresh = {"keys": self.key_dense(rows), "values": self.value_dense(rows), "real": ops.any(real, axis=2)}
        return {name: ops.concatenate([track[f"compressed_{name}"], x], axis=1) for name, x in fresh.items()}

    def _look(self, queries, place, own, track, compressed):
        """The mix `(B, T, D)` and the weights `(B, H, T, N)`.

        Args:
            queries: `(B, T, H d)`, of whole segments, or of one position.
            place: where in its segment the one position stands; None for whole segments.
            own: rows `(B, G n, ...)` of the queries' own segments.
            track: rows `(B, (m + G) n, ...)`: in front those of the m segments before the first.
            compressed: rows as `_compressed` has them.
        """
        n = self.segment_length

        def slots(name):
            parts = [_windows(_folded(track[name], n), self.memory_segments), _folded(own[name], n)]
            if compressed:
                folded = _folded(compressed[name], n // self.compression)
                parts.insert(0, _windows(folded, self.compressed_segments))
            return ops.concatenate(parts, axis=2)

        # (B, G, N, H d) -> (B, G, H, N, d)
        keys, values = (_heads.split(slots(name), self.num_heads) for name in ("keys", "values"))
        queries = _folded(queries, n if place is None else 1)
        scores = self._scores(queries, keys, place)
        allowed = ops.logical_and(slots("real")[:, :, None, None, :], self._seen(place))
        weights = self._normalize(scores, allowed)
        mix = self.output_dense(_unfolded(_heads.join(ops.matmul(ops.cast(weights, values.dtype), values))))
        weights = ops.swapaxes(weights, 1, 2)
        weights = ops.reshape(weights, (*ops.shape(weights)[:2], -1, self.slots))
        return mix, ops.cast(weights, mix.dtype)

    def _scores(self, queries, keys, place):
        """Scores `(B, G, H, t, N)` in float32, of queries `(B, G, t, H d)`: by content, and by distance."""
        biases = (ops.cast(x, queries.dtype) for x in (self.content_bias, self.distance_bias))
        content, distance = (_heads.split(queries + bias, self.num_heads) for bias in biases)
        content = ops.matmul(content, ops.swapaxes(keys, -1, -2))
        # d_j of each slot: for whole segments that of the last place, then every place has its own by shifting.
        ages = ops.arange(self.slots - 1, -1, -1, dtype="int32")
        ages = ages if place is None else ages - (self.segment_length - 1) + place
        waves = ops.cast(positions.sinusoid(ages, self._width), queries.dtype)
        by_age = _heads.split(self.distance_dense(waves), self.num_heads)
        distance = ops.matmul(distance, ops.swapaxes(by_age, -1, -2))
        distance = _shifted(distance) if place is None else distance
        # Finite before they are added: in half precision they may overflow to both sides.
        content, distance = (ops.clip(ops.cast(x, "float32"), -1e38, 1e38) for x in (content, distance))
        return (content + distance) * float(keys.shape[-1]) ** -0.5

    def _seen(self, place):
        """Which slots are not later than the queries: `(t, N)`."""
        n = self.segment_length
        places = ops.arange(n, dtype="int32") if place is None else ops.reshape(place, (1,))
        return ops.arange(self.slots, dtype="int32")[None] <= places[:, None] + (self.slots - n)

    def initial_state(self, batch_size, max_length=None):
        """The state before the first position. Its size is the same for any length: `max_length` changes nothing.

        Args:
            batch_size: B.
            max_length: not needed.

        Returns:
            A dictionary: `keys` and `values` `(B, (m + 1) n, H d)` of the m segments in memory and of the one that is
            being filled, `real` `(B, (m + 1) n)`, `position` `()`; and with a compression their `inputs` and
            `compressed_keys`, `compressed_values` `(B, C, H d)`, `compressed_real` `(B, C)`.
        """
        return {name: ops.zeros(shape, dtype=self._dtype(name)) for name, shape in self._shapes(batch_size).items()}

    def _shapes(self, batch):
        window = (batch, (self.memory_segments + 1) * self.segment_length)
        units = self.query_dense.units
        shapes = {"keys": (*window, units), "values": (*window, units), "real": window, "position": ()}
        if self.compression:
            old = (batch, self._compressed_slots)
            shapes |= {"compressed_keys": (*old, units), "compressed_values": (*old, units), "compressed_real": old}
            shapes["inputs"] = (*window, self._width)
        return shapes

    def _dtype(self, name):
        return "bool" if name.endswith("real") else "int32" if name == "position" else self.compute_dtype

    def step(self, inputs, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position."""
        output, state = self.prefill(inputs[:, None], state)
        return output[:, 0], state

    def prefill(self, inputs, state, mask=None):
        """Outputs `(B, t, D)` and next state for inputs `(B, t, D)` at the next t positions, t known.

        With a `mask` `(B, t)` positions where it is False are never looked at, now or later, and their output is zero.
        """
        _state.check(self, state, self._shapes(inputs.shape[0]))
        count, n = inputs.shape[1], self.segment_length
        inputs = masks.zero(ops.cast(inputs, self.compute_dtype), mask)
        present = ops.ones_like(inputs[..., 0], dtype="bool") if mask is None else ops.cast(mask, "bool")
        state = {name: ops.stop_gradient(x) if name != "position" else x for name, x in state.items()}
        place = ops.mod(state["position"], n)
        # As many segments as they may fall into.
        segments = (count + 2 * n - 2) // n

        def laid(rows):
            """Rows `(B, t, ...)` where they belong in whole segments, behind those that the first has already."""
            begun = {name: state[name][:, self.memory_segments * n :] for name in rows if name in state}
            begun = {name: begun.get(name, ops.zeros_like(x[:, :1])) for name, x in rows.items()}
            room = {name: _followed(x, segments * n - x.shape[1]) for name, x in begun.items()}
            return {
                name: ops.slice_update(room[name], (0, place, *(0 for _ in x.shape[2:])), ops.cast(x, room[name].dtype))
                for name, x in rows.items()
            }

        own = laid({"keys": self.key_dense(inputs), "values": self.value_dense(inputs), "real": present})
        track = self._track(state, laid(self._stored(inputs, present)))
        compressed = self._compressed(track)
        queries = self.query_dense(inputs)
        if count == 1:
            mix, _ = self._look(queries, place, own, track, compressed)
        else:
            mix, _ = self._look(laid({"queries": queries})["queries"], None, own, track, compressed)
            mix = ops.slice(mix, (0, place, 0), (ops.shape(mix)[0], count, mix.shape[2]))
        return masks.zero(mix, mask), self._moved_on(state, track, compressed, place, count)

    def _moved_on(self, state, track, compressed, place, count):
        """The next state: the last segments of the track, from the one that is being filled now back."""
        n, full = self.segment_length, (place + count) // self.segment_length
        shapes = self._shapes(ops.shape(track["real"])[0])
        following = {"position": state["position"] + count}
        for name in state:
            if name.startswith("compressed"):
                rows, start = compressed[name.removeprefix("compressed_")], full * (n // self.compression)
            elif name != "position":
                rows, start = _followed(track[name], n), full * n
            else:
                continue
            following[name] = ops.slice(rows, (0, start, *(0 for _ in rows.shape[2:])), shapes[name])
        return following

    def reset(self, state, rows=None):
        """The state without what was stored, for a new document; with booleans `rows` `(B,)` where they are True only.

        Positions go on counting, and with them the segments.
        """
        return _state.forget(state, rows, *(name for name in state if name.endswith("real")))

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "segment_length": self.segment_length,
            "memory_segments": self.memory_segments,
            "compression": self.compression,
            "compressed_segments": self.compressed_segments,
            "compress": self.compress,
            "normalizer": plain(self.normalizer),
        }


def _followed(x, count):
    """`x` `(B, T, ...)` with so many zeros, or Falses, behind it."""
    zeros = ops.zeros((ops.shape(x)[0], count, *x.shape[2:]), dtype=x.dtype)
    return ops.concatenate([x, zeros], axis=1)


def _folded(x, size):
    """`(B, G size, ...)` to `(B, G, size, ...)`."""
    return ops.reshape(x, (ops.shape(x)[0], -1, size, *x.shape[2:]))


def _unfolded(x):
    """`(B, G, size, d)` to `(B, G size, d)`."""
    return ops.reshape(x, (ops.shape(x)[0], -1, x.shape[-1]))


def _windows(track, count):
    """`(B, count + G, n, ...)` to `(B, G, count n, ...)`: the `count` segments before each of the last G."""
    return ops.concatenate([track[:, first : first - count] for first in range(count)], axis=2)


def _shifted(x):
    """`x` `(..., t, N)`, whose row i moves t - 1 - i to the left; what comes in from the right is of later slots.

    A column more, and each row starts one step earlier.
    """
    *front, rows, columns = ops.shape(x)
    x = ops.concatenate([ops.zeros_like(x[..., :1]), x], axis=-1)
    x = ops.reshape(x, (*front, x.shape[-1], x.shape[-2]))[..., 1:, :]
    return ops.reshape(x, (*front, rows, columns))


def _mean_of_taps(shape, dtype=None):
    """`(c, D, D)`: each tap the identity over c, so that the map is the mean."""
    return ops.stack([keras.initializers.Identity()(shape[1:], dtype) / shape[0]] * shape[0])
