"""Attention whose weights are computed and can be shown."""

from keras_attn.explicit.additive import AdditiveAttention
from keras_attn.explicit.multi_head import MultiHeadAttention
from keras_attn.explicit.multiplicative import MultiplicativeAttention

__all__ = ["AdditiveAttention", "MultiHeadAttention", "MultiplicativeAttention"]
