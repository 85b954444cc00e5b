"""Attention over an explicit memory."""

from keras_attn.memory.computer import DifferentiableNeuralComputer, DifferentiableNeuralComputerCell
from keras_attn.memory.end_to_end import EndToEndMemory
from keras_attn.memory.hopfield import Hopfield, HopfieldLookup, HopfieldPooling
from keras_attn.memory.key_value import KeyValueMemory
from keras_attn.memory.linear_start import LinearStart
from keras_attn.memory.nearest import NearestMemory
from keras_attn.memory.persistent import PersistentMemory
from keras_attn.memory.picture import draw_weights
from keras_attn.memory.product_key import ProductKeyMemory
from keras_attn.memory.segment import SegmentMemory
from keras_attn.memory.sentences import SentenceEncoder
from keras_attn.memory.turing import NeuralTuringMachine, NeuralTuringMachineCell

__all__ = [
    "DifferentiableNeuralComputer",
    "DifferentiableNeuralComputerCell",
    "EndToEndMemory",
    "Hopfield",
    "HopfieldLookup",
    "HopfieldPooling",
    "KeyValueMemory",
    "LinearStart",
    "NearestMemory",
    "NeuralTuringMachine",
    "NeuralTuringMachineCell",
    "PersistentMemory",
    "ProductKeyMemory",
    "SegmentMemory",
    "SentenceEncoder",
    "draw_weights",
]
