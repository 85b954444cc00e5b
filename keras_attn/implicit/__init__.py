"""What a network learns to look at without computing weights for it."""

from keras_attn.implicit.across_grid import AcrossGrid
from keras_attn.implicit.controls import Identity, Pooling
from keras_attn.implicit.depthwise_conv import DepthwiseConvolution
from keras_attn.implicit.fourier import Fourier
from keras_attn.implicit.gated_conv import GatedConvolution
from keras_attn.implicit.gmlp import GatedMLP
from keras_attn.implicit.linear_recurrence import LinearRecurrence
from keras_attn.implicit.long_conv import LongConvolution
from keras_attn.implicit.min_gru import MinGRU
from keras_attn.implicit.min_lstm import MinLSTM
from keras_attn.implicit.recurrent import Recurrent
from keras_attn.implicit.rg_lru import RealGatedLRU
from keras_attn.implicit.rwkv import RWKV
from keras_attn.implicit.s4d import S4D
from keras_attn.implicit.s5 import S5
from keras_attn.implicit.scanned import ScannedRecurrence
from keras_attn.implicit.selective_state_space import SelectiveStateSpace
from keras_attn.implicit.token_mlp import TokenMLP
from keras_attn.implicit.token_shift import TokenShift

__all__ = [
    "AcrossGrid",
    "DepthwiseConvolution",
    "Fourier",
    "GatedConvolution",
    "GatedMLP",
    "Identity",
    "LinearRecurrence",
    "LongConvolution",
    "MinGRU",
    "MinLSTM",
    "Pooling",
    "RWKV",
    "RealGatedLRU",
    "Recurrent",
    "S4D",
    "S5",
    "ScannedRecurrence",
    "SelectiveStateSpace",
    "TokenMLP",
    "TokenShift",
]
