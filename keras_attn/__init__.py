"""Attention for Keras, explicit and implicit: layers that keep one contract."""

from keras_attn import decoding, masks, mixers, normalizers, patterns, positions, regularizers, reinforce, scores
from keras_attn._version import __version__
from keras_attn.adaptive import AdaptiveComputation
from keras_attn.decoder import AttentionDecoder
from keras_attn.explicit import (
    AdditiveAttention,
    AttentionPooling,
    DeltaRule,
    GatedLinearAttention,
    GaussianGridRead,
    GaussianGridWrite,
    GaussianWindowAttention,
    Glimpse,
    GlimpsePolicy,
    LinearAttention,
    LocalAttention,
    LocationAttention,
    LocationSensitiveAttention,
    MonotonicAttention,
    MonotonicChunkwiseAttention,
    MultiHeadAttention,
    MultiplicativeAttention,
    Retention,
    SpatialTransformer,
    StochasticHardAttention,
)
from keras_attn.implicit import GatedConvolution, Identity, LinearRecurrence, Pooling, Recurrent, TokenMLP
from keras_attn.memory import (
    DifferentiableNeuralComputer,
    DifferentiableNeuralComputerCell,
    KeyValueMemory,
    NeuralTuringMachine,
    NeuralTuringMachineCell,
)
from keras_attn.mixer import Explicit, Implicit, Mixer
from keras_attn.pairwise import Pairwise
from keras_attn.regularizers import WeightRegularization
from keras_attn.reinforce import ReinforceModel
from keras_attn.universal import UniversalBlock

__all__ = [
    "AdaptiveComputation",
    "AdditiveAttention",
    "AttentionDecoder",
    "AttentionPooling",
    "DeltaRule",
    "DifferentiableNeuralComputer",
    "DifferentiableNeuralComputerCell",
    "Explicit",
    "GatedConvolution",
    "GatedLinearAttention",
    "GaussianGridRead",
    "GaussianGridWrite",
    "GaussianWindowAttention",
    "Glimpse",
    "GlimpsePolicy",
    "Identity",
    "Implicit",
    "KeyValueMemory",
    "LinearAttention",
    "LinearRecurrence",
    "LocalAttention",
    "LocationAttention",
    "LocationSensitiveAttention",
    "Mixer",
    "MonotonicAttention",
    "MonotonicChunkwiseAttention",
    "MultiHeadAttention",
    "MultiplicativeAttention",
    "NeuralTuringMachine",
    "NeuralTuringMachineCell",
    "Pairwise",
    "Pooling",
    "Recurrent",
    "ReinforceModel",
    "Retention",
    "SpatialTransformer",
    "StochasticHardAttention",
    "TokenMLP",
    "UniversalBlock",
    "WeightRegularization",
    "__version__",
    "decoding",
    "masks",
    "mixers",
    "normalizers",
    "patterns",
    "positions",
    "regularizers",
    "reinforce",
    "scores",
]
