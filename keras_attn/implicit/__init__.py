"""What a network learns to look at without computing weights for it."""

from keras_attn.implicit.controls import Identity, Pooling
from keras_attn.implicit.gated_conv import GatedConvolution
from keras_attn.implicit.linear_recurrence import LinearRecurrence
from keras_attn.implicit.recurrent import Recurrent
from keras_attn.implicit.token_mlp import TokenMLP

__all__ = ["GatedConvolution", "Identity", "LinearRecurrence", "Pooling", "Recurrent", "TokenMLP"]
