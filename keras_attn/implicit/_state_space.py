"""What the state spaces have in common."""

import keras

from keras_attn.implicit._directions import Directed
from keras_attn.lookup import whole_number


class StateSpace(Directed):
    """A linear system with a state, which each direction has a part of.

    Args:
        states: N, an even number.
        bidirectional: whether one half runs forward and the other backward; then it cannot be causal. Otherwise it
            always is.
    """

    def __init__(self, states, bidirectional=False, **kwargs):
        super().__init__(bidirectional, **kwargs)
        self.states = whole_number("states", states, least=2)
        if states % 2:
            raise ValueError(f"Invalid argument `states`: they come in pairs, so it must be even. Received: {states}")

    def _weight(self, name, shape, initializer):
        # In half precision a decay near one cannot be told from one.
        return self.add_weight(name=name, shape=shape, initializer=initializer, dtype="float32", autocast=False)

    def _dense(self, name, width, units, **options):
        dense = keras.layers.Dense(units, use_bias=False, name=name, dtype=self.dtype_policy, **options)
        dense.build((None, None, width))
        return dense

    def get_config(self):
        return {**super().get_config(), "states": self.states}
