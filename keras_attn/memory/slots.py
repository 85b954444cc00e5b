"""Memories whose weights stand over slots, not over positions of a sequence."""

import keras
from keras import ops

from keras_attn import masks
from keras_attn.mixer import Mixer


class SlotMemory(Mixer):
    """A mixer that writes to slots or reads them, by weights that can be shown.

    A concrete layer says in `compute_mix` what it reads and with which weights, in `compute_mix_alone` if that is
    cheaper without the weights, and in `weight_rows` and `slots` how many of them there are.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; Keras fills it in from the inputs. The memory is not touched
            at positions where it is False.
        use_causal_mask: whether position t may depend on positions up to t only.
        return_attention_scores: whether to return the weights too.
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

    def call(self, inputs, mask=None, use_causal_mask=False, return_attention_scores=False, training=None):
        self._check_causal(use_causal_mask)
        mask = None if mask is None else ops.cast(mask, "bool")
        asked = masks.zero(inputs, mask), mask, use_causal_mask, training
        if not return_attention_scores:
            return masks.zero(self._mix(*asked), mask)
        mix, weights = self.compute_mix(*asked)
        return masks.zero(mix, mask), weights if mask is None else ops.where(mask[:, None, :, None], weights, 0.0)

    def _mix(self, *asked):
        mix = self.compute_mix_alone(*asked)
        return self.compute_mix(*asked)[0] if mix is None else mix

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def compute_output_spec(self, inputs, mask=None, return_attention_scores=False, **kwargs):
        mix = keras.KerasTensor(tuple(inputs.shape), dtype=self.compute_dtype)
        if not return_attention_scores:
            return mix
        shape = (inputs.shape[0], self.weight_rows, inputs.shape[1], self.slots)
        return mix, keras.KerasTensor(shape, dtype=self.compute_dtype)
