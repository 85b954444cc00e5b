"""What a network learns to look at without computing weights for it."""

from keras_attn.implicit.controls import Identity, Pooling
from keras_attn.implicit.gated_conv import GatedConvolution
from keras_attn.implicit.linear_recurrence import LinearRecurrence
from keras_attn.implicit.min_gru import MinGRU
from keras_attn.implicit.min_lstm import MinLSTM
from keras_attn.implicit.recurrent import Recurrent
from keras_attn.implicit.rg_lru import RealGatedLRU
from keras_attn.implicit.scanned import ScannedRecurrence
from keras_attn.implicit.token_mlp import TokenMLP

__all__ = [
    "GatedConvolution",
    "Identity",
    "LinearRecurrence",
    "MinGRU",
    "MinLSTM",
    "Pooling",
    "RealGatedLRU",
    "Recurrent",
    "ScannedRecurrence",
    "TokenMLP",
]
