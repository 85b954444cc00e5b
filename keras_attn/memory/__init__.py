"""Attention over an explicit memory."""

from keras_attn.memory.end_to_end import EndToEndMemory
from keras_attn.memory.key_value import KeyValueMemory
from keras_attn.memory.linear_start import LinearStart
from keras_attn.memory.sentences import SentenceEncoder

__all__ = ["EndToEndMemory", "KeyValueMemory", "LinearStart", "SentenceEncoder"]
