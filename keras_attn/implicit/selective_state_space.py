import math

import keras
from keras import ops

from keras_attn.implicit import _dual
from keras_attn.implicit._depthwise import depthwise, depthwise_where_whole
from keras_attn.implicit._state_space import StateSpace
from keras_attn.lookup import whole_number
from keras_attn.mixer import Mixing

#: Steps at first, from the first head to the last, and the rates that they are multiplied by.
STEPS = 0.001, 0.1
RATES = 1.0, 16.0


@keras.saving.register_keras_serializable(package="keras_attn")
class SelectiveStateSpace(StateSpace):
    """A state space that chooses by the inputs what it keeps and what it reads: Mamba-2's layer.

    `S_t = a_t S_{t-1} + Δ_t B_t x_t'` and `h_t = S_t' C_t + d x_t` for each head, with a state `(N, P)` and one decay
    `a_t = exp(-Δ_t r)`, where `Δ_t = softplus(w·u_t + b)` of the inputs u, and r > 0 and d are learned; then
    `y = W_o rms(h ⊙ silu(W_z u))`, where rms divides by the root mean square over the width. `x`, `B` and `C` are
    projections of u, each followed by a depthwise convolution over a few positions and a silu; the heads share B and C.
    Heads start with memories of 1 to 1,000 positions. With `bidirectional`, half of the heads run forward and half
    backward, and the convolutions see as many positions on each side.

    All at once it is the dual form: within chunks of 32 positions, products of C and B as attention has them, with the
    decays between; from chunk to chunk go the states. (The paper's layer is twice as wide inside.)

    Args:
        num_heads: number of heads, at least 1, and 2 if bidirectional. A head is as wide as the inputs divided by the
            heads, rounded up.
        states: N, an even number of at least 2.
        kernel_size: number of positions that the convolutions see, at least 1.
        bidirectional: whether to read both ways; then it cannot be causal. Otherwise it always is.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; at the others the state stays as it is.
        use_causal_mask: refused if bidirectional, and changes nothing otherwise.

    Returns:
        `(B, T, D)`, zero at padded positions.

    Example:
    >>> tuple(SelectiveStateSpace(num_heads=2)(keras.random.normal((2, 7, 5))).shape)
    (2, 7, 5)

    Reference: Dao and Gu, 2024, https://arxiv.org/abs/2405.21060, sections 2 (the recurrence), 6 (the dual form by
    chunks) and 7.1 (the layer).
    """

    def __init__(self, num_heads=2, states=16, kernel_size=4, bidirectional=False, **kwargs):
        super().__init__(states, bidirectional, **kwargs)
        self.num_heads = whole_number("num_heads", num_heads, least=2 if bidirectional else 1)
        self.kernel_size = whole_number("kernel_size", kernel_size)

    def build(self, input_shape):
        width = input_shape[-1]
        self._head_width = -(-width // self.num_heads)
        units = self.num_heads * self._head_width
        self.input_dense = self._dense("input", width, units + 2 * self.states)
        bound = self.kernel_size**-0.5
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.kernel_size, units + 2 * self.states),
            initializer=keras.initializers.RandomUniform(-bound, bound),
        )
        self.step_dense = self._dense("step", width, self.num_heads)
        self.step_bias = self._weight("step_bias", (self.num_heads,), _spread_steps)
        self.log_rate = self._weight("log_rate", (self.num_heads,), _spread_log_rates)
        self.skip = self._weight("skip", (self.num_heads,), "ones")
        self.gate_dense = self._dense("gate", width, units, activation="silu")
        self.output_dense = self._dense("output", units, width)
        self.built = True

    def mixing(self, inputs, mask, causal):
        before = self.kernel_size // 2 if self.bidirectional else self.kernel_size - 1
        value, key, query = self._split(depthwise(self.input_dense(inputs), self.kernel, before))
        step, log_decay = self._steps(inputs)
        if mask is not None:
            # A padded step keeps the state: it is of no length.
            step, log_decay = (ops.where(mask[..., None], x, 0.0) for x in (step, log_decay))

        def mix(x):
            x = self._in_heads(x)
            return self._let_out(self._both_ways(query, key, step[..., None] * x, log_decay), x, inputs)

        return Mixing(_dual.heads_joined(value), mix, self._read)

    def _both_ways(self, query, key, values, log_decay):
        if not self.bidirectional:
            return _dual.read(query, key, values, log_decay)
        half = self.num_heads - self.num_heads // 2
        onward = _dual.read(query, key, values[:, :, :half], log_decay[:, :, :half])
        back = _dual.read(*(ops.flip(x, 1) for x in (query, key, values[:, :, half:], log_decay[:, :, half:])))
        return ops.concatenate([onward, ops.flip(back, 1)], axis=2)

    def _split(self, x):
        """In float32 x `(..., H, P)`, B and C `(..., N)`."""
        x = ops.silu(ops.cast(x, "float32"))
        value, key, query = ops.split(x, (x.shape[-1] - 2 * self.states, x.shape[-1] - self.states), axis=-1)
        return self._in_heads(value), key, query

    def _in_heads(self, x):
        """`(..., H P)` to `(..., H, P)`."""
        return ops.reshape(x, (*ops.shape(x)[:-1], self.num_heads, self._head_width))

    def _steps(self, inputs):
        """Δ and log a, in float32: `(..., H)` both."""
        step = ops.softplus(ops.cast(self.step_dense(inputs), "float32") + self.step_bias)
        return step, -step * ops.exp(self.log_rate)

    def _let_out(self, mix, value, inputs):
        """What of that which the heads have read, and of their own values, `(..., H, P)`, goes out: `(..., H P)`."""
        return _dual.heads_joined(mix + self.skip[:, None] * value) * ops.cast(self.gate_dense(inputs), "float32")

    def _read(self, mix):
        mix = mix * ops.rsqrt(ops.mean(ops.square(mix), axis=-1, keepdims=True) + 1e-5)
        return self._as_computed(self.output_dense(ops.cast(mix, self.compute_dtype)))

    def initial_state(self, batch_size, max_length=None):
        """What stands before the first position: `short` `(B, kernel_size - 1, H P + 2 N)`, `memory` `(B, H, N, P)`."""
        shape = (batch_size, self.num_heads, self.states, self._head_width)
        return {
            "short": ops.zeros((batch_size, self.kernel_size - 1, self.kernel.shape[1]), dtype=self.compute_dtype),
            "memory": ops.zeros(shape, dtype="float32"),
        }

    def step(self, inputs, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position."""
        inputs = ops.cast(inputs, self.compute_dtype)
        short = ops.concatenate([state["short"], self.input_dense(inputs)[:, None]], axis=1)
        value, key, query = self._split(ops.sum(short * ops.cast(self.kernel, short.dtype), axis=1))
        step, log_decay = self._steps(inputs)
        fresh = key[:, None, :, None] * (step[..., None] * value)[:, :, None]
        memory = ops.exp(log_decay)[..., None, None] * state["memory"] + fresh
        mix = ops.matmul(query[:, None, None], memory)[:, :, 0]
        return self._read(self._let_out(mix, value, inputs)), {"short": short[:, 1:], "memory": memory}

    def go_on(self, inputs, state):
        """Outputs `(B, n, D)` and next state for inputs `(B, n, D)` at the next n positions, at once."""
        inputs = ops.cast(inputs, self.compute_dtype)
        short = ops.concatenate([state["short"], self.input_dense(inputs)], axis=1)
        value, key, query = self._split(depthwise_where_whole(short, self.kernel))
        step, log_decay = self._steps(inputs)
        fresh = step[..., None] * value
        mix, memory = _dual.read_on(query, key, fresh, log_decay, state["memory"])
        outputs = self._read(self._let_out(mix, value, inputs))
        return outputs, {"short": short[:, inputs.shape[1] :], "memory": memory}

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads, "kernel_size": self.kernel_size}


def _spread_steps(shape, dtype=None):
    """Biases b with softplus(b) spread evenly on a log scale."""
    return ops.log(ops.expm1(ops.exp(ops.linspace(*map(math.log, STEPS), shape[0], dtype=dtype))))


def _spread_log_rates(shape, dtype=None):
    return ops.linspace(*map(math.log, RATES), shape[0], dtype=dtype)
