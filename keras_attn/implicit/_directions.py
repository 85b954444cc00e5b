"""Onward, or both ways."""

from keras_attn.lookup import flag
from keras_attn.mixer import Implicit


class Directed(Implicit):
    """A mixer that reads its inputs in order, from the first one on or both ways.

    Args:
        bidirectional: whether to read both ways; then it cannot be causal. Otherwise it always is.
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

    def check_width(self, input_shape):
        """Raises where there is too little width for two ways."""
        if self.bidirectional and input_shape[-1] < 2:
            raise ValueError(
                f"Both ways share the width, which must be at least 2. Received: input_shape={input_shape}"
            )

    def get_config(self):
        return {**super().get_config(), "bidirectional": self.bidirectional}
