"""Explicit attention that steps by looking again at all inputs so far."""

from keras import ops

from keras_attn import masks
from keras_attn.lookup import whole_number
from keras_attn.mixer import Asked, Explicit


class Cached(Explicit):
    """A mixer whose causal output depends on the query and on the keys seen so far, and on nothing else.

    It keeps the inputs as they came. A layer that projects them says in `keep` what it keeps instead, and in
    `look_back` how it looks at that.
    """

    can_step = True

    def keep(self, inputs):
        """What is kept of inputs `(B, n, D)`: tensors `(B, n, d)` by name."""
        return {"inputs": inputs}

    def look_back(self, query, kept, query_mask, source_mask, asked):
        """The mix `(B, n, D)` of queries `(B, n, D)` over what was kept of all positions, `(B, L, d)` each."""
        return self._attend(query, kept["inputs"], kept["inputs"], query_mask, source_mask, asked)[0]

    def build(self, query_shape, value_shape=None, key_shape=None):
        super().build(query_shape, value_shape, key_shape)
        self._input_width = query_shape[-1]

    def initial_state(self, batch_size, max_length=None):
        """A cache for `max_length` positions, all of it empty.

        Args:
            batch_size: B.
            max_length: L, how many positions will ever be seen.

        Returns:
            A dictionary: `kept` of tensors `(B, L, d)`, `real` `(B, L)`, `position` `()`.
        """
        whole_number("max_length", max_length)
        kept = self.keep(ops.zeros((1, 1, self._input_width), dtype=self.compute_dtype))
        return {
            "kept": {
                name: ops.zeros((batch_size, max_length, x.shape[-1]), dtype=self.compute_dtype)
                for name, x in kept.items()
            },
            "real": ops.zeros((batch_size, max_length), dtype="bool"),
            "position": ops.zeros((), dtype="int32"),
        }

    def step(self, inputs, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position."""
        output, state = self.prefill(ops.expand_dims(inputs, 1), state)
        return output[:, 0], state

    def prefill(self, inputs, state, mask=None):
        """Outputs `(B, n, D)` and next state for inputs `(B, n, D)` at the next n positions.

        With a `mask` `(B, n)` positions where it is False are never looked at, now or later, and their output is zero.
        """
        inputs = masks.zero(ops.cast(inputs, self.compute_dtype), mask)
        position, (batch, count) = state["position"], ops.shape(inputs)[:2]
        place = self._check_room(position, count, state["real"].shape[1])
        mask = None if mask is None else ops.cast(mask, "bool")
        fresh = ops.ones((batch, count), dtype="bool") if mask is None else mask
        kept = {name: ops.slice_update(state["kept"][name], (0, place, 0), x) for name, x in self.keep(inputs).items()}
        real = ops.slice_update(state["real"], (0, place), fresh)
        rows, cols = position + ops.arange(count, dtype="int32"), ops.arange(real.shape[1], dtype="int32")
        asked = Asked(attention_mask=rows[:, None] >= cols[None])
        output = ops.cast(self.look_back(inputs, kept, mask, real, asked), inputs.dtype)
        return output, {"kept": kept, "real": real, "position": position + count}
