"""Attention for Keras, explicit and implicit: layers that keep one contract."""

from keras_attn import masks, mixers, normalizers, scores
from keras_attn._version import __version__
from keras_attn.explicit import AdditiveAttention, MultiHeadAttention, MultiplicativeAttention
from keras_attn.implicit import GatedConvolution, Identity, LinearRecurrence, Pooling, Recurrent, TokenMLP
from keras_attn.memory import KeyValueMemory
from keras_attn.mixer import Explicit, Implicit, Mixer

__all__ = [
    "AdditiveAttention",
    "Explicit",
    "GatedConvolution",
    "Identity",
    "Implicit",
    "KeyValueMemory",
    "LinearRecurrence",
    "Mixer",
    "MultiHeadAttention",
    "MultiplicativeAttention",
    "Pooling",
    "Recurrent",
    "TokenMLP",
    "__version__",
    "masks",
    "mixers",
    "normalizers",
    "scores",
]
