"""Attention whose weights are computed and can be shown."""

from keras_attn.explicit.additive import AdditiveAttention
from keras_attn.explicit.delta import DeltaRule
from keras_attn.explicit.draw import GaussianGridRead, GaussianGridWrite
from keras_attn.explicit.gated_linear import GatedLinearAttention
from keras_attn.explicit.gaussian_window import GaussianWindowAttention
from keras_attn.explicit.glimpse import Glimpse, GlimpsePolicy
from keras_attn.explicit.linear import LinearAttention
from keras_attn.explicit.local import LocalAttention
from keras_attn.explicit.location import LocationAttention
from keras_attn.explicit.location_sensitive import LocationSensitiveAttention
from keras_attn.explicit.monotonic import MonotonicAttention
from keras_attn.explicit.monotonic_chunkwise import MonotonicChunkwiseAttention
from keras_attn.explicit.multi_head import MultiHeadAttention
from keras_attn.explicit.multiplicative import MultiplicativeAttention
from keras_attn.explicit.pooling import AttentionPooling
from keras_attn.explicit.retention import Retention
from keras_attn.explicit.spatial_transformer import SpatialTransformer
from keras_attn.explicit.stochastic_hard import StochasticHardAttention

__all__ = [
    "AdditiveAttention",
    "AttentionPooling",
    "DeltaRule",
    "GatedLinearAttention",
    "GaussianGridRead",
    "GaussianGridWrite",
    "GaussianWindowAttention",
    "Glimpse",
    "GlimpsePolicy",
    "LinearAttention",
    "LocalAttention",
    "LocationAttention",
    "LocationSensitiveAttention",
    "MonotonicAttention",
    "MonotonicChunkwiseAttention",
    "MultiHeadAttention",
    "MultiplicativeAttention",
    "Retention",
    "SpatialTransformer",
    "StochasticHardAttention",
]
