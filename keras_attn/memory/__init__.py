"""Attention over an explicit memory."""

from keras_attn.memory.key_value import KeyValueMemory

__all__ = ["KeyValueMemory"]
