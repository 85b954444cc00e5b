import keras
from keras import ops

from keras_attn._scan import linear_scan
from keras_attn.lookup import flag
from keras_attn.mixer import Implicit


@keras.saving.register_keras_serializable(package="keras_attn")
class LinearRecurrence(Implicit):
    """A recurrence that is linear in its state, so that all steps run at once; its gates see the input only.

    `h_t = a_t ⊙ h_{t-1} + (1 - a_t) ⊙ v_t` and `y_t = W_o (h_t ⊙ sigmoid(W_g x_t))`, with the gate
    `a_t = sigmoid(W_a x_t + b_a)` and `v_t = W_v x_t`. The biases `b_a` start such that memories of 2 to 200 positions
    are there from the first step on. With `bidirectional`, half of the width runs forward and half backward.

    Args:
        bidirectional: whether to read both ways; then it cannot be causal. Otherwise it always is.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; at the others the state stays as it is.
        use_causal_mask: refused if bidirectional, and changes nothing otherwise.

    Returns:
        `(B, T, D)`, zero at padded positions.

    Example:
    >>> tuple(LinearRecurrence()(keras.random.normal((2, 7, 5))).shape)
    (2, 7, 5)

    Reference: Feng et al., 2024, https://arxiv.org/abs/2410.01201, section 3.1 (the recurrence); De et al., 2024,
    https://arxiv.org/abs/2402.19427, section 2.4 (memories spread from the start).
    """

    def __init__(self, bidirectional=False, **kwargs):
        super().__init__(**kwargs)
        self.bidirectional = flag("bidirectional", bidirectional)

    @property
    def can_be_causal(self):
        return not self.bidirectional

    @property
    def can_step(self):
        return not self.bidirectional

    def build(self, input_shape):
        width = input_shape[-1]
        self.decay_dense = self._projection("decay", width, bias_initializer=_spread_memories)
        self.input_dense = self._projection("input", width)
        self.gate_dense = self._projection("gate", width, activation="sigmoid")
        self.output_dense = self._projection("output", width)
        self.built = True

    def _projection(self, name, width, **options):
        dense = keras.layers.Dense(width, name=name, dtype=self.dtype_policy, **options)
        dense.build((None, None, width))
        return dense

    def compute_mix(self, inputs, mask, causal, training):
        decay, fresh = self._gates(inputs)
        if mask is not None:
            # A padded step keeps the state: a = 1 and nothing new.
            decay, fresh = ops.where(mask[..., None], decay, 1.0), ops.where(mask[..., None], fresh, 0.0)
        state = self._two_ways(decay, fresh) if self.bidirectional else linear_scan(decay, fresh)
        return self._read(state, inputs)

    def _two_ways(self, decay, fresh):
        half = decay.shape[-1] - decay.shape[-1] // 2
        onward = linear_scan(decay[..., :half], fresh[..., :half])
        back = linear_scan(ops.flip(decay[..., half:], 1), ops.flip(fresh[..., half:], 1))
        return ops.concatenate([onward, ops.flip(back, 1)], axis=-1)

    def _gates(self, inputs):
        """The decay a and (1 - a) v, in float32: in half precision a decay near one cannot be told from one."""
        logits = ops.cast(self.decay_dense(inputs), "float32")
        return ops.sigmoid(logits), ops.sigmoid(-logits) * ops.cast(self.input_dense(inputs), "float32")

    def _read(self, state, inputs):
        return self.output_dense(ops.cast(state, inputs.dtype) * self.gate_dense(inputs))

    def initial_state(self, batch_size, max_length=None):
        """The state before the first position: `(B, D)`, zeros."""
        return ops.zeros((batch_size, self.output_dense.kernel.shape[0]))

    def step(self, inputs, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position."""
        decay, fresh = self._gates(inputs)
        state = decay * state + fresh
        return self._read(state, inputs), state

    def get_config(self):
        return {**super().get_config(), "bidirectional": self.bidirectional}


def _spread_memories(shape, dtype=None):
    """Biases b with sigmoid(b) = 1 - 1/n for memories n from 2 to 200 positions, spread evenly on a log scale."""
    length = ops.exp(ops.linspace(ops.log(2.0), ops.log(200.0), shape[0]))
    return ops.cast(ops.log(length - 1.0), dtype or keras.config.floatx())
