"""Memories of learned slots, which each position reads by itself."""

from keras_attn import masks
from keras_attn.memory.slots import SlotMemory


class Lookup(SlotMemory):
    """A memory that is learned and only read: positions do not see each other, so that nothing has to be kept."""

    can_step = True

    def initial_state(self, batch_size, max_length=None):
        """Nothing: what a position reads does not depend on those before it."""
        return {}

    def step(self, inputs, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position."""
        output, state = self.prefill(inputs[:, None], state)
        return output[:, 0], state

    def prefill(self, inputs, state, mask=None):
        """Outputs `(B, n, D)` and next state for inputs `(B, n, D)` at the next n positions."""
        return masks.zero(self._mix(masks.zero(inputs, mask), mask, True, False), mask), state
