"""Memories whose weights stand over slots, not over positions of a sequence."""

import keras
from keras import ops

from keras_attn import masks
from keras_attn.half import with_fractions
from keras_attn.mixer import Mixer, among, asked_weights


class SlotMemory(Mixer):
    """A mixer that writes to slots or reads them, by weights that can be shown.

    A concrete layer says in `compute_mix` what it reads and with which weights, in `compute_mix_alone` if that is
    cheaper without the weights, and in `weight_rows` and `slots` how many of them there are.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; Keras fills it in from the inputs. The memory is not touched
            at positions where it is False.
        use_causal_mask: whether position t may depend on positions up to t only.
        return_attention_scores: whether to return the weights too; a list of positions asks for those at these.
        training: whether dropout acts.

    Returns:
        `(B, T, D)`, zero at padded positions, and if asked for the weights `(B, H, T, N)`: H rows of weights over N
        slots at each position, zero at padded ones.
    """

    kind = "explicit"
    weights_over = "slots"
    #: "distribution": not negative, and each row sums to one; or "nonnegative".
    weights_are = "distribution"

    @property
    def weight_rows(self):
        """H, how many rows of weights a position has: one for each head, read or written."""
        raise NotImplementedError(f"{type(self).__name__} must say how many rows of weights it has: `weight_rows`.")

    def compute_mix(self, inputs, mask, causal, training):
        """What is read `(B, T, D)` and the weights `(B, H, T, N)`, for inputs that are zero where the mask is False."""
        raise NotImplementedError(f"{type(self).__name__} must say what it reads: define `compute_mix`.")

    def compute_mix_alone(self, inputs, mask, causal, training):
        """The mix `(B, T, D)` without the weights, where there is a cheaper way; else None."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def call(self, inputs, mask=None, use_causal_mask=False, return_attention_scores=False, training=None):
        self._check_causal(use_causal_mask)
        chosen = among(asked_weights(return_attention_scores), inputs.shape[1])
        mask = None if mask is None else ops.cast(mask, "bool")
        asked = masks.zero(with_fractions(inputs, self.compute_dtype), mask), mask, use_causal_mask, training
        if not chosen:
            return masks.zero(self._as_computed(self._mix(*asked)), mask)
        mix, weights = map(self._as_computed, self._mix_and_weights(*asked))
        weights = weights if mask is None else ops.where(mask[:, None, :, None], weights, 0.0)
        return masks.zero(mix, mask), weights if chosen is True else ops.take(weights, list(chosen), axis=2)

    def _mix(self, inputs, *asked):
        if inputs.shape[1] == 0:
            # Nothing in, nothing out: a loop over steps would ask for the first.
            return inputs
        mix = self.compute_mix_alone(inputs, *asked)
        return self.compute_mix(inputs, *asked)[0] if mix is None else mix

    def _mix_and_weights(self, inputs, *asked):
        if inputs.shape[1] == 0:
            return inputs, ops.zeros((ops.shape(inputs)[0], self.weight_rows, 0, self.slots))
        return self.compute_mix(inputs, *asked)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def compute_output_spec(
        self, inputs, mask=None, use_causal_mask=False, return_attention_scores=False, training=None
    ):
        self._check_causal(use_causal_mask)
        mix = keras.KerasTensor(tuple(inputs.shape), dtype=self.compute_dtype)
        chosen = among(asked_weights(return_attention_scores), inputs.shape[1])
        if not chosen:
            return mix
        rows = inputs.shape[1] if chosen is True else len(chosen)
        shape = (inputs.shape[0], self.weight_rows, rows, self.slots)
        return mix, keras.KerasTensor(shape, dtype=self.compute_dtype)
