import keras
from keras import ops

from keras_attn._scan import linear_scan, running_max
from keras_attn._slices import one_later
from keras_attn.implicit._token_shift import all_before, one_before, spread_shares, token_shift
from keras_attn.mixer import Implicit, Mixing

#: The logarithm of nothing: less than any that occurs, and unlike infinity it can be subtracted from itself.
LOG_OF_NOTHING = -1e30


@keras.saving.register_keras_serializable(package="keras_attn")
class RWKV(Implicit):
    """RWKV's time mixing: an average of all positions so far by weights that fade, behind a gate.

    `y_t = W_o (sigmoid(r_t) ⊙ wkv_t)`, where `wkv_t` is the average of `v_1 ... v_t` with the weights
    `exp(k_i - (t - 1 - i) w)` for `i < t` and `exp(u + k_t)`, in each channel by itself. `r`, `k` and `v` are
    projections of the token shift `μ ⊙ x_t + (1 - μ) ⊙ x_{t-1}`, each with `μ` of its own. The decays `w > 0` start
    such that channels remember 1 to 200 positions. It is always causal.

    The sums are kept as logarithms and the averages as such, so that no `k` is too large or too small: with `L_t` the
    logarithm of the sum of `exp(k_i - (t - i) w)` up to t, and `s_t` the average by these weights,
    `s_t = f_t ⊙ s_{t-1} + (1 - f_t) ⊙ v_t` with `f_t = sigmoid(L_{t-1} - w - k_t)`, and `wkv_t` is the same with u in
    the place of w.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; at the others the average stays as it is.
        use_causal_mask: changes nothing.

    Returns:
        `(B, T, D)`, zero at padded positions.

    Example:
    >>> tuple(RWKV()(keras.random.normal((2, 7, 5))).shape)
    (2, 7, 5)

    Reference: Peng et al., 2023, https://arxiv.org/abs/2305.13048, section 3.1 (token shift, WKV operator, output
    gating).
    """

    can_step = True

    def build(self, input_shape):
        self._width = input_shape[-1]
        self.receptance_dense, self.key_dense, self.value_dense, self.output_dense = map(
            self._projection, ("receptance", "key", "value", "output")
        )
        self.receptance_share, self.key_share, self.value_share = (
            self._vector(f"{name}_share", spread_shares) for name in ("receptance", "key", "value")
        )
        self.log_decay = self._vector("log_decay", _spread_log_decays)
        self.bonus = self._vector("bonus", "zeros")
        self.built = True

    def _projection(self, name):
        dense = keras.layers.Dense(self._width, use_bias=False, name=name, dtype=self.dtype_policy)
        dense.build((None, None, self._width))
        return dense

    def _vector(self, name, initializer):
        return self.add_weight(name=name, shape=(self._width,), initializer=initializer)

    def mixing(self, inputs, mask, causal):
        receptance, key, value = self._project(inputs, one_before(inputs))
        decay = ops.exp(ops.cast(self.log_decay, "float32"))
        faded = _counted(key) * decay
        if mask is not None:
            real = mask[..., None]
            faded = ops.cumsum(ops.cast(real, "float32"), axis=1) * decay
            key, decay = ops.where(real, key, LOG_OF_NOTHING), ops.where(real, decay, 0.0)
        before = one_later(_log_sums(key, decay, faded), 1, LOG_OF_NOTHING)
        logits = before - key
        gate = ops.sigmoid(ops.cast(receptance, "float32"))

        def mix(x):
            averages = linear_scan(ops.sigmoid(logits - decay), x, average=True)
            return gate * self._with_own(logits, one_before(averages), x)

        return Mixing(value, mix, self._read)

    def _project(self, x, before):
        """r, and in float32 k and v, all `(..., D)`."""
        shares = self.receptance_share, self.key_share, self.value_share
        denses = self.receptance_dense, self.key_dense, self.value_dense
        receptance, key, value = (dense(token_shift(x, before, share)) for dense, share in zip(denses, shares))
        return receptance, ops.cast(key, "float32"), ops.cast(value, "float32")

    def _with_own(self, logits, average, value):
        """wkv: the average of what came before, with the own value by the weight exp(u + k), given L_{t-1} - k."""
        return value + ops.sigmoid(logits - ops.cast(self.bonus, "float32")) * (average - value)

    def _read(self, mix):
        return self._as_computed(self.output_dense(ops.cast(mix, self.compute_dtype)))

    def initial_state(self, batch_size, max_length=None):
        """The inputs at the position before the first, the logarithm of the sum and the average, each `(B, D)`."""
        shape = (batch_size, self._width)
        return {
            "inputs": ops.zeros(shape, dtype=self.compute_dtype),
            "log_sum": ops.full(shape, LOG_OF_NOTHING, dtype="float32"),
            "average": ops.zeros(shape, dtype="float32"),
        }

    def step(self, inputs, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position."""
        inputs = ops.cast(inputs, state["inputs"].dtype)
        receptance, key, value = self._project(inputs, state["inputs"])
        wkv = self._with_own(state["log_sum"] - key, state["average"], value)
        output = self._read(ops.sigmoid(ops.cast(receptance, "float32")) * wkv)
        faded = state["log_sum"] - ops.exp(ops.cast(self.log_decay, "float32"))
        average = ops.sigmoid(faded - key) * state["average"] + ops.sigmoid(key - faded) * value
        return output, {"inputs": inputs, "log_sum": ops.logaddexp(faded, key), "average": average}

    def go_on(self, inputs, state):
        """Outputs `(B, n, D)` and next state for inputs `(B, n, D)` at the next n positions, at once."""
        inputs = ops.cast(inputs, state["inputs"].dtype)
        receptance, key, value = self._project(inputs, all_before(inputs, state["inputs"]))
        # All that came before counts as one position, of its sum and its average.
        key = ops.concatenate([state["log_sum"][:, None], key], axis=1)
        values = ops.concatenate([state["average"][:, None], value], axis=1)
        decay = ops.exp(ops.cast(self.log_decay, "float32"))
        log_sums = _log_sums(key, decay, _counted(key) * decay)
        before = one_later(log_sums, 1, LOG_OF_NOTHING)
        averages = linear_scan(ops.sigmoid(before - key - decay), values, average=True)
        wkv = self._with_own((before - key)[:, 1:], averages[:, :-1], value)
        output = self._read(ops.sigmoid(ops.cast(receptance, "float32")) * wkv)
        return output, {"inputs": inputs[:, -1], "log_sum": log_sums[:, -1], "average": averages[:, -1]}


def _counted(x):
    """How many positions of x `(B, T, D)` there were so far: `(1, T, 1)`."""
    return ops.arange(1, ops.shape(x)[1] + 1, dtype="float32")[None, :, None]


def _log_sums(key, decay, faded):
    """L `(B, T, D)` of `L_t = log(exp(L_{t-1} - decay_t) + exp(key_t))`, given the sums of the decays so far.

    The sums are taken in units of exp(m_t) with `m_t = max(m_{t-1} - decay_t, key_t)`, in which none is below 1.
    """
    faded = ops.stop_gradient(faded)
    largest = running_max(ops.stop_gradient(key) + faded) - faded
    sums = linear_scan(ops.exp(one_later(largest, 1, LOG_OF_NOTHING) - largest - decay), ops.exp(key - largest))
    return largest + ops.log(sums)


def _spread_log_decays(shape, dtype=None):
    """Log w for memories of 1/w positions from 1 to 200, spread evenly on a log scale."""
    return -ops.linspace(0.0, ops.log(200.0), shape[0], dtype=dtype)
