"""Attention over an explicit memory."""

from keras_attn.memory.computer import DifferentiableNeuralComputer, DifferentiableNeuralComputerCell
from keras_attn.memory.key_value import KeyValueMemory
from keras_attn.memory.picture import draw_weights
from keras_attn.memory.turing import NeuralTuringMachine, NeuralTuringMachineCell

__all__ = [
    "DifferentiableNeuralComputer",
    "DifferentiableNeuralComputerCell",
    "KeyValueMemory",
    "NeuralTuringMachine",
    "NeuralTuringMachineCell",
    "draw_weights",
]
