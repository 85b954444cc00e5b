import math

import keras
from keras import ops

from keras_attn import masks
from keras_attn._slices import first
from keras_attn.implicit._depthwise import depthwise, depthwise_where_whole
from keras_attn.lookup import whole_number
from keras_attn.mixer import Implicit, Mixing

#: Channels that are transformed at a time.
GROUP = 16
#: How many positions the explicit convolution of the projections sees.
SHORT = 3
#: Sines and cosines that the filter is made of have 1 to this many periods in `positions` positions.
FREQUENCIES = 8
#: How quick the activations of the filter's network turn: with slow ones it would learn smooth filters only.
SINE = 10.0


@keras.saving.register_keras_serializable(package="keras_attn")
class LongConvolution(Implicit):
    """A convolution whose filter is as long as the input, by Fourier transforms, between two gates: Hyena of order 2.

    `y = W_o (tanh(q) ⊙ (h * (tanh(k) ⊙ v)))`, where `q`, `k` and `v` are projections of the inputs, each followed by a
    depthwise convolution over three positions. The filter is not a table but `h_t = window_t ⊙ network(features of t)`,
    with a small network of sines and the window `exp(-α |t|)`, of which each channel has its own `α`. Windows of 2 to
    `positions` positions are there from the start, all of energy one. Causal, the filter is zero for `t < 0`, else it
    looks both ways. (The paper's gates have no bounds: for a product of three, float16 has no room.)

    Step by step it keeps what the filter sees of all positions, as attention keeps keys, and a step costs as much as
    reading that: the filter has no state of fixed size.

    Args:
        units: width of the filter's network, at least 1.
        positions: the longest period of the filter's features and its longest window, about how long inputs are. They
            may be longer.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; the others count as zeros.
        use_causal_mask: whether position t may depend on positions up to t only.

    Returns:
        `(B, T, D)`, zero at padded positions.

    Example:
    >>> tuple(LongConvolution()(keras.random.normal((2, 7, 5))).shape)
    (2, 7, 5)

    Reference: Poli et al., 2023, https://arxiv.org/abs/2302.10866, section 3 (3.3: the filter). Order 2 as its authors
    have it, with one long filter: the short convolution stands for the other.
    """

    can_step = True

    def __init__(self, units=32, positions=1024, **kwargs):
        super().__init__(**kwargs)
        self.units = whole_number("units", units)
        self.positions = whole_number("positions", positions, least=2)

    def build(self, input_shape):
        self._width = width = input_shape[-1]
        self.input_dense = self._dense("input", width, 3 * width, use_bias=False)
        bound = SHORT**-0.5
        self.short_kernel = self.add_weight(
            name="short_kernel",
            shape=(SHORT, 3 * width),
            initializer=keras.initializers.RandomUniform(-bound, bound),
        )
        # What belongs to the filter is float32: in half precision distances above 2,048 are not told apart.
        single = {"dtype": "float32"}
        self.feature_dense = self._dense("features", 1 + 2 * FREQUENCIES, self.units, **single)
        self.filter_dense = self._dense("filter", self.units, self.units, **single)
        self.channel_dense = self._dense("channels", self.units, width, use_bias=False, **single)
        self.log_decay = self.add_weight(
            name="log_decay", shape=(width,), initializer=self._spread_log_decays, autocast=False, **single
        )
        self.output_dense = self._dense("output", width, width, use_bias=False)
        self.built = True

    def _dense(self, name, inputs, units, **options):
        dense = keras.layers.Dense(units, name=name, **{"dtype": self.dtype_policy, **options})
        dense.build((None, inputs))
        return dense

    def _spread_log_decays(self, shape, dtype=None):
        """Log α for windows of 1/α positions from 2 to `positions`, spread evenly on a log scale."""
        return -ops.linspace(math.log(2.0), math.log(self.positions), shape[0], dtype=dtype)

    def mixing(self, inputs, mask, causal):
        projected = depthwise(self.input_dense(inputs), self.short_kernel, SHORT - 1 if causal else SHORT // 2)
        query, key, value = self._parts(projected)

        def mix(x):
            # Real positions have spilled over into padded ones.
            return query * _convolve(masks.zero(key * x, mask), self._filter, causal)

        return Mixing(value, mix, self._read)

    def _parts(self, projected):
        """The gates `tanh(q)` and `tanh(k)`, and `v`, in float32."""
        query, key, value = ops.split(projected, 3, axis=-1)
        return tuple(ops.cast(x, "float32") for x in (ops.tanh(query), ops.tanh(key), value))

    def _read(self, mix):
        return self._as_computed(self.output_dense(ops.cast(mix, self.compute_dtype)))

    def _filter(self, lags):
        """The filter `(n, D)` at distances `(n,)`, integers, float32."""
        lags = ops.cast(lags, "float32")[:, None]
        turns = ops.arange(1, FREQUENCIES + 1, dtype="float32") * (2.0 * math.pi / self.positions) * lags
        features = ops.concatenate([lags / self.positions, ops.cos(turns), ops.sin(turns)], axis=-1)
        hidden = ops.sin(SINE * self.filter_dense(ops.sin(SINE * self.feature_dense(features))))
        decay = ops.exp(self.log_decay)
        # The squares of exp(-α t), t = 0, 1 and so on, come to 1 / (1 - exp(-2α)).
        energy = ops.sqrt(-ops.expm1(-2.0 * decay))
        return energy * ops.exp(-decay * ops.abs(lags)) * self.channel_dense(hidden)

    def initial_state(self, batch_size, max_length=None):
        """Room for what the filter sees at each of `max_length` positions.

        Returns:
            A dictionary: `short` `(B, 2, 3 D)`, the last projections; `seen` `(B, L, D)`, the last position first;
            `count` `(B,)`, how many there were.
        """
        whole_number("max_length", max_length)
        return {
            "short": ops.zeros((batch_size, SHORT - 1, 3 * self._width), dtype=self.compute_dtype),
            "seen": ops.zeros((batch_size, max_length, self._width), dtype="float32"),
            "count": ops.zeros((batch_size,), dtype="int32"),
        }

    def step(self, inputs, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position."""
        length = state["seen"].shape[1]
        self._check_room(state["count"], 1, length)
        projected = self.input_dense(ops.cast(inputs, self.compute_dtype))
        short = ops.concatenate([state["short"], projected[:, None]], axis=1)
        query, key, value = self._parts(ops.sum(short * ops.cast(self.short_kernel, short.dtype), axis=1))
        seen = ops.concatenate([(key * value)[:, None], state["seen"][:, :-1]], axis=1)
        mix = ops.sum(self._filter(ops.arange(length)) * seen, axis=1)
        return self._read(query * mix), {"short": short[:, 1:], "seen": seen, "count": state["count"] + 1}

    def go_on(self, inputs, state):
        """Outputs `(B, n, D)` and next state for inputs `(B, n, D)` at the next n positions, at once."""
        length, count = state["seen"].shape[1], inputs.shape[1]
        self._check_room(state["count"], count, length)
        short = ops.concatenate([state["short"], self.input_dense(ops.cast(inputs, self.compute_dtype))], axis=1)
        query, key, value = self._parts(depthwise_where_whole(short, self.short_kernel))
        # The first position first.
        seen = ops.concatenate([ops.flip(state["seen"], 1), key * value], axis=1)
        mix = _convolve(seen, self._filter, causal=True)[:, length:]
        seen = ops.flip(seen[:, count:], 1)
        return self._read(query * mix), {"short": short[:, count:], "seen": seen, "count": state["count"] + count}

    def get_config(self):
        return {**super().get_config(), "units": self.units, "positions": self.positions}


def _convolve(x, make_filter, causal):
    """`y_t = Σ_s h_{t-s} x_s` for x `(B, T, D)`, where `make_filter` says h `(n, D)` at n distances.

    It is a product of Fourier transforms on a circle so long that its end does not come round to its beginning.
    """
    length = ops.shape(x)[1]
    circle = _circle(length)
    lags = (ops.arange(circle, dtype="int32") + circle // 2) % circle - circle // 2
    weights = make_filter(lags)
    weights = ops.where((lags >= 0)[:, None], weights, 0.0) if causal else weights
    # A few channels after another: what stands in between is twice as large, and small enough for the cache.
    groups = list(range(GROUP, x.shape[2], GROUP))
    pairs = zip(ops.split(x, groups, axis=2), ops.split(weights, groups, axis=1)) if groups else [(x, weights)]
    return ops.concatenate([_on_circle(*pair, length, circle) for pair in pairs], axis=2)


def _on_circle(x, weights, length, circle):
    """The convolution of x `(B, T, D)` with weights `(circle, D)`, by transforms of so many positions."""
    # (B, D, T): transforms find positions side by side
    x = ops.pad(ops.swapaxes(x, 1, 2), ((0, 0), (0, 0), (0, circle - length)))
    real, imaginary = ops.rfft(x)
    filter_real, filter_imaginary = ops.rfft(ops.transpose(weights))
    product = real * filter_real - imaginary * filter_imaginary, real * filter_imaginary + imaginary * filter_real
    return ops.swapaxes(first(ops.irfft(product), length, 2), 1, 2)


def _circle(length):
    """An even number of at least 2T, and where T is known one of small factors, whose transforms are quick."""
    if not isinstance(length, int):
        return 2 * length
    return min(base << max(0, math.ceil(math.log2(2 * length / base))) for base in (2, 6, 10))
